"""How much do curvature products and matrices cost, in gradients and in milliseconds?

Each comparison interleaves its variants in one process and reports the median over
rounds of their ratio, with the CPU time of each. Run on one core for stable numbers:
`OMP_NUM_THREADS=1 taskset -c 0 python benchmarks/curvature.py`.
"""

import os
import platform
import statistics
import threading
import time
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jax.flatten_util import ravel_pytree

from plasticity_jax import curvature


SAMPLES, CLASSES, STEPS = 256, 11, 30
MODEL = eqx.nn.MLP(16, CLASSES, 26, 2, jnp.tanh, key=jr.key(0))
INPUTS = jr.normal(jr.key(1), (SAMPLES, 16))
TARGETS = jr.randint(jr.key(2), (SAMPLES,), 0, CLASSES)
ARRAYS, REST = eqx.partition(MODEL, eqx.is_inexact_array)
FLAT, UNRAVEL = ravel_pytree(ARRAYS)


def log_prob(flat: jax.Array, x: jax.Array, y: jax.Array) -> jax.Array:
    return jax.nn.log_softmax(eqx.combine(UNRAVEL(flat), REST)(x))[y]


def loss(flat: jax.Array) -> jax.Array:
    return -jnp.mean(jax.vmap(log_prob, (None, 0, 0))(flat, INPUTS, TARGETS))


def products(flat: jax.Array) -> jax.Array:
    """As many products as Lanczos takes steps, each of the last one's result."""
    operator = curvature.hessian_operator(loss, flat)
    step = lambda _, v: operator.mv(v) / jnp.linalg.norm(v)
    return jax.lax.fori_loop(0, STEPS, step, jnp.ones_like(flat))


def lanczos(flat: jax.Array) -> curvature.Spectrum:
    operator = curvature.hessian_operator(loss, flat)
    options = {"method": "lanczos", "steps": STEPS, "probes": 1}
    return curvature.spectrum(operator, **options, key=jr.key(3))


def fisher(flat: jax.Array) -> jax.Array:
    outcomes = jnp.arange(CLASSES)
    return curvature.Fisher(log_prob, flat, INPUTS, outcomes=outcomes).matrix()


def fisher_by_outcome(flat: jax.Array) -> jax.Array:
    """A gradient per sample and one matrix product, for one outcome at a time."""

    def add(y: jax.Array, total: jax.Array) -> jax.Array:
        one = jax.vmap(jax.value_and_grad(log_prob), (None, 0, None))
        log_p, scores = one(flat, INPUTS, y)
        return total + (jnp.exp(log_p)[:, None] * scores).T @ scores

    empty = jnp.zeros((flat.size, flat.size), flat.dtype)
    return jax.lax.fori_loop(0, CLASSES, add, empty) / SAMPLES


def timed(function: Callable[[Any], Any], repeats: int) -> tuple[float, float]:
    """Wall and CPU milliseconds per call."""
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(repeats):
        jax.block_until_ready(function(FLAT))
    spent = time.perf_counter() - wall, time.process_time() - cpu
    return 1e3 * spent[0] / repeats, 1e3 * spent[1] / repeats


def compare(
    name: str,
    slow: Callable[[Any], Any],
    fast: Callable[[Any], Any],
    repeats: int,
    rounds: int,
) -> None:
    variants = [jax.jit(slow), jax.jit(fast)]
    for variant in variants:
        jax.block_until_ready(variant(FLAT))
    times = [[timed(variant, repeats) for variant in variants] for _ in range(rounds)]
    median = lambda of: statistics.median(of(round) for round in times)
    ratio = median(lambda round: round[0][1] / round[1][1])
    print(f"{name:48} {ratio:6.2f} x", end="")
    for i in range(2):
        wall, cpu = median(lambda r, i=i: r[i][0]), median(lambda r, i=i: r[i][1])
        print(f"   {wall:9.3f} ({cpu:9.3f})", end="")
    print(flush=True)


def main() -> None:
    product = lambda flat: curvature.hvp(loss, flat, flat)
    dense = lambda flat: curvature.hessian(loss, flat)
    print(f"{FLAT.size} weights, {SAMPLES} samples, {FLAT.dtype}, {platform.machine()}")
    print(f"{'a : b':48} {'a / b':>8}   {'a, ms wall (CPU)':>21}   {'b':>21}")
    compare("product : gradient", product, jax.grad(loss), 200, 15)
    compare(f"{STEPS} products : gradient", products, jax.grad(loss), 10, 15)
    compare(f"{STEPS} Lanczos steps : {STEPS} products", lanczos, products, 10, 15)
    compare("jax.hessian : hessian", jax.hessian(loss), dense, 1, 5)
    compare("Fisher by outcomes : by Jacobians", fisher_by_outcome, fisher, 1, 9)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else "?"
    print(f"on {jax.devices()[0]}, {cores} cores, {threading.active_count()} threads")


if __name__ == "__main__":
    main()
