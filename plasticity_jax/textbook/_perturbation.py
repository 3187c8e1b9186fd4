"""Rules that try noise, on neurons or on weights: all its values, not draws of it."""

from collections.abc import Iterator

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array

from ..circuits import NoisyLayer
from ..experiment import Check, exact, expectation
from ..rules import NodePerturbation, WeightPerturbation
from ..signals import LossSignals
from ._numbers import KEY, uniform


SPREAD = 0.1


def perturbation_checks() -> Iterator[Check]:
    """Noise on the summed inputs of a layer, and on weights."""
    yield from _linear()
    yield from _smoothed()
    yield from _drawn()
    yield from _probed()


def _weights() -> Array:
    """Of two neurons."""
    return uniform((2, 3), 11)


def _shown() -> dict[str, Array]:
    """Their input and what they should do."""
    return {"pre": uniform((3,), 12), "target": uniform((2,), 13)}


def _gradient() -> Array:
    """Of half the squared error of linear neurons."""
    shown = _shown()
    return jnp.outer(_weights() @ shown["pre"] - shown["target"], shown["pre"])


def _values(law: str, count: int) -> tuple[Array, Array]:
    """All noise of two neurons and its mass: signs, or nodes of Gauss and Hermite."""
    points, mass = np.asarray([-1.0, 1.0]), np.ones(2)
    if law == "gaussian":
        points, mass = np.polynomial.hermite_e.hermegauss(count)
    pairs = np.stack(np.meshgrid(points, points), -1).reshape(-1, 2)
    both = np.outer(mass, mass).ravel()
    return jnp.asarray(pairs), jnp.asarray(both / np.sum(both))


@eqx.filter_jit
def _moments(
    layer: NoisyLayer, rule: NodePerturbation, count: int = 5
) -> tuple[Array, Array]:
    """Mean change, and the sum of the variances of all weights."""
    noise, mass = _values(layer.law, count)
    weights, shown = _weights(), _shown()
    each = jax.vmap(lambda x: rule(weights, layer.signals(weights, shown, x), KEY))
    changes = each(noise)
    mean = jnp.tensordot(mass, changes, 1)
    square = jnp.sum(mass * jnp.sum(changes**2, axis=(1, 2)))
    return mean, square - jnp.sum(mean**2)


def _linear() -> Iterator[Check]:
    """Two neurons, their cost a quadratic: in closed form, and as printed."""
    size, square = 2, jnp.sum(_gradient() ** 2)
    extra = SPREAD**2 / 4 * jnp.sum(_shown()["pre"] ** 2)
    laws = {
        "signs": (size - 1, size**3, 1.76648),
        "gaussian": (size + 1, size**3 + 6 * size**2 + 8 * size, 5.37149),
    }
    for law, (of_two, of_one, printed) in laws.items():
        layer = NoisyLayer(dt=0.5, spread=SPREAD, law=law)
        for two_sided in (False, True):
            mean, found = _moments(layer, NodePerturbation(2.0, two_sided=two_sided))
            name = f"node perturbation, {law}, {1 + two_sided}-sided"
            want = -_gradient()
            yield exact(f"{name}: mean", "minus the gradient", mean, want)
            want = of_two * square + (0 if two_sided else of_one * extra)
            yield exact(f"{name}: variance", "closed form", found, want)
            if not two_sided:
                yield exact(f"{name}: as printed", "NumPy", found, printed, 3e-6)


def _smoothed() -> Iterator[Check]:
    """A cost that is not quadratic: the gradient of its mean over the noise."""
    layer = NoisyLayer(jnp.tanh, spread=0.5)
    noise, mass = _values("gaussian", 40)

    def smooth(weights: Array) -> Array:
        cost = lambda x: layer.signals(weights, _shown(), x).cost
        return mass @ jax.vmap(cost)(noise)

    mean, _ = _moments(layer, NodePerturbation(1.0), 40)
    want = -jax.jit(jax.grad(smooth))(_weights())
    name = "node perturbation, tanh, wide noise: mean"
    yield exact(name, "gradient of the smoothed cost", mean, want)


@eqx.filter_jit
def _along(layer: NoisyLayer, keys: Array) -> Array:
    """Changes by noise that the layer draws, along the gradient."""

    def one(key: Array) -> Array:
        _, seen = layer(None, _weights(), _shown(), key)
        return jnp.vdot(NodePerturbation(1.0)(_weights(), seen, key), _gradient())

    return jax.vmap(one)(keys)


def _drawn() -> Iterator[Check]:
    for law in ("signs", "gaussian"):
        found = _along(NoisyLayer(spread=SPREAD, law=law), jr.split(KEY, 10_000))
        name = f"node perturbation, {law}: drawn, along the gradient"
        yield expectation(name, "-|g|^2", found, -jnp.sum(_gradient() ** 2))


def _bowl() -> tuple[Array, Array]:
    """Gradient at rest and curvature of a quadratic cost of three weights."""
    root = uniform((3, 3), 9)
    return uniform((3,), 10), root + root.T + 2 * jnp.eye(3)


@eqx.filter_jit
def _estimates(rule: WeightPerturbation, keys: Array) -> Array:
    """What a rule makes of the gradient, at rest."""
    gradient, curvature = _bowl()
    loss = lambda w: gradient @ w + w @ curvature @ w / 2
    still = jnp.zeros(3)
    seen = LossSignals(jnp.ones(()), loss(still), gradient, loss, -gradient)
    return jax.vmap(lambda key: rule(still, seen, key))(keys)


def _probed() -> Iterator[Check]:
    """Probes of three weights."""
    (gradient, curvature), keys = _bowl(), jr.split(KEY, 10_000)
    missed = lambda x: jnp.sum((x + gradient) ** 2, axis=1)
    for probes in (1, 4):
        found = missed(_estimates(WeightPerturbation(SPREAD, probes), keys))
        name = f"weight perturbation: variance of {probes} probes"
        yield expectation(name, "(N - 1)|g|^2 / K", found, 1.55388 / probes)
    found = _estimates(WeightPerturbation(1.0, two_sided=False), keys)
    name, square = "weight perturbation, 1-sided", jnp.sum(gradient**2)
    yield expectation(f"{name}: along g", "-|g|^2", found @ gradient, -square)
    mixed = jnp.trace(curvature) ** 2 + 2 * jnp.sum(curvature**2)
    want = 2 * square + 3 / 20 * mixed
    yield expectation(f"{name}: variance", "closed form", missed(found), want)
