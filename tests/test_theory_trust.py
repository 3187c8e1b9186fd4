"""Closed forms take numbers of any kind, and answer only where they hold."""

import dataclasses
import importlib
import inspect
import pkgutil
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from plasticity_jax import systems
from plasticity_jax._arguments import _array_type
from plasticity_jax.systems.optimal_plasticity import Config as Student
from plasticity_jax.systems.optimal_plasticity import theory as optimal
from plasticity_jax.systems.presynaptic_stochasticity import chain, sign_neuron
from plasticity_jax.systems.presynaptic_stochasticity import Config as Releasing
from plasticity_jax.systems.presynaptic_stochasticity import theory as release
from plasticity_jax.systems.stable_memory import capacity, cycles
from plasticity_jax.systems.stable_memory import Config as Network
from plasticity_jax.systems.stable_memory import theory as stable
from plasticity_jax.systems.two_factor_consolidation import theory as factors


NAMES = [found.name for found in pkgutil.iter_modules(systems.__path__) if found.ispkg]
THEORIES = {
    name: importlib.import_module(f"{systems.__name__}.{name}.theory") for name in NAMES
}
AS_THEY_COME = {  # functions with arguments of floats that are not converted, and why
}


def _takes_numbers(function):
    """Whether an argument is annotated as an array of floats."""
    parameters = inspect.signature(function).parameters.values()
    return any(_array_type(each.annotation) is not None for each in parameters)


def _public(module):
    return {
        name: function
        for name, function in vars(module).items()
        if inspect.isfunction(function)
        and function.__module__ == module.__name__
        and name[0] != "_"
    }


@pytest.mark.parametrize("system", NAMES)
def test_every_law_takes_numbers_of_any_kind(system):
    laws = _public(THEORIES[system])
    taking = [name for name, law in laws.items() if _takes_numbers(law)]
    assert taking
    for name in taking:
        if f"{system}.{name}" not in AS_THEY_COME:
            assert getattr(laws[name], "takes_floats", ()), name


QUIET = Network(homeostasis="dissipation", dissipation=0.0)
CALM = Network(homeostasis_gain=0.0)
SAME = [  # a law, arguments that are whole numbers
    (optimal.optimal_ratio, (8, 2)),
    (optimal.gradient_curvature, ([1, 2, 5], [3, 1, 1])),
    (optimal.curvature_variance, ([[2, 1], [1, 3]],)),
    (release.up_probability, (1, 0, 2)),
    (release.gaussian_posterior, (1, 2, 3, 0)),
    (release.over_masks, (lambda r: jnp.sum(r), [1, 0, 1])),
    (chain.freezing_time, ([1, 1],)),
    (stable.plane_frequency, ([1, 2], [0, 1], 3)),
    (stable.quadrature, (1, 3)),
    (stable.weight_diffusion, (Network(), [1, 2])),
    (cycles.error_function_circle, (2, 4)),
    (cycles.step_quarter_turn, (3, 1, 2)),
    (capacity.half_load, ([1, 2, 3], [1, 1, 0])),
    (factors.change_exponent, (3,)),
]


@pytest.mark.parametrize("place", range(len(SAME)))
def test_whole_numbers_give_what_floats_give(place):
    law, given = SAME[place]
    real = lambda x: (
        x if callable(x) or isinstance(x, Network) else np.asarray(x, float)
    )
    floats = [jnp.asarray(real(x)) if x is not real(x) else x for x in given]
    for got, want in zip(
        *map(jax.tree.leaves, (law(*given), law(*floats))), strict=True
    ):
        assert got.dtype == want.dtype == float
        assert np.array_equal(got, want)


# a law, arguments outside of its domain, what the refusal says
OUTSIDE = [
    (lambda b: stable.stationary_variance(_with(QUIET, dissipation=b)), 0.0, "settle"),
    (lambda b: stable.bulk_radius(_with(QUIET, dissipation=b)), 0.0, "settle"),
    (lambda t: stable.weight_diffusion(QUIET, t), -1.0, "`time` must not be negative"),
    (lambda t: stable.mean_decay(QUIET, t), -1.0, "`time` must not be negative"),
    (stable.energy_bounds, -1.0, "`time` must not be negative"),
    (lambda t: stable.free_eigenvalue(QUIET, t, t), -1.0, "`time` must not"),
    (lambda x: stable.quadrature(1, x), 0.0, "`trace_time` must be positive"),
    (
        lambda k: stable.controlled_state(_with(CALM, homeostasis_gain=k), 1),
        0.0,
        "must be positive, and `activity` not 0",
    ),
    (lambda c: stable.controlled_state(Network(), c), 0.0, "`activity` not 0 (0.0)"),
    (lambda x: stable.random_drive(1, x, 1), -0.1, "`decay` must not be negative"),
    (lambda x: stable.random_drive_slope(1, 1, x), -1.0, "`power` must not be"),
    (lambda x: cycles.error_function_circle(x, 4), 1.0, "`expansion` must exceed 1"),
    (lambda x: cycles.step_circle(x, x), -1.0, "`expansion` must be positive"),
    (lambda x: cycles.balanced_step_cycle(x, 4.0)[:4], 4.0, "below the rotation 4.0"),
    (lambda x: cycles.balanced_step_cycle(2.0, x), 1.0, "below the rotation 1.0"),
    (lambda x: cycles.step_quarter_turn(x, 3.0, 1.0), 2.0, "exceed `expansion`"),
    (lambda x: cycles.euler_radius(x, 0.1), -1.0, "`rotation` must not be negative"),
    (cycles.euler_threshold, 3.0, "`step` must lie above 0 and up to 2; got 3"),
    (lambda x: capacity.first_step_error(x), -0.1, "`load` must not be negative"),
    (lambda x: capacity.first_step_error(0.2, x), 1.5, "`overlap` must lie in"),
    (lambda p: release.release_variance(1, p), 0.0, "lie above 0 and up to 1; got 0.0"),
    (lambda p: release.energy_variance([1.0], p[None]), 1.5, "lie above 0 and up to 1"),
    (lambda p: release.over_masks(jnp.sum, p[None]), 1.5, "must lie in [0, 1]"),
    (lambda p: release.explicit_step(1, p, 1, 1, 1), 0.0, "`before` must lie above 0"),
    (lambda b: release.batch_square(1, 2, b), 0.0, "`batch` must be at least 1"),
    (lambda x: release.up_probability(x, 0, 1), -1.0, "`threshold` must not be"),
    (lambda x: release.up_slope(1, 0, x), 0.0, "`deviation` must be positive"),
    (lambda x: release.turning_deviation(x, 1), 0.0, "`threshold` must be positive"),
    (lambda x: release.up_probability_laplace(1, x), 0.0, "`scale` must be positive"),
    (lambda x: release.up_probability_sparse(1, 2, x), 1.5, "`chance` must lie in"),
    (lambda x: release.plasticity_range(x, 0.5, 0.1)[1], 0.9, "not exceed `freeze`"),
    (lambda x: release.plasticity_after(x, 0.1, 3), 1.1, "`low` must lie in"),
    (lambda x: release.bayesian_precision(x, 1), 0.0, "`deviation` must be positive"),
    (lambda h: release.gaussian_posterior(1, 1, h, 0), -1.0, "`curvature` must exceed"),
    (lambda x: release.energy_after(1, x, 2, 3), 0.6, "`rate * decay` must lie in"),
    (chain.matching_down, 1.0, "`up` must lie in [0, 1); got 1.0"),
    (lambda x: chain.zero_drift(x, x), 0.0, "`up + down` must be positive"),
    (lambda x: chain.freezing_time(x[None]), 1.5, "`climbs` must lie in [0, 1]"),
    (lambda x: optimal.optimal_ratio(-1, x), -4.0, "must not be negative; got -1.0"),
    (lambda x: optimal.optimal_ratio(1, x), 0.0, "`compensation_curvature` must be"),
    (lambda x: optimal.learning_excess(1, x, 1), 0.0, "`fluctuation_norm` must be"),
    (lambda x: optimal.slope_per_length(1, x, 1, 1), 0.0, "`compensation_norm` must"),
    (optimal.fluctuation_share, -0.5, "`ratio` must not be negative; got -0.5"),
    (lambda x: optimal.length_variance(x, 3), -1.0, "`corruption` must not be"),
]


def _with(config, **changes):
    return dataclasses.replace(config, **changes)


@pytest.mark.parametrize("place", range(len(OUTSIDE)))
def test_what_is_outside_of_a_domain_is_refused(place):
    law, given, says = OUTSIDE[place]
    with pytest.raises(ValueError, match=re.escape(says)):
        law(jnp.asarray(given))


@pytest.fixture(scope="module")
def traced():
    """Every law outside of its domain and at NaN, in one compiled program."""
    at = jax.jit(
        lambda xs: [law(x) for (law, _, _), x in zip(OUTSIDE, xs, strict=True)]
    )
    outside = [jnp.asarray(given) for _, given, _ in OUTSIDE]
    return at(outside), at([jnp.asarray(jnp.nan)] * len(OUTSIDE))


@pytest.mark.parametrize("place", range(len(OUTSIDE)))
def test_there_it_is_nan_where_it_is_traced(place, traced):
    for found in traced:
        leaves = jax.tree.leaves(found[place])
        assert leaves
        assert all(bool(jnp.all(jnp.isnan(x))) for x in leaves), leaves


def test_comparisons_refuse_what_they_cannot_tell():
    lost = jnp.asarray([1.0, jnp.nan])
    for compared in (optimal.gradient_is_steep, optimal.gradient_power_ascends):
        with pytest.raises(ValueError, match="`displacement` must be finite"):
            compared(jnp.asarray([1.0, 2.0]), lost)
    with pytest.raises(ValueError, match="`eigenvalues` must ascend"):
        optimal.gradient_power_ascends([2, 1], [1, 1])
    with pytest.raises(ValueError, match="must be symmetric"):
        optimal.curvature_variance([[0, 1], [-1, 0]])
    with pytest.raises(ValueError, match="`weights` must be at least 1; got 0"):
        optimal.probe_alignment(0)


def test_nan_goes_through_switches():
    nan = jnp.asarray(jnp.nan)
    assert jnp.isnan(release.turning_deviation(1.0, nan))
    assert jnp.isnan(release.up_probability_sparse(1.0, nan, 0.5))
    assert jnp.isnan(capacity.half_load([1, 2, 3, 4], [1, nan, 0.9, 0.1]))
    assert jnp.isnan(stable.plane_frequency(jnp.stack([nan, nan]), [1, 0], 2))
    assert jnp.isnan(cycles.gaussian_cycle(jnp.tanh, nan, nan).radius)


NONE = [
    (lambda: Network(sparse=True, density=1e-5), "`density` 1e-05 of 16384 synapses"),
    (lambda: Network(density=0.5), "`density` 0.5 needs `sparse` synapses"),
    (lambda: Network(noise_every=0), "`noise_every` must be at least 1; got 0"),
    (lambda: Network(step=0.0), "`step` must be positive; got 0.0"),
    (
        lambda: Student(sizes=(12, 2), fluctuating_share=0.04),
        "`fluctuating_share` 0.04 of 12 directions is none",
    ),
    (lambda: Student(samples=2.5), "`samples` must be an integer; got 2.5"),
    (lambda: Releasing(low=0.0), "`low` must lie in [0.0001, 1.0]; got 0.0"),
    (lambda: Releasing(low=0.5, high=0.4), "`low` must not exceed `high`"),
    (lambda: Releasing(hidden=(4, 0)), "`hidden` must be at least 1; got 0"),
    (lambda: sign_neuron.Config(low=0.95), "`low` must not exceed `high`"),
]


@pytest.mark.parametrize("place", range(len(NONE)))
@pytest.mark.usefixtures("unchecked")
def test_what_rounds_to_none_or_contradicts_itself_is_refused(place):
    make, says = NONE[place]
    with pytest.raises(ValueError, match=re.escape(says)):
        make()
