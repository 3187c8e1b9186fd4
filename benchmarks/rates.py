"""What does one step of a plastic rate network cost, and what bounds it?

128 neurons, Runge-Kutta of fourth order, every synapse changed by homeostasis, learning
and noise. The library's compiled batches and the same step in NumPy take turns in one
process; `NumPy/this` is the median over rounds of the ratio of CPU times per network
and step. Below stands what its parts cost alone, and how often spectra may be taken.
`OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 taskset -c 1 python benchmarks/rates.py`.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from limits import again, TIMES
from turns import cpu_ratio, in_turns, median, print_machine, Program

from plasticity_jax import simulate
from plasticity_jax._random import unrolled
from plasticity_jax._sweep import _lanes
from plasticity_jax.systems.stable_memory.config import build, Config


STEPS, ROUNDS, NEVER = 1000, 5, 10**6
RATE = Config(learns=True, homeostasis="rate_control")
DECORRELATION = dataclasses.replace(RATE, homeostasis="decorrelation")
Observables = dict[str, jax.Array]


def grow(config: Config, key: jax.Array) -> Observables:
    """The size of the weights when the time is over."""
    for_build, for_run = jr.split(key)
    system, start = build(config, for_build)
    end, _ = simulate(system, start, for_run, steps=STEPS, every=STEPS)
    return {"norm": jnp.linalg.norm(end.synapses)}


def numpy_run(config: Config) -> Program:
    """The same network in plain NumPy: float32, buffers reused, one at a time."""
    system, state = build(config, jr.key(0))
    rule: Any = system.rules["homeostasis"]
    targets = np.asarray(rule.rule.target, np.float32)
    start, x0 = np.asarray(state.synapses), np.asarray(state.activity.potential)
    n, dt = config.size, np.float32(config.step)
    eta, tau = np.float32(config.plasticity), np.float32(config.trace_time)
    scale = eta * np.float32((dt * 0.1 * config.noise_every / n) ** 0.5)
    draw, change = np.random.default_rng(0), np.empty((n, n), "f")

    def run() -> float:
        w, x, y = start.copy(), x0.copy(), np.zeros(n, "f")
        noise = np.empty((n, n), "f")
        for step in range(STEPS):
            r = np.tanh(x)
            y += dt / tau * (r - y)
            first = w @ r - x
            z = x + dt / 2 * first
            second = w @ np.tanh(z) - z
            z = x + dt / 2 * second
            third = w @ np.tanh(z) - z
            z = x + dt * third
            fourth = w @ np.tanh(z) - z
            x = x + dt / 6 * (first + 2 * second + 2 * third + fourth)
            control = (eta * dt) * (targets - r)
            np.multiply.outer(control, r @ w, out=change)
            w += change
            np.multiply.outer(eta * dt * r, y, out=change)
            w += change
            w -= change.T
            if (step + 1) % config.noise_every == 0:
                draw.standard_normal(out=noise, dtype=np.float32)
                noise *= scale
                w += noise
        return float(np.linalg.norm(w))

    return run


def with_noise(config: Config, every: int) -> Config:
    return dataclasses.replace(config, noise_every=every)


ROWS = {
    f"{name}, {says}, {lanes} networks": (with_noise(config, every), lanes)
    for name, config, sizes in (
        ("rate control", RATE, (1, 16, 64)),
        ("decorrelation", DECORRELATION, (1,)),
    )
    for says, every in (
        ("noise each step", 1),
        ("noise each 10th", 10),
        ("no noise", NEVER),
    )
    for lanes in sizes
}


def in_rows() -> dict[str, float]:
    """Print the rows; CPU seconds of each per network and step."""
    programs: dict[str, Program] = {
        f"NumPy, {every}": numpy_run(with_noise(RATE, every))
        for every in (1, 10, NEVER)
    }
    work = dict.fromkeys(programs, STEPS)
    compiled = {}
    for name, (config, lanes) in ROWS.items():
        keys = jr.split(jr.key(0), lanes)
        batch = _lanes.Lanes.of(grow, config, [], keys)
        batch.compile(lanes)
        arguments = batch.batch(np.arange(lanes))
        programs[name] = lambda arguments=arguments: _lanes.map_lanes(*arguments)
        work[name], compiled[name] = lanes * STEPS, batch.compile_seconds
    print(f"{'us per network and step':44}{'wall':>8}{'CPU':>8}", end="")
    print(f"{'NumPy/this':>12}{'compile, s':>12}")
    times = in_turns(programs, ROUNDS)
    for name, rounds in times.items():
        wall, cpu = (1e6 * t / work[name] for t in median(rounds))
        print(f"{name:44}{wall:8.1f}{cpu:8.1f}", end="")
        if name in ROWS:
            slow = f"NumPy, {ROWS[name][0].noise_every}"
            ratio = cpu_ratio(times[slow], rounds) * work[name] / work[slow]
            print(f"{ratio:12.1f}{compiled[name]:12.1f}", end="")
        print()
    return {name: median(rounds).cpu / work[name] for name, rounds in times.items()}


# --- what bounds it -------------------------------------------------------------------


def repeated(step: Callable[[Any, Any], Any], start: Any) -> tuple[Program, int]:
    return again(step, start), TIMES


def parts(size: int) -> dict[str, float]:
    """Seconds for each part of a step of one network, alone."""
    key, draw = unrolled(jr.key(0)), np.random.default_rng(0)
    matrix = draw.standard_normal((size, size), np.float32) / np.float32(size**0.5)
    weights, vector = jnp.asarray(matrix), np.ones(size, np.float32)

    def normals(i: Any, x: jax.Array) -> jax.Array:
        return x + jr.normal(jr.fold_in(key, i), x.shape)

    def products(_: Any, x: jax.Array) -> jax.Array:
        for _ in range(4):
            x = jnp.tanh(weights @ x)
        return x

    def outer(_: Any, state: tuple[jax.Array, jax.Array]) -> Any:
        w, x = state
        change = jnp.outer(x, x[::-1]) + jnp.outer(x, 0.1 * x) - jnp.outer(0.1 * x, x)
        return w + 1e-6 * change, 0.999 * x

    programs = {
        "normal deviates": repeated(normals, matrix),
        "4 products and rates": repeated(products, vector),
        "outer products": repeated(outer, (matrix, vector)),
        "eigenvalues": (lambda: np.linalg.eigvals(matrix), 1),
        "eigenvectors too": (lambda: np.linalg.eig(matrix), 1),
    }
    times = in_turns({k: p for k, (p, _) in programs.items()}, ROUNDS)
    return {k: median(times[k]).cpu / n for k, (_, n) in programs.items()}


def main() -> None:
    cost = in_rows()
    alone = parts(RATE.size)
    print(f"\n{'each part alone':44}{'us':>8}")
    for name, seconds in alone.items():
        print(f"{name:44}{1e6 * seconds:8.1f}")
    each = cost["rate control, noise each step, 1 networks"]
    tenth = cost["rate control, noise each 10th, 1 networks"]
    bound = alone["normal deviates"]
    print(f"\nnoise each step over the time of its normals: {each / bound:.2f}")
    print("steps between spectra that cost a tenth of the run: ", end="")
    print(f"{10 * alone['eigenvectors too'] / tenth:.0f} (noise each 10th)")
    print_machine()


if __name__ == "__main__":
    main()
