"""Models of synapse size against joint densities, differential equations and laws."""

from types import SimpleNamespace

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

from plasticity_jax.inference import (
    Additive,
    Diffusion,
    Factors,
    Interval,
    Kesten,
    Lognormal,
    SizeDependent,
)
from plasticity_jax.inference._transitions import pearson


TIMES = np.asarray([0.0, 0.5, 1.0, 1.5, 3.0, 3.5, 4.1, 9.0, 9.5, 10.0])


def table(sizes, times=TIMES):
    return SimpleNamespace(sizes=jnp.asarray(sizes), times=jnp.asarray(times))


def sizes(count=4, seed=0):
    """With gaps, late births and early losses; the last synapse has one value."""
    drawn = np.exp(0.3 * np.random.default_rng(seed).normal(size=(count, len(TIMES))))
    drawn[1, [0, 1, 4, 5]] = np.nan
    drawn[2, [3, 7, 8, 9]] = np.nan
    drawn[3, :] = np.where(np.arange(len(TIMES)) == 6, drawn[3], np.nan)
    return drawn


MODELS = {
    "additive": lambda **more: Additive(1.1, 30.0, 0.07, 0.05, **more),
    "lognormal": lambda **more: Lognormal(0.1, 30.0, 0.07, 0.05, **more),
    "factors": lambda **more: Factors(0.1, 30.0, 0.07, 0.4, 0.05, **more),
    "kesten": lambda **more: Kesten(0.0266, 0.0262, 0.056, 0.033, 0.03, **more),
    "size-dependent": lambda **more: SizeDependent(
        0.0266, 0.0262, 0.045, 0.02, 0.03, **more
    ),
}
every_model = pytest.mark.parametrize("make", MODELS.values(), ids=MODELS.keys())


def joint(model, y, window, stationary):
    """The log density of one synapse from its joint covariance, gaps left out.

    Readings begin `window` - 1 times before the first value; conditional on it, the
    coordinate then is given a flat law by a limit taken analytically: the density of
    all values over that of the first, each under the flat law (generalised least
    squares with the unknown coordinate profiled and integrated out).
    """
    there = np.flatnonzero(~np.isnan(y))
    lead = np.median(np.diff(TIMES))
    times = np.concatenate([TIMES[0] - lead * np.arange(window - 1, 0, -1), TIMES])
    begin = there[0]
    t = times[begin:] - times[begin]
    mean, tau = float(model.mean), float(model.time_constant)
    spread = float(model.diffusion) ** 2 * tau / 2
    decay = np.exp(-t / tau)
    rows = there + window - 1 - begin
    a = np.zeros((len(there), len(t)))
    for i, row in enumerate(rows):
        a[i, row - window + 1 : row + 1] = 1 / window
    kernel = spread * np.exp(-np.abs(t[:, None] - t[None]) / tau)
    if not stationary:
        kernel = kernel - spread * np.outer(decay, decay)
    kernel = a @ (kernel + float(model.noise) ** 2 * np.eye(len(t))) @ a.T
    values = y[there] - mean
    if stationary:
        return gaussian(values, kernel)
    design = a @ decay
    return flat(values, kernel, design) - flat(values[:1], kernel[:1, :1], design[:1])


def gaussian(values, kernel):
    _, size = np.linalg.slogdet(2 * np.pi * kernel)
    return -(size + values @ np.linalg.solve(kernel, values)) / 2


def flat(values, kernel, design):
    """The log of the integral of the density over the coefficient of `design`."""
    weight = np.linalg.solve(kernel, design)
    precision = design @ weight
    best = weight @ values / precision
    rest = gaussian(values - design * best, kernel)
    return rest + np.log(2 * np.pi / precision) / 2


@pytest.mark.parametrize("stationary", [False, True], ids=["given first", "stationary"])
@pytest.mark.parametrize("window", [1, 5])
def test_the_filter_is_the_joint_gaussian(window, stationary):
    model = MODELS["additive"](window=window, stationary=stationary)
    y = sizes()
    found = model.log_likelihood(table(y))
    wanted = [joint(model, row, window, stationary) for row in y]
    assert jnp.allclose(found, jnp.asarray(wanted), rtol=1e-10, atol=1e-10)


CASES = [  # growth, decay, and the square, linear and constant part of the variance
    (0.0133, 0.0131, 0.0031, 0.0, 0.0011),
    (0.0133, 0.013, 0.0021, 0.0019, 0.0004),
    (0.01, 0.0, 0.003, 0.001, 0.001),
    (0.01, 1e-9, 0.003, 0.001, 0.001),
    (0.01, -0.02, 0.003, 0.001, 0.001),
    (0.1, 0.1, 0.1, 0.02, 0.01),  # k = a
    (0.1, 0.1, 0.2, 0.02, 0.01),  # k = 0
    (0.3, 0.3, 0.0, 0.0, 0.01),
    (0.9, 0.8, 0.3, 0.1, 0.01),
]


def solved(case, x, dt):
    """Mean and variance of the diffusion by solving their equations."""
    growth, decay, square, linear, constant = case

    def rates(t, y, args):
        mean, variance = y
        rate = square * (variance + mean**2) + linear * mean + constant
        return growth - decay * mean, rate - 2 * decay * variance

    term, solver = diffrax.ODETerm(rates), diffrax.Dopri8()
    control = diffrax.PIDController(rtol=1e-13, atol=1e-14)
    start, step = (x, jnp.zeros_like(x)), 0.01 * dt
    end = diffrax.diffeqsolve(
        term, solver, 0.0, dt, step, start, stepsize_controller=control
    )
    return jax.tree.map(lambda y: y[-1], end.ys)


@pytest.mark.dear
def test_two_moments_are_those_of_the_differential_equations():
    cases = jnp.asarray(CASES)
    x, dt = jnp.asarray([0.3, 1.0, 2.5]), jnp.asarray([0.5, 2.5, 24.0])

    def ours(case, x, dt):
        moved = pearson(dt, *case).move(x, jnp.zeros_like(x))
        return moved[0], moved[2]

    grid = lambda f: jax.jit(
        jax.vmap(
            jax.vmap(jax.vmap(f, (None, None, 0)), (None, 0, None)), (0, None, None)
        )
    )
    found, wanted = grid(ours)(cases, x, dt), grid(solved)(cases, x, dt)
    for a, b in zip(found, wanted, strict=True):
        assert jnp.allclose(a, b, rtol=1e-10)


def test_models_have_the_variance_that_they_state():
    w, dt = 1.3, 1e-6
    kesten, other = MODELS["kesten"](), MODELS["size-dependent"]()
    for model, rate in [
        (kesten, (0.056 * w) ** 2 + 0.033**2),
        (other, (0.045 * w + 0.02) ** 2),
    ]:
        mean, variance = model.moments(w, dt)
        assert jnp.allclose((mean - w) / dt, 0.0266 - 0.0262 * w, rtol=1e-5)
        assert jnp.allclose(variance / dt, rate, rtol=1e-6)


def resized(model, c):
    """The same model of sizes times `c`."""
    if isinstance(model, Lognormal):
        model = eqx.tree_at(lambda m: m.mean, model, model.mean + jnp.log(c))
        return model if model.noise_power is None else with_noise(model, c)
    if isinstance(model, Factors):
        of, raised = model.inverse_factors, c**model.inverse_factors
        mean = raised * model.mean + (raised - 1) / of
        where = lambda m: (m.mean, m.diffusion, m.noise)
        new = (mean, raised * model.diffusion, raised * model.noise)
        model_ = eqx.tree_at(where, model, new)
        if model.noise_power is None:
            return model_
        return with_noise(eqx.tree_at(lambda m: m.noise, model_, model.noise), c)
    names = {
        Additive: ("mean", "diffusion", "noise"),
        Kesten: ("growth", "additive", "noise"),
        SizeDependent: ("growth", "offset", "noise"),
    }[type(model)]
    where = lambda m: [getattr(m, name) for name in names]
    scaled = eqx.tree_at(where, model, [c * x for x in where(model)])
    if model.noise_power is None:
        return scaled
    return with_noise(eqx.tree_at(lambda m: m.noise, scaled, model.noise), c)


def with_noise(model, c):
    noise = model.noise * c ** (1 - model.noise_power)
    return eqx.tree_at(lambda m: m.noise, model, noise)


def retimed(model, c):
    """The same model of times times `c`."""
    powers = {"time_constant": 1, "growth": -1, "decay": -1}
    rooted = ("diffusion", "multiplicative", "additive", "slope", "offset")
    powers |= dict.fromkeys(rooted, -0.5)
    names = [name for name in powers if hasattr(model, name)]
    where = lambda m: [getattr(m, name) for name in names]
    return eqx.tree_at(
        where, model, [getattr(model, n) * c ** powers[n] for n in names]
    )


@pytest.mark.parametrize("noise_power", [None, 0.5])
@every_model
def test_units_of_size_and_time_change_nothing_but_the_unit_of_density(
    make, noise_power
):
    model, y, c = make(noise_power=noise_power, stationary=True), sizes(), 2.7
    found = model.log_likelihood(table(y))
    counts = np.sum(~np.isnan(y), axis=1)
    larger = resized(model, c).log_likelihood(table(c * y))
    assert jnp.allclose(larger, found - counts * np.log(c), rtol=1e-11)
    slower = retimed(model, c).log_likelihood(table(y, c * TIMES))
    assert jnp.allclose(slower, found, rtol=1e-11)


@pytest.mark.dear
def test_one_factor_is_additive_and_none_is_log_normal():
    y = sizes()
    one = Factors(0.1, 30.0, 0.07, 1.0, 0.05).log_likelihood(table(y))
    additive = MODELS["additive"]().log_likelihood(table(y))
    assert jnp.allclose(one, additive, rtol=1e-12)
    model = lambda few: Factors(0.1, 30.0, 0.07, few, 0.05)
    found = lambda few: model(few).log_likelihood(table(y))
    wanted = MODELS["lognormal"]().log_likelihood(table(y))
    assert jnp.allclose(found(0.0), wanted, rtol=1e-12)
    assert jnp.allclose(found(1e-6), wanted, rtol=1e-5)
    slope = jax.jit(jax.jacfwd(found))
    near = (0.99e-4, 1.01e-4)  # on both sides of where the series ends
    assert jnp.allclose(slope(near[0]), slope(near[1]), rtol=1e-5)
    back = lambda few: model(few).size(model(few).coordinate(jnp.asarray(1.7)))
    few = jnp.asarray([-0.4, 0.0, 1e-5, 0.3, 1.0, 1.4])
    assert jnp.allclose(jax.vmap(back)(few), 1.7, rtol=1e-12)


@pytest.mark.dear
@every_model
def test_a_time_at_which_nothing_was_seen_changes_nothing(make):
    model = make()
    more = np.insert(sizes(), 7, np.nan, axis=1)
    times = np.insert(TIMES, 7, 5.0)
    found = model.log_likelihood(table(more, times))
    assert jnp.allclose(found, model.log_likelihood(table(sizes())), rtol=1e-11)


def test_a_synapse_seen_once_or_never_says_nothing():
    y = np.full((2, len(TIMES)), np.nan)
    y[0, 4] = 1.2
    for window in (1, 5):
        found = MODELS["kesten"](window=window).log_likelihood(table(y))
        assert jnp.array_equal(found, jnp.zeros(2))


REVERTING = {"rate": 1 / 70, "mean": 1.0, "scale": 0.05}


def own(**more):
    drift = lambda w, p: p["rate"] * (p["mean"] - w)
    return Diffusion(drift, lambda w, p: p["scale"], REVERTING, 0.03, **more)


def test_the_expansion_is_as_near_as_was_measured():
    exact = Additive(1.0, 70.0, 0.05, 0.03)
    for dt, printed, digits in [(0.5, 0.99997, 5), (2.5, 0.9991, 4), (24.0, 0.908, 3)]:
        mean, variance = own().moments(1.4, dt)
        assert round(float(variance / exact.moments(1.4, dt)[1]), digits) == printed
        fine, finer = (own(substeps=n).moments(1.4, dt)[1] for n in (4, 8))
        wanted = exact.moments(1.4, dt)[1]
        assert jnp.allclose((fine - wanted) / (finer - wanted), 4, rtol=0.1)
        assert jnp.abs(mean - exact.moments(1.4, dt)[0]) < 0.01


def test_a_diffusion_of_ones_own_is_kestens():
    params = {"a": 0.0262, "b": 0.0266, "m": 0.056, "s": 0.033}
    drift = lambda w, p: p["b"] - p["a"] * w
    scale = lambda w, p: jnp.sqrt((p["m"] * w) ** 2 + p["s"] ** 2)
    model = Diffusion(drift, scale, params, 0.03, substeps=8)
    found = model.log_likelihood(table(sizes()))
    wanted = MODELS["kesten"]().log_likelihood(table(sizes()))
    assert jnp.allclose(found, wanted, rtol=3e-3)


@pytest.mark.dear
@every_model
def test_gradients_are_finite_with_gaps_and_true(make):
    y = jnp.asarray(sizes())
    model = make(window=3)
    flat, unravel = ravel_pytree(model)
    total = jax.jit(lambda x: jnp.sum(unravel(x).log_likelihood(table(y))))
    slope = jax.jit(jax.grad(total))(flat)
    assert jnp.all(jnp.isfinite(slope))
    for i, x in enumerate(flat):
        step = jnp.zeros_like(flat).at[i].set(1e-5 * (jnp.abs(x) + 0.01))
        secant = (total(flat + step) - total(flat - step)) / 2
        assert jnp.allclose(jnp.vdot(slope, step), secant, rtol=1e-5, atol=1e-9)


@pytest.mark.dear
def test_curvature_is_finite_without_decay():
    for model in (
        Kesten(0.01, 0.0, 0.05, 0.03, 0.03),
        SizeDependent(0.01, 0.0, 0.05, 0.03, 0.03),
    ):
        flat, unravel = ravel_pytree(model)
        total = lambda x, f=unravel: jnp.sum(f(x).log_likelihood(table(sizes())))
        curvature = jax.jit(jax.hessian(total))
        at_zero, near = (curvature(flat.at[1].set(a)) for a in (0.0, 1e-7))
        assert jnp.allclose(at_zero, near, rtol=1e-4, atol=1e-4)


@pytest.mark.dear
@every_model
def test_runs_begin_and_stay_in_the_stationary_law(make):
    model, count, times = make(), 20_000, np.asarray([0.0, 10.0, 40.0])
    true = eqx.tree_at(lambda m: m.noise, model, jnp.zeros(()))
    drawn = true.coordinate(true.simulate(times, count, jr.key(0)))
    mean, variance = model.stationary_moments()
    for values in drawn.T:
        off = (values - mean) ** 2
        for found, wanted in [(values, mean), (off, variance)]:
            error = jnp.std(found) / jnp.sqrt(count)
            assert jnp.abs(jnp.mean(found) - wanted) < 4 * error
            assert error < 0.03 * jnp.maximum(jnp.abs(wanted), jnp.sqrt(variance))
    correlation = jnp.corrcoef(drawn[:, 0], drawn[:, 1])[0, 1]
    time = getattr(model, "time_constant", None)
    decay = 1 / time if time is not None else model.decay
    assert jnp.abs(correlation - jnp.exp(-10 * decay)) < 4 / jnp.sqrt(count)


@pytest.mark.dear
@pytest.mark.parametrize("window", [1, 5])
def test_the_slope_of_the_likelihood_is_zero_on_average_at_the_truth(window):
    model = MODELS["additive"](window=window, stationary=True)
    flat, unravel = ravel_pytree(model)
    y = model.simulate(TIMES, 4000, jr.key(1))
    scores = jax.jacfwd(lambda x: unravel(x).log_likelihood(table(y)))(flat)
    error = jnp.std(scores, axis=0) / jnp.sqrt(len(y))
    assert jnp.all(jnp.abs(jnp.mean(scores, axis=0)) < 4 * error)
    information = jnp.diagonal(scores.T @ scores) / len(
        y
    )  # by which it moves elsewhere
    moved = eqx.tree_at(lambda m: m.noise, model, 1.2 * model.noise)
    other = jax.jacfwd(lambda x: unravel(x).log_likelihood(table(y)))
    shift = jnp.mean(other(ravel_pytree(moved)[0]), axis=0)[-1]
    assert jnp.abs(shift) > 8 * error[-1]
    assert jnp.all(information > 0)


@pytest.mark.dear
@pytest.mark.parametrize("window", [1, 5])
@every_model
def test_guesses_are_near_and_follow_the_unit(make, window):
    model = make(window=window)
    times = np.arange(40) / 2
    y = jnp.where(jr.uniform(jr.key(3), (300, 40)) < 0.1, jnp.nan, 1.0)
    y = y * model.simulate(times, 300, jr.key(2))
    y = jnp.where(y <= 0, 0.01, y)  # gaps stay gaps
    guess = type(model).guess(table(y, times), window=window)
    assert jax.tree.structure(guess) == jax.tree.structure(model)
    if not isinstance(model, Factors):
        for name in ("time_constant", "decay", "growth"):
            if hasattr(model, name):
                factor = getattr(guess, name) / getattr(model, name)
                assert 0.2 < factor < 5, name
    scaled = type(guess).guess(table(3 * y, times), window=window)
    if not isinstance(model, Factors):
        for a, b in zip(
            *map(jax.tree.leaves, (resized(guess, 3.0), scaled)), strict=True
        ):
            assert jnp.allclose(a, b, rtol=1e-10)


@every_model
def test_domains_are_shaped_like_the_model_and_hold_it(make):
    model = make()
    is_interval = lambda x: isinstance(x, Interval)
    domain, tree = jax.tree.flatten(model.domain(), is_leaf=is_interval)
    assert tree == jax.tree.structure(model)
    for interval, value in zip(domain, jax.tree.leaves(model), strict=True):
        assert interval.low < float(value) < interval.high


@pytest.mark.dear
def test_single_precision_runs():
    with jax.enable_x64(False):
        for make in MODELS.values():
            found = make(window=3).log_likelihood(table(np.float32(sizes())))
            assert found.dtype == jnp.float32
            assert jnp.all(jnp.isfinite(found))


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="time_constant"):
        Additive(1.0, -3.0, 0.1, 0.1)
    with pytest.raises(ValueError, match="window"):
        Additive(1.0, 3.0, 0.1, 0.1, window=0)
    with pytest.raises(ValueError, match="noise"):
        Kesten(0.1, 0.1, 0.1, 0.1, -0.1)
    with pytest.raises(ValueError, match="stationary"):
        own(stationary=True)
    with pytest.raises(ValueError, match="first"):
        own().simulate(TIMES, 3, jr.key(0))
    with pytest.raises(ValueError, match="increase"):
        MODELS["kesten"]().log_likelihood(table(sizes(), TIMES[::-1]))
    with pytest.raises(ValueError, match=r"\(4, 10\)"):
        MODELS["kesten"]().log_likelihood(table(sizes(), TIMES[:-1]))
    with pytest.raises(ValueError, match="single"):
        Additive(1.0, 3.0, 0.1, jnp.ones(4)).log_likelihood(table(sizes()))
    negative = jnp.asarray(sizes()).at[0, 3].set(-0.1)
    found = MODELS["lognormal"]().log_likelihood(table(negative))
    assert jnp.isnan(found[0])
    assert jnp.all(jnp.isfinite(found[1:]))
    lost = Kesten(0.01, 0.0, 0.05, 0.03, 0.03, stationary=True)
    assert jnp.all(jnp.isnan(lost.log_likelihood(table(sizes()))))
    assert jnp.all(jnp.isnan(lost.simulate(TIMES, 2, jr.key(0))))
