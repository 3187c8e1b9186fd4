"""What does one step of a network with plastic release cost, and what bounds it?

784-200-200-10, batches of 100 images of MNIST's size, every weight released or not and
every release probability changed: for one seed, for 8 at once, and for the same step in
plain PyTorch where it is installed (`pip install torch`; nothing else needs it). All
take turns in one process; `PyTorch/this` is the median over rounds of the ratio of CPU
times per seed and step at the same number of threads. Beside it stands the share of the
step that the matrix products and the random bits explain at their own best rates.
`OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 taskset -c 1 python benchmarks/release.py`.
"""

import dataclasses
import itertools
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from limits import again, TIMES
from turns import cpu_ratio, in_turns, median, print_machine, Program

from plasticity_jax import simulate, sweep
from plasticity_jax._random import unrolled
from plasticity_jax.data import Dataset
from plasticity_jax.systems.presynaptic_stochasticity import build, Config, source_of
from plasticity_jax.systems.presynaptic_stochasticity.training import stream_of


IMAGES, STEPS, ROUNDS, SEEDS = 6000, 60, 5, 8
CONFIG = Config(data="mnist", protocol="single", hidden=(200, 200), batch=100, epochs=1)


def images() -> Dataset:
    """Random images of MNIST's size: what they show costs nothing."""
    draw = np.random.default_rng(0)
    pixels = draw.integers(0, 256, (IMAGES, 28, 28)).astype(np.uint8)
    labels = (np.arange(IMAGES) % 10).astype(np.int32)
    return Dataset(pixels, labels, pixels[:100], labels[:100])


def run(source: Any, config: Config, key: jax.Array) -> dict[str, jax.Array]:
    """One epoch of one seed."""
    for_stream, for_build, for_run = jr.split(key, 3)
    task = stream_of(config, source, for_stream).tasks[0]
    system, state, _ = build(config, task, 784, for_build)
    end, _ = simulate(system, state, for_run, steps=STEPS, every=STEPS)
    sums = [jnp.sum(x) for x in jax.tree.leaves(end.synapses)]
    return {"sum": jnp.sum(jnp.stack(sums))}


def epoch(config: Config, seeds: int) -> Program:
    """One epoch of every seed, compiled."""
    source = source_of(images())
    if seeds == 1:
        program = jax.jit(run)
        return lambda: program(source, config, jr.key(0))
    many = jax.jit(jax.vmap(run, in_axes=(None, None, 0)))
    keys = jr.split(jr.key(0), seeds)
    return lambda: many(source, config, keys)


def torch_epoch(config: Config) -> Program | None:
    """The same epoch in plain PyTorch; `None` where it is not installed."""
    try:
        import torch  # pyright: ignore[reportMissingImports]
    except ImportError:
        return None
    torch.set_num_threads(1)
    data, sizes = images(), (784, *config.hidden, 10)
    shown = torch.tensor(data.train_images.reshape(IMAGES, 784).astype(np.float32))
    shown = (shown / 255 - 0.1307) / 0.3081
    labels = torch.tensor(data.train_labels.astype(np.int64))
    start = [
        torch.empty(m, n).uniform_(-(n**-0.5), n**-0.5)
        for n, m in itertools.pairwise(sizes)
    ]
    rate, up, down, freeze, least = (
        float(x)
        for x in (config.rate, config.up, config.down, config.freeze, config.low)
    )
    threshold = float(config.threshold)

    def run() -> float:
        strengths = [w.clone() for w in start]
        chances = [torch.full_like(w, least) for w in start]
        order = torch.randperm(IMAGES)
        for step in range(STEPS):
            chosen = order[step * 100 : (step + 1) * 100]
            gates = [torch.bernoulli(p) / p for p in chances]
            weights = [
                (w * g).requires_grad_() for w, g in zip(strengths, gates, strict=True)
            ]
            x = shown[chosen]
            for w in weights[:-1]:
                x = torch.relu(x @ w.T)
            loss = torch.nn.functional.cross_entropy(x @ weights[-1].T, labels[chosen])
            slopes = torch.autograd.grad(loss, weights)
            with torch.no_grad():
                for w, p, g, slope in zip(
                    strengths, chances, gates, slopes, strict=True
                ):
                    slope = slope * g
                    left = 1 - p
                    w -= rate * left * slope
                    change = left * torch.where(slope.abs() >= threshold, up, -down)
                    p.copy_(torch.where(p < freeze, p + change, p).clamp(least, 1.0))
        return float(strengths[0].sum())

    return run


def limits() -> tuple[float, float]:
    """Seconds of a step's matrix products, and of its random bits, alone."""
    draw = np.random.default_rng(0)
    large = jnp.asarray(draw.random((1024, 1024), np.float32))
    product = jax.jit(jnp.matmul)
    sizes = (784, *CONFIG.hidden, 10)
    synapses = sum(n * m for n, m in itertools.pairwise(sizes))
    key = unrolled(jr.key(0))
    words = synapses // 2
    bits = lambda i, x: x ^ jr.bits(jr.fold_in(key, i), (words,), jnp.uint32)
    programs: dict[str, Program] = {
        "product": lambda: product(large, large),
        "bits": again(bits, np.zeros(words, np.uint32)),
    }
    times = in_turns(programs, ROUNDS)
    flops = 200 * (3 * synapses - sizes[0] * sizes[1])
    rate = 2 * 1024**3 / median(times["product"]).cpu
    print(f"{flops / 1e6:.0f} MFLOP and {synapses} draws a step", end="; ")
    print(f"large product {rate / 1e9:.0f} GFLOP/s")
    return flops / rate, median(times["bits"]).cpu / TIMES


def main() -> None:
    products, bits = limits()
    still = dataclasses.replace(CONFIG, method="deterministic")
    programs = {
        "plastic release, 1 seed": epoch(CONFIG, 1),
        f"plastic release, {SEEDS} seeds at once": epoch(CONFIG, SEEDS),
        "deterministic, 1 seed": epoch(still, 1),
    }
    slow = torch_epoch(CONFIG)
    if slow is not None:
        programs["PyTorch, 1 seed"] = slow
    times = in_turns(programs, ROUNDS)
    print(f"{'per seed and step':38}{'wall, us':>10}{'CPU, us':>10}", end="")
    print(f"{'steps/s':>10}{'PyTorch/this':>14}{'products':>10}{'bits':>6}")
    for name, rounds in times.items():
        seeds = SEEDS if "at once" in name else 1
        wall, cpu = (t / STEPS / seeds for t in median(rounds))
        print(f"{name:38}{1e6 * wall:10.0f}{1e6 * cpu:10.0f}{1 / cpu:10.0f}", end="")
        if slow is not None:
            print(
                f"{cpu_ratio(times['PyTorch, 1 seed'], rounds) * seeds:14.2f}", end=""
            )
        drawn = 0.0 if "deterministic" in name else bits
        print(f"{100 * products / cpu:9.0f}%{100 * drawn / cpu:5.0f}%")
    shared = jax.tree_util.Partial(run, source_of(images()))
    keys = jr.split(jr.key(0), SEEDS)
    data = sweep(shared, CONFIG, {}, keys, progress=False)
    print(
        f"\na sweep of {SEEDS} seeds runs {data.attrs['batch_size']} at once, by trial"
    )
    print_machine()


if __name__ == "__main__":
    main()
