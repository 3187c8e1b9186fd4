"""Models of synapse size against joint densities, differential equations and laws."""

from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest

from plasticity_jax.inference import Additive, Factors, Kesten, Lognormal, SizeDependent


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
