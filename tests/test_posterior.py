"""Draws from posteriors: against exact ones, and what is said of bad ones."""

import dataclasses
import sys

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from jax.scipy.stats import gamma, norm

from plasticity_jax.inference import (
    Additive,
    fit,
    fit_sizes,
    Interval,
    POSITIVE,
    Posterior,
    posterior,
    REAL,
    Space,
    Table,
)


Y = jnp.asarray(np.random.default_rng(1).normal(2, 0.5, 20))
COUNTS = jnp.asarray([3.0, 2.0] + 18 * [0.0])
DOMAIN = {"mean": REAL, "rate": POSITIVE}


def conjugate(params, data):
    y, counts = data
    count = counts * jnp.log(params["rate"]) - params["rate"] / 20
    return norm.logpdf(y, params["mean"], 0.5) + count


def prior(params):
    rate = gamma.logpdf(params["rate"], 2.0, scale=0.5)
    return norm.logpdf(params["mean"], 0.0, 0.1) + rate


@pytest.fixture(scope="module")
def fitted():
    start = {"mean": 1.0, "rate": 1.0}
    return fit(conjugate, start, (Y, COUNTS), domain=DOMAIN, log_prior=prior)


@pytest.mark.dear
def test_exact_posteriors_are_drawn(fitted):
    """A normal mean, and a gamma rate, which is wrong without the Jacobian."""
    pytest.importorskip("blackjax")
    found = posterior(fitted, jr.key(0))
    data = found.dataset()
    assert found.notes() == []
    assert found.params["rate"].shape == data.diverged.shape == (4, 1000)
    precision = 20 / 0.5**2 + 1 / 0.1**2
    shape, rate = 2 + 5, 2 + 1
    means = np.asarray([4 * Y.sum() / precision, shape / rate])
    sds = np.asarray([precision**-0.5, shape**0.5 / rate])
    error = 4 / np.sqrt(found.effective)
    assert np.all(error < 0.15)  # without the Jacobian: off by 0.38 s.d.
    assert np.all(np.abs(data["mean"] - means) < error * sds)
    longer = np.asarray([1.0, (1 + 3 / shape) ** 0.5])  # by the law's kurtosis
    assert np.all(np.abs(data["sd"] / sds - 1) < error * longer / 2**0.5)
    covariance = np.cov(data.draws.values.reshape(-1, 2).T)[0, 1]
    assert abs(covariance) < max(error) * np.prod(sds)
    from scipy.stats import gamma as exact

    low, high = exact.cdf(
        data.sel(parameter="rate")[["low", "high"]].to_array(), shape, scale=1 / rate
    )
    assert abs(low - 0.025) < error[1] * (0.025 * 0.975) ** 0.5
    assert abs(high - 0.975) < error[1] * (0.025 * 0.975) ** 0.5


def test_slopes_of_coordinates_are_those_of_values():
    each = {"a": POSITIVE, "b": Interval(0.0, 3.0), "c": Interval(high=0.0), "d": REAL}
    space = Space({"a": 1.5, "b": 0.2, "c": -3.0, "d": 2.0}, each)
    free = jnp.asarray([0.3, -1.2, 0.7, 5.0])
    _, slopes = jax.jvp(space.values, (free,), (jnp.ones(4),))
    assert np.allclose(space.log_slopes(free), np.log(np.abs(slopes)), rtol=1e-12)


def made(fitted, mean, rate, **other):
    """A posterior of these draws."""
    free = jnp.stack([mean, rate], axis=-1)
    options = {"diverged": jnp.zeros(free.shape[:2], bool)}
    options |= {"r_hat": jnp.ones(2), "effective": jnp.full(2, 1e3)} | other
    return Posterior(fitted, free, **options)


def test_what_draws_do_not_support_is_said(fitted):
    mean, rate = (
        fitted.standard_errors()[:, None, None] * jr.normal(jr.key(0), (2, 4, 500))
        + fitted.free[:, None, None]
    )
    assert made(fitted, mean, rate).notes() == []
    lost = made(fitted, mean, rate, diverged=jnp.arange(2000).reshape(4, -1) < 3)
    assert lost.notes() == ["3 of 2000 draws diverged: some of it is not seen."]
    apart = made(fitted, mean, rate, r_hat=jnp.asarray([jnp.nan, 1.0]))
    assert apart.notes() == ["mean: chains do not agree (R-hat nan)."]
    few = made(fitted, mean, rate, effective=jnp.asarray([1e3, 9.0]))
    assert few.notes() == ["rate: draws count as 9 only."]
    half = jnp.log(jnp.abs(jr.normal(jr.key(1), rate.shape)))
    crowded, other = made(fitted, mean, half).notes()
    assert crowded == "rate: draws crowd at the lower bound."
    assert other.startswith("rate: not normal")
    far = made(fitted, mean, 18 * jnp.ones_like(rate)).notes()
    assert far[0].startswith("rate: improper without a prior")
    flat = dataclasses.replace(fitted, information=jnp.diag(jnp.asarray([0.0, 1.0])))
    assert made(flat, mean, rate).notes()[0].startswith("mean: improper")


def test_what_has_no_posterior_is_told(fitted, monkeypatch):
    line = dataclasses.replace(fitted, extra=1)  # as least squares say
    with pytest.raises(ValueError, match="maximises over the deviation"):
        posterior(line, jr.key(0))
    with pytest.raises(ValueError, match="`chains` must be at least 2; got 1"):
        posterior(fitted, jr.key(0), chains=1)
    monkeypatch.setitem(sys.modules, "blackjax", None)
    with pytest.raises(ValueError, match=r'pip install "plasticity-jax\[bayes\]"'):
        posterior(fitted, jr.key(0))


@pytest.mark.dear
def test_draws_of_a_regular_imaging_fit_spread_as_the_fisher_matrix_says():
    pytest.importorskip("blackjax")
    times = jnp.arange(12.0) * 0.5
    truth = Additive(1.0, 20.0, 0.05, 0.03, stationary=True)
    table = Table(truth.simulate(times, 200, jr.key(0)), times)
    found = posterior(fit_sizes(table, truth, starts=1), jr.key(1), chains=2)
    print(found.dataset(), found.notes())
    assert np.all(np.abs(found.widening - 1) < 0.1)
    assert found.notes() == []
