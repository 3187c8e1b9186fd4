"""Checks of closed forms beside the quantities that they predict."""

import functools
import inspect
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, ParamSpec

import equinox as eqx
import jax
import numpy as np
from jax.core import Tracer
from jaxtyping import ArrayLike


P = ParamSpec("P")
# A program that runs once need not be fast; XLA's older emitters make less code.
ONCE = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
ONCE |= {
    "xla_cpu_use_fusion_emitters": False,
    "xla_cpu_parallel_codegen_split_count": 1,
}
once = eqx.filter_jit(compiler_options=ONCE)  # pyright: ignore[reportCallIssue]
"""`equinox.filter_jit` for a program that runs once: compiled sooner, not as fast.

It stands outermost: JAX raises `ValueError` where `jit`, `grad`, `scan` or `eval_shape`
goes around it (`vmap` may). Wrap the whole: `once(jax.grad(f))`.
"""
soon = eqx.filter_jit(compiler_options=ONCE | {"xla_backend_optimization_level": 1})  # pyright: ignore[reportCallIssue]
"""The same for a long run: compiled nearly as soon, mostly as fast as without it.

Outermost too: see `once`.
"""


class Check(NamedTuple):
    """A closed form beside the quantity that it predicts.

    `kind`: `exact` (an identity, to rounding), `expectation` (a mean over noise, to
    its standard error) or `simulation` (a run, to a stated tolerance). `error` is
    relative, or in standard errors where `kind` is `expectation`.

    >>> check = simulated("a rate", "Eq. 2", 1.1, 1.0, tolerance=0.05)
    >>> print(check.kind, f"{check.error:.2f}", check.holds)
    simulation 0.10 False
    """

    quantity: str
    source: str
    kind: str
    value: float
    reference: float
    error: float
    tolerance: float

    @property
    def holds(self) -> bool:
        """Whether the error is within tolerance; False for NaN."""
        return bool(self.error <= self.tolerance)


class Later(NamedTuple):
    """A check whose numbers are traced: what makes it of them."""

    make: Callable[..., Any]
    arguments: tuple[Any, ...]


def together(
    checks: Callable[..., Iterator[Check]], jit: Any = once
) -> Callable[..., Iterator[Check]]:
    """`checks`, compiled as one program rather than one for every operation.

    They must be traceable: no number decides what is computed. `jit` is `soon` if long.

    >>> @together
    ... def checks():
    ...     x = jnp.linspace(0.0, 1.0, 9)
    ...     yield exact("one", "Pythagoras", jnp.cos(x) ** 2 + jnp.sin(x) ** 2, 1, 1e-6)
    >>> [check.holds for check in checks()]
    [True]
    """

    @functools.wraps(checks)
    def compiled(*arguments: Any) -> Iterator[Check]:
        every: list[Any] = []

        def traced(arguments: tuple[Any, ...]) -> list[Any]:
            every.extend(checks(*arguments))
            return [x.arguments if isinstance(x, Later) else () for x in every]

        known = jit(traced)(arguments)
        for check, numbers in zip(every, known, strict=True):
            yield check.make(*numbers) if isinstance(check, Later) else check

    return compiled


def _once_known(make: Callable[P, Check]) -> Callable[P, Check]:
    """`make`, put off by `together` while its numbers are traced."""

    signature = inspect.signature(make)

    @functools.wraps(make)
    def check(*given: Any, **named: Any) -> Any:
        arguments = signature.bind(*given, **named).args
        if any(isinstance(x, Tracer) for x in jax.tree.leaves(arguments)):
            return Later(make, arguments)
        return make(*arguments)  # pyright: ignore[reportCallIssue]

    return check  # pyright: ignore[reportReturnType]


@_once_known
def exact(
    quantity: str, source: str, got: Any, want: Any, tolerance: float = 1e-10
) -> Check:
    """An identity: largest difference over the largest entry.

    Raises `ValueError` where `got` and `want` differ in shape or are empty; a single
    number as `want` is that of every entry.

    >>> exact("counts", "Eq. 1", [1, 2], [1, 4]).error
    0.5
    """
    a, b = np.asarray(got), np.asarray(want)
    if not a.size or b.shape not in (a.shape, ()):
        raise ValueError(
            f"'{quantity}' has shape {a.shape}, what it must be has shape {b.shape}: "
            "they must be alike, and not empty."
        )
    a, b = np.ravel(a), np.ravel(b)
    with np.errstate(invalid="ignore"):  # of what is infinite: NaN, which never holds
        error = np.max(np.abs(a - b)) / max(float(np.max(np.abs(b))), 1e-300)
    value, reference = (float(np.linalg.norm(x)) for x in (a, b))
    return Check(quantity, source, "exact", value, reference, float(error), tolerance)


@_once_known
def expectation(quantity: str, source: str, samples: ArrayLike, want: Any) -> Check:
    """A mean over draws: distance in standard errors, at most 4.

    Too few draws to tell never hold: a standard error of more than 5 % of `want` (of
    the spread of the draws where `want` is 0), or of nothing. Raises `ValueError`
    unless the samples are a row.

    >>> samples = jnp.tile(jnp.array([0.9, 1.1]), 500)
    >>> [expectation("a mean", "Eq. 1", samples, want).holds for want in (1.0, 1.1)]
    [True, False]
    """
    drawn = np.asarray(samples)
    if drawn.ndim != 1:
        shape = drawn.shape
        raise ValueError(f"'{quantity}' needs a row of samples; got shape {shape}.")
    with np.errstate(invalid="ignore"):  # of what is infinite
        want, mean, spread = float(want), float(drawn.mean()), float(drawn.std())
    error = spread / len(drawn) ** 0.5
    told = error <= 0.05 * (abs(want) if want else spread) and error > 0
    distance = abs(mean - want) / error if told else math.inf
    return Check(quantity, source, "expectation", mean, want, distance, 4.0)


@_once_known
def simulated(
    quantity: str, source: str, got: Any, want: Any, tolerance: float
) -> Check:
    """A run against a law: relative distance, infinite where the law says 0.

    >>> [simulated("a rate", "Eq. 2", 1.1, 1.0, limit).holds for limit in (0.2, 0.05)]
    [True, False]
    """
    got, want = float(got), float(want)
    error = abs(got / want - 1) if want else math.inf
    return Check(quantity, source, "simulation", got, want, error, tolerance)


@_once_known
def always(quantity: str, source: str, share: Any) -> Check:
    """A statement that must be true of every case: the share in which it is.

    >>> cases = jnp.array([[1.0, 2.0], [0.0, 2.0]])
    >>> [always("positive", "Eq. 3", jnp.mean(row > 0)).holds for row in cases]
    [True, False]
    """
    share = float(share)
    return Check(quantity, source, "exact", share, 1.0, abs(1.0 - share), 0.0)
