"""Running means: found where they are, and only there."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from plasticity_jax.inference import kaufman_2012, oddities, smoothed, Table, window_of


PRINTED = [0.364, 0.226, 0.132, 0.017, -0.341, -0.054, -0.021, -0.004]
WALK = {"relaxation": 1e9, "noise": 0.0}  # changes that only chance correlates


def test_the_published_table_is_a_running_mean_over_five_samples():
    table = kaufman_2012()
    assert table.sizes.shape == (1087, 49)
    assert table.times[-1] == 24
    np.testing.assert_allclose(smoothed(table).correlations[:8], PRINTED, atol=5e-4)
    assert window_of(table) == int(smoothed(table, 8).window) == 5
    assert window_of(table.thinned(5)) == 1
    assert "over about 5 samples" in oddities(table)[0]
    with pytest.raises(ValueError, match="`lags` must be at most 47 of 49"):
        smoothed(table, 48)


def simulated(key, window, synapses=200, samples=49, relaxation=20.0, noise=0.03):
    """Running means of a noisy diffusion of 0.05 per root hour, 0.5 h apart."""
    for_start, for_steps, for_noise = jr.split(key, 3)
    keep = jnp.exp(-0.5 / relaxation)
    share = jnp.sqrt(1 - keep**2)
    shape = (samples + window - 1, synapses)
    step = lambda x, kick: (keep * x + share * kick,) * 2
    start = jr.normal(for_start, shape[1:])
    _, x = jax.lax.scan(step, start, jr.normal(for_steps, shape))
    raw = 1 + 0.05 * (relaxation / 2) ** 0.5 * x + noise * jr.normal(for_noise, shape)
    return jnp.mean(jnp.stack([raw[i : i + samples] for i in range(window)]), 0).T


def windows(window, draws, gaps=0.0, **options):
    """What is told of so many simulated tables, a share of whose sizes are missing."""

    def told(key):
        sizes = simulated(key, window, **options)
        missing = jr.uniform(jr.fold_in(key, 1), sizes.shape) < gaps
        sizes = jnp.where(missing, jnp.nan, sizes)
        times = jnp.arange(sizes.shape[1], dtype=sizes.dtype)
        return smoothed(Table(sizes, times)).window

    return jax.lax.map(told, jr.split(jr.key(0), draws))


@pytest.mark.dear
def test_smoothing_is_found_where_it_is_and_nowhere_else():
    for window in (1, 5):
        assert jnp.all(windows(window, 8, gaps=0.2, samples=30) == window)


def test_changes_of_chance_tell_no_window():
    draws = windows(1, 100, synapses=5, samples=12, **WALK)
    assert jnp.mean(draws > 1) < 0.05


@pytest.mark.dear
def test_smoothing_false_alarms_and_hits_of_many_tables():
    assert jnp.mean(windows(1, 500) > 1) <= 0.01
    assert jnp.mean(windows(1, 500, synapses=20, samples=20, **WALK) > 1) <= 0.01
    for window in (2, 3, 5, 8):
        assert jnp.mean(windows(window, 100) == window) >= 0.95


def test_correlations_are_those_of_a_plain_loop():
    draw = np.random.default_rng(0)
    sizes = np.where(draw.random((9, 12)) < 0.2, np.nan, draw.uniform(1, 2, (9, 12)))
    changes = np.diff(sizes, axis=1)
    changes -= np.nanmean(changes)
    want = [np.nanmean(changes[:, k:] * changes[:, :-k]) for k in (1, 2, 3)]
    told = smoothed(Table(sizes, np.arange(12.0)), 3)
    np.testing.assert_allclose(told.correlations, want / np.nanmean(changes**2), 1e-12)


@pytest.mark.filterwarnings("error")
def test_two_times_tell_nothing():
    told = smoothed(Table([[1.0, 2.0], [2.0, 1.0]], [0.0, 1.0]))
    assert (int(told.window), told.correlations.shape) == (1, (1,))
    assert jnp.isnan(told.correlations[0])
