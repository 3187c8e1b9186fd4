"""Moments, unbiased slopes, explicit strengths, freezing and energy of the core.

Sections T1 to T3, T7 and T8 of the specification, and the energy of its readouts.
"""

from collections.abc import Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Key

from .... import advance, Scalar, simulate, State, System
from ...._arguments import real
from ....circuits import StochasticNetwork
from ....experiment import always, Check, exact, expectation, once, together
from ....rules import ReleasePlasticity, StrengthDescent
from ....signals import ReleaseSignals
from ....synapses import ReleaseBounds, Stochastic
from ....tasks import Constant
from .. import theory
from ..chain import independent
from ..config import build, Config


KEY = jr.key(0)
DRAWS = 20_000
STEPS = COUNT = 500  # of courses of release probabilities, all alike
Vector = Float[Array, " n"]


def release_checks() -> Iterator[Check]:
    """T1 to T3, T7, T8 and energy; in double precision."""
    yield from _moment_checks()
    yield from _unbiased_checks()
    yield from _explicit_checks()
    yield from _freezing_checks()
    yield from _plasticity_checks()
    yield from _energy_checks()


# --- T1 -----------------------------------------------------------------------------


class _Neuron(eqx.Module):
    """Half the squared error of a linear neuron."""

    activity: Vector
    target: Scalar

    def __call__(self, weights: Vector, stimulus: None) -> Scalar:
        del stimulus
        return (self.target - weights @ self.activity) ** 2 / 2


def _neuron() -> tuple[_Neuron, Vector, Vector]:
    strength, activity, chance = (jr.normal(KEY, (3, 5))[i] for i in range(3))
    return _Neuron(activity, real(0.7)), strength, 0.1 + 0.9 * jax.nn.sigmoid(chance)


@together
def _moment_checks() -> Iterator[Check]:
    """By enumeration, and the losses of many draws."""
    loss, strength, p = _neuron()

    def mean(strength: Vector, p: Vector) -> Scalar:
        return theory.over_masks(lambda r: loss(r * strength / p, None), p)

    def drawn(key: Key[Array, ""]) -> Scalar:
        circuit = StochasticNetwork(loss)
        return circuit(None, Stochastic(strength, p), None, key)[1].loss

    value, slopes = jax.value_and_grad(mean, argnums=(0, 1))(strength, p)
    losses = jax.vmap(drawn)(jr.split(KEY, DRAWS))
    where = (strength, p, loss.activity, loss.target)
    want = theory.expected_square_loss(*where)
    yield exact("mean loss of a linear neuron over all masks", "T1", value, want, 1e-12)
    yield expectation("mean loss of a linear neuron, drawn", "T1", losses, want)
    along = theory.square_loss_slopes(*where)
    yield exact("its slope along expected strengths", "T1", slopes[0], along[0], 1e-12)
    title = "its slope along release probabilities"
    yield exact(title, "T1", slopes[1], along[1], 1e-12)
    yield always("reliable release never hurts it", "T1", jnp.mean(slopes[1] <= 0))
    weight = lambda r: r * strength / p
    spread = theory.over_masks(lambda r: (weight(r) - strength) ** 2, p)
    want = theory.release_variance(strength, p)
    yield exact("variance of a weight", "T1", spread, want, 1e-12)


# --- T3 -----------------------------------------------------------------------------


def _tiny(**changes: Any) -> tuple[System, State]:
    """Eight synapses in two layers, of different reliability, and five images."""
    config = Config(hidden=(2,), **changes)
    for_images, for_network, for_release = jr.split(KEY, 3)
    images = jr.normal(for_images, (5, 2))
    labels = jnp.asarray([0, 1, 1, 0, 1], jnp.int32)
    system, state, _ = build(config, Constant((images, labels)), 2, for_network)
    flat, shape = ravel_pytree(state.synapses.probability)
    p = shape(jr.uniform(for_release, flat.shape, minval=0.4, maxval=0.6))
    return system, State(None, Stochastic(state.synapses.strength, p))


@once
def _listed() -> tuple[Array, Array, Array, Array]:
    """Released or not and slopes for many draws; slope and chances of all masks."""
    system, state = _tiny()
    synapses, stimulus = state.synapses, system.task(state.step, KEY)
    strength, shape = ravel_pytree(synapses.strength)
    p = ravel_pytree(synapses.probability)[0]
    circuit: Any = system.circuit

    def draw(key: Key[Array, ""]) -> tuple[Vector, Vector]:
        _, signals = circuit(None, synapses, stimulus, key)
        gates = ravel_pytree(signals.gates)[0]
        return gates * p, ravel_pytree(signals.gradient)[0]

    def mean(strength: Vector) -> Scalar:
        loss = lambda r: circuit.loss(shape(r * strength / p), stimulus)
        return theory.over_masks(loss, p)

    released, slopes = jax.lax.map(draw, jr.split(KEY, DRAWS), batch_size=1000)
    return released, slopes, jax.grad(mean)(strength), p


def _unbiased_checks() -> Iterator[Check]:
    released, slopes, want, p = (np.asarray(x) for x in _listed())
    masks, first = np.unique(np.round(released), axis=0, return_index=True)
    title = "masks that 20,000 draws of 8 synapses meet"
    yield exact(title, "T3", len(masks), 2 ** len(p), 0.0)
    chances = np.prod(np.where(masks > 0, p, 1 - p), axis=1)
    title = "mean slope over all masks: that of the mean loss"
    yield exact(title, "T3", chances @ slopes[first], want, 1e-12)
    size = np.linalg.norm(want)
    yield expectation("the same, drawn, along it", "T3", slopes @ want / size, size)
    silent = slopes[released == 0]
    yield always("slopes of silent synapses are 0", "T3", np.mean(silent == 0))


# --- T2 -----------------------------------------------------------------------------


@eqx.filter_jit
def _stepped(system: System, state: State) -> tuple[Any, ...]:
    """A step, and the slope of its loss along explicit strengths."""
    result: Any = advance(system, state, KEY)
    after, signals, _ = result
    synapses, stimulus = state.synapses, system.task(state.step, KEY)
    circuit: Any = system.circuit
    released = jax.tree.map(lambda g: jnp.where(g > 0, 1.0, 0.0), signals.gates)
    explicit = jax.tree.map(jnp.divide, synapses.strength, synapses.probability)
    weights = lambda m: jax.tree.map(jnp.multiply, released, m)
    slope = jax.grad(lambda m: circuit.loss(weights(m), stimulus))(explicit)
    before, later = synapses.probability, after.synapses.probability
    trees = (before, after.synapses.strength, later, signals.gradient, explicit, slope)
    return tuple(ravel_pytree(tree)[0] for tree in trees)


@together
def _explicit_checks() -> Iterator[Check]:
    rate, decay = 0.3, 0.2
    variants: dict[str, dict[str, Any]] = {"default": {}, "decay": {"decay": decay}}
    variants |= {"unscaled": {"scaled": False}, "no modulation": {"modulated": False}}
    for name, changes in variants.items():
        system, state = _tiny(rate=rate, up=0.2, down=0.1, **changes)
        p, strength, later, gradient, explicit, slope = _stepped(system, state)
        if name == "default":
            title = "slope along explicit strengths, over that along expected ones"
            yield exact(title, "T2", slope, p * gradient, 1e-12)
        modulated = rate * (1 - p) if name != "no modulation" else rate
        lost = rate * changes.get("decay", 0.0)
        want = theory.explicit_step(explicit, p, later, slope, modulated, lost)
        title = f"explicit strengths after a step, {name}"
        yield exact(title, "T2", strength / later, want, 1e-12)


# --- T7 and T8 ----------------------------------------------------------------------


@once
def _moved(
    rule: ReleasePlasticity, low: Scalar, start: Vector, ups: Float[Array, "step n"]
) -> Float[Array, "step n"]:
    """Probabilities before each step of a course that goes up where `ups` is 1."""
    still, one = jnp.zeros_like(start), jnp.ones(())

    def move(p: Vector, up: Vector) -> tuple[Vector, Vector]:
        signals = ReleaseSignals(one, one, 2 * rule.threshold * up, up)
        before = Stochastic(still, p)
        moved = jax.tree.map(jnp.add, before, rule(before, signals, KEY))
        return ReleaseBounds(low, 1.0)(moved).probability, p

    return jax.lax.scan(move, start, ups)[1]


def _climbed(rule: ReleasePlasticity, low: float, start: float) -> np.ndarray:
    """A probability before each of 500 steps up."""
    given = jnp.asarray(low), jnp.full(COUNT, start), jnp.ones((STEPS, COUNT))
    return np.asarray(_moved(rule, *given))[:, 0]


def _freezing_checks() -> Iterator[Check]:
    for low, freeze, up in (
        (0.25, 0.9353, 0.052),
        (0.25, 0.9, 0.1),
        (0.1, 0.955, 0.01),
    ):
        for scaled in (True, False):
            rule = ReleasePlasticity(1.0, up, up, freeze, scaled=scaled)
            steps = np.sum(_climbed(rule, low, low) < freeze)
            want = theory.fewest_steps(low, freeze, up, scaled)
            kind = "scaled" if scaled else "unscaled"
            title = f"steps to freeze at {freeze}, {kind} by {up}"
            yield exact(title, "T7", steps, want, 0.0)
    for scaled, want in ((True, 46), (False, 14)):
        got = theory.fewest_steps(0.25, 0.9353, 0.052, scaled)
        title = f"steps to freeze by default, {'' if scaled else 'un'}scaled"
        yield exact(title, "T7", got, want, 0.0)


def _plasticity_checks() -> Iterator[Check]:
    low, freeze, up, down = 0.25, 0.9353, 0.052, 0.0516
    floor, top = map(float, theory.plasticity_range(low, freeze, up))
    got = np.round([floor, top], 4)
    yield exact("range of plasticity by default", "T8", got, [0.0613, 0.75])
    rule = ReleasePlasticity(1.0, up, down, freeze)
    random = np.random.default_rng(0)
    start, ups = random.uniform(low, freeze, COUNT), random.random((STEPS, COUNT)) < 0.6
    left = 1 - np.asarray(_moved(rule, *map(jnp.asarray, (low, start, 1.0 * ups))))
    inside = np.mean((left >= floor) & (left <= top + 1e-15))
    yield always("plasticity of 500 synapses stays in its range", "T8", inside)
    frozen = np.mean(left[-1] <= 1 - freeze)
    yield always("most of them freeze on the way", "T8", frozen > 0.5)
    last = 1 - _climbed(rule, low, float(np.nextafter(freeze, 0.0)))[-1]
    yield exact("least plasticity, reached from the threshold", "T8", last, floor)
    rule = ReleasePlasticity(1.0, up, down, 1.0)
    left = 1 - _climbed(rule, low, low)[300]
    want = theory.plasticity_after(low, up, 300)
    title = "plasticity after 300 steps up without freezing"
    yield exact(title, "T8", left, want, 1e-8)


# --- energy -------------------------------------------------------------------------


@together
def _energy_checks() -> Iterator[Check]:
    strength, chance = jr.normal(KEY, (2, 6))
    p = 0.1 + 0.9 * jax.nn.sigmoid(chance)
    want = theory.energy(strength)
    sent = lambda r: jnp.sum(jnp.abs(r * strength / p))
    mean = theory.over_masks(sent, p)
    yield exact("mean transmitted strength", "energy", mean, want, 1e-12)
    explicit = jnp.sum(p * jnp.abs(strength / p))
    yield exact("energy of explicit strengths", "energy", explicit, want, 1e-12)
    spread = theory.over_masks(lambda r: (sent(r) - want) ** 2, p)
    want = theory.energy_variance(strength, p)
    yield exact("variance of transmitted strength", "energy", spread, want, 1e-12)
    rate, decay, steps = 0.05, 0.1, 200
    system, state = independent(6, 0.25, 0.9, 0.1, 0.0)
    rules = {"strength": StrengthDescent(rate, decay)}
    system = eqx.tree_at(lambda s: s.rules, system, rules)
    state = State(None, Stochastic(strength, state.synapses.probability))
    final, _ = simulate(system, state, KEY, steps=steps)
    want = theory.energy_after(theory.energy(strength), rate, decay, steps)
    got = theory.energy(final.synapses.strength)
    yield exact(f"energy after {steps} steps of decay", "energy", got, want, 1e-12)
