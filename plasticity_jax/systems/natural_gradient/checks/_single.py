"""One synapse and groups of synapses: laws and published numbers, for `verify`."""

import dataclasses
import math
from collections.abc import Iterator

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array

from ....curvature import glm_coefficients, voltage_moments
from ....experiment import always, Check, exact, simulated
from ..experiments import map as groups
from ..experiments.single import (
    learned,
    PRINTED_POSITION,
    PRINTED_VARIANCE,
    published_attenuation,
    published_variance,
)
from ..potentials import stationary_potentials
from ..single_synapse import neuron_of, rule_of, SingleSynapse
from ..single_theory import heterosynaptic_boundary, heterosynaptic_ratio


PLACES = (1.0, 3.0, 7.0, 10.0)  # 1/alpha
BOUNDARY = {3.0: 8.56, 3.5: 5.12, 4.0: 4.05, 4.5: 3.55, 5.0: 3.28}  # 1/n


def single_checks() -> Iterator[Check]:
    """All checks of Figs. 1, 4, 5 and 7; run them in double precision."""
    yield from _places()
    yield from _reliability()
    yield from _groups()


@eqx.filter_jit
def _at_places(config: SingleSynapse, places: Array, key: Array) -> dict[str, Array]:
    """Published and fresh runs of Fig. 4, and single steps, at every place."""

    def at(place: Array) -> dict[str, Array]:
        here = dataclasses.replace(config, inverse_attenuation=place)
        neuron = neuron_of(here, refresh=0)
        activity = neuron.start(here.start)
        x, spike = jnp.full((1,), 30.0), jnp.ones(())
        signals = neuron.signals(here.start, x, spike, activity.coefficients)
        somatic = lambda name: rule_of(here, name)(here.start, signals, key)[0] / place
        return {
            "published": published_attenuation(here, key)["published"],
            "fresh": learned(here, key)["relative"],
            "natural": somatic("natural"),
            "euclidean": somatic("euclidean"),
        }

    return jax.vmap(at)(places)


def _places() -> Iterator[Check]:
    places = jnp.asarray(PLACES)
    seen = _at_places(SingleSynapse(), places, jr.key(0))
    steps = seen["natural"] / seen["natural"][0]
    yield exact("natural step at the soma", "Fig. 1, Eq. 17", steps, jnp.ones(4))
    steps = seen["euclidean"] / seen["euclidean"][0]
    yield exact("Euclidean step at the soma", "Fig. 1, Eq. 44", steps, 1 / places**2)
    change = seen["fresh"]
    yield exact(
        "relative change, any place", "Fig. 4", change, change[:1].repeat(4), 1e-12
    )
    want = jnp.full(4, PRINTED_POSITION)
    yield exact("published change (%)", "Fig. 4C", seen["published"], want, 3e-7)


@eqx.filter_jit
def _at_conditions(
    config: SingleSynapse, rates: Array, times: Array, keys: Array
) -> tuple[Array, ...]:
    """Published change, law and mean drift of a weight of zero, in per cent."""

    def at(rate: Array, time: Array) -> tuple[Array, ...]:
        here = dataclasses.replace(config, rate=rate, synaptic_time=time)
        run = published_variance(here, keys[0])
        neuron, zero = neuron_of(here, refresh=0), jnp.zeros(1)
        spike = here.target_rate * here.step
        signals = neuron.signals(zero, jnp.ones(1), spike, neuron.coefficients(zero))
        drift = here.steps * rule_of(here, "natural")(zero, signals, keys[0])[0]
        return run["published"], run["law"], 100 * drift / here.weight

    return jax.vmap(at)(rates, times)


@eqx.filter_jit
def _mean_change(config: SingleSynapse, keys: Array) -> Array:
    """Mean change in per cent over `keys`."""
    return jnp.mean(jax.vmap(lambda key: learned(config, key)["relative"])(keys))


def _reliability() -> Iterator[Check]:
    config = SingleSynapse(
        learning_rate=1e-4, weight=0.01, target_rate=80.0, unit_mean=True
    )
    rates, times = jnp.asarray(list(PRINTED_VARIANCE), float).T
    keys = jr.split(jr.key(1), 256)
    published, law, drift = _at_conditions(config, rates, times / 1e3, keys)
    numbers = np.asarray(list(PRINTED_VARIANCE.values()))
    yield exact("published changes (%)", "Fig. 5C", published, numbers, 5e-4 / 207)
    yield exact("drift at zero weight", "variance law", drift, law)
    for rate, i in ((10.0, 5), (50.0, 9)):
        here = dataclasses.replace(config, rate=rate, synaptic_time=0.02)
        change = _mean_change(here, keys)
        quantity = f"mean change, {rate:g} Hz, 20 ms (%)"
        yield simulated(quantity, "variance law", change, law[i], 0.05)


@eqx.filter_jit
def _first_steps(config: groups.Groups, x: Array) -> tuple[Array, Array]:
    """Changes of both groups in one step at potentials `x`, and their ratio's law."""
    neuron, rule = groups.neuron_of(config), groups.rule_of(config)
    weights = config.start
    c = neuron.coefficients(weights)
    signals = neuron.signals(weights, x, jnp.zeros(()), c)
    change = rule(weights, signals, jr.key(0))
    own, other = groups.by_group(config, change)
    law = heterosynaptic_ratio(
        c, neuron.kernel, weights[0], weights[-1], jnp.sum(neuron.rates)
    )
    return other / own, law


@eqx.filter_jit
def _boundary(config: groups.Groups) -> Array:
    """Silent weight (1/n) that does not change; silent rates exactly zero."""
    neuron = groups.neuron_of(config)
    fires = slice(0, config.active)
    moments = voltage_moments(
        config.start[fires], neuron.moments.mean[fires], neuron.moments.variance[fires]
    )
    c = glm_coefficients(neuron.transfer, *moments, nodes=neuron.quadrature)
    return config.size * heterosynaptic_boundary(c, neuron.kernel, config.start[0])


def _groups() -> Iterator[Check]:
    config = groups.Groups()
    kernel = groups.neuron_of(config).kernel
    x = stationary_potentials(config.rates, kernel, 20, jr.key(2))
    x = x[jnp.argmax(jnp.sum(x, axis=1))]
    cells = [(1.0, 1.0), (1.6, 5.0), (2.5, 2.5), (4.5, 1.0), (5.0, 5.0)]
    pairs = [
        _first_steps(groups.Groups(stimulated=own, unstimulated=other), x)
        for own, other in cells
    ]
    got, want = (jnp.stack(values) for values in zip(*pairs, strict=True))
    yield exact("silent / stimulated change, one step", "Fig. 7", got, want, 1e-12)
    places = [_boundary(groups.Groups(stimulated=own)) for own in BOUNDARY]
    numbers = np.asarray(list(BOUNDARY.values()))
    yield exact(
        "silent weight without change (1/n)", "Fig. 7", places, numbers, 5e-3 / 8.56
    )
    low = [float(_boundary(groups.Groups(stimulated=own))) for own in (1.0, 1.6, 2.5)]
    none = [not 0 <= place <= 30 for place in low]
    yield always("no such weight below 2.5/n", "Fig. 7", math.prod(none))
