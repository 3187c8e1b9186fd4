"""What does one cycle of replay cost, and how near is it to the machine's limits?

All neurons of a network and some of its rows, one network and 16 at once, replaying the
weakest pattern or all of them softly. The library's compiled batches and the same cycle
in NumPy take turns in one process; `NumPy/this` is the median over rounds of the ratio
of CPU times per network and cycle. The shares say how much of the cycle the matrix
products take at the rate of large ones, and the least traffic (factors read and written
once, weights, fields and drive written and read) at the rate of a large copy.
`OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 taskset -c 1 python benchmarks/replay.py`.

The parts that a user may exchange set a bound. Of a cycle of one network of 200 neurons
(40 patterns, 0.25 ms in NumPy, whose products alone would allow 6 times) 42 us were the
product of weights and patterns, 5 the weights, 3 the rows of patterns, 19 the change
and its bounds, 6 the sum of squares, 6 the scaling, 15 the choice: what one pass reads
and writes is stored, since a circuit, a rule and a projection are compiled to no fewer.
Of 1000 neurons (200 patterns) the product took 4.4 of 7.1 ms, NumPy's product 4.3 of
10.
"""

import dataclasses

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from limits import again, TIMES
from turns import cpu_ratio, in_turns, median, print_machine, Program

from plasticity_jax import simulate
from plasticity_jax._sweep import _lanes
from plasticity_jax.systems.two_factor_consolidation.config import Config
from plasticity_jax.systems.two_factor_consolidation.networks import build


ROUNDS = 3
SMALL = Config(size=200, patterns=40, rows=0, schedule="constant", cycles=1000)
LARGE = Config(size=1000, patterns=200, rows=0, schedule="constant", cycles=50)
Observables = dict[str, jax.Array]


def cycles(config: Config, key: jax.Array) -> Observables:
    """The mean factor when the cycles are over."""
    for_build, for_run = jr.split(key)
    system, start = build(config, for_build)
    end, _ = simulate(system, start, for_run, steps=config.cycles, every=config.cycles)
    return {"factor": jnp.mean(end.synapses.factors)}


def numpy_run(config: Config) -> Program:
    """The same cycle in plain NumPy: float32, buffers reused, two factors."""
    system, state = build(config, jr.key(0))
    stored = system.task(state.step, jr.key(0))
    inputs, targets = (np.asarray(x, np.float32) for x in stored[:2])
    rows = inputs.T.copy()
    others = 1 - np.eye(len(targets), len(inputs), dtype="f")
    target, rate, slow = (
        np.float32(x) for x in (config.target, config.rate, config.threshold_rate)
    )
    start = np.asarray(state.synapses.factors)
    sharpness = np.float32(config.sharpness)

    def run() -> float:
        u, inhibition = start.copy(), np.array(state.synapses.threshold)
        average = np.array(state.activity.average)
        w, drive, kick = np.empty_like(u[0]), np.empty_like(u[0]), np.empty_like(u[0])
        for _ in range(config.cycles):
            np.multiply(u[0], u[1], out=w)
            fields = w @ inputs
            fields -= inhibition[:, None]
            if config.policy == "weakest":
                chosen = np.argmin(targets * fields, axis=1)
                bias = np.take_along_axis(targets, chosen[:, None], 1)[:, 0]
                np.take(rows, chosen, axis=0, out=drive)
                drive *= (rate * bias)[:, None]
            else:
                size = np.abs(fields)
                share = np.exp(
                    (size.min(1, keepdims=True) - size) * (sharpness / average)[:, None]
                )
                average = size.mean(1)
                replay = share * np.sign(fields) / share.sum(1, keepdims=True)
                bias = replay.sum(1)
                np.matmul(replay, rows, out=drive)
                drive *= rate
            drive *= w > 1e-10
            np.multiply(drive, u[1], out=kick)
            drive *= u[0]
            u[0] += kick
            u[1] += drive
            u *= w > 1e-10
            np.maximum(u, np.float32(1e-20), out=u)
            u *= others
            square = np.einsum("kij,kij->i", u, u) / 2
            u *= np.sqrt(target / square)[:, None]
            inhibition -= slow * bias
        return float(u.mean())

    return run


def with_rows(config: Config, rows: int, policy: str = "weakest") -> Config:
    return dataclasses.replace(config, rows=rows, policy=policy)


CASES = {
    f"N = {config.size}, {rows or 'all'} rows, {policy}": (
        with_rows(config, rows, policy)
    )
    for config, few in ((SMALL, 50), (LARGE, 100))
    for rows, policy in ((0, "weakest"), (0, "soft"), (few, "weakest"))
}


def limits() -> tuple[float, float]:
    """Floating-point operations and bytes a second, large matrices and a large copy."""
    draw = np.random.default_rng(0)
    matrix = jnp.asarray(draw.random((1024, 1024), np.float32))
    product = jax.jit(jnp.matmul)
    vector = np.zeros(1 << 23, np.float32)  # 32 MiB: outside of the caches
    copy = jax.jit(lambda x: x + 1, donate_argnums=0)
    held = [jnp.asarray(vector)]

    def moved() -> jax.Array:
        held[0] = copy(held[0])
        return held[0]

    programs: dict[str, Program] = {
        "product": lambda: product(matrix, matrix),
        "copy": moved,
        "overhead": again(lambda _, x: x + 1, np.zeros(8, "f")),
    }
    times = in_turns(programs, 4 * ROUNDS)
    bytes_moved = 2 * vector.nbytes
    print(f"a kernel {1e9 * median(times['overhead']).cpu / TIMES:.0f} ns")
    return (
        2 * 1024**3 / median(times["product"]).cpu,
        bytes_moved / median(times["copy"]).cpu,
    )


def main() -> None:
    flops, stream = limits()
    print(f"large product {flops / 1e9:.0f} GFLOP/s, copy {stream / 1e9:.1f} GB/s")
    print(f"{'ms per network and cycle':38}{'wall':>8}{'CPU':>8}", end="")
    print(f"{'rows/s':>10}{'NumPy/this':>12}{'products':>10}{'traffic':>9}")
    for name, config in CASES.items():
        programs: dict[str, Program] = {"NumPy": numpy_run(config)}
        networks = {"NumPy": 1}
        for lanes in (1, 16):
            batch = _lanes.Lanes.of(cycles, config, [], jr.split(jr.key(0), lanes))
            batch.compile(lanes)
            arguments = batch.batch(np.arange(lanes))
            programs[f"{lanes} networks"] = lambda arguments=arguments: (
                _lanes.map_lanes(*arguments)
            )
            networks[f"{lanes} networks"] = lanes
        times = in_turns(programs, ROUNDS)
        rows, n, m = config.rows or config.size, config.size, config.patterns
        work = 2 * rows * n * m * (2 if config.policy == "soft" else 1)
        least = 4 * rows * (2 * config.order * n + 2 * n + 2 * n + 2 * m) + 4 * n * m
        for label, rounds in times.items():
            each = networks[label] * config.cycles
            wall, cpu = (1e3 * t / each for t in median(rounds))
            ratio = cpu_ratio(times["NumPy"], rounds) * networks[label]
            print(f"{name + ', ' + label:38}{wall:8.3f}{cpu:8.3f}", end="")
            print(f"{1e3 * rows / wall:10.3g}{ratio:12.2f}", end="")
            print(f"{1e5 * work / flops / cpu:9.0f}%{1e5 * least / stream / cpu:8.0f}%")
    print_machine()


if __name__ == "__main__":
    main()
