"""Nothing wrong without a word: dead synapses, NaN, shapes, domains, odd configs."""

import dataclasses
import inspect

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import xarray

from plasticity_jax import simulate, State
from plasticity_jax.circuits import memories_of
from plasticity_jax.synapses import Factored
from plasticity_jax.systems.two_factor_consolidation import (
    capacity,
    fluctuations,
    networks,
    recall,
    theory,
)
from plasticity_jax.systems.two_factor_consolidation import config as tf
from plasticity_jax.systems.two_factor_consolidation.domains import living
from plasticity_jax.systems.two_factor_consolidation.experiments import (
    after_sleep,
    development,
    fluctuating,
    imaging,
    night,
    policies,
    scaling,
    sleep,
    variants,
    volatility,
)
from plasticity_jax.systems.two_factor_consolidation.recall import (
    flip_balanced,
    flip_exactly,
    flip_isotropic,
    jitter,
    observed,
    recall_rate,
    tolerance,
)


KEY = jr.key(0)
PATTERN = [1, 0, 1, 1]
WEIGHTS = [0.0, 0.2, 0.3, 0.5]
SIDES = [1, -1, 1]  # targets
SHOWN = [[1, 0, 1], [0, 1, 1], [1, 1, 0], [0, 0, 1]]
SHARES = [0.25, 0.5, 0.25]
LAWS = {  # every public law, at integers, floats and lists
    "soft_margin": ([[1, -2, 3]], [2], 3),
    "soft_bias": (SHARES, 2, 3),
    "factor_penalty": (WEIGHTS, 3),
    "soft_threshold": ([1, 2], 1),
    "penalised_slope": (1, 2, 3, 4),
    "penalised_hessian": (1, 2, 3, 2),
    "imbalance_decay": (1, [2, 3], 1),
    "factors_after": ([[1, 2], [3, 4]], [[1, 0], [0, 1]], 1),
    "preconditioner": (WEIGHTS, 3),
    "order_of_metric": (1,),
    "weights_after": (WEIGHTS, [1, -1, 2, 0], 1, 0.25),
    "change_exponent": (3,),
    "residuals": (SHOWN, SIDES, WEIGHTS, 1, SHARES),
    "mean_drive": (SHOWN, SIDES, SHARES),
    "decay_rates": (SHOWN, SIDES, SHARES, 1),
    "margin_slope": (WEIGHTS, SIDES, SHARES),
    "stationary_gap": (1, 2, 3, [1, 2], [0, 1]),
    "stationary_gap_single": (1, 2, 3, [1, 2], [0, 1], [4, 5]),
    "rate_for_share": (0.5, [1, 2], 0.25),
    "flipped_field": (WEIGHTS, PATTERN, 0.125, 0.25),
    "neural_noise_ratio": ([1, 2], 1),
    "volatile_field_variance": (WEIGHTS, PATTERN, 1, 3),
    "synaptic_noise_ratio": ([1, 2], 2, 1),
    "scaled_weights": (WEIGHTS, 2, 3),
    "retargeted_weights": (WEIGHTS, 1, 2, 3),
    "threshold_pull": (1, 2, [3, 4]),
}
MISFITS = [
    ("factors_after", 1),
    ("residuals", 1),
    ("mean_drive", 2),
    ("decay_rates", 1),
    ("stationary_gap", 4),
    ("stationary_gap_single", 5),
    ("flipped_field", 1),
    ("volatile_field_variance", 1),
    ("weights_after", 1),
]
OUTSIDE = [  # law, which argument, a value outside the domain, what is said
    ("soft_margin", 2, 0, "`sharpness` must be positive; got 0"),
    ("soft_margin", 1, [0], "`average` must be positive; got 0"),
    ("soft_bias", 1, -2, "`average` must not be negative; got -2"),
    ("flipped_field", 1, [1, 2, 0, 0], r"`pattern` must lie in \[0, 1\]; got 2"),
    ("factor_penalty", 1, 0.5, "`order` must be at least 1; got 0.5"),
    ("factor_penalty", 0, [0.0, -0.1, 1.0, 1.0], "`weights` must not be negative"),
    ("penalised_slope", 0, 0, "`weight` must be positive"),
    ("order_of_metric", 0, 2, r"`exponent` must lie in \[0, 2\); got 2"),
    ("weights_after", 3, 1.5, r"`exponent` must lie in \[0, 1\]; got 1.5"),
    ("weights_after", 2, -1, "`time` must not be negative"),
    ("change_exponent", 0, 0, "`order` must be at least 1"),
    ("stationary_gap", 2, 0, "`target` must be positive"),
    ("rate_for_share", 0, 2, r"`share` must lie in \[0, 1\]; got 2"),
    ("rate_for_share", 2, 1, "`coding_level` must lie between 0 and 1; got 1"),
    ("flipped_field", 2, 0.5, "`probability` must lie between 0 and the smaller"),
    ("neural_noise_ratio", 1, 2, r"`flipped` must lie in \[0, 1\]"),
    ("volatile_field_variance", 2, -1, "`noise` must not be negative"),
    ("retargeted_weights", 1, 0, "`before` must be positive"),
    ("threshold_pull", 2, [0.0, 1.0], "`average` must be positive"),
]


def law(name, arguments=None):
    return getattr(theory, name)(*(LAWS[name] if arguments is None else arguments))


def replaced(arguments, index, value):
    return tuple(value if i == index else x for i, x in enumerate(arguments))


def leaves(tree):
    return [np.asarray(x) for x in jax.tree.leaves(tree)]


# --- laws -----------------------------------------------------------------------------


def test_every_law_is_in_the_table():
    public = {
        name
        for name, value in vars(theory).items()
        if inspect.isfunction(value)
        and value.__module__.startswith(theory.__name__)
        and not name.startswith("_")
    }
    assert public == set(LAWS)
    assert all(hasattr(getattr(theory, name), "takes_floats") for name in public)


@pytest.mark.parametrize("name", LAWS)
def test_a_law_takes_any_numbers_and_keeps_nan(name):
    arguments, whole = LAWS[name], {"penalised_hessian": 3}.get(name)
    spots = [i for i in range(len(arguments)) if i != whole]
    floats = [
        x if i == whole else jnp.asarray(x, float) for i, x in enumerate(arguments)
    ]
    for got, want in zip(leaves(law(name)), leaves(law(name, floats)), strict=True):
        assert got.dtype == want.dtype == np.float64
        np.testing.assert_array_equal(got, want)
        assert np.all(np.isfinite(got))
    for i in spots:
        hole = jnp.where(jnp.arange(floats[i].size) == 1 % floats[i].size, jnp.nan, 1.0)
        hole = floats[i] * hole.reshape(floats[i].shape)
        found = leaves(law(name, replaced(floats, i, hole)))
        assert any(np.any(np.isnan(x)) for x in found), (name, i)


@pytest.mark.parametrize(("name", "index"), MISFITS)
def test_a_law_broadcasts_nothing(name, index):
    short = jnp.asarray(LAWS[name][index], float)[..., :1]
    with pytest.raises(ValueError, match="axes of one name equally long; got"):
        law(name, replaced(LAWS[name], index, short))


@pytest.mark.parametrize(("name", "index", "value", "says"), OUTSIDE)
def test_outside_its_domain_a_law_is_refused_or_nan(name, index, value, says):
    wrong = replaced(LAWS[name], index, value)
    with pytest.raises(ValueError, match=says):
        law(name, wrong)
    traced = jax.jit(lambda x: law(name, replaced(wrong, index, x)))(
        jnp.asarray(value, float)
    )
    assert any(np.any(np.isnan(x)) for x in leaves(traced))


@pytest.mark.parametrize("order", [1, 1.5, 3])
@pytest.mark.parametrize("dead", [0.0, 1e-20])
def test_a_pruned_synapse_has_no_noise_and_no_infinite_gradient(order, dead):
    weights, ones = jnp.asarray([dead, dead, 0.3, 0.5]), jnp.ones(4)
    noise = lambda w, z: theory.volatile_field_variance(w, ones, 0.1, z)
    got = noise(weights, order)
    assert np.isclose(got, noise(weights.at[:2].set(0.0), order), rtol=1e-12)
    assert np.isclose(got, 0.01 * (0.3 ** (2 - 2 / order) + 0.5 ** (2 - 2 / order)))
    slopes, bend = jax.grad(noise, (0, 1))(weights, float(order))
    assert np.all(np.isfinite(slopes))
    assert np.isfinite(bend)
    assert not np.any(slopes[:2])
    gone = weights.at[:2].set(0.0)
    for other in (theory.factor_penalty, theory.preconditioner):
        slopes = jax.grad(lambda w, f=other: jnp.sum(f(w, order)))(gone)
        assert np.all(np.isfinite(slopes))


def test_storage_is_told_outside_its_domain():
    density = capacity.weight_density(np.array([0.5, np.nan, -1.0]), 0.3, 0.5)
    np.testing.assert_array_equal(np.isnan(density), [False, True, False])
    for call, says in (
        (
            lambda: capacity.weight_density(1.0, np.full(2, 0.1), 0.5),
            "`load` must be a sin",
        ),
        (lambda: capacity.robustness(np.nan, 0.5), "`load` must be finite"),
        (lambda: capacity.largest_load(np.inf, 0.5), "`robustness` must be finite"),
    ):
        with pytest.raises(ValueError, match=says):
            call()


# --- fluctuations ---------------------------------------------------------------------


@pytest.mark.dear
def test_a_lost_synapse_shows_in_what_recordings_say():
    weights = jnp.abs(jr.normal(KEY, (30, 12))) + 0.1
    lost, q = weights.at[3, 4].set(jnp.nan), fluctuations.exponents()[::20]
    assert np.all(np.isfinite(fluctuations.variations(weights, q)))
    assert np.all(np.isnan(fluctuations.variations(lost, q)[:2]))
    resampled = jax.jit(fluctuations.resampled_variations, static_argnums=2)
    assert np.isnan(resampled(lost, q, 3, KEY)).any()
    seen = jnp.asarray([[2.0, 1.0, 3.0], [2.0, jnp.nan, 3.0]])
    np.testing.assert_array_equal(fluctuations.least(seen, q), [q[1], np.nan])
    before = jnp.linspace(1.0, 3.0, 60)
    regressed = jax.jit(fluctuations.scaling, static_argnums=2)
    for pair in (
        (before.at[0].set(jnp.nan), before),
        (before, -before.at[9].set(jnp.nan)),
    ):
        assert np.all(np.isnan(regressed(*pair, 1).slope))
    with pytest.raises(ValueError, match="`sign` must be 1 or -1; got 0"):
        fluctuations.scaling(before, before, 0)
    with pytest.raises(ValueError, match="`change` must be"):
        fluctuations.scaling(before, before[:1], 1)
    with pytest.raises(ValueError, match="`orders` must increase"):
        fluctuations.fit_order([1.0], [[1.0]], [2.0, 1.0], [[1.0], [2.0]])
    with pytest.raises(ValueError, match="`covariance` must be symmetric"):
        fluctuations.fit_order(
            [1.0, 1.0], [[1.0, 0.5], [0.0, 1.0]], [1.0, 2.0], [[1.0, 1], [2, 2]]
        )


def test_synapses_of_one_factor_are_recorded_whatever_the_slow_one_is():
    state = State(None, jnp.asarray([[2.0, 3.0, jnp.nan], [0.0, 1.0, 1.0]]))
    seen = fluctuating.record_weights(jnp.asarray(1.0), state, None, {})
    np.testing.assert_array_equal(seen, [2.0, 3.0, np.nan])
    alive = State(None, state.synapses[:, :1])
    total = lambda z: fluctuating.record_weights(z, alive, None, {})[0]
    assert jax.grad(total)(jnp.asarray(1.5)) == 0


# --- recall ---------------------------------------------------------------------------


def network(n=10):
    factors = jr.uniform(KEY, (2, n, n), minval=0.2).at[:, :, 0].set(1e-20)
    return Factored(factors, 0.4 * jnp.sum(factors[0] * factors[1], axis=1))


def test_the_first_factor_of_a_dead_synapse_rises_by_the_size_of_the_noise():
    """Half of the draws would be lost to the clip at zero."""
    n = 60
    synapses = network(n)
    move = lambda factors, kind: (
        jitter(Factored(factors, synapses.threshold), 0.01, KEY, kind).factors
    )
    moves = jax.jit(lambda u: {kind: move(u, kind) for kind in recall.KINDS})
    change = {
        k: np.asarray(u - synapses.factors) for k, u in moves(synapses.factors).items()
    }
    dead, own = np.zeros((n, n), bool), np.eye(n, dtype=bool)
    dead[:, 0] = True
    rise = change["first"][0][dead & ~own]
    assert np.all(rise > 0)
    want = 0.01 * (2 / np.pi) ** 0.5
    assert abs(rise.mean() - want) < 4 * 0.01 * (1 - 2 / np.pi) ** 0.5 / n**0.5
    alive = ~dead & ~own
    first, living = (change[kind][0][alive] for kind in ("first", "living"))
    np.testing.assert_allclose(first, living, atol=1e-15)
    assert not change["first"][1][~own].any()
    for kind in ("living", "all"):
        assert not change[kind][:, dead & ~own].any()

    size = lambda u: sum(jnp.sum(x[0] * x[1]) for x in moves(u).values())
    slopes = jax.jit(jax.grad(size))(synapses.factors.at[:, :, 1].set(0.0))
    assert np.all(np.isfinite(slopes))
    with pytest.raises(ValueError, match="`kind` is unknown: 'frist'"):
        jitter(synapses, 0.01, KEY, "frist")
    with pytest.raises(ValueError, match="`noise` must not be negative"):
        jitter(synapses, -0.01, KEY)


@pytest.mark.dear
def test_patterns_of_any_kind_and_only_those_that_fit():
    synapses, patterns = network(), jr.bernoulli(KEY, 0.5, (10, 6))
    for kind in (bool, np.uint8):
        cues = np.asarray(patterns, kind)
        flips = (
            flip_balanced(cues, 0.2, 0.5, KEY),
            flip_isotropic(cues, 0.2, KEY),
            flip_exactly(cues, 1, KEY),
        )
        want = (
            flip_balanced(patterns.astype(float), 0.2, 0.5, KEY),
            flip_isotropic(patterns.astype(float), 0.2, KEY),
            flip_exactly(patterns.astype(float), 1, KEY),
        )
        for got, right in zip(flips, want, strict=True):
            np.testing.assert_array_equal(got, right)
        rate = recall_rate(synapses, cues, cues, 0.5, steps=2)
        assert rate == recall_rate(
            synapses, *2 * (patterns.astype(float),), 0.5, steps=2
        )
    cues = patterns.astype(float)
    for call, says in (
        (lambda: recall_rate(synapses, cues, cues[:, :1], 0.5), "`patterns` must be"),
        (lambda: recall_rate(synapses, cues[:5], cues[:5], 0.5), "of the 5 neurons"),
        (lambda: recall_rate(synapses, cues, cues, 0.5, jnp.ones(1, bool)), "`stored`"),
        (lambda: flip_balanced(cues, 0.6, 0.5, KEY), "`probability` must lie"),
        (lambda: flip_balanced(cues, 0.1, 1.0, KEY), "`coding_level` must lie"),
        (lambda: flip_isotropic(cues, 1.1, KEY), "`probability` must lie"),
        (lambda: flip_isotropic(cues / 2, 0.1, KEY), "`patterns` must be 0 or 1"),
        (lambda: flip_exactly(cues, 9, KEY), "`count` must lie in"),
        (lambda: tolerance([1, 0], [0.2, 0.3]), "`levels` must increase"),
        (lambda: tolerance([0, 1], [0.2, 0.3, 0.1]), "`rates` must be"),
    ):
        with pytest.raises(ValueError, match=says):
            call()


def test_a_lost_network_is_not_one_that_recalls_nothing():
    synapses, cues = network(), jr.bernoulli(KEY, 0.5, (10, 6)).astype(float)
    lost = Factored(synapses.factors.at[0, 2, 3].set(jnp.nan), synapses.threshold)
    rate = jax.jit(lambda x: recall_rate(observed(x), cues, cues, 0.5, steps=2))
    assert np.isfinite(rate(synapses))
    assert np.isnan(rate(lost))
    none = jnp.zeros(6, bool)
    assert np.isnan(recall_rate(synapses, cues, cues, 0.5, none, steps=2))
    levels, rates = jnp.arange(3.0), jnp.asarray([[1.0, jnp.nan, 0.0], [1.0, 0.6, 0.4]])
    np.testing.assert_array_equal(tolerance(levels, rates), [np.nan, 1.5])
    flipped = jax.jit(lambda p: flip_isotropic(cues, p, KEY))(jnp.asarray(jnp.nan))
    assert np.all(np.isnan(flipped))


# --- pruning in both precisions -------------------------------------------------------


@pytest.mark.parametrize("kind", [jnp.float32, jnp.float64])
def test_a_product_of_floors_is_no_synapse_in_any_precision(kind):
    floor = jnp.full((2, 6, 6), 1e-20, kind)
    sizes = jnp.asarray(0.1, kind) * (1 + jnp.arange(3, dtype=kind))
    factors = floor.at[:, :4, 1:4].set(sizes)

    @jax.jit
    def measured(factors):
        weights = factors[0] * factors[1]
        seen = observed(Factored(factors, jnp.ones(6, kind)))
        moved = jitter(seen, 0.01, KEY, "living", relative=0.0).factors - seen.factors
        return living(weights), night.weight_bins(weights), seen.threshold, moved

    with jax.numpy_dtype_promotion("standard"):
        there, bins, threshold, moved = measured(factors)
    alive = np.zeros((6, 6), bool)
    alive[:4, 1:4] = True
    np.testing.assert_array_equal(there, alive)
    np.testing.assert_array_equal(bins >= 0, alive)
    np.testing.assert_array_equal(threshold[4:], [1.0, 1.0])
    assert not np.any(np.asarray(moved)[0, 4:, :4])


# --- novelty --------------------------------------------------------------------------


def test_patterns_become_familiar_where_their_size_is_rounded():
    """14 of 240 at .06 in the paper's protocol; here 3 of 45 at .06: f N is 2.7."""
    config = tf.Config(
        size=45,
        rows=0,
        patterns=6,
        coding_level=0.06,
        exact=True,
        epochs=30,
        initial_factor=0.6,
        wake_rate=0.1,
    )
    assert config.activity == 3 / 45
    known = networks.memories(config, KEY)
    assert np.all(np.sum(known.patterns, axis=0) == 3)
    system, state = networks.wake(config, known, jr.key(1))
    seen = lambda state, signals, changes: jnp.abs(signals.novelty)
    _, novelty = simulate(system, state, KEY, steps=180, record=seen)
    assert novelty[:6].mean() > 0
    assert not np.any(novelty[-12:])
    states = jnp.repeat(known.patterns.T, after_sleep.HOLD, axis=0)
    overlap = after_sleep.overlaps(states, known.patterns, config.activity)
    np.testing.assert_allclose(overlap, 1.0, rtol=1e-12)


# --- configs --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"rows": -1}, "`rows` must be at least 0; got -1"),
        ({"size": 10}, "`rows` must lie between 0"),
        ({"size": 100.5}, "`size` must be an integer"),
        ({"patterns": 0}, "`patterns` must be at least 1"),
        ({"order": 2.0}, "`order` must be an integer"),
        ({"order": True}, "`order` must be an integer"),
        ({"exponent": 3.0}, "`exponent` = 3.0 says nothing"),
        ({"parametrisation": "power", "order": 3}, "`order` = 3 says nothing"),
        ({"load": 0.3}, "`load` = 0.3.* stores 30"),
        ({"load": 0.001}, "`load` = 0.001.* stores 0"),
        ({"coding_level": 0.004}, "rounds to none"),
        ({"coding_level": 0.996}, "rounds to none"),
        ({"coding_level": np.nan}, "`coding_level` must lie in"),
        ({"pruned_below": -1e-10}, "`pruned_below` must lie in"),
        ({"ceiling": 0.0}, "`ceiling` must lie in"),
        ({"enough": -1.0}, "`enough` must lie in"),
        ({"epochs": 0}, "`epochs` must be at least 1"),
        ({"schedule": "stage"}, "Did you mean 'stages'"),
    ],
)
def test_what_does_not_fit_in_a_config_is_named(changes, says):
    with pytest.raises(ValueError, match=says):
        dataclasses.replace(tf.Config(), **changes)


def test_numbers_of_numpy_and_python_are_taken():
    config = tf.Config(
        size=np.int64(50), rows=np.int32(5), ceiling=1, load=np.float32(0.1)
    )
    assert type(config.size) is type(config.rows) is int
    assert isinstance(config.ceiling, jax.Array)
    assert isinstance(networks.Stages(100.0).cycles, jax.Array)
    assert fluctuating.Fluctuating(lag=np.int64(3)) == fluctuating.Fluctuating(lag=3)
    three = tf.of_order(tf.Config(parametrisation="power"), 3)
    assert three.exponent == three.order == 3
    with pytest.raises(
        ValueError, match=r"`order` must be one of \[1, 2, 3, 4\]; got 5"
    ):
        tf.of_order(tf.Config(), 5)
    with pytest.raises(ValueError, match="`draws` must be at least 2; got 1"):
        imaging.Imaging(draws=1)
    with pytest.raises(ValueError, match="`steps` must be an integer"):
        volatility.Volatile(steps=4000.0)


@pytest.mark.dear
def test_memories_and_synapses_must_be_those_of_the_config():
    config = tf.Config(size=20, rows=4, patterns=6)
    stored, synapses = networks.memories(config, KEY), networks.start(config, KEY)
    for changes, says in (
        ({"order": 3}, r"`factors` must be shaped \(3, 4, 20\)"),
        ({"parametrisation": "power"}, r"`factors` must be shaped \(1, 4, 20\)"),
        ({"rows": 3}, r"`targets` must be shaped \(3, 6\)"),
        ({"size": 30}, r"`patterns` must be shaped \(30, 6\)"),
    ):
        for entrance in (networks.sleep, networks.fall_asleep):
            with pytest.raises(ValueError, match=says):
                entrance(dataclasses.replace(config, **changes), stored, synapses)
    day = tf.Config(size=20, rows=0, patterns=9)
    with pytest.raises(ValueError, match="`stored` holds 6 patterns; `patterns`"):
        networks.wake(day, memories_of(stored.patterns), KEY)
    with pytest.raises(ValueError, match="`parametrisation` must be 'product' here"):
        night.evening(dataclasses.replace(day, parametrisation="power"), KEY)
    signed = dataclasses.replace(day, patterns=6, parametrisation="signed_power")
    _, state = networks.wake(signed, memories_of(stored.patterns), KEY)
    assert state.synapses.factors.shape == (2, 20, 20)


# --- lost runs ------------------------------------------------------------------------


@pytest.mark.dear
def test_a_lost_run_shows_in_what_experiments_measure():
    n = 12
    weights = jr.uniform(KEY, (n, n), minval=0.1) * (1 - jnp.eye(n))
    lost = weights.at[2, 3].set(jnp.nan)
    stored = memories_of(jr.bernoulli(KEY, 0.5, (n, 5)))
    everyone = jnp.ones(n, bool)

    @jax.jit
    def measured(w):
        fields = w @ stored.patterns
        slope, intercept = scaling.rank_lines(weights, w, everyone)
        counts, strength, spread = night.histogram(w)
        return {
            "connectivity": after_sleep.connectivity(w, stored, everyone)["connected"],
            "selectivity": after_sleep.selectivity(
                w, fields[:, 0], stored, everyone, KEY
            ),
            "developed": development.measured(stored, everyone, fields, w),
            "ranks": jnp.stack([slope, intercept]),
            "variation": scaling.norm_variation(w, 3, everyone),
            "shifted": scaling.shifted(w, jnp.asarray(1.5))[2],
            "correlation": night.correlation(
                w, weights, everyone[None] & everyone[:, None]
            ),
            "histogram": jnp.stack([jnp.sum(counts), strength, spread]),
            "strengths": policies.strengths(fields, w, stored)[2],
        }

    for name, value in measured(weights).items():
        assert all(np.all(np.isfinite(x)) for x in leaves(value)), name
    found = measured(lost)
    for name, value in found.items():
        assert all(np.any(np.isnan(x)) for x in leaves(value)), name
    for name in ("connectivity", "ranks", "histogram", "developed"):
        assert np.all(np.isnan(found[name])), name
    _, gain = night.gains(jnp.ones((2, 3)), jnp.zeros(3, bool))
    assert np.all(np.isnan(gain))


@pytest.mark.dear
def test_a_lost_night_is_nan_and_not_zero():
    config = tf.Config(size=12, rows=0, patterns=5, exact=True)
    stored = networks.memories(config, KEY)
    system, state = networks.sleep(config, stored, networks.start(config, KEY))
    bound = night.Night(stored, jnp.ones(12, bool), jnp.zeros((12, 12), jnp.int32))

    @jax.jit
    def measured(factors):
        synapses = Factored(factors, state.synapses.threshold)
        at = dataclasses.replace(state, synapses=synapses)
        _, signals = system.circuit(at.activity, synapses, stored, KEY)
        return night.seen(bound, signals, at)

    factors = state.synapses.factors
    assert all(np.all(np.isfinite(x)) for x in leaves(measured(factors)))
    for name, value in measured(factors.at[0, 2, 3].set(jnp.nan)).items():
        assert np.any(np.isnan(value)), name


def test_claims_do_not_skip_a_lost_run():
    whole = np.array([[1.0, 2.0], [3.0, 2.0]])
    holed = np.array([[1.0, 2.0], [3.0, np.nan]])
    for values in (whole, holed):
        slope = np.stack([*4 * (values[0],), values[1]])[None]
        cycles = [0, 2, 6, 15, 40]
        one = xarray.Dataset(
            {"slope": (("seed", "cycle", "load"), slope)},
            {"cycle": cycles, "snapshot": cycles, "load": [0.1, 0.2]},
        )
        found = sleep.weak_gain_most(one)
        assert np.isnan(found) == np.isnan(values).any()
    dims = ("variant", "norm", "seed", "row")
    ratio = np.full((1, 2, 1, 2), np.nan)  # lost, or without synapses
    best = (("seed", "row"), np.ones((1, 2)))
    for density, want in ((0.0, 0.0), (np.nan, np.nan)):
        data = xarray.Dataset(
            {
                "ratio": (dims, ratio),
                "density": (("variant", "seed", "row"), np.full((1, 1, 2), density)),
                "valid": (("seed", "row"), np.ones((1, 2), bool)),
                **dict.fromkeys(
                    ("best_1", "best_2", "best_density", "stationary"), best
                ),
            },
            {"variant": ["z = 2"], "norm": [1, 2], "inputs": 100},
        )
        np.testing.assert_array_equal(variants.summary(data).stored, [[want]])
