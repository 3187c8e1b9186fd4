"""Traces: what a rule reads and moves by itself; layers, whose rules read some."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest

from plasticity_jax import (
    AbstractRule,
    AbstractTask,
    advance,
    rules,
    simulate,
    State,
    System,
)
from plasticity_jax.circuits import (
    BernoulliLayer,
    EquilibriumNetwork,
    ExponentialNeurons,
    Layer,
    LayeredNetwork,
    LeakyNetwork,
    NoisyLayer,
    PredictiveNetwork,
    RateNetwork,
)
from plasticity_jax.signals import LayerSignals, SpikeSignals
from plasticity_jax.synapses import (
    Bounded,
    Cascade,
    Chain,
    Dale,
    Density,
    Factored,
    Normed,
    Rewired,
)
from plasticity_jax.tasks import Constant
from plasticity_jax.traces import (
    AbstractTrace,
    Delayed,
    Eligibility,
    LowPass,
    ShortTerm,
)


KEY = jr.key(0)
DRAW = np.random.default_rng(0)
INPUTS = jnp.asarray(DRAW.normal(size=(40, 3)))
WEIGHTS = jnp.asarray(DRAW.normal(size=(2, 3)))


def stimuli(step, key):
    return INPUTS[step % len(INPUTS)]


class Shown(Constant):
    """One input a step."""

    stimulus: object = None

    def __call__(self, step, key):
        return stimuli(step, key)


def system_of(rule, **more):
    return System(Shown(), Layer(**more), {"it": rule})


class Reader(AbstractRule):
    """Its change is its trace."""

    trace: AbstractTrace

    def traces(self):
        return {"mine": self.trace}

    def __call__(self, synapses, signals, key):
        return jnp.outer(jnp.ones(2), signals.traces["mine"].reshape(-1, 3)[0])


class Asked(AbstractRule):
    """It asks a thousandth less of every weight."""

    def __call__(self, synapses, signals, key):
        return jnp.full_like(synapses, -0.001)


def record(state, signals, changes):
    return changes["it"][0], state.traces["it"]["mine"]


def test_a_low_pass_is_read_before_it_moves_and_an_eligibility_after():
    keep = np.exp(-0.5 / 3.0)
    for trace, before in (
        (LowPass(3.0, lambda s: s.pre), True),
        (LowPass(3.0, lambda s: s.pre, 2.0, early=True), False),
        (Eligibility(3.0, lambda s: s.pre), False),
    ):
        system = system_of(Reader(trace), dt=0.5)
        _, (read, kept) = simulate(
            system, system.start(WEIGHTS, KEY), KEY, steps=20, record=record
        )
        share = 1.0 if isinstance(trace, Eligibility) else 1 - keep
        value = np.full(3, 2.0 if isinstance(trace, LowPass) and not before else 0.0)
        for step in range(20):
            after = keep * value + share * np.asarray(INPUTS[step])
            assert np.allclose(read[step], value if before else after, rtol=1e-12)
            assert np.allclose(kept[step], after, rtol=1e-12)
            value = after


def test_counts_and_truth_values_fade_like_floats():
    for make in (
        lambda of: LowPass(3.0, of, 2.0),
        lambda of: Eligibility(3.0, of),
        lambda of: Eligibility(3.0, of, nearest=True),
    ):
        ends = []
        for kind in (float, jnp.int32, bool):
            trace = make(lambda s, kind=kind: (s.pre > 0).astype(kind))
            system = system_of(Reader(trace), dt=0.5)
            run = simulate(system, system.start(WEIGHTS, KEY), KEY, steps=9)[0]
            ends.append(run.traces["it"]["mine"])
        assert ends[0].dtype == ends[1].dtype == ends[2].dtype
        assert np.array_equal(ends[0], ends[1])
        assert np.array_equal(ends[0], ends[2])


@pytest.mark.usefixtures("unchecked")
def test_a_low_pass_begins_at_one_number_or_at_one_for_each_reading():
    seen = Layer()(None, WEIGHTS, INPUTS[0], KEY)[1]
    both = lambda s: jnp.stack([s.pre, s.pre])
    for first in (1.0, jnp.arange(6.0).reshape(2, 3)):
        begun = LowPass(3.0, both, first).start(None, seen)
        assert np.array_equal(begun, np.broadcast_to(first, (2, 3)))
    for first in (jnp.ones(3), jnp.ones((2, 1)), jnp.ones((1, 2, 3))):
        with pytest.raises(ValueError, match=r"`first` must be one.*\(2, 3\); got"):
            LowPass(3.0, both, first).start(None, seen)


def test_a_delayed_trace_is_what_it_was_then():
    for trace in (LowPass(3.0, lambda s: s.pre), Eligibility(3.0, lambda s: s.pre)):
        read = []
        for now in (trace, Delayed(trace, 2), Delayed(trace, 0)):
            system = system_of(Reader(now), dt=0.5)
            _, (_, kept) = simulate(
                system, system.start(WEIGHTS, KEY), KEY, steps=9, record=record
            )
            read.append(kept if now is trace else kept[:, 0])
        assert np.array_equal(read[1][:2], np.zeros((2, 3)))
        assert np.array_equal(read[1][2:], read[0][:-2])
        assert np.array_equal(read[2], read[0])


def test_a_run_with_traces_may_be_cut_vmapped_and_differentiated():
    system = system_of(rules.BCM(0.02, 20.0))
    start = system.start(WEIGHTS, KEY)
    whole, _ = simulate(system, start, KEY, steps=30, every=30)
    half, _ = simulate(system, start, KEY, steps=12, every=12)
    again, _ = simulate(system, half, KEY, steps=18, every=18)
    bare, _ = simulate(system, State(None, WEIGHTS), KEY, steps=30, every=30)
    for other in (again, bare):
        assert eqx.tree_equal(whole, other)

    def end(time):
        system = system_of(rules.BCM(0.02, time))
        state, _ = simulate(system, State(None, WEIGHTS), KEY, steps=30, every=30)
        return jnp.sum(state.synapses**2)

    times = np.asarray([5.0, 20.0, 20 + 1e-4, 20 - 1e-4])
    seen = jax.jit(jax.value_and_grad(end))
    each, slopes = zip(*map(seen, times), strict=True)
    assert np.allclose(jax.jit(jax.vmap(end))(times), each, rtol=1e-12)
    assert np.allclose(slopes[1], (each[2] - each[3]) / 2e-4, rtol=1e-6)


def test_a_wrapper_has_the_traces_of_its_rule_and_each_rule_its_own():
    plain, scaled = rules.BCM(0.01, 5.0), rules.Scaled(rules.BCM(0.01, 30.0), 2.0)
    parts = {"a": plain, "b": scaled, "c": rules.Intermittent(plain, 3)}
    system = System(Shown(), Layer(), {**parts, "d": rules.Hebb()})
    state = system.start(WEIGHTS, KEY)
    assert set(state.traces) == {"a", "b", "c"}
    _, _, changes = advance(system, state, KEY)
    lone = System(Shown(), Layer(), {"b": scaled})
    moved, seen = State(None, WEIGHTS), []
    for _ in range(5):
        moved, _, changes = advance(lone, moved, KEY)
        state, _, together = advance(system, state, KEY)
        state = eqx.tree_at(lambda s: s.synapses, state, moved.synapses)
        seen.append(np.allclose(changes["b"], together["b"], rtol=1e-12))
    assert all(seen)
    fewer = System(Shown(), Layer(), {"a": plain})
    assert set(advance(fewer, state, KEY)[0].traces) == {"a"}
    twice = rules.Scaled(Reader(LowPass(1.0, lambda s: s.pre)), 1.0)

    class Both(AbstractRule):
        one: AbstractRule
        two: AbstractRule

        def __call__(self, synapses, signals, key):
            return synapses

    with pytest.raises(ValueError, match="two of its rules have a trace 'mine'"):
        Both(twice, twice).traces()


class Wrong(AbstractTrace):
    """A trace that changes its shape."""

    moves_first = False

    def start(self, synapses, signals):
        return jnp.zeros(3)

    def __call__(self, trace, synapses, signals, change):
        assert change.shape == synapses.shape
        return jnp.zeros(2)


@pytest.mark.usefixtures("unchecked")
def test_what_traces_are_told():
    with pytest.raises(ValueError, match=r"trace .mine. of rule .it. \(Reader\)"):
        advance(system_of(Reader(Wrong())), State(None, WEIGHTS), KEY)
    absent = Reader(LowPass(1.0, lambda s: s.late_trace))
    says = r"rule 'it' \(Reader\) reads the signal `late_trace`, which LayerSignals"
    with pytest.raises(ValueError, match=says + ".*RateNetwork"):
        system_of(absent).start(WEIGHTS, KEY)
    for time in (0.0, -1.0, jnp.nan):
        for kind in (LowPass, Eligibility):
            with pytest.raises(ValueError, match="`time` must lie in"):
                kind(time, lambda s: s.pre)


# --- short-term plasticity ------------------------------------------------------------


class Releases(AbstractRule):
    """Its change is what its synapses release."""

    def traces(self):
        return {"short": ShortTerm(jnp.asarray([0.5, 0.2]), 100.0, 30.0)}

    def __call__(self, synapses, signals, key):
        return jnp.outer(jnp.ones(3), signals.traces["short"].released)


def released(network, external=15.0):
    """What the rule and the network released in 40 steps, and the spikes."""
    size = (3, 2) if network.inputs is None else (3, 3)
    task = Constant({"pre": jnp.ones(2), "external": external})
    system = System(task, network, {"it": Releases()})
    start = system.start(jnp.ones(size), KEY)
    seen = lambda state, signals, changes: (
        changes["it"][0],
        state.activity.resources.released,
        signals.pre,
    )
    return simulate(system, start, KEY, steps=40, record=seen)[1]


def test_a_rule_and_a_network_keep_the_same_resources():
    short = Releases().traces()["short"]
    rule, network, spikes = released(LeakyNetwork(short_term=short, dt=0.5))
    assert np.array_equal(rule, network)
    assert np.all(spikes == 1)
    assert np.allclose(network[0], [0.5, 0.2])
    assert np.all(network[-1] < 0.5 * network[0])


def test_resources_are_those_of_the_synapses_and_change_nothing_else():
    """Of the network where it learns; with all released and none lost, as without."""
    plain = LeakyNetwork(recurrent=2 * jnp.eye(3))
    tireless = LeakyNetwork(recurrent=2 * jnp.eye(3), short_term=ShortTerm(1.0, 1e-9))
    task = Constant({"pre": jnp.ones(2), "external": 15.0})
    ends = [
        simulate(system, system.start(jnp.ones((3, 2)), KEY), KEY, steps=60)[0]
        for system in (System(task, x, {}) for x in (plain, tireless))
    ]
    assert np.allclose(ends[0].activity.potential, ends[1].activity.potential)
    within = LeakyNetwork(inputs=jnp.ones((3, 2)), short_term=ShortTerm(0.5, 100.0))
    system = System(task, within, {})
    fired = lambda state, signals, changes: (
        state.activity.resources.released,
        signals.pre,
    )
    start = system.start(jnp.ones((3, 3)), KEY)
    sent, arrived = simulate(system, start, KEY, steps=200, record=fired)[1]
    first = np.argmax(arrived[:, 0])
    assert sent[first, 0] == 0.5
    assert np.all((sent > 0) == (arrived > 0))


def test_short_term_plasticity_without_facilitation_has_its_derivatives():
    def sent(parts):
        short = ShortTerm(*parts)
        moved = short.after(short.rest(jnp.ones(2)), jnp.ones(2), jnp.ones(()))
        return jnp.sum(short.after(moved, jnp.ones(2), jnp.asarray(2.0)).released)

    parts, seen = np.asarray([0.4, 50.0, 0.0]), jax.jit(jax.value_and_grad(sent))
    slope = seen(parts)[1]
    for i, h in enumerate(np.diag([1e-6, 1e-4, 0.0])[:2]):
        near = (seen(parts + h)[0] - seen(parts - h)[0]) / 2 / h[i]
        assert np.allclose(slope[i], near, rtol=1e-6)
    assert slope[2] == 0
    short, spikes = ShortTerm(0.5, 9.0), jnp.asarray([1.0, 2.0, -1.0])
    lost = eqx.filter_jit(short.after)(short.rest(jnp.ones(3)), spikes, jnp.ones(()))
    assert np.isnan(lost.released).tolist() == [False, True, True]


@pytest.mark.usefixtures("unchecked")
def test_short_term_plasticity_that_makes_no_sense_is_refused():
    for make, says in (
        (lambda: ShortTerm(1.1, 9.0), "`use` must lie in"),
        (lambda: ShortTerm(0.5, 0.0), "`recovery` must lie in"),
        (lambda: ShortTerm(0.5, 9.0, -1.0), "`facilitation` must lie in"),
        (lambda: ShortTerm.published("EEE"), "`kind` is unknown.*Did you mean 'EE'"),
        (lambda: ShortTerm(0.5, jnp.ones(2)).rest(jnp.ones(3)), "`recovery` must be o"),
    ):
        with pytest.raises(ValueError, match=says):
            make()


def test_times_under_a_step_are_refused_where_euler_steps_and_exact_elsewhere():
    """An exact decay is over within the step; one of Euler's overshoots."""
    for make, says in (
        (lambda: RateNetwork(0.1, 0.05), "`trace_time`"),
        (lambda: RateNetwork(0.1, 9.0, 0.05), "`late_trace_time`"),
        (lambda: ExponentialNeurons(after_time=0.5), "`after_time` must lie in"),
        (lambda: ExponentialNeurons(threshold_time=0.5), "`threshold_time` must lie"),
        (lambda: ExponentialNeurons(adaptation_time=0.5), "`adaptation_time` must"),
    ):
        with pytest.raises(ValueError, match=says):
            make()
    seen = Layer()(None, WEIGHTS, INPUTS[0], KEY)[1]
    for kind in (LowPass, Eligibility):
        after = kind(1e-3, lambda s: s.pre)(jnp.ones(3), None, seen, None)
        assert np.allclose(after, INPUTS[0], rtol=1e-12)
    short = ShortTerm(0.5, 1e-3, 1e-3)
    spent = short.after(short.rest(jnp.ones(3)), jnp.ones(3), jnp.ones(()))
    assert np.allclose(short.after(spent, jnp.ones(3), jnp.ones(())).released, 0.5)
    fast = LeakyNetwork(membrane_time=1e-3, synaptic_time=1e-2)
    rest = fast.start(WEIGHTS)._replace(potential=jnp.full(2, 9.0))
    shown = {"pre": jnp.zeros(3), "external": 7.0}
    after, _ = fast(rest, WEIGHTS, shown, KEY)
    assert np.allclose(after.potential, 7.0, rtol=1e-12)


# --- layers ---------------------------------------------------------------------------


def test_a_layer_offers_what_it_is_shown():
    layer = Layer(jnp.tanh, dt=0.5)
    x, t = INPUTS[0], jnp.ones(2)
    _, signals = layer(None, WEIGHTS, {"pre": x, "target": t, "mood": 2.0}, KEY)
    assert np.allclose(signals.post, np.tanh(WEIGHTS @ x))
    assert np.allclose(signals.slope, 1 - np.tanh(WEIGHTS @ x) ** 2)
    assert np.allclose(signals.error, t - signals.post)
    assert signals.mood == 2.0
    bare = System(Constant(x), layer, {"it": rules.Delta()})
    with pytest.raises(
        ValueError, match=r"reads the signal `error`.*offer it: .*Layer"
    ):
        advance(bare, State(None, WEIGHTS), KEY)


@pytest.mark.parametrize(
    ("layer", "rule", "says"),
    [
        (Layer(), rules.Delta(), r"'it' \(Delta\) reads the signal `error`.*'target'"),
        (Layer(), rules.Reinforce(), "`rate`, .* hold; circuits that offer it: Berno"),
        (
            Layer(),
            Reader(LowPass(1.0, lambda s: s.reward)),
            r"`reward`.*'reward': \.\.",
        ),
        (Layer(), rules.NodePerturbation(), "`spread`.* offer it: NoisyLayer.$"),
        (NoisyLayer(), rules.Hebb(), "NoisyLayer reads the signal `target`.*'target'"),
    ],
)
def test_a_modulator_that_never_comes_is_told_what_to_show(layer, rule, says):
    bare = System(Constant(INPUTS[0]), layer, {"it": rule})
    with pytest.raises(ValueError, match=says):
        advance(bare, State(None, WEIGHTS), KEY)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("layer", "stimulus", "says"),
    [
        (Layer(), {"target": 1.0}, "must hold `pre`"),
        (Layer(), jnp.ones(2), "must fit; got shapes"),
        (Layer(), jnp.ones((3, 1)), "must fit; got shapes"),
        (Layer(jnp.sum), jnp.ones(3), "`transfer` must return a rate for each of 2"),
        (Layer(), {"pre": jnp.ones(3), "target": jnp.ones(3)}, "`target` must have an"),
        (Layer(), {"pre": jnp.ones(3), "target": 1.0}, "`target` must have an"),
    ],
)
def test_a_stimulus_that_does_not_fit_is_refused(layer, stimulus, says):
    with pytest.raises(ValueError, match=says):
        layer(None, WEIGHTS, stimulus, KEY)


def test_what_is_lost_stays_lost():
    lost = WEIGHTS.at[0].set(jnp.nan)
    x, t = INPUTS[0], jnp.ones(2)
    with jax.numpy_dtype_promotion("standard"):
        _, units = BernoulliLayer()(None, lost, x, KEY)
        _, sure = BernoulliLayer(lambda h: 2 + 0 * h)(None, WEIGHTS, x, KEY)
        network = LeakyNetwork()
        rest = network.start(lost)._replace(current=lost[:, 0])
        _, spikes = network(rest, WEIGHTS, x, KEY)
    assert np.isnan(units.post).tolist() == [True, False]
    assert np.all(np.isnan(sure.post))
    assert np.isnan(spikes.post).tolist() == [True, False]
    _, told = Layer()(None, lost, {"pre": x, "target": t}, KEY)
    change = rules.Perceptron()(lost, told, KEY)
    assert np.isnan(change).all(axis=1).tolist() == [True, False]
    for size in (1e-25, 1e25):
        far = Normed()(jnp.asarray([[3.0, 4.0]], jnp.float32) * jnp.float32(size))
        assert np.allclose(far, [[0.6, 0.8]], rtol=1e-5)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32])
def test_rare_chances_stay_rare_in_any_precision(dtype):
    """A chance of .001, within 4 standard errors of 100,000 draws."""
    count, size = 100_000, 0.001
    layer = BernoulliLayer(lambda h: 0 * h + size)
    cascaded = rules.Cascaded(Asked(), 3)
    chained = rules.Chained(Asked(), coupling=0.0, levels=128)

    @jax.jit
    def moved(weights):
        seen = layer(None, weights, jnp.ones(1, dtype), KEY)[1]
        ends = [seen.post, cascaded(Cascade(weights[:, 0]), seen, KEY).state < 0]
        for start in (0.0, 100.0):
            chain = Chain(jnp.full((1, count), start, dtype))
            ends.append(-chained(chain, seen, KEY).variables[0])
        return ends

    for found in moved(jnp.ones((count, 1), dtype)):
        found = np.asarray(found, float)
        assert abs(np.mean(found) - size) < 4 * np.sqrt(size / count)


def test_rules_inside_of_any_container_keep_their_traces():
    class Sum(AbstractRule):
        parts: tuple

        def __call__(self, synapses, signals, key):
            return sum(part(synapses, signals, key) for part in self.parts)

    found = Sum((rules.BCM(0.1), {"x": rules.PES()})).traces()
    assert set(found) == {"threshold", "rates"}


def test_scaling_may_wait_for_many_steps_and_pairs_of_spikes_for_one():
    scaling = rules.SynapticScaling(0.02)
    for rule, every in ((scaling, 1000), (rules.STDP(), 1)):
        assert rules.Intermittent(rules.Scaled(rule, 2.0), every).every == every


def test_scaling_reads_spikes_as_rates_and_waits_where_no_weight_is_left():
    rule = rules.SynapticScaling(0.3, 0.1, 0.2, 20.0)
    trace, dt, rate = rule.traces()["rate"], jnp.asarray(0.5), jnp.asarray([0.4, 0.1])
    weights, pre = WEIGHTS.at[1].set(0.0), jnp.ones(3)
    for signals in (
        LayerSignals(dt, pre, rate, rate, rate),
        SpikeSignals(dt, pre, dt * rate, rate, rate),
    ):
        begun = trace.start(weights, signals)
        once = trace(begun, weights, signals, None)
        mean, missed = trace(once, weights, signals, None)
        assert np.allclose(mean, 0.3 + (rate - 0.3) * -np.expm1(-0.05), rtol=1e-12)
        first = (rate[0] - 0.3) * np.expm1(-0.025)
        assert np.allclose(missed, [0.5 * first, 0.0], rtol=1e-12)


class Channels(AbstractTask):
    """Four channels of 50 excitatory and 50 inhibitory inputs, by turns at 50 Hz."""

    def __call__(self, step, key):
        turn = jnp.arange(4, dtype=jnp.int32) == step // 200 % 4
        rate = jnp.where(turn, 0.05, 0.005)
        return jr.bernoulli(key, jnp.repeat(rate, 100)).astype(float)


@pytest.mark.slow
def test_inhibition_comes_to_follow_excitation_across_stimuli():
    """Detailed balance (Vogels et al. 2011), in a run of 80 s."""
    excites, sizes = jnp.arange(400) % 100 < 50, jnp.asarray([4.0, 3.0, 2.0, 1.0])
    weights = jnp.where(excites, jnp.repeat(sizes, 100), 0.0)[None]
    plastic = jnp.where(excites, 0.0, 1.0)[None]
    rule = rules.Masked(rules.InhibitorySTDP(0.01), plastic)
    signs = (Dale(jnp.where(excites, 1.0, -1.0)),)
    system = System(Channels(), LeakyNetwork(), {"it": rule}, signs)
    sums = lambda state: jnp.sum(state.synapses.reshape(4, 2, 50), axis=2)
    seen = simulate(
        *(system, system.start(weights, KEY), KEY),
        steps=80_000,
        record=lambda state, signals, changes: (signals.post[0], sums(state)),
    )[1]
    fired, summed = (np.mean(x[40_000:], axis=0) for x in seen)
    assert abs(1000 * fired / 5 - 1) < 0.1
    rates = np.where(np.eye(4) > 0, 0.05, 0.005)
    excited, inhibited = 5 * rates @ summed[:, 0], -5 * rates @ summed[:, 1]
    slope, least = np.polyfit(excited, inhibited, 1)
    assert 0.9 < slope < 1.25  # above 1: what is stronger is also noisier
    assert least < 0
    assert np.corrcoef(excited, inhibited)[0, 1] > 0.99


def test_only_noise_draws():
    quiet, loud = rules.STDP(), rules.STDP(noise=0.1)
    traces = {"pre": jnp.ones(3), "post": jnp.ones(2)}
    signals = SpikeSignals(jnp.ones(()), jnp.ones(3), *[jnp.ones(2)] * 3, traces=traces)
    for rule, drawn in ((quiet, False), (loud, True)):
        made = jax.make_jaxpr(lambda key, rule=rule: rule(WEIGHTS, signals, key))(KEY)
        assert ("random_bits" in str(made)) is drawn


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("make", "rule"),
    [
        (
            lambda nudge, step: PredictiveNetwork(nudge, step, steps=5),
            rules.PredictiveCoding(0.3),
        ),
        (
            lambda nudge, step: EquilibriumNetwork(nudge, step, phases="symmetric"),
            rules.EquilibriumPropagation(0.3),
        ),
    ],
)
def test_networks_that_settle_are_mapped_and_differentiated(make, rule):
    layers = 0.5 * jnp.ones((3, 2)), 0.4 * jnp.ones((1, 3))
    shown = {"pre": jnp.ones(2), "target": jnp.ones(1)}

    def size(hypers):
        signals = make(*hypers)(None, layers, shown, KEY)[1]
        return sum(jnp.sum(d**2) for d in rule(layers, signals, KEY))

    both = jax.jit(jax.vmap(jax.value_and_grad(size)))
    step = 1e-5 * jnp.asarray([[0.0, 0], [1, 0], [-1, 0], [0, 1], [0, -1]])
    value, slopes = both(jnp.asarray([[0.4, 0.3]]) + step)
    near = (value[1::2] - value[2::2]) / 2e-5
    assert np.allclose(slopes[0], near, rtol=1e-6)


@pytest.mark.usefixtures("unchecked")
def test_factored_layers_learn_by_backpropagation():
    """The chain rule through both: of the products, and of the layers."""
    draw = np.random.default_rng(0)
    factors = tuple(abs(draw.normal(size=s)) for s in ((2, 3, 2), (2, 1, 3)))
    shown = {"pre": jnp.ones(2), "target": jnp.ones(1)}
    rule = rules.Reparametrised(rules.Backpropagation(1.0))

    @jax.jit
    def learned(factors):
        layers = tuple(Factored(x, jnp.zeros(x.shape[1])) for x in factors)
        _, signals = LayeredNetwork()(None, layers, shown, KEY)
        return rule(layers, signals, KEY)

    def loss(factors):
        first, second = (x[0] * x[1] for x in factors)
        missed = shown["target"] - second @ jnp.tanh(first @ shown["pre"])
        return jnp.sum(missed**2) / 2

    slopes = jax.jit(jax.grad(loss))(factors)
    for found, want in zip(learned(factors), slopes, strict=True):
        assert np.allclose(found.factors, -want, rtol=1e-10)


# --- projections of plain weights -----------------------------------------------------


def test_plain_weights_are_held_in_bounds():
    w = np.asarray([[3.0, -4.0], [0.0, 0.0], [np.nan, 1.0]])

    @eqx.filter_jit
    def held(projection, w):
        """What it makes of the weights, and the slopes of their sum."""
        make = lambda w: (jnp.sum(projection(w)), projection(w))
        slopes, made = jax.grad(make, has_aux=True)(w)
        return made, slopes

    low, _ = held(Bounded(-1.0, 2.0), w)
    assert np.array_equal(low, [[2, -1], [0, 0], [np.nan, 1]], equal_nan=True)
    _, on = held(Bounded(-4.0, 2.0), w)
    assert np.array_equal(on, [[0, 1], [1, 1], [1, 1]])
    two, _ = held(Normed(2.0), w)
    assert np.allclose(two[:2], [[1.2, -1.6], [0, 0]])
    first, _ = held(Normed(1.0, order=1), w)
    assert np.allclose(first[:2], [[3 / 7, -4 / 7], [0, 0]])
    columns, _ = held(Normed(1.0, "out of"), w[:2])
    assert np.allclose(columns, [[1, -1], [0, 0]])
    _, slope = held(Normed(), w[:2])
    assert np.all(np.isfinite(slope))
    kept, _ = held(Dale(jnp.asarray([1.0, -1.0])), w)
    assert np.array_equal(kept, [[3, -4], [0, 0], [np.nan, 0]], equal_nan=True)


def test_the_densest_are_kept_and_their_number_is_exact():
    w = np.asarray(jr.normal(KEY, (5, 8)))
    for side, axis, count in (("into", 1, 3), ("out of", 0, 2), ("all", None, 14)):
        kept = np.asarray(eqx.filter_jit(Density(0.35, side))(w))
        assert np.all(np.sum(kept != 0, axis=axis) == count)
        least = np.min(np.where(kept != 0, abs(w), np.inf), axis=axis, keepdims=True)
        assert np.all((abs(w) >= least) == (kept != 0))
        assert np.array_equal(kept[kept != 0], w[kept != 0])
    tied = jnp.asarray([[1.0, -1.0, 1.0, 1.0], [0.0, 2.0, jnp.nan, 2.0]])
    kept, cubed = jax.jit(
        lambda w: (
            Density(0.5)(w),
            jax.grad(lambda w: jnp.sum(Density(0.5)(w) ** 3))(w),
        )
    )(tied)
    want = np.asarray([[1, -1, 0, 0], [0, 2, np.nan, 0]])
    assert np.array_equal(kept, want, equal_nan=True)
    assert np.array_equal(cubed, 3 * want**2, equal_nan=True)


SIGNS = jnp.asarray([1.0, -1.0, 1.0, -1.0, 1.0, 1.0])
HOLLOW = jnp.asarray(1 - np.eye(6))


def sparse_weights():
    """Nine synapses of six neurons, of their neurons' signs, three of them weak."""
    order = np.argwhere(np.asarray(HOLLOW))[np.random.default_rng(0).permutation(30)]
    w = np.zeros((6, 6))
    for (i, j), size in zip(order[:9], [0.05] * 3 + [0.5] * 6, strict=True):
        w[i, j] = size * SIGNS[j]
    return jnp.asarray(w)


def test_rewiring_keeps_the_number_and_the_signs_and_draws_evenly():
    """Three of the 24 free places grow in each of 6000 draws, each as often."""
    w = sparse_weights()
    rewired = Rewired(0.3, 0.1, 0.2, SIGNS, HOLLOW)
    count = 6000
    beside = w.at[0, 0].set(0.5)  # where none may be
    draws = jax.jit(jax.vmap(lambda key: rewired(beside, None, key)))
    after = draws(jr.split(KEY, count))
    assert np.all(after[:, 0, 0] == 0)
    after, stays = np.asarray(after), np.asarray(abs(w) > 0.1)
    assert np.all(np.sum(after != 0, axis=(1, 2)) == 9)
    assert np.all(after[:, stays] == np.asarray(w)[stays])
    grown = (after != 0) & ~stays
    assert np.all(after[grown] == np.broadcast_to(0.2 * SIGNS, after.shape)[grown])
    free = (np.asarray(HOLLOW) > 0) & ~stays
    often, chance = np.mean(grown, axis=0)[free], 3 / 24
    error = np.sqrt(chance * (1 - chance) / count)
    assert np.sum(free) == 24
    assert np.all(abs(often - chance) < 4 * error)
    assert error < 0.05 * chance
    both = np.mean(grown[:, free][:, 0] & grown[:, free][:, 1])
    law = chance * 2 / 23
    assert abs(both - law) < 4 * np.sqrt(law / count)
    assert np.all(after * np.asarray(SIGNS) >= 0)
    total = lambda first: jnp.sum(Rewired(0.3, 0.1, first)(w, None, KEY))
    assert float(jax.jit(jax.grad(total))(0.2)) == 5.0  # 11 without signs, 6 stay


def test_a_run_that_rewires_has_as_many_synapses_at_every_step():
    task = Constant(jr.normal(KEY, (6,)))
    noise = rules.Masked(rules.Scaled(rules.Wiener(), 0.1))
    cut = Rewired(0.3, 0.1, 0.2, SIGNS, HOLLOW)
    w = 0.3 * jnp.sign(sparse_weights())
    system = System(task, Layer(), {"noise": noise}, (cut,))
    record = lambda state, signals, changes: (state.synapses, changes["noise"])
    _, (seen, changes) = simulate(
        system, system.start(w, KEY), KEY, steps=60, record=record
    )
    seen, changes = np.asarray(seen), np.asarray(changes)
    assert np.all(np.sum(seen != 0, axis=(1, 2)) == 9)
    assert np.all(seen * np.asarray(SIGNS) >= 0)
    assert np.all((changes[1:] != 0) == (seen[:-1] != 0))
    assert np.any((seen[-1] != 0) & (np.asarray(w) == 0))


@pytest.mark.usefixtures("unchecked")
def test_bounds_that_make_no_sense_are_refused():
    for make, says in (
        (lambda: Bounded(1.0, 0.0), "`low` = 1.0 must be at most `high` = 0.0"),
        (lambda: Bounded(jnp.nan), "must be at most"),
        (lambda: Normed(-1.0), "`norm` must lie in"),
        (lambda: Normed(side="over"), "`side` is unknown"),
        (lambda: Normed(order=3), "`order` must be 1 or 2; got 3"),
        (lambda: Dale(jnp.asarray([1.0, 0.0])), "`signs` must be -1 or 1"),
        (lambda: Dale(jnp.ones(1))(WEIGHTS), "`signs`"),
        (lambda: Density(1.1), "`density` must lie in"),
        (lambda: Density(0.1, "over"), "`side` is unknown"),
        (lambda: Rewired(0.3, 0.2, 0.1), "`first` = 0.1 must be at least `thres"),
        (lambda: Rewired(0.3, 0.1, 0.2)(HOLLOW), "give it a `key`"),
    ):
        with pytest.raises(ValueError, match=says):
            make()


def started(weights, projection):
    system = System(Constant(jnp.ones(6)), Layer(), {}, (projection,))
    return system.start(weights, KEY)


@pytest.mark.usefixtures("unchecked")
def test_synapses_that_a_projection_forbids_do_not_begin():
    w = sparse_weights()
    for projection, says in (
        (Dale(-SIGNS), "`synapses` must have the signs that `Dale` gives"),
        (Bounded(-0.4, 0.4), r"`synapses` must lie in \[-0.4, 0.4\].*got -?0.5"),
        (Rewired(0.3, 0.1, 0.2), "begin with 11 that reach.*got 6"),
        (Rewired(0.3, 0.0, 0.2, -SIGNS), "begin with 11 that reach.*got 0"),
    ):
        with pytest.raises(ValueError, match=says):
            started(w, projection)
        jax.eval_shape(lambda w, x=projection: started(w, x), w)
    for projection in (Dale(SIGNS), Bounded(-0.5, 0.5), Density(0.1)):
        assert np.array_equal(started(w, projection).synapses, w)
    assert np.isnan(started(w.at[0].set(jnp.nan), Bounded(-0.5, 0.5)).synapses[0, 0])
