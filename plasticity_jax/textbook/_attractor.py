"""Rules that store patterns, against linear algebra, counting and mean-field theory."""

import math
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import scipy.optimize
import scipy.special
import scipy.stats
from jaxtyping import Array, Int, Key

from .. import AbstractRule, AbstractTask, simulate, State, System
from ..circuits import Layer
from ..experiment import always, Check, exact, expectation, simulated
from ..rules import GradualPseudoInverse, Hopfield, PseudoInverse, Storkey
from ._numbers import KEY, signs


def attractor_checks() -> Iterator[Check]:
    """Hopfield, pseudo-inverse and Storkey."""
    yield from _hopfield()
    yield from _capacity()
    yield from _pseudo_inverse()
    yield from _storkey()
    yield from _order()


class _Cycle(AbstractTask):
    """Patterns (neuron, pattern), one a step, over and over."""

    patterns: Array

    def __call__(self, step: Int[Array, ""], key: Key[Array, ""]) -> Array:
        del key
        return self.patterns[:, step % self.patterns.shape[1]]


def _stored(rule: AbstractRule, patterns: Array, sweeps: int = 1) -> Array:
    """The weights after every pattern was shown `sweeps` times, from none."""
    size, count = patterns.shape
    system = System(_Cycle(patterns), Layer(), {"it": rule})
    steps = sweeps * count
    start = State(None, jnp.zeros((size, size)))
    return simulate(system, start, KEY, steps=steps, every=steps)[0].synapses


def _hollow(weights: Array) -> Array:
    """Without self-connections."""
    return weights - jnp.diag(jnp.diagonal(weights))


def _hopfield() -> Iterator[Check]:
    patterns = signs((50, 20), 3)
    found, want = _stored(Hopfield(), patterns), _hollow(patterns @ patterns.T / 50)
    yield exact("Hopfield: weights after all patterns", "Hopfield 1982", found, want)
    found = _stored(Hopfield(0.5), (patterns + 1) / 2)
    source = "Tsodyks & Feigelman 1988"
    yield exact("Hopfield: patterns of 0 and 1, f = .5", source, found, want)
    size, count = 100, 14

    def errors(key: Array) -> Array:
        patterns = jr.rademacher(key, (size, count), float)
        field = jnp.round(size * _hollow(patterns @ patterns.T / size) @ patterns)
        return jnp.mean(patterns * field < 0)

    samples = jax.lax.map(errors, jr.split(KEY, 2000), batch_size=100)
    terms = (size - 1) * (count - 1)  # independent signs of the crosstalk
    most = math.ceil((terms - (size - 1)) / 2) - 1
    want = scipy.stats.binom.cdf(most, terms, 0.5)
    yield expectation("Hopfield: wrong bits after a step", "binomial", samples, want)


def _side(y: float) -> float:
    r"""$\sqrt{2\alpha}$ at zero temperature (Amit, Gutfreund & Sompolinsky 1985)."""
    return scipy.special.erf(y) / y - 2 / math.sqrt(math.pi) * math.exp(-(y**2))


def _capacity() -> Iterator[Check]:
    found: Any = scipy.optimize.minimize_scalar(
        lambda y: -_side(y), bounds=(0.5, 4.0), method="bounded"
    )
    highest = found.x
    most = _side(highest) ** 2 / 2
    yield exact("Hopfield: capacity", "Amit et al. 1985", most, 0.1379056, 1e-6)

    def overlap(load: float) -> Array:
        patterns = jr.rademacher(jr.key(1), (1000, round(1000 * load)), float)
        weights = _stored(Hopfield(), patterns)

        def step(state: Array, _: None) -> tuple[Array, None]:
            field = weights @ state
            tie = jnp.abs(field) < 0.5 / len(field)  # keeps the state
            return jnp.where(tie, state, jnp.sign(field)), None

        end, _ = jax.lax.scan(step, patterns, length=30)
        return jnp.mean(end * patterns)

    for load in (0.05, 0.10):
        side = math.sqrt(2 * load)
        root = scipy.optimize.brentq(lambda y, s=side: _side(y) - s, highest, 20.0)
        want, name = scipy.special.erf(root), f"Hopfield: overlap at a load of {load:g}"
        yield simulated(name, "Amit et al. 1985", overlap(load), want, 0.005)
    lost = float(overlap(0.16)) < 0.9
    yield always("Hopfield: above capacity patterns are lost", "load .16", lost)


def _pseudo_inverse() -> Iterator[Check]:
    patterns = signs((50, 20), 3)
    batch = patterns @ jnp.linalg.pinv(patterns)
    found = _stored(PseudoInverse(), patterns)
    name = "pseudo-inverse: one pattern a step is all at once"
    yield exact(name, "Personnaz et al. 1985", found, batch)
    twice = _stored(PseudoInverse(), patterns, 2)
    yield exact("pseudo-inverse: stored twice is once", "projector", twice, found)
    back = _stored(PseudoInverse(), patterns[:, ::-1])
    yield exact("pseudo-inverse: in any order", "projector", back, found)
    field = _hollow(found) @ patterns
    kept = (1 - jnp.diagonal(found))[:, None] * patterns
    yield exact("pseudo-inverse: recall without diagonal", "(1 - w) x", field, kept)
    left = batch  # of it after a sweep, each pattern taking out its direction
    for pattern in patterns.T:
        left = left - jnp.outer(left @ pattern, pattern) / len(pattern)
    sweep = jnp.linalg.pinv(batch) @ left
    want = batch - batch @ jnp.linalg.matrix_power(sweep, 25)
    found = _stored(GradualPseudoInverse(), patterns, 25)
    name = "gradual pseudo-inverse: after 25 sweeps"
    yield exact(name, "Diederich & Opper 1987", found, want)


def _storkey() -> Iterator[Check]:
    patterns, size = signs((50, 20), 3), 50
    weights = _hollow(_stored(Storkey(), patterns))
    total, square = jnp.sum(jnp.abs(weights)), jnp.sum(weights**2)
    yield exact("Storkey: sum of weights", "NumPy", total, 205.860, 1e-5)
    yield exact("Storkey: sum of squares", "NumPy", square, 27.7264, 1e-5)
    yield exact("Storkey: symmetric", "Storkey 1997", weights, weights.T)
    x, z = patterns[:, 0], patterns[:, 1]
    both = x * z
    field = x[:, None] * (jnp.sum(both) - both[:, None] - both[None]) / size
    crossed = z[:, None] * field.T + field * z[None]
    want = (jnp.outer(x, x) + jnp.outer(z, z) - crossed) / size
    found = _stored(Storkey(), patterns[:, :2])
    yield exact("Storkey: two patterns", "closed form", _hollow(found), _hollow(want))


def _order() -> Iterator[Check]:
    """Shares of patterns that are fixed points: N = 100, load .2, ten sets."""

    def share(rule: AbstractRule, key: Array) -> Array:
        patterns = jr.rademacher(key, (100, 20), float)
        field = _hollow(_stored(rule, patterns)) @ patterns
        return jnp.mean(jnp.all(patterns * field > -1e-9, axis=0))

    shares = lambda rule: np.asarray(
        jax.vmap(lambda key: share(rule, key))(jr.split(KEY, 10))
    )
    for name, rule in {"Storkey": Storkey(), "inverse": PseudoInverse()}.items():
        whole = np.mean(shares(rule) == 1)
        yield always(f"{name}: all patterns are fixed points", "load .2", whole)
    some = np.mean(shares(Hopfield()) < 0.6)
    yield always("Hopfield: fewer are", "load .2; NumPy .35", some)
