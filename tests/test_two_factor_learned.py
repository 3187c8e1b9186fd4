"""Gradients through a night: in rates, sharpness and patterns."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from plasticity_jax.systems.two_factor_consolidation.experiments import learned


CONFIG = learned.Learned(size=16, rows=3, patterns=5, awake=200, cycles=24)


def test_knots_are_interpolated_in_logarithms():
    knots = learned.Knots(jnp.log(jnp.asarray([1.0, 4.0, 1.0])), 10.0)
    got = [float(knots(jnp.asarray(t))) for t in (0, 5, 10)]
    assert np.allclose(got, [1, 4, 1])
    assert np.isclose(knots(jnp.asarray(2)), 4**0.4)


@pytest.mark.dear
def test_the_slope_of_a_night_is_its_secant():
    """In every knot, the sharpness, and what a pattern adds to every field."""
    evening = eqx.filter_jit(learned.stored_at)(CONFIG, jr.key(1))
    stored, synapses = evening
    move = jnp.asarray(np.random.default_rng(2).normal(size=stored.patterns.shape))

    @jax.jit
    def night(point):
        moved = stored._replace(patterns=stored.patterns + point[-1] * move)
        return learned.robustness(point[:-1], CONFIG, (moved, synapses))

    size = learned.KNOTS + 2
    point = jnp.zeros(size)
    slope = jax.jit(jax.grad(night))(point)
    for i in range(size):
        step = jnp.zeros(size).at[i].set(1e-7)
        secant = (night(point + step) - night(point - step)) / 2e-7
        assert np.isclose(slope[i], secant, rtol=1e-5)
    assert jnp.all(jnp.abs(slope[jnp.array([0, -2, -1])]) > 1e-9)
