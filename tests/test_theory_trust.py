"""Closed forms take numbers of any kind, and answer only where they hold."""

import dataclasses
import importlib
import inspect
import pkgutil
import re
import typing

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import PyTree

from plasticity_jax import systems
from plasticity_jax._arguments._convert import _array_type
from plasticity_jax.circuits import feedforward
from plasticity_jax.systems.optimal_plasticity import Config as Student
from plasticity_jax.systems.optimal_plasticity import networks
from plasticity_jax.systems.optimal_plasticity import theory as optimal
from plasticity_jax.systems.presynaptic_stochasticity import (
    chain,
    drift,
    resting,
    sign_neuron,
)
from plasticity_jax.systems.presynaptic_stochasticity import Config as Releasing
from plasticity_jax.systems.presynaptic_stochasticity import theory as release
from plasticity_jax.systems.stable_memory import capacity, cycles, patterns
from plasticity_jax.systems.stable_memory import Config as Network
from plasticity_jax.systems.stable_memory import theory as stable
from plasticity_jax.systems.two_factor_consolidation import theory as factors


NAMES = [found.name for found in pkgutil.iter_modules(systems.__path__) if found.ispkg]
THEORIES = {
    name: importlib.import_module(f"{systems.__name__}.{name}.theory") for name in NAMES
}
OTHERS = {  # laws that take no array, and what they take
    "natural_gradient.least_scale": "a transfer function",
    "natural_gradient.mixed_limit": "coefficients",
    "natural_gradient.uniform_limit": "coefficients",
    "optimal_plasticity.probe_alignment": "a count",
    "presynaptic_stochasticity.fewest_steps": "numbers, which it compares",
    "stable_memory.bulk_radius": "a config",
    "stable_memory.decay_factor": "a config",
    "stable_memory.filter_gain": "a config",
    "stable_memory.stationary_variance": "a config",
}


def _hints(law):
    return {name: x.annotation for name, x in inspect.signature(law).parameters.items()}


def _axes(law):
    """The axes of every argument that is annotated as an array of floats.

    Of a union the one with most of them: an array where a number is allowed too.
    """
    unions = {
        name: typing.get_args(hint) or (hint,)
        for name, hint in _hints(law).items()
        if _array_type(hint) is not None
    }
    axes = lambda union: [getattr(part, "dim_str", "").split() for part in union]
    return {name: max(axes(union), key=len) for name, union in unions.items()}


def _takes_trees(law):
    return any(hint in (PyTree, networks.Layers) for hint in _hints(law).values())


def _public(module):
    return {
        name: function
        for name, function in vars(module).items()
        if inspect.isfunction(function)
        and function.__module__.startswith(module.__name__)
        and name[0] != "_"
    }


@pytest.mark.parametrize("system", NAMES)
def test_every_law_takes_numbers_of_any_kind(system):
    laws = _public(THEORIES[system])
    assert laws
    for name, law in laws.items():
        taken = getattr(law, "takes_floats", ())
        assert taken == tuple(_axes(law)), name
        assert taken or _takes_trees(law) or f"{system}.{name}" in OTHERS, name
        assert not _takes_trees(law) or law in [each for each, _ in SAME], name


def _misfits(axes):
    """Shapes that disagree in one place: an axis too many, or one that is longer."""
    places = [axis for each in axes.values() for axis in each]
    shared = lambda axis: places.count(axis) > 1
    fitting = {name: (2,) * len(each) for name, each in axes.items()}
    for name, each in axes.items():
        if shared(each[0]) if each and each[0][0] == "*" else True:
            yield {**fitting, name: (*fitting[name], 2)}
        for i, axis in enumerate(each):
            if shared(axis):
                yield {**fitting, name: (*(2,) * i, 3, *(2,) * (len(each) - i - 1))}


@pytest.mark.parametrize("system", NAMES)
@pytest.mark.usefixtures("unchecked")
def test_no_law_broadcasts(system):
    for name, law in _public(THEORIES[system]).items():
        axes = _axes(law)
        for shapes in _misfits(axes):
            given = {each: shapes.get(each) for each in _hints(law)}
            arrays = {k: x if x is None else np.ones(x) for k, x in given.items()}
            with pytest.raises(ValueError, match="|".join(f"`{x}`" for x in axes)):
                pytest.fail(f"{system}.{name} took {shapes}: {law(**arrays)}")


QUIET = Network(homeostasis="dissipation", dissipation=0.0)
CALM = Network(homeostasis_gain=0.0)


def _bent(weights):
    """A loss of two weights that is not quadratic."""
    return jnp.cosh(weights["a"]) * (1 + weights["b"] ** 2 / 2)


HERE, THERE = {"a": 1, "b": 2}, {"a": -1, "b": np.asarray(1)}
LAYERS = ([[1, 0], [2, 1], [0, -1]], [[1, -1, 2]])
TWO_LAYERS = (LAYERS, [[1, 2, 0], [0, 1, -1]], [[1, 0, 1]])
SAME = [  # a law, arguments that are whole numbers
    (optimal.second_order_change, (_bent, HERE, THERE, HERE)),
    (optimal.expected_change, (_bent, HERE, THERE, 2)),
    (optimal.optimal_length, (_bent, HERE, THERE)),
    (optimal.mixture_curvature, (_bent, HERE, HERE, THERE)),
    (optimal.path_hessian, (_bent, HERE, THERE)),
    (optimal.step_slope, (_bent, HERE, THERE)),
    (networks.two_layer_gradient, TWO_LAYERS),
    (networks.two_layer_hessian, TWO_LAYERS),
    (feedforward, TWO_LAYERS[:2]),
    (optimal.optimal_ratio, (8, 2)),
    (optimal.gradient_curvature, ([1, 2, 5], [3, 1, 1])),
    (optimal.curvature_variance, ([[2, 1], [1, 3]],)),
    (release.up_probability, (1, 0, 2)),
    (release.up_probability, (1, 0, [1, 2])),
    (release.up_slope, (1, [0, 2], 1)),
    (release.explicit_step, ([1, 2], [1, 1], [1, 1], [2, 3], 1)),
    (release.gaussian_posterior, ([1, 2], [2, 1], 3, [0, 1])),
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


def _floats(x):
    if callable(x) or isinstance(x, Network):
        return x
    if isinstance(x, dict):
        return {key: _floats(part) for key, part in x.items()}
    return tuple(map(_floats, x)) if isinstance(x, tuple) else jnp.asarray(x, float)


@pytest.mark.parametrize("place", range(len(SAME)))
def test_whole_numbers_give_what_floats_give(place):
    law, given = SAME[place]
    floats = [_floats(x) for x in given]
    for got, want in zip(
        *map(jax.tree.leaves, (law(*given), law(*floats))), strict=True
    ):
        assert got.dtype == want.dtype == float
        assert np.array_equal(got, want)


@pytest.mark.parametrize(("law", "given"), [x for x in SAME if x[1][0] is _bent])
def test_trees_are_shaped_like_the_weights(law, given):
    for i, name in enumerate(list(_hints(law))[: len(given)]):
        if isinstance(given[i], dict) and i > 1:
            wrong = (*given[:i], {**given[i], "b": np.ones(2)}, *given[i + 1 :])
            with pytest.raises(ValueError, match=f"`{name}` must be shaped like"):
                law(*wrong)


@pytest.mark.parametrize(
    "law", [networks.two_layer_gradient, networks.two_layer_hessian]
)
def test_layers_and_samples_fit(law):
    (first, second), inputs, targets = TWO_LAYERS
    for weights in ((first, first), (second, second), (first,)):
        with pytest.raises(ValueError, match=r"`(second|inputs)` must be|unpack"):
            law(weights, inputs, targets)
    with pytest.raises(ValueError, match="`targets` must be"):
        law(TWO_LAYERS[0], inputs, targets * 2)


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
    (lambda x: stable.random_power(1, x), -1.0, "`decay` must not be negative"),
    (
        lambda t: stable.driven_rotation(QUIET, 1.0 + 0 * t, t),
        -1.0,
        "`time` must not be",
    ),
    (
        lambda t: stable.resting_rotation(QUIET, [1.0], [0.0], [[1.0], [0.0]], t),
        -1.0,
        "`time` must not be",
    ),
    (
        lambda x: patterns.lawful_share([1.0, 0], [0, 1.0], jnp.stack([x, 1 + 0 * x])),
        0.0,
        "`signs` must be 1 or -1; got 0.0",
    ),
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
    (lambda x: drift.retained(x, 0.1, 3), 1.5, "`probability` must lie in"),
    (lambda x: drift.drift_variance(0.5, 1, x, 3), 1.5, "`rate` must lie in"),
    (lambda x: drift.drift_variance(0.5, 1, 0.1, x), -1.0, "`steps` must not be"),
    (lambda x: release.energy_after(1, x, 2, 3), 0.6, "`rate * decay` must lie in"),
    (lambda x: resting.release_roots(x, 0.1), -1.0, "`information` must not be"),
    (lambda x: resting.resting_release(1.0, x, 0.2), 1.5, "`neutral` must lie in"),
    (lambda x: resting.resting_release(1.0, 0.1, x), -0.2, "`low` must lie in"),
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
