"""e-prop against gradients through time, on the networks of twelve seeds."""

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from .. import simulate, State, System
from ..circuits import LSNN
from ..experiment import Check, exact, simulated
from ..rules import EProp
from ..tasks import Recorded
from ._numbers import KEY, uniform


STEPS, INPUTS, NEURONS, OUTPUTS, SEEDS = 80, 6, 20, 2, 12
TINY = 1e-30  # a rate at which no synapse moves
KINDS = {"leaky": 0.0, "adaptive": 0.25}
PARTS = {
    "readout": "readout",
    "input": "input, nothing recurrent",
    "recurrent": "recurrent weights at 0",
}
GAINS = (0.0, 0.5, 1.0, 2.0)  # of the recurrent weights
# Mean cosines between e-prop and the gradient, at all gains but the first.
COSINES = {"leaky": (0.979, 0.933, 0.694), "adaptive": (0.990, 0.961, 0.828)}
Weights = dict[str, Array]


def eprop_checks() -> Iterator[Check]:
    """Exact where it should be, and the angle elsewhere."""
    lanes = [_drawn(seed, gain) for gain in GAINS for seed in range(SEEDS)]
    weights, spikes = jax.tree.map(lambda *x: jnp.stack(x), *lanes)
    back = uniform((OUTPUTS, NEURONS), 5)
    for kind, adaptation in KINDS.items():
        found, want, held, fed, held_fed = _all(
            weights, spikes, jnp.asarray(adaptation), back
        )
        name, source = f"e-prop, {kind}: ", "gradient through time"
        for part, what in PARTS.items():
            some = slice(None) if part == "readout" else slice(SEEDS)
            got, truth = found[part][some], want[part][some]
            yield exact(name + what, source, got, truth, 1e-12)
        source = "gradient, others' spikes held"
        got = _both(found)
        yield exact(f"{name}any recurrent weights", source, got, held, 1e-12)
        yield exact(f"{name}fixed feedback", source, _both(fed), held_fed, 1e-12)
        cosines = _cosines(_both(found), _both(want)).reshape(len(GAINS), SEEDS)
        for gain, one, row in zip(GAINS[1:], COSINES[kind], cosines[1:], strict=True):
            what = f"{name}cosine at a gain of {gain:g}"
            yield simulated(what, "NumPy", jnp.mean(row), one, 0.001)


def _drawn(seed: int, gain: float) -> tuple[Weights, Array]:
    """Weights and the input's spikes."""
    drawn = np.random.default_rng(seed)
    inward = 1.2 * drawn.standard_normal((NEURONS, INPUTS)) / INPUTS**0.5
    within = gain * drawn.standard_normal((NEURONS, NEURONS)) / NEURONS**0.5
    outward = drawn.standard_normal((OUTPUTS, NEURONS)) / NEURONS**0.5
    within = within * (1 - np.eye(NEURONS))
    weights = {"input": inward, "recurrent": within, "readout": outward}
    spikes = drawn.random((STEPS, INPUTS)) < 0.35
    return jax.tree.map(jnp.asarray, weights), jnp.asarray(spikes, float)


def _both(parts: Weights) -> Array:
    return jnp.concatenate([parts["input"], parts["recurrent"]], axis=-1)


def _cosines(one: Array, other: Array) -> Array:
    inner = lambda a, b: jnp.sum(a * b, axis=(1, 2))
    return inner(one, other) / jnp.sqrt(inner(one, one) * inner(other, other))


def _seen(state: State, signals: Any, changes: Any) -> Any:
    return signals.before, signals.output, signals.error, changes


def _run(weights: Weights, spikes: Array, adaptation: Array, **rules: EProp) -> Any:
    """What is seen in a trial."""
    time = lambda kept: -1 / np.log(kept)
    circuit = LSNN(
        membrane_time=time(0.88),
        adaptation_time=time(0.96),
        readout_time=time(0.85),
        threshold=1.0,
        adaptation=adaptation,
    )
    steps = jnp.arange(STEPS, dtype=float)[:, None]
    targets = jnp.sin(2 * jnp.pi * steps / jnp.asarray([[30.0, 17.0]]))
    system = System(Recorded({"pre": spikes, "target": targets}), circuit, rules)
    start = system.start(weights, KEY)
    return simulate(system, start, KEY, steps=STEPS, record=_seen)[1]


@jax.jit
def _all(weights: Weights, spikes: Array, adaptation: Array, back: Array) -> Any:
    """Sums of e-prop and gradients, of each of several networks."""
    apart = 1 - jnp.eye(NEURONS)

    def one(weights: Weights, spikes: Array) -> Any:
        rules = {"it": EProp(TINY), "fed": EProp(TINY, back)}
        before, _, errors, changes = _run(weights, spikes, adaptation, **rules)
        summed = jax.tree.map(lambda x: -jnp.sum(x, axis=0) / TINY, changes)

        def loss(weights: Weights) -> Array:
            _, _, errors, _ = _run(weights, spikes, adaptation)
            return jnp.sum(errors**2) / 2

        def held(weights: Array, readout: Array) -> Array:
            """Spikes of other neurons come from outside."""
            none = jnp.zeros((NEURONS, NEURONS))
            parts = {"input": weights, "recurrent": none, "readout": readout}
            both = jnp.concatenate([spikes, before], axis=1)
            _, output, _, _ = _run(parts, both, adaptation)
            return -jnp.sum(errors * output)

        slopes = jax.grad(loss)(weights)
        slopes["recurrent"] = apart * slopes["recurrent"]
        whole = jnp.concatenate([jnp.ones((NEURONS, INPUTS)), apart], axis=1)
        readouts = jnp.stack([weights["readout"], back])
        alone = jax.vmap(jax.grad(held), in_axes=(None, 0))(_both(weights), readouts)
        return summed["it"], slopes, whole * alone[0], summed["fed"], whole * alone[1]

    return jax.vmap(one)(weights, spikes)
