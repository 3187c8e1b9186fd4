"""Planes, spectra and time scales on cases whose answers are known by hand."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from plasticity_jax.measure import (
    autocorrelation_time,
    expansion,
    is_complex,
    leading_overlaps,
    memory_eigenvalue,
    plane_activity,
    plane_basis,
    rotation,
    track_eigenvalues,
)


N = 8
ROTATED = np.linalg.qr(np.random.default_rng(0).normal(size=(N, N)))[0]
BASIS, U, V = map(jnp.asarray, (ROTATED, *ROTATED[:2]))
TURN = jnp.asarray(np.outer(U, V) - np.outer(V, U))


def test_coefficients_read_out_what_was_put_in():
    weights = 3 * TURN + 0.5 * (jnp.outer(U, U) + jnp.outer(V, V))
    weights = weights + 7 * jnp.outer(BASIS[2], BASIS[0])  # leaves the plane
    assert jnp.allclose(rotation(weights, U, V), 3.0)
    assert jnp.allclose(expansion(weights, U, V), 0.5)
    assert jnp.allclose(rotation(weights, V, U), -3.0)
    slope = jax.grad(rotation)(weights, U, V)
    assert jnp.allclose(slope, TURN / 2)


def test_a_pair_is_complex_only_where_rotation_beats_shear():
    stretch = jnp.outer(U, U) - jnp.outer(V, V)  # eigenvalues +-1
    assert is_complex(1.01 * TURN + stretch, U, V)
    assert not is_complex(0.99 * TURN + stretch, U, V)
    values = jnp.linalg.eigvals(0.99 * TURN + stretch)
    assert jnp.max(jnp.abs(jnp.imag(values))) < 1e-7


def test_a_basis_spans_the_plane_and_marks_a_line():
    a, b = jr.normal(jr.key(1), (2, N))
    u, v = plane_basis(a, b)
    assert jnp.allclose(jnp.stack([u, v]) @ jnp.stack([u, v]).T, jnp.eye(2))
    projected = (u @ b) * u + (v @ b) * v
    assert jnp.allclose(projected, b)
    assert jnp.allclose(u, a / jnp.linalg.norm(a))
    assert not jnp.any(plane_basis(a, 2 * a)[1])


def test_activity_in_a_plane():
    x = N**0.5 * (0.3 * U - 0.4 * V + 9.0 * BASIS[3])
    activity = plane_activity(x, U, V)
    assert jnp.allclose(jnp.stack(activity), jnp.asarray([0.3, -0.4, 0.5]))
    slope = jax.grad(lambda x: plane_activity(x, U, V).radius)(jnp.zeros(N))
    assert jnp.all(slope == 0)


def test_the_memory_eigenvalue_is_found_among_larger_ones():
    weights = 2 * TURN + 9 * jnp.outer(BASIS[4], BASIS[4])
    weights = weights + 5 * (
        jnp.outer(BASIS[5], BASIS[6]) - jnp.outer(BASIS[6], BASIS[5])
    )
    pair = memory_eigenvalue(weights, jnp.stack([U, V], axis=1))
    assert jnp.allclose(pair.value, 2j)
    assert jnp.allclose(pair.overlap, 1.0)
    alone = memory_eigenvalue(weights, BASIS[4][:, None])
    assert jnp.allclose(alone.value, 9.0)


def test_overlaps_of_the_leading_eigenvector_sum_to_one():
    weights = jr.normal(jr.key(2), (N, N)) + 12 * TURN
    planes = jnp.swapaxes(BASIS.reshape(N // 2, 2, N), 1, 2)
    overlaps = leading_overlaps(weights, planes)
    assert jnp.allclose(jnp.sum(overlaps**2), 1.0, rtol=1e-12)
    assert overlaps[0] > 0.9


def test_eigenvalues_keep_their_identity_where_they_cross():
    times = np.linspace(0.0, 1.0, 21)
    basis = np.asarray(BASIS[:3, :3])
    basis = np.linalg.qr(basis)[0]
    values, vectors = [], []
    rng = np.random.default_rng(0)
    for t in times:  # two cross at 0.5, one stays
        matrix = basis @ np.diag([1 - t, t, 3.0]) @ basis.T
        value, vector = np.linalg.eig(matrix)
        shuffled = rng.permutation(3)
        values.append(value[shuffled].astype(complex))
        vectors.append(vector[:, shuffled].astype(complex))
    tracked = track_eigenvalues(*map(jnp.asarray, map(np.stack, (values, vectors))))
    tracked = np.asarray(tracked)
    want = np.stack([1 - times, times, np.full(21, 3.0)])
    start = [int(np.argmin(np.abs(tracked[0] - w))) for w in want[:, 0]]
    assert np.allclose(tracked[:, start].T, want)


def test_the_autocorrelation_time_of_an_exponential_process():
    rng = np.random.default_rng(1)
    series, keep = np.zeros(200_000), np.exp(-0.1 / 2.0)
    for t in range(1, len(series)):
        series[t] = keep * series[t - 1] + rng.normal()
    assert abs(autocorrelation_time(series[:40_000], 0.1) - 2.0) < 0.25
    assert np.isnan(autocorrelation_time(np.ones(50), 0.1))
    assert autocorrelation_time(np.repeat([0.0, 1.0], 500), 0.1) < np.inf


def test_planes_that_are_not_orthonormal_are_refused():
    with pytest.raises(ValueError, match=r"orthonormal.*u\.u = 4"):
        rotation(TURN, 2 * U, V)
    with pytest.raises(ValueError, match=r"`weights` must be Float.*\(8, 4\)"):
        expansion(TURN[:, :4], U, V)
    broken = TURN.at[2, 3].set(jnp.nan)
    with pytest.raises(ValueError, match="`weights` must be finite; 1 of its entries"):
        rotation(broken, U, V)
    with pytest.raises(ValueError, match="must be finite"):
        memory_eigenvalue(broken, U[:, None])
    with pytest.raises(ValueError, match="`weights` must be Float"):
        memory_eigenvalue(TURN[:, :4], U[:, None])
    assert jnp.isnan(jax.jit(rotation)(broken, U, V))  # traced: travels to the claim


def test_the_autocorrelation_time_of_a_long_series_needs_few_lags(monkeypatch):
    """Each is a pass over the series: all of a million samples would take minutes."""
    mean, passes = np.mean, []
    monkeypatch.setattr(np, "mean", lambda x: passes.append(x) or mean(x))
    assert 0 < autocorrelation_time(np.tile([0.0, 1.0], 500), 0.1) < 0.1
    assert len(passes) < 5
