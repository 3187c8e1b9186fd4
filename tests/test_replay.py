"""Replay, storage and recall on networks small enough to follow by hand."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax

from plasticity_jax import simulate, State, System
from plasticity_jax._interfaces import advance
from plasticity_jax.circuits import (
    Candidates,
    memories_of,
    Novelty,
    PrioritisedReplay,
    RandomReplay,
    Replay,
    Resting,
    retrieve,
    SoftReplay,
    TaughtReplay,
    WeakestReplay,
)
from plasticity_jax.measure import degenerate, margins
from plasticity_jax.rules import (
    FactorAscent,
    NoveltyHebb,
    Pruning,
    Scheduled,
    VolatileFactor,
)
from plasticity_jax.synapses import (
    Factored,
    Floored,
    HomeostaticScaling,
    MidpointThreshold,
    no_self_connections,
    Ordered,
    Power,
    Product,
    RandomPatternThreshold,
    SignedPower,
)
from plasticity_jax.systems.two_factor_consolidation.config import Config
from plasticity_jax.systems.two_factor_consolidation.networks import (
    build,
    fields_and_weights,
    sleep,
    start,
    wake,
)
from plasticity_jax.tasks import Constant, draw_patterns, epoch_orders, Epochs


KEY = jr.key(0)
N, ROWS, COUNT = 12, 5, 7


def instance(order=2, seed=0, rows=ROWS):
    draw = np.random.default_rng(seed)
    patterns = jnp.asarray((draw.random((N, COUNT)) < 0.5).astype(float))
    factors = jnp.asarray(draw.uniform(0.5, 1.5, (order, rows, N)))
    thresholds = jnp.asarray(draw.normal(6, 1, rows))
    return memories_of(patterns, rows), Factored(factors, thresholds)


# --- one cycle, against loops ---------------------------------------------------------


def by_hand(u, threshold, memories, policy, average, rate, slow, target):
    """P1 or P2 of the specification, a neuron and a factor at a time."""
    patterns, targets = np.asarray(memories.patterns), np.asarray(memories.targets)
    z, rows, _ = u.shape
    new_u, new_threshold, means = u.copy(), threshold.copy(), np.zeros(rows)
    for i in range(rows):
        w = np.prod(u[:, i], axis=0)
        fields = w @ patterns - threshold[i]
        means[i] = np.abs(fields).mean()
        if policy == "weakest":
            chosen = int(np.argmin(targets[i] * fields))
            drive, bias = targets[i, chosen] * patterns[:, chosen], targets[i, chosen]
        else:
            share = np.exp(-policy * np.abs(fields) / average[i])
            share = share * np.sign(fields) / share.sum()
            drive, bias = patterns @ share, share.sum()
        alive = w > 1e-10
        for k in range(z):
            others = np.prod(np.delete(u[:, i], k, axis=0), axis=0)
            moved = u[k, i] + rate * alive * drive * others
            new_u[k, i] = np.maximum(alive * moved, 1e-20)
            new_u[k, i, i] = 0
        new_u[:, i] /= np.sqrt((new_u[:, i] ** 2).sum() / (z * target))
        new_threshold[i] -= slow * bias
    return new_u, new_threshold, means


@pytest.mark.parametrize("order", [1, 2, 3, 4])
@pytest.mark.parametrize("policy", ["weakest", 20.0])
def test_cycles_follow_the_specification(order, policy):
    memories, synapses = instance(order)
    factors = np.array(synapses.factors)
    factors[0, 2, 3] = 1e-15  # dead from the start
    synapses = Factored(jnp.asarray(factors), synapses.threshold)
    chosen = WeakestReplay() if policy == "weakest" else SoftReplay(policy)
    circuit = Replay(chosen)
    activity = circuit.start(synapses, memories)
    rules = (FactorAscent(0.05, 0.03), Pruning())
    enforced = (Floored(no_self_connections(ROWS, N)), HomeostaticScaling(4.0))
    u, threshold = np.asarray(synapses.factors), np.asarray(synapses.threshold)
    average = np.asarray(activity.average)

    @jax.jit
    def cycle(activity, synapses):
        activity, signals = circuit(activity, synapses, memories, KEY)
        changes = [rule(synapses, signals, KEY) for rule in rules]
        synapses = jax.tree.map(lambda x, *d: x + sum(d), synapses, *changes)
        for project in enforced:
            synapses = project(synapses)
        return activity, synapses

    for _ in range(4):
        activity, synapses = cycle(activity, synapses)
        u, threshold, average = by_hand(
            u, threshold, memories, policy, average, 0.05, 0.03, 4.0
        )
        assert np.allclose(synapses.factors, u, rtol=1e-12, atol=1e-18)
        assert np.allclose(synapses.threshold, threshold, rtol=1e-12)
        assert np.allclose(activity.average, average, rtol=1e-12)


@eqx.filter_jit
def replayed(circuit, synapses, memories):
    return circuit(circuit.start(synapses, memories), synapses, memories, KEY)[1]


def test_gathered_drive_is_the_product_with_the_replay():
    memories, synapses = instance()
    for policy in (WeakestReplay(), RandomReplay(), WeakestReplay(0.5)):
        signals = replayed(Replay(policy), synapses, memories)
        replay = np.asarray(signals.replay)
        assert np.allclose(signals.drive, replay @ np.asarray(memories.patterns).T)
        assert np.allclose(signals.bias, np.sum(replay, axis=1))
        assert np.all(np.sum(np.abs(replay), axis=1) == 1)


def test_the_lowest_index_wins_a_tie():
    patterns = jnp.ones((4, 3))
    memories = memories_of(patterns, 2)
    synapses = Factored(jnp.ones((1, 2, 4)), jnp.zeros(2))
    assert replayed(Replay(), synapses, memories).replay.tolist() == [[1, 0, 0]] * 2


@pytest.mark.parametrize(
    "policy",
    [
        *(WeakestReplay(), WeakestReplay(1.0), RandomReplay()),
        *(PrioritisedReplay(5.0), SoftReplay(5.0)),
    ],
)
def test_padding_is_never_replayed(policy):
    memories, synapses = instance()
    stored = jnp.arange(COUNT) < 3
    few = memories._replace(stored=stored)
    fewer = memories_of(memories.patterns[:, :3], ROWS)
    replay = np.asarray(replayed(Replay(policy), synapses, few).replay)
    assert not np.any(replay[:, 3:])
    if isinstance(policy, SoftReplay):
        part = replayed(Replay(policy), synapses, fewer).replay
        assert np.allclose(replay[:, :3], part, rtol=1e-12)
    assert np.all(np.sum(np.abs(replay), axis=1) > 0)


def test_prioritised_replay_draws_by_softmax_of_margins():
    draw = np.random.default_rng(4)
    fields = jnp.asarray(draw.normal(size=(2, 4)))
    targets = jnp.ones((2, 4)).at[1].set(-1.0)
    stored = jnp.asarray([True, True, False, True])
    candidates = Candidates(fields, targets, stored, jnp.asarray([0.5, 2.0]))
    policy, count = PrioritisedReplay(1.3), 20_000
    shares = jax.jit(jax.vmap(lambda key: policy(candidates, key)))(
        jr.split(KEY, count)
    )
    logits = -1.3 * np.asarray(targets * fields) / np.asarray([[0.5], [2.0]])
    law = softmax(np.where(stored, logits, -np.inf), axis=1)
    error = np.sqrt(law * (1 - law) / count)
    away = np.abs(np.mean(np.abs(shares), axis=0) - law)
    assert np.all(away <= 4 * error)
    sharp = PrioritisedReplay(1e9)(candidates, KEY)
    assert np.array_equal(sharp, WeakestReplay()(candidates, KEY))


def test_taught_replay_switches_neuron_by_neuron_or_together():
    memories, _ = instance()
    fields = memories.targets * 2.0
    fields = fields.at[1, 2].multiply(-1)  # one error
    candidates = Candidates(fields, *memories[1:], jnp.ones(ROWS))
    hard, soft = (p(candidates, KEY) for p in (WeakestReplay(), SoftReplay(3.0)))
    alone = TaughtReplay(WeakestReplay(), SoftReplay(3.0))(candidates, KEY)
    together = TaughtReplay(WeakestReplay(), SoftReplay(3.0), together=True)
    assert jnp.array_equal(alone[1], hard[1])
    assert jnp.array_equal(alone[0], soft[0])
    assert jnp.array_equal(together(candidates, KEY), hard)


def test_a_neuron_with_margin_enough_rests():
    memories, synapses = instance()
    circuit = Replay(enough=jnp.inf)
    start = circuit.start(synapses, memories)
    assert jnp.any(circuit(start, synapses, memories, KEY)[1].drive)
    rest = Replay(enough=-jnp.inf)(start, synapses, memories, KEY)[1]
    assert not jnp.any(rest.drive)
    assert not jnp.any(rest.bias)


# --- factors --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "parametrisation", [Product(), Power(2.0), Power(2.7), SignedPower(3.0)]
)
def test_ascent_is_the_chain_rule(parametrisation):
    height = 1 if isinstance(parametrisation, Power) else 2
    draw = np.random.default_rng(1)
    factors = jnp.asarray(draw.uniform(0.5, 1.5, (height, 3, 4)))
    drive = jnp.asarray(draw.normal(size=(3, 4)))
    through = jax.grad(lambda u: jnp.sum(drive * parametrisation.weights(u)))(factors)
    scale = parametrisation.exponent if isinstance(parametrisation, Power) else 1.0
    assert jnp.allclose(
        scale * parametrisation.ascent(factors, drive), through, rtol=1e-12
    )


def test_a_power_is_a_product_of_equal_factors():
    u = jnp.asarray(np.random.default_rng(2).uniform(0.5, 1.5, (1, 3, 4)))
    drive = jnp.ones((3, 4))
    for order in (1, 2, 3):
        stack = jnp.concatenate([u] * order)
        power = Power(float(order))
        assert jnp.allclose(power.weights(u), Product().weights(stack))
        assert jnp.allclose(power.squares(u), Product().squares(stack))
        assert jnp.allclose(
            power.ascent(u, drive), Product().ascent(stack, drive)[:1], rtol=1e-12
        )


def test_the_exponent_has_a_finite_gradient_at_pruned_synapses():
    u = jnp.asarray([[[0.0, 1e-20, 0.5]]])
    slope = jax.grad(lambda z: jnp.sum(Power(z).weights(u)))(2.0)
    assert jnp.allclose(slope, 0.25 * np.log(0.5))


@eqx.filter_jit
def scaled_twice(of, target, synapses):
    scaling = HomeostaticScaling(target, of=of)
    scaled = scaling(synapses)
    return scaled, scaling(scaled)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 4), st.floats(0.1, 50.0), st.integers(0, 2**31))
def test_scaling_reaches_its_target_and_stays(order, target, seed):
    _, synapses = instance(order, seed)
    measures = {
        "joint": lambda u: np.sum(u**2, axis=(0, 2)) / order,
        "each": lambda u: np.sum(u**2, axis=2),
        "weights": lambda u: np.sum(np.prod(u, axis=0) ** (2 / order), axis=1),
    }
    for of, measure in measures.items():
        scaled, again = scaled_twice(of, np.asarray(target), synapses)
        assert np.allclose(measure(np.asarray(scaled.factors)), target, rtol=1e-10)
        assert np.allclose(again.factors, scaled.factors, rtol=1e-12)
        assert np.array_equal(scaled.threshold, synapses.threshold)


def test_a_neuron_without_synapses_stays_finite():
    synapses = Factored(jnp.zeros((2, 3, 4)).at[:, 1].set(1.0), jnp.zeros(3))
    for of in ("joint", "each", "weights"):
        scaled = HomeostaticScaling(2.0, of=of)(synapses)
        assert jnp.all(jnp.isfinite(scaled.factors))
        assert not jnp.any(scaled.factors[:, 0])
        assert jnp.all(scaled.factors[:, 1] > 0)


def test_thresholds_for_a_random_pattern_and_between_fields():
    memories, synapses = instance()
    weights = Product().weights(synapses.factors)
    level = 0.3
    chosen = RandomPatternThreshold(level)(synapses).threshold
    means = level * jnp.sum(weights, axis=1)
    spread = jnp.sqrt(level * (1 - level) * jnp.sum(weights**2, axis=1))
    assert jnp.allclose((chosen - means) / spread, 0.5244005127080407, rtol=1e-9)
    middle = MidpointThreshold(memories.patterns)(synapses).threshold
    fields = np.sort(np.asarray(weights @ memories.patterns), axis=1)
    for i, old in enumerate(np.asarray(synapses.threshold)):
        above, below = fields[i][fields[i] > old], fields[i][fields[i] <= old]
        want = (above[0] + below[-1]) / 2 if len(above) and len(below) else old
        assert middle[i] == pytest.approx(want, rel=1e-12)


def test_signed_factors_stay_ordered():
    stack = jnp.asarray([[[1.0, 0.2]], [[0.5, 0.4]]])
    ordered = Ordered()(Factored(stack, jnp.zeros(1)))
    assert ordered.factors.tolist() == [[[1.0, 0.2]], [[0.5, 0.2]]]
    assert jnp.all(SignedPower(2.0).weights(ordered.factors) >= 0)


# --- storage and recall ---------------------------------------------------------------


@pytest.mark.parametrize("level", [0.25, 0.5])
def test_novelty_is_the_shift_that_activates_the_right_number(level):
    memories, synapses = instance(rows=N)
    pattern = memories.patterns[:, 0]
    _, signals = Novelty(level)(None, synapses, (pattern, pattern), KEY)
    weights = Product().weights(synapses.factors)
    fields = weights @ pattern - synapses.threshold
    active = int(jnp.sum(fields > 0))
    if active == round(level * N):
        assert signals.novelty == 0
    else:
        assert int(jnp.sum(fields > signals.novelty)) == round(level * N)
    change = NoveltyHebb(0.1, level)(synapses, signals, KEY).factors
    outer = jnp.outer(pattern - level, pattern - level)
    assert jnp.allclose(change[0], 0.1 * abs(signals.novelty) * outer)
    assert not jnp.any(change[1:])


def test_retrieval_is_synchronous_and_zero_is_silent():
    shift = jnp.roll(jnp.eye(4), 1, axis=0)  # each neuron drives the next one
    cue = jnp.asarray([[1.0, 0.0, 0.0, 0.0]]).T
    for steps in range(1, 6):
        state = retrieve(shift, 0.5 * jnp.ones(4), cue, steps)
        assert state[:, 0].tolist() == np.roll([1, 0, 0, 0], steps).tolist()
    assert not jnp.any(retrieve(shift, jnp.ones(4), cue, 1))  # a field of 0


def test_patterns_are_prefixes_and_exact_ones_have_their_number():
    few, many = (draw_patterns(50, count, 0.2, KEY) for count in (3, 6))
    assert jnp.array_equal(few, many[:, :3])
    exact = draw_patterns(50, 40, 0.2, KEY, exact=True)
    assert jnp.all(jnp.sum(exact, axis=0) == 10)
    assert set(np.unique(np.asarray(exact))) == {0.0, 1.0}


def test_epochs_show_every_stored_item_once():
    orders = epoch_orders(6, 3, KEY).reshape(3, 6)
    assert jnp.array_equal(jnp.sort(orders, axis=1), jnp.tile(jnp.arange(6), (3, 1)))
    assert len({tuple(row.tolist()) for row in orders}) > 1
    stored = jnp.arange(6) < 2
    padded = epoch_orders(6, 3, KEY, stored).reshape(3, 6)
    assert jnp.all(padded < 2)
    assert jnp.all(jnp.sum(padded, axis=1) == 3)
    items = jnp.tile(jnp.arange(6.0), (4, 1))
    task = Epochs(items, orders.reshape(-1))
    shown = [float(task(jnp.asarray(i), KEY)[0]) for i in range(19)]
    assert shown == [*orders.reshape(-1).tolist(), int(orders[0, 0])]


# --- runs -----------------------------------------------------------------------------


def run(config, steps=40, rows=None, key=KEY):
    system: Any
    state: Any
    system, state = build(config, key)
    if rows is not None:
        stored = system.task.stimulus
        system = eqx.tree_at(
            lambda s: (s.task.stimulus.targets, s.projections[0].mask),
            system,
            (stored.targets[rows], system.projections[0].mask[rows]),
        )
        state = eqx.tree_at(
            lambda s: (s.synapses.factors, s.synapses.threshold, s.activity.average),
            state,
            (
                state.synapses.factors[:, rows],
                state.synapses.threshold[rows],
                state.activity.average[rows],
            ),
        )
    return simulate(system, state, KEY, steps=steps, every=steps)[0].synapses


@pytest.mark.parametrize("policy", ["weakest", "soft", "taught"])
@pytest.mark.dear
def test_neurons_are_independent(policy):
    config = Config(size=20, rows=0, patterns=6, policy=policy, cycles=60)
    rows = np.asarray([3, 11, 19])
    whole, part = run(config), run(config, rows=rows)
    assert jnp.allclose(whole.factors[:, rows], part.factors, rtol=1e-9)
    assert jnp.allclose(whole.threshold[rows], part.threshold, rtol=1e-9)


@pytest.mark.dear
def test_a_load_below_the_room_for_patterns_is_a_smaller_problem():
    room = Config(size=20, rows=6, patterns=9, load=0.25, cycles=60)
    small = Config(size=20, rows=6, patterns=5, cycles=60)
    assert jnp.allclose(run(room).factors, run(small).factors, rtol=1e-10)


@pytest.mark.dear
def test_invariants_hold_after_every_cycle():
    config = Config(size=20, rows=0, patterns=8, cycles=600, rate=0.05)
    system, state = build(config, KEY)

    _, (u, threshold) = simulate(
        system, state, KEY, steps=300, record=_all_factors, every=1
    )
    weights = u[:, 0] * u[:, 1]
    assert jnp.all(u >= 0)
    assert not jnp.any(jnp.diagonal(u, axis1=2, axis2=3))
    assert jnp.allclose(jnp.sum(u**2, axis=(1, 3)) / 2, config.target, rtol=1e-6)
    assert jnp.all(jnp.sum(weights, axis=2) <= config.target * (1 + 1e-9))
    dead = weights <= config.pruned_below
    assert jnp.all(dead[1:] >= dead[:-1])  # pruning is for good
    assert jnp.sum(dead[-1]) > jnp.sum(dead[0])
    assert jnp.all(jnp.isfinite(threshold))


def _all_factors(state, signals, changes):
    del signals, changes
    return state.synapses.factors, state.synapses.threshold


def test_rates_follow_the_schedule():
    memories, synapses = instance()
    circuit = Replay()
    _, signals = circuit(circuit.start(synapses, memories), synapses, memories, KEY)
    ascent = FactorAscent(0.05, 0.03)
    halved = Scheduled(ascent, lambda step: jnp.where(step == 0, 0.5, 1.0))
    whole = ascent(synapses, signals, KEY)
    half = halved(synapses, signals, KEY)
    assert jnp.allclose(2 * half.factors, whole.factors)
    assert jnp.allclose(2 * half.threshold, whole.threshold)


def test_no_rate_only_scales_once():
    config = Config(size=20, rows=4, patterns=5, rate=0.0, threshold_rate=0.0)
    many = lambda key: simulate(*build(config, key), KEY, steps=50, record=_all_factors)
    factors, thresholds = (np.asarray(x) for x in jax.jit(many)(KEY)[1])
    assert np.allclose(factors[0], factors[-1], rtol=1e-12)
    assert np.array_equal(thresholds[0], thresholds[-1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"coding_level": 0.0}, "coding_level"),
        ({"coding_level": 1.0}, "coding_level"),
        ({"exponent": 0.5}, "exponent"),
        ({"order": 0}, "order"),
        ({"rows": 101}, "rows"),
        ({"policy": "weekest"}, "weakest"),
        ({"scaling": "jont"}, "joint"),
        ({"initial_spread": 1.5}, "initial_spread"),
        ({"coding_level": 0.001, "exact": True}, "alike"),
    ],
)
def test_bad_configurations_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        Config(**change)


def test_bad_patterns_and_factors_are_refused():
    with pytest.raises(ValueError, match=r"0\.5"):
        memories_of(jnp.full((4, 2), 0.5))
    with pytest.raises(ValueError, match="rows"):
        memories_of(jnp.ones((4, 2)), 5)
    with pytest.raises(ValueError, match="exponent"):
        Power(0.9)
    with pytest.raises(ValueError, match="coding_level"):
        draw_patterns(5, 2, 1.0, KEY)
    memories, synapses = instance()
    negative = Factored(synapses.factors - 0.6, synapses.threshold)
    with pytest.raises(ValueError, match="not negative"):
        Replay().start(negative, memories)


@pytest.mark.parametrize("case", ["one pattern", "all alike", "contradiction", "load"])
def test_what_cannot_be_separated_stays_finite_and_shows(case):
    draw = np.random.default_rng(3)
    patterns = (draw.random((20, 60)) < 0.5).astype(float)
    stored = np.ones(60, bool)
    if case == "one pattern":
        stored[1:] = False
    elif case == "all alike":
        patterns[:] = patterns[:, :1]
    elif case == "contradiction":  # one input, both targets
        patterns[1:, 1] = patterns[1:, 0]
        patterns[0, :2] = 0, 1
        stored[2:] = False
    memories = memories_of(jnp.asarray(patterns), 5, jnp.asarray(stored))
    config = Config(size=20, rows=5, patterns=60, cycles=3000)
    system, state = sleep(config, memories, start(config, KEY))
    end, _ = simulate(system, state, KEY, steps=3000, every=3000)
    fields, weights = fields_and_weights(system, end)
    assert jnp.all(jnp.isfinite(fields))
    assert jnp.all(weights >= 0)
    margin = margins(fields, memories.targets, memories.stored)
    hopeless = {
        "one pattern": [],
        "all alike": [],
        "contradiction": [0],
        "load": [0, 1, 2, 3, 4],
    }[case]
    assert [i for i in range(5) if margin[i] <= 0] == hopeless
    alone = degenerate(memories.targets, memories.stored)
    assert bool(jnp.all(alone)) == (case in ("one pattern", "all alike"))


def awake():
    config = Config(size=20, rows=0, patterns=6, epochs=1)
    memories = memories_of(draw_patterns(20, 6, 0.5, KEY))
    return wake(config, memories, KEY)


def fluctuating():
    rules = {"volatile": VolatileFactor(2.0)}
    return System(Constant(None), Resting(0.005), rules), State(None, jnp.ones((2, 9)))


SYSTEMS = {
    **{
        policy: lambda policy=policy: build(Config(size=20, rows=5, policy=policy), KEY)
        for policy in ("weakest", "noisy", "taught")
    },
    "awake": awake,
    "fluctuating": fluctuating,
}


@pytest.mark.parametrize("made", SYSTEMS.values(), ids=SYSTEMS.keys())
def test_a_step_lowers_for_cuda_without_callbacks(made):
    made_of = lambda x: isinstance(x, jax.ShapeDtypeStruct)
    arrays, rest = eqx.partition(eqx.filter_eval_shape(made), made_of)

    def step(arrays, key):
        return advance(*eqx.combine(arrays, rest), key)[0].synapses

    traced = jax.jit(step).trace(arrays, KEY)
    assert "callback" not in traced.lower(lowering_platforms=("cuda",)).as_text()
