"""What only the published code does, and what a run may take from it: options."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from plasticity_jax import simulate, State
from plasticity_jax.curvature import glm_coefficients
from plasticity_jax.systems.natural_gradient.config import build, Config
from plasticity_jax.systems.natural_gradient.experiments.learning import (
    learning_curves,
    synapses_of,
)
from plasticity_jax.systems.natural_gradient.published import (
    published_coefficients,
    segments,
)


TINY = Config(
    size=6,
    seconds=4,
    record_seconds=1,
    step=5e-3,
    substeps=10,
    tests=20,
    natural_rate=2e-2,
)
ODD = (-30.0, -17.0, -15.2, -3.1, 14.9, 20.0)  # means, beyond the table at both ends


def indexed(mean, variance, wraps):
    """Row and column of the table as the scripts have them, with Python's indices."""
    column, row = min((mean + 15) * 4, 120), min((variance - 1) * 2, 819)
    if not wraps:
        column, row = max(0.0, column), max(0.0, row)
    return range(122)[int(column)], range(820)[int(row)]


@pytest.mark.parametrize("wraps", [False, True])
def test_the_published_table_has_empty_rows_and_wraps_round(wraps):
    transfer, q = Config().transfer, jnp.asarray(78.0)
    read = functools.partial(published_coefficients, transfer, nodes=301, wraps=wraps)
    held = functools.partial(glm_coefficients, transfer, nodes=301)
    places = [(m, v) for m in ODD for v in (0.2, 0.7, 3.85, 100.3, 401.9, 402.0, 900.0)]
    means, variances = jnp.asarray(places).T
    found = jax.jit(jax.vmap(lambda m, v: read(m, v, q)))(means, variances)
    at = [indexed(m, v, wraps) for m, v in places]
    columns, rows = np.asarray(at, float).T
    filled = rows < 802
    assert 0 < filled.sum() < len(filled)
    want = jax.jit(jax.vmap(lambda m, v: held(m, v, q)))(
        jnp.asarray(columns / 4 - 15), jnp.asarray(np.where(filled, 10 + rows / 2, 10))
    )
    assert np.allclose(1 / found.c1, np.where(filled, 1 / want.c1, 0.0), rtol=1e-12)
    for name in ("g1", "g2", "g4"):
        looked_up = np.where(filled, getattr(want, name), 0.0)
        assert np.allclose(getattr(found, name), looked_up, rtol=1e-10)
    assert np.array_equal(found.variance, variances)


@pytest.mark.dear
def test_segments_start_from_rest_and_lose_their_last_step():
    config = dataclasses.replace(TINY, segment_reset=True)
    system, state = build(config, jr.key(0))
    seen = segments(system, state, jr.key(1), 2, 1, 200, hold=False)
    by_hand = state
    for record in range(2):
        rest = system.circuit.neuron.start(by_hand.synapses)
        start = State(rest, by_hand.synapses, 200 * record)
        by_hand, _ = simulate(system, start, jr.key(1), steps=199)
        for name, weights in by_hand.synapses.items():
            assert jnp.array_equal(seen[name][record], weights)
    held = segments(system, state, jr.key(1), 2, 1, 200, hold=True)
    assert jnp.array_equal(held["natural"], seen["natural"])
    assert not jnp.array_equal(held["approximate"][1], seen["approximate"][1])
    curves = learning_curves(config, jr.key(0))["distance"]
    plain = learning_curves(TINY, jr.key(0))["distance"]
    assert jnp.array_equal(curves[:, 0], plain[:, 0])
    assert not jnp.any(curves[:, -1] == plain[:, -1])


def test_after_a_burn_in_potentials_are_stationary_and_weights_as_before():
    config = dataclasses.replace(TINY, burn_in=0.25)
    (_, cold), (system, warm) = (build(c, jr.key(0)) for c in (TINY, config))
    for name, weights in cold.synapses.items():
        assert jnp.array_equal(warm.synapses[name], weights)
    assert warm.step == 0
    start = lambda key: build(config, key)[1].activity.potential
    potentials = jax.jit(jax.vmap(start))(jr.split(jr.key(1), 400))
    error = jnp.std(potentials, axis=0) / 20
    assert jnp.all(jnp.abs(jnp.mean(potentials, axis=0) - config.rates) < 4 * error)
    assert jnp.all(error < 0.2 * config.rates)
    moved, _ = simulate(system, warm, jr.key(2), steps=20, record=synapses_of)
    assert not jnp.array_equal(moved.synapses["natural"], cold.synapses["natural"])


@pytest.mark.parametrize("option", ["published", "segment_reset"])
def test_a_burn_in_before_segments_from_rest_is_refused(option):
    with pytest.raises(ValueError, match="`burn_in` must be 0"):
        dataclasses.replace(TINY, burn_in=0.25, **{option: True})
    odd = {"seconds": 3, "record_seconds": 3, "step": 3e-3, "refresh_seconds": 0.3}
    with pytest.raises(ValueError, match="`segment`"):
        dataclasses.replace(TINY, **odd, **{option: True})
