"""What can this machine do at most, in float32, by XLA and by NumPy?

Large matrix products and the products of one step of the nonlinear network; logistic
functions and normal deviates on vectors that stay in cache. Used by `steps.py`; alone:
`OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 taskset -c 1 python benchmarks/limits.py`.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from turns import in_turns, median, print_machine, Program

from plasticity_jax._random import unrolled


SQUARE, VECTOR, TIMES, ROUNDS = 1024, 8192, 200, 5
Limit = tuple[str, float, Program]  # what is counted, how much of it, the program


def again(step: Callable[[Any, Any], Any], start: Any) -> Program:
    """`step(i, x)` repeated in one compiled loop."""
    loop = jax.jit(lambda x: jax.lax.fori_loop(0, TIMES, step, x))
    start = jax.tree.map(jnp.asarray, start)
    return lambda: loop(start)


def products_of_a_step(sizes: tuple[int, int, int], samples: int) -> Limit:
    """A gradient step of a network without nonlinearities: five products."""
    draw = np.random.default_rng(0)
    sample = lambda *shape: draw.standard_normal(shape, np.float32)
    x, (n, h, m) = jnp.asarray(sample(sizes[0], samples)), sizes
    loss = lambda w: jnp.mean((w[1] @ (w[0] @ x)) ** 2)
    descend = lambda _, w: jax.tree.map(lambda a, g: a - 1e-3 * g, w, jax.grad(loss)(w))
    flops = 2 * samples * (2 * n * h + 3 * h * m)
    return (
        "own product",
        TIMES * flops,
        again(descend, (sample(h, n) / n, sample(m, h) / h)),
    )


def limits() -> dict[str, Limit]:
    draw = np.random.default_rng(0)
    large, vector = draw.random((SQUARE, SQUARE), np.float32), np.zeros(VECTOR, "f")
    product, key = jax.jit(jnp.matmul), unrolled(jr.key(0))
    on_device = jnp.asarray(large)
    add_normal = lambda i, x: x + jr.normal(jr.fold_in(key, i), x.shape)

    def logistic() -> None:
        np.exp(np.negative(vector, out=vector), out=vector)
        np.reciprocal(np.add(vector, 1, out=vector), out=vector)

    flops = 2 * SQUARE**3
    return {
        "product, large: XLA": (
            "product",
            flops,
            lambda: product(on_device, on_device),
        ),
        "product, large: NumPy": ("product", flops, lambda: large @ large),
        "products of a step: XLA": products_of_a_step((12, 20, 10), 1000),
        "logistic: XLA": (
            "logistic",
            TIMES * VECTOR,
            again(lambda _, x: jax.nn.sigmoid(x), vector),
        ),
        "logistic: NumPy": ("logistic", VECTOR, logistic),
        "normal: XLA": ("normal", TIMES * VECTOR, again(add_normal, vector)),
        "normal: NumPy": (
            "normal",
            VECTOR,
            lambda: draw.standard_normal(out=vector, dtype=np.float32),
        ),
    }


def print_limits() -> dict[str, float]:
    """A table; the highest rate of each kind, per second."""
    entries, best = limits(), {}
    times = in_turns(
        {name: program for name, (_, _, program) in entries.items()}, ROUNDS
    )
    print(f"\n{'at most, a second (CPU)':28}{'10^9':>8}")
    for name, (kind, count, _) in entries.items():
        rate = count / median(times[name]).cpu
        best[kind] = max(best.get(kind, 0.0), rate)
        print(f"{name:28}{rate / 1e9:8.2f}")
    return best


if __name__ == "__main__":
    print_limits()
    print_machine()
