"""Statistics of runs on cases whose answers are known by hand."""

import jax.numpy as jnp
import numpy as np
import pytest

from plasticity_jax.measure import drift, log_slope, log_vertex, vertex_of_mean


def test_drift_compares_the_last_two_tenths():
    series = jnp.concatenate([jnp.full(80, 9.0), jnp.full(10, 2.0), jnp.full(10, 3.0)])
    assert jnp.allclose(drift(series), 0.5)
    assert drift(jnp.ones(100)) == 0
    assert jnp.allclose(drift(jnp.arange(1.0, 4.0)), 0.5)


@pytest.mark.parametrize("best", [0.3, 0.7, 1.1])
def test_vertex_of_a_log_parabola_is_exact(best):
    x = np.linspace(0.1, 2.5, 9)
    y = np.exp(3 * (np.log(x) - np.log(best)) ** 2 - 1)
    assert np.isclose(log_vertex(x, y), best, rtol=1e-10)


def test_vertex_at_an_end_is_the_end():
    x = np.asarray([0.1, 0.2, 0.4])
    assert log_vertex(x, x) == 0.1
    assert log_vertex(x, 1 / x) == 0.4


def test_vertex_of_the_mean_of_mirrored_log_parabolas():
    x, apart = np.geomspace(0.1, 2.5, 9), 0.2  # the grid's middle is 0.5
    distance = np.log(x) - np.log(0.5)
    curves = np.exp(3 * np.stack([distance - apart, distance + apart]) ** 2)
    best, error = vertex_of_mean(x, curves)
    assert np.isclose(best, 0.5, rtol=1e-10)  # not the mean of both, 0.5 cosh(0.2)
    assert np.isclose(error, 0.5 * np.sinh(apart), rtol=1e-10)
    assert np.isnan(vertex_of_mean(x, curves[:1])[1])
    curves[1, 3] = np.inf
    assert np.all(np.isnan(vertex_of_mean(x, curves)))


def test_slope_of_a_power_law():
    x = np.arange(1.0, 20.0)
    assert np.isclose(log_slope(x, 5 * x**0.5), 0.5)
