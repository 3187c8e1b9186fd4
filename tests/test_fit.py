"""Maximum likelihood, least squares, intervals: against closed forms."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optimistix as optx
import pytest
from jax.scipy.stats import norm

from plasticity_jax.inference import (
    _fit,
    _objective,
    compare,
    coverage,
    dataset,
    directions,
    expected_information,
    fit,
    Interval,
    intervals,
    least_squares,
    normal_information,
    notes,
    POSITIVE,
    REAL,
    Space,
    standard_errors,
    summary,
)


DOMAIN = {"mean": REAL, "sd": POSITIVE}
START = {"mean": 1.0, "sd": 3.0}
Y = jnp.asarray(np.random.default_rng(1).normal(2, 0.5, 200))
LEVEL = 1.959963984540054


def normal(params, y):
    return norm.logpdf(y, params["mean"], params["sd"])


def drawn(params, key):
    return params["mean"] + params["sd"] * jr.normal(key, (200,))


def excess(params, y):
    """Normal, its variance at least 1.2."""
    return norm.logpdf(y, params["mean"], jnp.sqrt(1.2 + params["sd"] ** 2))


def product(params, y):
    return norm.logpdf(y, params["mean"] * params["sd"], 1.0)


@pytest.fixture(scope="module")
def found():
    return fit(normal, START, Y, domain=DOMAIN, simulate=drawn, draws=400)


@pytest.fixture(scope="module")
def at_bound():
    return fit(excess, {"mean": 1.0, "sd": 1.0}, Y / Y.std(), domain=DOMAIN)


@pytest.fixture(scope="module")
def flat():
    return fit(product, {"mean": 1.0, "sd": 1.0}, Y, domain=POSITIVE)


def test_the_normal_is_fitted_to_rounding(found):
    n, sd = len(Y), float(Y.std())
    assert np.isclose(found.params["mean"], Y.mean(), rtol=1e-7)
    assert np.isclose(found.params["sd"], sd, rtol=1e-7)
    assert np.isclose(found.height, -n / 2 * (math.log(2 * math.pi * sd**2) + 1))
    assert np.allclose(found.information, np.diag([n / sd**2, 2 * n]), atol=1e-3)
    z = (Y - Y.mean()) / sd
    scores = np.stack([z / sd, z**2 - 1])
    sandwich = np.diag([sd**2 / n, 1 / 2 / n])
    sandwich = sandwich @ scores @ scores.T @ sandwich
    assert np.allclose(found.covariance("sandwich"), sandwich, rtol=1e-5, atol=1e-9)
    assert found.converged
    assert bool(found.trials.converged.all())
    assert np.isclose(found.aic, 4 - 2 * found.height)
    assert np.isclose(found.bic, 2 * math.log(n) - 2 * found.height)
    tic = 2 * np.trace(np.diag([sd**2 / n, 1 / 2 / n]) @ scores @ scores.T)
    assert np.isclose(found.tic, tic - 2 * found.height)


def test_printed_it_is_one_line(found):
    height = f"log_likelihood={float(found.height):.6g}"
    assert repr(found) == f"Fit(parameters=2, {height}, converged=True)"
    several = jax.tree.map(lambda x: jnp.stack([x, x]), found)
    assert "free=f64[2,2]" in repr(several)
    assert "free=True" in repr(jax.tree.map(eqx.is_array, found))
    seen = []
    jax.jit(lambda fit: seen.append(repr(fit)))(eqx.filter(found, eqx.is_array))
    assert "free=f64[2]" in seen[0]


def test_the_expected_matrix_is_that_of_theory(found):
    theory = np.diag([200 / found.params["sd"] ** 2, 400.0])
    relative = (found.expected - theory) / np.sqrt(np.outer(*[np.diag(theory)] * 2))
    assert np.all(np.abs(relative) < 4 * math.sqrt(2 / 200 / 400) * 1.5)
    moments = lambda p: (jnp.full(200, p["mean"]), p["sd"] ** 2 * jnp.eye(200))
    exact = normal_information(moments, found.params, domain=DOMAIN)
    assert np.allclose(exact, theory, rtol=1e-10, atol=1e-10)
    again = expected_information(
        normal, found.params, drawn, jr.key(5), domain=DOMAIN, draws=2
    )
    assert again.shape == (2, 2)
    assert np.allclose(standard_errors(exact, 4), np.diag(theory) ** -0.5 / 2)


@pytest.mark.dear
def test_intervals_of_wald_and_of_the_profile(found):
    n, mean, sd = len(Y), Y.mean(), Y.std()
    low, high = intervals(found)
    factor = math.exp(LEVEL / math.sqrt(2 * n))
    assert np.allclose(low, [mean - LEVEL * sd / math.sqrt(n), sd / factor])
    assert np.allclose(high, [mean + LEVEL * sd / math.sqrt(n), sd * factor])
    low, high = intervals(found, kind="profile")
    reach = sd * math.sqrt(math.expm1(LEVEL**2 / n))  # n log(1 + t^2) = chi^2
    assert np.allclose([low[0], high[0]], [mean - reach, mean + reach], rtol=1e-6)
    for end in (low[1], high[1]):
        ratio = (sd / end) ** 2
        assert np.isclose(n * (ratio - 1 - math.log(ratio)), LEVEL**2, rtol=1e-6)
    wide = intervals(found, kind="profile", robust=True)
    assert found.widening[1] > 1
    assert wide.high[1] > high[1]
    assert wide.low[1] < low[1]


@pytest.mark.dear
def test_a_bound_is_said_and_has_a_one_sided_interval(at_bound):
    assert at_bound.bound.tolist() == [0, -1]
    assert at_bound.converged
    assert np.isnan(intervals(at_bound).low[1])
    low, high = intervals(at_bound, kind="profile")
    assert low[1] == 0
    s = lambda top: (-np.log(1.2 + top**2) - 1 / (1.2 + top**2)) * len(Y) / 2
    assert np.isclose(s(0) - s(float(high[1])), 1.6448536269514722**2 / 2, rtol=1e-3)
    assert "sd is at its lower bound" in summary(at_bound)
    upper = fit(lambda p, y: norm.logpdf(y, p, 1.0), 0.5, Y, domain=Interval(0.0, 1.0))
    assert upper.bound.tolist() == [1]
    low, high = intervals(upper, kind="profile")
    assert (float(high[0]), bool(0.8 < low[0] < 1)) == (1.0, True)


@pytest.mark.dear
def test_a_flat_direction_is_said_and_unlimited(flat):
    assert np.isclose(flat.params["mean"] * flat.params["sd"], Y.mean(), rtol=1e-6)
    assert np.all(np.isinf(flat.standard_errors()))
    for kind in ("observed", "profile"):
        low, high = intervals(flat, kind=kind)
        assert low.tolist() == [0, 0]
        assert np.all(np.isinf(high))
    error, vectors, loose = directions(flat)
    assert np.isinf(error[0])
    assert np.isclose(error[1], 1 / (Y.mean() * math.sqrt(2 * len(Y))))
    assert np.allclose(vectors[0], [0.5**0.5, -(0.5**0.5)], atol=1e-6)
    assert loose.tolist() == [True, False]
    assert "mean^0.71 * sd^-0.71 is not determined at all." in notes(flat)


@pytest.mark.dear
def test_starts_that_end_elsewhere_are_said():
    two = lambda p, y: jnp.logaddexp(norm.logpdf(p, 0.0, 0.1), norm.logpdf(p, 9, 0.1))
    found = fit(two, 0.2, Y, starts=1)
    assert abs(found.params) < 1e-6
    assert notes(found) == ["1 units: the sandwich is not to be relied on."]
    found = fit(lambda p, y: -((p**2 - 1) ** 2) + 0.1 * p, -0.05, None, starts=12)
    assert np.isclose(found.params, 1.0124, atol=1e-3)
    heights = found.trials.height
    assert jnp.min(heights) < jnp.max(heights) - 0.1
    assert any("of 12 starts reached" in each for each in notes(found))
    saddle = fit(
        lambda p, y: -((p[0] ** 2 - 1) ** 2) - p[1] ** 2, jnp.zeros(2), starts=1
    )
    assert not saddle.converged
    assert np.isnan(saddle.decrement)
    assert "the search stopped where the likelihood has no maximum." in notes(saddle)


@pytest.mark.dear
def test_a_likelihood_that_is_nan_away_from_the_maximum_does_no_harm():
    inside = lambda p, y: jnp.where(
        p > 0, y * jnp.log(jnp.where(p > 0, p, 1)) - p, jnp.nan
    )
    y = jnp.asarray([3.0, 5.0, 4.0])
    found = fit(inside, 0.3, y, starts=5)
    assert np.isclose(found.params, 4.0)
    with pytest.raises(
        ValueError, match=r"finite at the start, parameter = -1; got nan"
    ):
        fit(inside, -1.0, y)


def test_a_prior_makes_the_mode_of_the_posterior():
    prior = lambda p: norm.logpdf(p, 0.0, 0.1)
    found = fit(lambda p, y: norm.logpdf(y, p, 0.5), 1.0, Y, log_prior=prior)
    n = len(Y)
    assert np.isclose(found.params, n * 4 * Y.mean() / (n * 4 + 100), rtol=1e-7)
    assert np.isclose(found.information[0, 0], n * 4 + 100)
    assert np.isclose(found.height, norm.logpdf(Y, found.params, 0.5).sum())


def test_least_squares_of_a_line_is_that_of_the_textbook():
    t = jnp.linspace(0, 5, 40)
    design = np.stack([np.ones(40), t], axis=1)
    observed = 1 - 0.3 * t + 0.1 * jr.normal(jr.key(0), (40,))
    missing = observed.at[7].set(jnp.nan)
    kept = np.arange(40) != 7
    for y, rows in ((observed, slice(None)), (missing, kept)):
        found = least_squares(lambda p: p[0] + p[1] * t, jnp.ones(2), y)
        (a, b), (square,) = np.linalg.lstsq(design[rows], np.asarray(y)[rows])[:2]
        assert np.allclose(found.params, [a, b], rtol=1e-7)
        n = len(design[rows])
        exact = np.linalg.inv(design[rows].T @ design[rows]) * square / n
        assert np.allclose(found.covariance("expected"), exact, rtol=1e-6)
        assert np.allclose(found.covariance(), exact, rtol=1e-6)
        assert np.isclose(found.aic, 6 + n * (math.log(2 * math.pi * square / n) + 1))
    with pytest.raises(
        ValueError, match=r"shaped like `observed`, \(39,\); got \(40,\)"
    ):
        least_squares(lambda p: p[0] + p[1] * t, jnp.ones(2), observed[1:])
    with pytest.raises(ValueError, match="more than the 2 numbers"):
        least_squares(lambda p: p * jnp.ones(2), jnp.ones(2), observed[:2])


@pytest.mark.dear
def test_coverage_is_that_of_student():
    """Wald's interval of a mean with its sd fitted misses as Student's t says."""
    n, runs = 12, 2000
    simulate = lambda p, key: p["mean"] + p["sd"] * jr.normal(key, (n,))
    one = lambda y: fit(normal, START, y, domain=DOMAIN, starts=1)
    keys = jr.split(jr.key(2), runs)
    found = coverage(simulate, one, {"mean": 2.0, "sd": 0.5}, keys)
    from scipy.stats import chi2, t

    held = 1 - 2 * t.sf(LEVEL * math.sqrt((n - 1) / n), n - 1)
    factor = math.exp(2 * LEVEL / math.sqrt(2 * n))
    sd = np.diff(chi2.cdf(np.asarray([n / factor, n * factor]), n - 1))[0]
    error = 4 * math.sqrt(0.1 * 0.9 / runs)
    assert abs(float(found.coverage.sel(parameter="mean")) - held) < error
    assert abs(float(found.coverage.sel(parameter="sd")) - sd) < error
    assert held < 0.93
    assert found.attrs["converged"] == runs
    assert np.all(found.used == runs)


def test_few_and_many_parameters_are_expanded_alike(found, monkeypatch):
    few = found.objective.expanded(found.free)
    monkeypatch.setattr(_objective, "FEW", 0)
    many = found.objective.expanded(found.free)
    for one, other in zip(few, many, strict=True):
        assert np.allclose(one, other, rtol=1e-12, atol=1e-12)


def test_starts_climb_at_once_as_one_by_one(found, monkeypatch):
    """As on a GPU: from the same starts to the same ends."""
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    at_once = fit(lambda p, y: normal(p, y), START, Y, domain=DOMAIN)
    for name in ("begin", "free", "height"):
        one, other = (getattr(x.trials, name) for x in (found, at_once))
        assert np.allclose(one, other, rtol=1e-5)


def test_a_parameter_at_its_bound_does_not_keep_the_search(monkeypatch):
    at_bound = fit(excess, START, Y, domain=DOMAIN)
    monkeypatch.setattr(_fit, "_Climb", optx.BFGS)
    plain = fit(lambda p, y: excess(p, y), START, Y, domain=DOMAIN)
    assert at_bound.bound.tolist() == plain.bound.tolist() == [0, -1]
    assert np.isclose(at_bound.height, plain.height, rtol=0, atol=1e-8)
    assert at_bound.trials.steps.sum() < plain.trials.steps.sum()


def test_a_fit_is_mapped_over_data(found):
    both = jnp.stack([Y, 2 * Y])
    mapped = jax.vmap(lambda y: fit(normal, START, y, domain=DOMAIN, starts=2).params)
    params = eqx.filter_jit(mapped)(both)
    assert np.allclose(params["mean"], [Y.mean(), 2 * Y.mean()], rtol=1e-6)
    assert np.allclose(params["sd"], [Y.std(), 2 * Y.std()], rtol=1e-6)


@pytest.mark.dear
def test_models_are_compared_unit_by_unit(found):
    wide = fit(lambda p, y: norm.logpdf(y, p, 1.0), 0.0, Y)
    table = compare({"wide": wide, "free": found})
    assert table.model.values.tolist() == ["free", "wide"]
    away = np.asarray(found.log_likelihoods - wide.log_likelihoods)
    vuong = away.sum() / away.std() / math.sqrt(len(away))
    assert np.isclose(table.vuong[1], vuong)
    assert np.isclose(table.aic[1], wide.aic - found.aic)
    assert table.apart.values.tolist() == [False, True]
    with pytest.raises(ValueError, match="'a' and 'b' are to different data"):
        compare({"a": wide, "b": fit(lambda p, y: norm.logpdf(y, p, 1.0), 0.0, Y + 1)})
    with pytest.raises(ValueError, match="same units; got"):
        compare({"a": found, "b": fit(lambda p, y: norm.logpdf(y, p, 1.0), 0.0, Y[1:])})


def test_a_mean_near_zero_is_not_called_badly_determined():
    found = fit(normal, START, Y - Y.mean() + 1e-3, domain=DOMAIN)
    assert notes(found) == []


def test_the_dataset_has_labels(found):
    data = dataset(found)
    assert data.estimate.sel(parameter="sd") == found.params["sd"]
    assert {"low_observed", "high_sandwich", "standard_error_expected"} <= {*data}
    assert data.attrs["converged"] == 1


PARAMS = {"a": 1.5, "b": jnp.asarray([0.2, 0.7]), "c": -3.0, "d": 2.0}
EACH = {"a": POSITIVE, "b": Interval(0.0, 1.0), "c": Interval(high=0.0), "d": REAL}


def test_free_coordinates_go_there_and_back():
    space = Space(PARAMS, EACH)
    assert space.names == ("a", "b[0]", "b[1]", "c", "d")
    free = space.free(PARAMS)
    logit = np.log([0.2 / 0.8, 0.7 / 0.3])
    assert np.allclose(free, [math.log(1.5), *logit, math.log(3), 2.0])
    assert jax.tree.all(jax.tree.map(np.allclose, space.tree(free), PARAMS))
    outside = {"a": -1.0, "b": jnp.asarray([0.0, jnp.nan]), "c": 0.0, "d": jnp.inf}
    assert np.isnan(space.free(outside)).tolist() == [True, True, True, True, False]
    assert np.all(np.isfinite(jax.jacobian(space.values)(50 * free)))


@pytest.mark.parametrize(
    ("call", "wrong"),
    [
        (lambda: Interval(1.0, 1.0), "`low` must be below `high`; got 1.0, 1.0"),
        (lambda: Space(PARAMS, {"a": POSITIVE}), "`domain` must be shaped like"),
        (lambda: Space({}), "must hold an array of floats; got"),
        (lambda: Space({"a": 1.0}, {"a": (0, 1)}), "`domain` must"),
        (
            lambda: fit(normal, {"mean": 1.0, "sd": -1.0}, Y, domain=DOMAIN),
            "`start`: sd must be finite and lie between 0.0 and inf",
        ),
        (lambda: fit(normal, START, Y, starts=0), "`starts` must be at least 1"),
        (
            lambda: fit(lambda p, y: jnp.ones((2, 2)) * p, 1.0),
            "must return a number for each unit",
        ),
    ],
)
def test_what_does_not_fit_is_told(call, wrong):
    with pytest.raises(ValueError, match=wrong):
        call()


def test_kinds_of_covariance_are_known(flat):
    with pytest.raises(ValueError, match="no `expected` Fisher matrix"):
        flat.covariance("expected")
    with pytest.raises(ValueError, match="kind"):
        flat.covariance("Wald")
    with pytest.raises(ValueError, match="level"):
        intervals(flat, 1.0)
    with pytest.raises(ValueError, match="cannot be compiled"):
        eqx.filter_jit(lambda found: intervals(found, kind="profile"))(flat)


def test_a_fit_that_is_lost_is_not_compared_as_a_number(found):
    lost = eqx.tree_at(
        lambda f: f.log_likelihoods, found, jnp.nan * found.log_likelihoods
    )
    table = compare({"lost": lost, "found": found})
    assert table.model.values.tolist() == ["found", "lost"]
    assert np.isnan(table.vuong[1])
    assert np.isnan(table.aic[1])


def test_standard_errors_are_infinite_where_nothing_is_determined():
    """The inverse of a matrix of low rank is rounding, of either sign."""
    slopes = jnp.asarray(np.random.default_rng(0).normal(size=(2, 3)))
    assert np.all(np.isposinf(standard_errors(slopes.T @ slopes)))
    found = standard_errors(jnp.diag(jnp.asarray([4.0, 0.0])))
    assert np.allclose(found, [0.5, np.inf])
    assert np.isnan(standard_errors(jnp.diag(jnp.asarray([1.0, -1.0])))).any()
    with pytest.raises(ValueError, match="units"):
        standard_errors(jnp.eye(2), units=-4)
    by_first = lambda a: standard_errors(jnp.diag(jnp.stack([a, jnp.ones_like(a)])))[0]
    assert np.isclose(jax.grad(by_first)(jnp.asarray(4.0)), -1 / 16)
