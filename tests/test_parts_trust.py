"""What parts do with what does not fit, by table: a new public name is a new line.

And with what is not there: 0 times infinity is nothing, NaN stays NaN.
"""

import re
from types import ModuleType, SimpleNamespace

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
import pytest

from plasticity_jax import advance, circuits, rules, State, synapses, System, tasks
from plasticity_jax._interfaces import AbstractRule
from plasticity_jax.circuits import (
    LossCircuit,
    memories_of,
    Novelty,
    PosteriorNetwork,
    RateNetwork,
    Replay,
    Resting,
    SpikingNeuron,
    StochasticNetwork,
    WeakestReplay,
)
from plasticity_jax.rules import Descent, Wiener
from plasticity_jax.signals import (
    Elapsed,
    LossSignals,
    PosteriorSignals,
    RateSignals,
    ReleaseSignals,
)
from plasticity_jax.synapses import (
    Cascade,
    Chain,
    Factored,
    Power,
    Product,
    SignedPower,
    Stochastic,
)
from plasticity_jax.traces import Path, ShortTerm


@pytest.fixture(autouse=True)
def unchecked(monkeypatch):
    """What a user sees, who has no checker of types."""
    monkeypatch.setattr("jaxtyping.config.jaxtyping_disable", True)
    with jax.numpy_rank_promotion("allow"):
        yield


KEY = jr.key(0)
ONE, NAN, INF = jnp.asarray(1.0), jnp.nan, jnp.inf
N = 3
V, W, EYE = map(jnp.asarray, (np.ones(N), np.ones((N, N)), np.eye(N)))
ELAPSED = Elapsed(ONE, step=jnp.asarray(0))
RATES = RateSignals(ONE, V, V, V, V, V, step=jnp.asarray(0))
IMAGES = jnp.asarray(np.arange(12).reshape(4, N), jnp.uint8)
LABELS = jnp.asarray([0, 1, 2, 3])
ORDER = jnp.asarray([[0, 1], [2, 3]])
TURNS = jnp.asarray([[0, 1, 2], [2, 1, 0]])
PATTERNS = jnp.asarray([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
MEMORIES = jax.jit(memories_of)(PATTERNS)
STACK = Factored(jnp.asarray(np.ones((2, N, N))), V)
SINGLE = Factored(jnp.asarray(np.ones((1, N, N))), V)
NEURON = SpikingNeuron(V, 1e-3)


def total(weights, stimulus):
    """A loss that is one number."""
    del stimulus
    return sum(jnp.sum(w**2) for w in jax.tree.leaves(weights))


def many(weights, stimulus):
    """A loss that is not."""
    del stimulus
    return jax.tree.leaves(weights)[0]


def images(**changes):
    """Batches of images with some parts replaced."""
    parts = {"images": IMAGES, "labels": LABELS, "order": ORDER, **changes}
    return tasks.ImageBatches(**parts)


def called(part, *arguments):
    """What a rule or a circuit does on these arguments."""
    return lambda: part(*arguments, KEY)


class Asks(AbstractRule):
    """The same change of every weight."""

    change: jax.Array

    def __call__(self, synapses, signals, key):
        return jnp.full_like(synapses, self.change)


def learning(rule):
    """One step on a loss."""
    system = System(tasks.Constant(None), LossCircuit(total), {"r": rule})
    return lambda: advance(system, State(None, V), KEY)


def projected(projection, what=STACK):
    return lambda: projection(what)


def seen(**parts):
    """One step of a rate network with some parts replaced."""
    given = {"x": V, "synapses": W, "stimulus": V, **parts}
    network = RateNetwork(transfer=given.get("transfer", jnp.tanh))
    return lambda: network(
        network.at(given["x"]), given["synapses"], given["stimulus"], KEY
    )


def replayed(synapses=STACK, circuit=None, **changes):
    """The start of a replay with some parts replaced."""
    circuit = Replay() if circuit is None else circuit
    return lambda: circuit.start(synapses, MEMORIES._replace(**changes))


NETWORK = {"input": W, "recurrent": W, "readout": W}
FREE = "its shapes are compared with those of the synapses by `advance`"
KINDS = "an abstract class"
RECORD = "a record of what another part checks"
OPEN = "takes any tree, which the part that reads it checks"
TASKS = {
    "Constant": OPEN,
    "Drawn": [(lambda: tasks.Drawn(2.0), r"`draw` must be a function of \(key\)")],
    "Bootstrap": [
        (
            lambda: tasks.Bootstrap((jnp.ones((2, 3)), jnp.ones(4))),
            "`samples` must share",
        ),
        (lambda: tasks.Bootstrap(ONE), "`samples` must share"),
        (lambda: tasks.Bootstrap(jnp.ones((2, 0))), "`samples` must share"),
    ],
    "Drive": [
        (lambda: tasks.Drive(W, jnp.ones((5, 2))), "one column for each of the 3"),
        (lambda: tasks.Drive(V, jnp.ones((5, 3))), "must be matrices"),
        (lambda: tasks.Drive(W, W, "silense"), "`then` is unknown.*'silence'"),
        (lambda: tasks.Drive(W, W).check(0, 4), "has 3 steps; a run of 4 from step 0"),
        (lambda: tasks.Drive(W, W).check(-1, 2), "from step -1 on"),
        (lambda: tasks.Drive(W, W).check(3, 1), "from step 3 on goes beyond it"),
    ],
    "turning": [
        (lambda: tasks.turning(9, 0.1, 0.5, 0.2, 1.0), "`start` = 0.5 and `stop`"),
        (lambda: tasks.turning(9, 0.1, 0.0, 0.5, NAN), "`frequency` must be finite"),
    ],
    "spike_counts": [
        (lambda: tasks.spike_counts(KEY, 2 * V, (3,), "bernoulli"), "`mean` must lie"),
        (lambda: tasks.spike_counts(KEY, V, (3,), "gauss"), "`law` is unknown"),
    ],
    "cue": [
        (lambda: tasks.cue(9, 0.1, 0.2, 0.24), "they round to steps 2 and 2"),
        (lambda: tasks.cue(9, 0.1, 0.2, 1.0), "within 9 steps.*steps 2 and 10"),
        (lambda: tasks.cue(9, 0.1, -0.2, 0.5), "round to steps -2 and 5"),
        (lambda: tasks.cue(9, 0.0, 0.2, 0.5), "`dt` must lie in"),
        (lambda: tasks.cue(9, -0.1, 0.2, 0.5), "`dt` must lie in"),
        (lambda: tasks.cue(9, 0.1, 0.2, NAN), "`stop` must be finite"),
        (lambda: tasks.cue(0, 0.1, 0.2, 0.5), "`steps` must be at least 1"),
    ],
    "wandering": [
        (lambda: tasks.wandering(9, 0.1, 0.5, 0.2, 1.0, 1.0, KEY), "`start` = 0.5"),
        (lambda: tasks.wandering(9, 0.1, 0.0, 0.5, 20.0, 1.0, KEY), "`decay` is too"),
        (lambda: tasks.wandering(9, 0.1, 0.0, 0.5, -1.0, 1.0, KEY), "`decay` must lie"),
        (lambda: tasks.wandering(9, 0.1, 0.0, 0.5, 1.0, -1.0, KEY), "`reference_dt`"),
    ],
    "ImageBatches": [
        (lambda: images(labels=LABELS[:3]), "`labels` must be one for each of 4"),
        (lambda: images(labels=LABELS[:, None]), "`labels` must be integers along 1"),
        (lambda: images(labels=jnp.ones(4)), "`labels` must be integers"),
        (lambda: images(images=IMAGES[0]), "`images` must be integers along 2"),
        (lambda: images(images=IMAGES / 255), "`images` must be integers"),
        (lambda: images(order=ORDER + 1), r"`order` must lie in \[0, 3\].*got 4"),
        (lambda: images(order=ORDER - 1), "`order` must lie in"),
        (lambda: images(order=ORDER[0]), "`order` must be integers along 2"),
        (lambda: images(order=ORDER[:0]), "`order` must be integers.*none of them"),
        (lambda: images(deviation=0.0), "`deviation` must lie in"),
        (lambda: images(white=-1.0), "`white` must lie in"),
        (lambda: images(mean=NAN), "`mean` must lie in"),
        (lambda: images(task=ORDER % 2), "`task` needs `pixels`"),
        (lambda: images(pixels=TURNS), "`pixels` must be integers along 1"),
        (lambda: images(pixels=TURNS[0, :2]), "`pixels` must permute all 3"),
        (lambda: images(pixels=jnp.zeros(3, int)), "`pixels` must be permutations"),
        (lambda: images(pixels=TURNS + 1, task=ORDER % 2), "must be permutations"),
        (lambda: images(pixels=TURNS, task=ORDER), r"`task` must lie in \[0, 1\]"),
        (lambda: images(pixels=TURNS, task=ORDER[:1]), "`task` must be shaped like"),
    ],
    "batch_orders": [
        (lambda: tasks.batch_orders(LABELS, 5, 1, KEY), "between 1 and 4 images"),
        (lambda: tasks.batch_orders(LABELS, 2, 0, KEY), "`epochs` must be at least 1"),
        (lambda: tasks.batch_orders(V, 2, 1, KEY), "`indices` must be integers"),
    ],
    "split_by_class": [
        (lambda: tasks.split_by_class(np.arange(4), [(0, 1), ()]), "must have a class"),
        (lambda: tasks.split_by_class(np.arange(4), []), "must have a class"),
        (lambda: tasks.split_by_class(np.arange(4), [(4,)]), "no image of class 4"),
        (lambda: tasks.split_by_class(np.ones(4), [(1,)]), "`labels` must be integers"),
        (lambda: tasks.split_by_class(np.arange(4), [(0.5,)]), "must be an integer"),
    ],
    "standardised": [
        (lambda: tasks.standardised(IMAGES, 0.0, 0.0, 1.0), "`deviation` must lie in"),
        (lambda: tasks.standardised(IMAGES, 0.0, 1.0, 0.0), "`white` must lie in"),
    ],
    "task_shares": [
        (lambda: tasks.task_shares(2, 80, 1.5), r"`overlap` must lie in \[0, 1\]"),
        (lambda: tasks.task_shares(2, 80, -0.1), r"`overlap` must lie in \[0, 1\]"),
        (lambda: tasks.task_shares(2, 8), "rounds to 1 at either end"),
        (lambda: tasks.task_shares(0, 80), "`tasks` must be at least 1"),
        (lambda: tasks.task_shares(2, 0), "`samples` must be at least 1"),
    ],
    "glorot_uniform": [
        (lambda: tasks.glorot_uniform((3,), KEY), "`sizes` must name two layers"),
        (lambda: tasks.glorot_uniform((3, 0), KEY), "`sizes` must be at least 1"),
    ],
    "mixed_normal": [
        (lambda: tasks.mixed_normal(0, 3, KEY), "`features` must be at least 1"),
        (lambda: tasks.mixed_normal(3, 0, KEY), "`samples` must be at least 1"),
    ],
    "draw_patterns": [
        (lambda: tasks.draw_patterns(9, 2, 0.0, KEY), "`coding_level` must lie"),
        (lambda: tasks.draw_patterns(9, 2, NAN, KEY), "`coding_level` must lie"),
        (lambda: tasks.draw_patterns(9, 2, 0.05, KEY, exact=True), "1 to 8 of 9 bits"),
        (lambda: tasks.draw_patterns(9, 2, 0.95, KEY, exact=True), "1 to 8 of 9 bits"),
        (lambda: tasks.draw_patterns(9, 3, V / 2, KEY), "`coding_level` must be"),
        (lambda: tasks.draw_patterns(0, 2, 0.5, KEY), "`n` must be at least 1"),
    ],
    "epoch_orders": [
        (lambda: tasks.epoch_orders(0, 1, KEY), "must be at least 1; got 0 and 1"),
        (lambda: tasks.epoch_orders(3, 1, KEY, V[:2] > 0), "`stored` must mark each"),
        (lambda: tasks.epoch_orders(3, 1, KEY, V < 0), "`stored` must mark a pattern"),
    ],
    "Epochs": [
        (lambda: tasks.Epochs((W, jnp.ones(2)), LABELS[:3]), "`items` must share"),
        (lambda: tasks.Epochs(W, LABELS), r"`order` must lie in \[0, 2\].*got 3"),
        (lambda: tasks.Epochs(W, LABELS[:3] - 1), "`order` must lie in"),
        (lambda: tasks.Epochs(W, LABELS[:0]), "`order` must have one axis"),
        (lambda: tasks.Epochs(W, V), "`order` must be integers"),
    ],
    "Spikes": RECORD,
    "Recorded": [
        (lambda: tasks.Recorded((jnp.ones(5), jnp.ones(4))), "`stimuli` must share")
    ],
    "SpikeTrains": [
        (lambda: tasks.SpikeTrains(2e3 * V, 1e-3), "shorten the bin"),
        (lambda: tasks.SpikeTrains(-V, 1e-3), "`rates` must lie in"),
        (lambda: tasks.SpikeTrains(V, 1e-3, law="poison"), "Did you mean 'poisson'"),
    ],
}


def targeted(make):
    """Targets of another shape than the rates."""
    return [
        (
            called(make(jnp.ones((N, 1))), W, RATES),
            r"`target` must be one rate.*\(3, 1",
        ),
        (called(make(jnp.ones(2)), W, RATES), "or one for each of 3 neurons"),
        (called(make(jnp.ones(1)), W, RATES), "`target` must be one rate"),
    ]


def on_a_layer(rule, pre, target):
    """What a rule does on a layer that is shown these."""
    shown = {"pre": pre, "target": target}
    return lambda: rule(W, circuits.Layer()(None, W, shown, KEY)[1], KEY)


def stepped(circuit, rule, weights, stimulus):
    """A step of a system of one rule."""

    def step():
        system = System(tasks.Constant(stimulus), circuit, {"it": rule})
        return advance(system, system.start(weights, KEY), KEY)

    return step


TAUGHT = {"pre": V, "target": jnp.asarray([1.0, 1.0])}
ABSENT = {"a": V, "b": V}
RULES = {
    "Descent": FREE,
    "Update": FREE,
    "Wiener": FREE,
    "AntisymmetricHebb": FREE,
    "PairSTDP": FREE,
    "AverageScaling": FREE,
    "Decorrelation": FREE,
    "FilteredDecorrelation": FREE,
    "Pruning": FREE,
    "Oja": [(lambda: rules.Oja(NAN), "`rate` must lie in")],
    "Hebb": [(lambda: rules.Hebb(NAN), "`rate` must lie in")],
    "Sanger": [(lambda: rules.Sanger(NAN), "`rate` must lie in")],
    "Delta": [(lambda: rules.Delta(NAN), "`rate` must lie in")],
    "Perceptron": [
        (lambda: rules.Perceptron(NAN), "`rate` must lie in"),
        (on_a_layer(rules.Perceptron(), V, 0 * V), "`target` must be -1 or 1; got 0"),
    ],
    "GradualPseudoInverse": [
        (lambda: rules.GradualPseudoInverse(NAN), "`rate` must lie in")
    ],
    "NodePerturbation": [(lambda: rules.NodePerturbation(NAN), "`rate` must lie in")],
    "Covariance": [(lambda: rules.Covariance(0.1, 0.0), "`time` must lie in")],
    "PES": [(lambda: rules.PES(0.1, -1.0), "`time` must lie in")],
    "BCM": [
        (lambda: rules.BCM(NAN), "`rate` must lie in"),
        (lambda: rules.BCM(0.1, 0.0), "`time` must lie in"),
        (lambda: rules.BCM(0.1, first=-1.0), "`first` must lie in"),
    ],
    "Reinforce": [
        (lambda: rules.Reinforce(0.1, 0.0), "`time` must lie in"),
        (lambda: rules.Reinforce(0.1, 1.0, -1.0), "`baseline_time` must lie in"),
        (
            lambda: rules.Reinforce()(W, SimpleNamespace(reward=V), KEY),
            "`reward` must be one number",
        ),
    ],
    "STDP": [
        (lambda: rules.STDP(time_plus=0.0), "`time_plus` must lie in"),
        (lambda: rules.STDP(time_minus=-1.0), "`time_minus` must lie in"),
        (lambda: rules.STDP(potentiation=-1.0), "`potentiation` must lie in"),
        (lambda: rules.STDP(law="additve"), "`law` is unknown.*'additive'"),
        (lambda: rules.STDP(reference=0.0), "`reference` must lie in"),
        (lambda: rules.STDP(noise=-1.0), "`noise` must lie in"),
    ],
    "TripletSTDP": [
        (lambda: rules.TripletSTDP(triplet_minus=NAN), "`triplet_minus` must lie in"),
        (lambda: rules.TripletSTDP(time_y=0.0), "`time_y` must lie in"),
        (
            lambda: rules.TripletSTDP.published("visual all ful"),
            "`name` is unknown.*'visual all full'.*hippocampal nearest minimal",
        ),
    ],
    "InhibitorySTDP": [
        (lambda: rules.InhibitorySTDP(target=-1.0), "`target` must lie in"),
        (lambda: rules.InhibitorySTDP(time=0.0), "`time` must lie in"),
    ],
    "SynapticScaling": [
        (lambda: rules.SynapticScaling(-1.0), "`target` must lie in"),
        (lambda: rules.SynapticScaling(0.1, first=-1.0), "`first` must lie in"),
        (lambda: rules.SynapticScaling(0.1, time=0.0), "`time` must lie in"),
        (
            lambda: System(
                tasks.Constant(V),
                circuits.Layer(),
                {"it": rules.SynapticScaling(V[:2])},
            ).start(W, KEY),
            "`first` must be one rate, or one for each of 3 neurons",
        ),
    ],
    "VoltageSTDP": [
        (lambda: rules.VoltageSTDP(time_pre=0.0), "`time_pre` must lie in"),
        (lambda: rules.VoltageSTDP(mean_time=-1.0), "`mean_time` must lie in"),
        (lambda: rules.VoltageSTDP(reference=0.0), "`reference` must lie in"),
        (lambda: rules.VoltageSTDP(depression=-1.0), "`depression` must lie in"),
        (lambda: rules.VoltageSTDP(high=NAN), "`high` must lie in"),
        (lambda: rules.VoltageSTDP(lag=-1), "`lag` must be at least 0"),
    ],
    "EProp": [
        (lambda: rules.EProp(NAN), "`rate` must lie in"),
        (
            called(
                rules.EProp(0.1, W),
                {"readout": V[None]},
                SimpleNamespace(traces={"owed": {}}),
            ),
            "`feedback` must be shaped like the readout",
        ),
    ],
    "Backpropagation": [
        (lambda: rules.Backpropagation(NAN), "`rate` must lie in"),
        (
            stepped(circuits.LayeredNetwork(), rules.Hebb(), (W, W), V),
            "`post`, which LayeredSignals does not hold; circuits that offer it",
        ),
        (
            stepped(circuits.LayeredNetwork(), rules.Backpropagation(), (W, W), V),
            "reads the signal `error`",
        ),
    ],
    "FeedbackAlignment": [
        (lambda: rules.FeedbackAlignment((W,), NAN), "`rate` must lie in"),
        *(
            (
                lambda back=back: stepped(
                    circuits.LayeredNetwork(),
                    rules.FeedbackAlignment(back),
                    (W, W[:2]),
                    TAUGHT,
                )(),
                "`feedback` must be shaped like the weights from above",
            )
            for back in ((W,), (W[:, :2], W), W[:, :2])
        ),
    ],
    "KolenPollack": [
        (lambda: rules.KolenPollack(0.1, -1.0), "`decay` must lie in"),
        (
            stepped(circuits.LayeredNetwork(), rules.KolenPollack(0.1, 2.0), (W,), V),
            "`decay` is too large for stability",
        ),
        (
            stepped(
                circuits.LayeredNetwork(), rules.KolenPollack(), (W, W[:2]), TAUGHT
            ),
            "`synapses` must be a Reciprocal",
        ),
    ],
    "PredictiveCoding": [
        (lambda: rules.PredictiveCoding(NAN), "`rate` must lie in"),
        (
            stepped(circuits.LayeredNetwork(), rules.PredictiveCoding(), (W,), V),
            "circuits that offer it: PredictiveNetwork",
        ),
    ],
    "EquilibriumPropagation": [
        (lambda: rules.EquilibriumPropagation(NAN), "`rate` must lie in"),
        (
            stepped(circuits.LayeredNetwork(), rules.EquilibriumPropagation(), (W,), V),
            "circuits that offer it: EquilibriumNetwork",
        ),
    ],
    "Hopfield": [
        (lambda: rules.Hopfield(1.0), "`coding_level` must lie in"),
        (on_a_layer(rules.Hopfield(), V / 2, V), "`pre` must be -1 or 1; got 0.5"),
        (on_a_layer(rules.Hopfield(0.5), -V, V), "`pre` must be 0 or 1; got -1"),
    ],
    "PseudoInverse": [(lambda: rules.PseudoInverse(-1.0), "`tolerance` must lie in")],
    "Storkey": [(on_a_layer(rules.Storkey(), 0 * V, V), "`pre` must be -1 or 1")],
    "NaturalTerms": RECORD,
    "natural_terms": FREE,
    "proportional_limit": "takes coefficients, which `curvature` checks",
    "uniform_constant": [(lambda: rules.uniform_constant(-1.0), "`q`")],
    "Beeline": [
        (
            called(rules.Beeline(V), W, None),
            "`target` must be shaped like the synapses",
        ),
        (called(rules.Beeline(ABSENT), {"a": V}, None), "`target` must be shaped"),
    ],
    "Newton": [
        (lambda: rules.Newton(-1.0), "`damping` must lie in"),
        (called(rules.Newton(), V.astype(jnp.bfloat16), None), "float32 or float64"),
    ],
    "NoisyGradient": [(lambda: rules.NoisyGradient(-1.0, 0.0), "`magnitude` must")],
    "OptimalMagnitude": [
        (lambda: rules.OptimalMagnitude(Descent(), NAN), "`cap` must lie in")
    ],
    "FactorAscent": [
        (lambda: rules.FactorAscent(-0.1, 0.1), "`rate` must lie in"),
        (
            lambda: rules.FactorAscent(0.1, 0.1, Power(2)).parametrisation.ascent(
                STACK.factors, W
            ),
            "`factors` of a Power must be a stack of 1; got 2",
        ),
    ],
    "NoveltyHebb": [(lambda: rules.NoveltyHebb(0.1, 1.0), "`coding_level` must lie")],
    "VolatileFactor": [
        (lambda: rules.VolatileFactor(0.5), "`order` must lie in"),
        (
            called(rules.VolatileFactor(2, slowness=0.5), W[:2], ELAPSED),
            "too large for",
        ),
        (
            lambda: System(
                tasks.Constant(None),
                Resting(1.0),
                {"v": rules.VolatileFactor(2, slowness=0.5)},
            ),
            "`1 / slowness` is too large for stability",
        ),
    ],
    "RateControl": targeted(rules.RateControl),
    "ElementwiseRateControl": targeted(rules.ElementwiseRateControl),
    "UnweightedRateControl": targeted(rules.UnweightedRateControl),
    "AdditiveRateControl": targeted(rules.AdditiveRateControl),
    "Dissipation": [
        (lambda: rules.Dissipation(-0.1), "`rate` must lie in"),
        (called(rules.Dissipation(2.0), W, ELAPSED), "a step would take 2 times"),
        *(
            (
                lambda rule=rule: System(
                    tasks.Constant(None), Resting(0.5), {"r": rule}
                ),
                "`rate` is too large for stability",
            )
            for rule in (
                rules.Dissipation(4.0),
                rules.Intermittent(rules.Dissipation(1.0), 4),
                rules.Scaled(rules.Dissipation(4.0), 0.1),
                rules.Scaled(rules.Dissipation(1.0), 4),
                rules.Scaled(rules.Intermittent(rules.Dissipation(1.0), 2), 2.0),
                rules.Scheduled(rules.Dissipation(4.0), lambda step: 0.1),
                rules.Scheduled(rules.Dissipation(1.0), lambda step: 4 - step),
                rules.Masked(rules.Dissipation(4.0), W),
                rules.Separate({"x": rules.Dissipation(4.0)}),
            )
        ),
    ],
    "StrengthDescent": [
        (lambda: rules.StrengthDescent(0.1, -1.0), "`decay` must lie in"),
        (lambda: rules.StrengthDescent(0.1, ceiling=1.5), "`ceiling` must lie in"),
        (lambda: rules.StrengthDescent(0.1, hard_freeze=-1), "`hard_freeze` must"),
        (
            lambda: rules.StrengthDescent(1.0, 2.0).check(Resting(1.0)),
            r"`rate \* decay` is too large for stability",
        ),
    ],
    "ReleasePlasticity": [
        (lambda: rules.ReleasePlasticity(1.0, 1.5, 0.1), "`up` must lie in")
    ],
    "Unreliable": [
        (lambda: rules.Unreliable(Wiener(), -1.0), "`power` must lie in"),
        (called(rules.Unreliable(Wiener()), V, ELAPSED), "must be `Stochastic`"),
    ],
    "FisherRelease": [
        (lambda: rules.FisherRelease(0.0), "`scale` must lie in"),
        (lambda: rules.FisherRelease(1.0, -V), "`fisher` must not be negative"),
        (
            called(rules.FisherRelease(1.0, W), Stochastic(V, V / 2), ELAPSED),
            "`fisher` must be shaped like",
        ),
    ],
    "log_share": "a code",
    "ElasticPenalty": [
        (lambda: rules.ElasticPenalty(0.1, 1.0, V, W), "`moment` must be shaped like"),
        (
            called(rules.ElasticPenalty(0.1, 1.0, V, V), W, ELAPSED),
            "`precision` must be shaped like the synapses",
        ),
        (
            called(rules.ElasticPenalty(1.0, 1.0, 2 * V, V), V, ELAPSED),
            "`rate . penalty . precision` is too large for stability",
        ),
        (
            lambda: rules.ElasticPenalty(1.0, 1.0, 2 * V, V).check(Resting(1.0)),
            "`rate . penalty . precision` is too large for stability",
        ),
    ],
    "SynapticIntelligence": [
        (
            lambda: rules.SynapticIntelligence(-0.1, lambda s: False),
            "`rate` must lie in",
        ),
        (
            lambda: rules.SynapticIntelligence(0.1, lambda s: False, damping=-1.0),
            "`damping` must lie in",
        ),
        (learning(rules.SynapticIntelligence(0.1, lambda s: V > 0)), "one truth value"),
        (
            called(
                rules.SynapticIntelligence(1.0, lambda s: False),
                V,
                Elapsed(ONE, traces={"path": Path(V, V, V)}),
            ),
            "`rate . penalty . importance` is too large for stability",
        ),
    ],
    "Cascaded": [
        (lambda: rules.Cascaded(Wiener(), 0), "`levels` must be at least 1"),
        (lambda: rules.Cascaded(Wiener(), 3, 0.6), "`ratio` must lie in"),
        (lambda: rules.Cascaded(Wiener(), 3, share=1.0), "`share` must lie in"),
        (lambda: rules.Cascaded(Wiener(), 3, share=0.4), "with probability 1.5"),
        (called(rules.Cascaded(Wiener(), 3), W, ELAPSED), "must be a Cascade; got"),
    ],
    "Chained": [
        (lambda: rules.Chained(Wiener(), -1.0), "`coupling` must lie in"),
        (lambda: rules.Chained(Wiener(), factor=0.5), "`factor` must lie in"),
        (lambda: rules.Chained(Wiener(), levels=0), "`levels` must be at least 1"),
        (lambda: rules.Chained(Wiener(), 2.0).check(Resting(1.0)), "too large for sta"),
        (called(rules.Chained(Wiener(), 2.0), Chain(W), ELAPSED), "too large for stab"),
        (called(rules.Chained(Wiener()), W, ELAPSED), "must be a Chain; got"),
    ],
    "BayesianDescent": [(lambda: rules.BayesianDescent(-1.0), "`rate` must lie in")],
    "WeightPerturbation": [
        (
            lambda: rules.WeightPerturbation(1.0, 0),
            "`probes` must be at least 1; got 0",
        ),
        (lambda: rules.WeightPerturbation(NAN), "`probe_size` must lie in"),
    ],
    "DelayedGradient": [
        (
            lambda: rules.DelayedGradient(rules.Descent(), -1),
            "`steps` must be at least 0; got -1",
        )
    ],
    "ColouredNoise": [(lambda: rules.ColouredNoise(KEY, 0.0), "`time` must lie in")],
    "ReleaseNoise": [(lambda: rules.ReleaseNoise(0.0), "`probability` must lie in")],
    "Multiplicative": FREE,
    "PowerMetric": [
        (lambda: rules.PowerMetric(Wiener(), -0.1), "`exponent` must lie in"),
        (lambda: rules.PowerMetric(Wiener(), 2.1), "`exponent` must lie in"),
    ],
    "AcceptOnly": [(lambda: rules.AcceptOnly(-1.0), "`magnitude` must lie in")],
    "Scaled": [(lambda: rules.Scaled(Wiener(), NAN), "`scale` must lie in")],
    "Normalised": [(lambda: rules.Normalised(Wiener(), -1.0), "`norm` must lie in")],
    "Intermittent": [
        (lambda: rules.Intermittent(Wiener(), 0), "`every` must be at least 1; got 0"),
        *(
            (lambda rule=rule: rules.Intermittent(rule(), 2), "must be 1 for .*; got 2")
            for rule in (
                rules.STDP,
                rules.TripletSTDP,
                rules.InhibitorySTDP,
                rules.VoltageSTDP,
                lambda: rules.Scaled(rules.Masked(rules.STDP()), 2.0),
                lambda: rules.Separate({"a": rules.STDP()}),
            )
        ),
    ],
    "Scheduled": [
        (called(rules.Scheduled(Wiener(), lambda _: V), W, ELAPSED), "one number")
    ],
    "Masked": [
        (called(rules.Masked(Wiener(), V), W, ELAPSED), "`mask` must be shaped like"),
        (called(rules.Masked(Wiener(), ONE), W, ELAPSED), "`mask` must be shaped like"),
        (called(rules.Masked(Wiener(), {"a": V}), V, ELAPSED), "`mask` must be shaped"),
        (lambda: rules.Masked(Wiener(), NAN * V), "`mask` must be finite"),
        (
            called(
                rules.Masked(rules.Reparametrised(Wiener(), jnp.sum), V), V, ELAPSED
            ),
            "change of Reparametrised must be shaped like the synapses",
        ),
    ],
    "Projected": [
        (called(rules.Projected(Wiener(), W), W, ELAPSED), "of 9 by 9 synapses"),
        (lambda: rules.Projected(Wiener(), NAN * W), "`projector` must be finite"),
    ],
    "Reparametrised": [
        (
            called(rules.Reparametrised(Wiener()), Cascade(W), ELAPSED),
            r"use `rules\.Cascaded",
        ),
        (
            called(rules.Reparametrised(Wiener()), Chain(W), ELAPSED),
            r"use `rules\.Chained",
        ),
    ],
    "Separate": [
        (
            called(
                rules.Separate({"x": Wiener()}), {"y": V}, SimpleNamespace(students={})
            ),
            "one rule for each of",
        )
    ],
    "gradient_transformation": [
        (
            lambda: rules.gradient_transformation(Descent(), KEY).update(V, None),
            "give `params` to `update`",
        )
    ],
    "released": [
        (
            lambda: rules.released(optax.sgd(1.0), Wiener()).update(V, None),
            "give `params` to `update`",
        )
    ],
    "released_weights": [
        (
            lambda: rules.released_weights(V, optax.sgd(1.0).init(V), KEY),
            "of one `released` optimiser; got 0",
        )
    ],
    "EuclideanGradient": [(lambda: rules.EuclideanGradient(-1.0), "`learning_rate`")],
    "NaturalGradient": [(lambda: rules.NaturalGradient(-1.0), "`learning_rate`")],
    "ApproximateNaturalGradient": [
        (lambda: rules.ApproximateNaturalGradient(-1.0), "`learning_rate`")
    ],
    "DenseNaturalGradient": [
        (lambda: rules.DenseNaturalGradient(-1.0, W), "`learning_rate`")
    ],
    "SelfEstimated": [
        (lambda: rules.SelfEstimated(rules.Descent(), 0.0), "`time` must lie in")
    ],
    "SkewedNaturalGradient": [
        (lambda: rules.SkewedNaturalGradient(-1.0), "`learning_rate`")
    ],
}
SQUARED, MOMENT = circuits.SquaredError(), circuits.SecondMomentError(EYE, W)


def leaky(weights, stimulus, kind=circuits.LeakyNetwork, **more):
    """A step of a network of leaky neurons, or of another kind."""
    network = kind(**more)
    return network(network.start(weights), weights, stimulus, KEY)


def read_out(adaptation=0.1, pre=V, target=V[:2], **more):
    """A step of a network that is read out."""
    weights = {"input": W, "recurrent": W, "readout": W[:2], **more}
    network = circuits.LSNN(adaptation=adaptation)
    stimulus = {"pre": pre, "target": target}
    return network(network.start(weights), weights, stimulus, KEY)


def layered(make, *more):
    """What a network of layers refuses, besides."""
    act = lambda weights, stimulus: lambda: make()(None, weights, stimulus, KEY)
    return [
        (act(W, TAUGHT), r"must be a tuple of matrices.*got float64\(3, 3\)"),
        (act((), TAUGHT), "must be a tuple of matrices"),
        (act((W, V), TAUGHT), "must be a tuple of matrices"),
        (act((W[:2], W[:2]), TAUGHT), "each of which takes"),
        (act((W, W[:2]), {**TAUGHT, "pre": V[:2]}), "an entry for each of 3 columns"),
        (act((W, W), TAUGHT), "`target` must have an entry for each of 3"),
        (lambda: make(dt=0.0), "`dt` must lie in"),
        (
            lambda: make(transfer=jnp.sum)(None, (W, W[:2]), TAUGHT, KEY),
            "`transfer` must return a rate",
        ),
        *more,
    ]


def alone(make):
    """Nothing but an input and a target."""
    act = lambda stimulus: lambda: make()(None, (W, W[:2]), stimulus, KEY)
    return [
        (act(shown), "must be a dictionary of `pre`, the input, and `target`")
        for shown in (V, {"pre": V}, {**TAUGHT, "reward": 1.0})
    ]


def recurrent(weights, stimulus, **more):
    """A step of a recurrent layer."""
    layer = circuits.RecurrentLayer(**more)
    return lambda: layer(layer.start(weights), weights, stimulus, KEY)


CIRCUITS = {
    "LayeredNetwork": layered(
        circuits.LayeredNetwork,
        (
            lambda: circuits.LayeredNetwork()(None, (W,), {"target": V}, KEY),
            "must hold `pre`",
        ),
        (
            lambda: circuits.LayeredNetwork()(None, (W,), {"pre": V, "rates": V}, KEY),
            r"says \['rates'\] itself",
        ),
    ),
    "PredictiveNetwork": layered(
        circuits.PredictiveNetwork,
        *alone(circuits.PredictiveNetwork),
        (lambda: circuits.PredictiveNetwork(-1.0), "`nudge` must lie in"),
        (lambda: circuits.PredictiveNetwork(step=1.5), "`step` must lie in"),
        (lambda: circuits.PredictiveNetwork(steps=0), "`steps` must be at least 1"),
        (
            lambda: circuits.PredictiveNetwork(inference="settle"),
            "`inference` is unknown.*'settled'",
        ),
    ),
    "EquilibriumNetwork": layered(
        circuits.EquilibriumNetwork,
        *alone(circuits.EquilibriumNetwork),
        (lambda: circuits.EquilibriumNetwork(0.0), "`nudge` must lie in"),
        (lambda: circuits.EquilibriumNetwork(step=0.0), "`step` must lie in"),
        (
            lambda: circuits.EquilibriumNetwork(nudged_steps=1.5),
            "`nudged_steps` must be an integer",
        ),
        (
            lambda: circuits.EquilibriumNetwork(phases="both"),
            "`phases` is unknown.*Choose from: free, random, symmetric",
        ),
    ),
    "RecurrentLayer": [
        (lambda: circuits.RecurrentLayer(dt=0.0), "`dt` must lie in"),
        (lambda: circuits.RecurrentLayer(inputs=W, recurrent=W), "not both"),
        (recurrent(W, {"target": V}), "must hold `pre`"),
        (recurrent(W, V[:2]), "`inputs` weights must reach each of 3 neurons"),
        (recurrent(W[:2], V[:2]), "must fit; got shapes"),
        (recurrent(W, V, inputs=W[:2]), "`inputs` weights must reach"),
        (recurrent(W, V, recurrent=W[:2]), "`recurrent` weights must reach"),
    ],
    "Transfer": "a type",
    "score": "positive for any transfer function; see test_transfer",
    "AbstractChoice": KINDS,
    "AbstractPolicy": KINDS,
    "Afferents": RECORD,
    "Candidates": RECORD,
    "Rates": RECORD,
    "linear": "any number will do",
    "Exponential": RECORD,
    "ExponentialNeurons": [
        (lambda: circuits.ExponentialNeurons(0.0), "`capacitance` must lie in"),
        (lambda: circuits.ExponentialNeurons(after_time=0.5), "`after_time` must lie"),
        (lambda: circuits.ExponentialNeurons(gain=NAN), "`gain` must lie in"),
        (
            lambda: leaky(W, V[:2], circuits.ExponentialNeurons),
            "the input's spikes must be shaped",
        ),
        (lambda: leaky(W, {}, circuits.ExponentialNeurons), "must hold `pre`"),
    ],
    "Leaky": RECORD,
    "Adaptive": RECORD,
    "LSNN": [
        (lambda: circuits.LSNN(membrane_time=0.0), "`membrane_time` must lie in"),
        (lambda: circuits.LSNN(threshold=-1.0), "`threshold` must lie in"),
        (lambda: circuits.LSNN(adaptation=-V), "`adaptation` must lie in"),
        (lambda: read_out(V[:2]), "`adaptation` must be one number or one for each"),
        (lambda: read_out(pre=V[:2]), r"synapses `input` must be shaped \(3, 2\)"),
        (lambda: read_out(pre=ONE), "synapses `input` must be shaped"),
        (lambda: read_out(recurrent=W[:2]), "synapses `recurrent` must be shaped"),
        (lambda: read_out(target=V), "`target` must have an entry for each of 2"),
        (lambda: read_out(more=W), "must be a dictionary of `input`, `recurrent`"),
        (lambda: read_out(readout=V), "synapses `readout` must be shaped"),
        (lambda: circuits.LSNN().start(W), "must be a dictionary of `input`"),
        (
            lambda: circuits.LSNN()(
                circuits.LSNN().start(NETWORK), NETWORK, {"pre": V}, KEY
            ),
            "must be a dictionary of `pre`, the input's spikes, and of a `target`",
        ),
    ],
    "LeakyNetwork": [
        (lambda: circuits.LeakyNetwork(delay=1.5), "`delay` must be an integer"),
        (lambda: circuits.LeakyNetwork(delay=0), "`delay` must be at least 1"),
        (lambda: circuits.LeakyNetwork(refractory=-1), "`refractory` must be at least"),
        (lambda: circuits.LeakyNetwork(membrane_time=0.0), "`membrane_time` must lie"),
        (lambda: circuits.LeakyNetwork(reset=20.0), "must be below `threshold`"),
        (lambda: circuits.LeakyNetwork(inputs=W, recurrent=W), "not both"),
        (lambda: leaky(W, {"external": 1.0}), "must hold `pre`"),
        (lambda: leaky(W, {"pre": V, "extern": 1.0}), "may hold an `external`"),
        (lambda: leaky(W, tasks.Spikes(V[None], None)), "spikes of one step.* Spikes"),
        (lambda: leaky(W, {"pre": V, "external": V[:1]}), "`external` must be one"),
        (lambda: leaky(W, V[:2]), "the input's spikes must be shaped"),
        (lambda: leaky(W, V, inputs=W[:1]), "must be those of 3 neurons"),
        (lambda: leaky(W, {"pre": V, "target": V[:1]}), "`target` must have an entry"),
        (lambda: leaky(W, V, recurrent=W[:2]), "weights within the network must"),
        (lambda: leaky(W, V, short_term=ShortTerm(V[:2], 9.0)), "one for each of 3"),
        (
            lambda: circuits.LeakyNetwork(short_term=ShortTerm(0.5, 9.0))(
                circuits.LeakyNetwork().start(W), W, V, KEY
            ),
            "must hold resources where the network has a `short_term`",
        ),
    ],
    "BernoulliLayer": [
        (lambda: circuits.BernoulliLayer()(None, W, V[:2], KEY), "must fit; got"),
        (
            lambda: circuits.BernoulliLayer(reward=lambda s, _: s)(None, W, V, KEY),
            "`reward` must be one number",
        ),
    ],
    "NoisyLayer": [
        (lambda: circuits.NoisyLayer(spread=0.0), "`spread` must lie in"),
        (lambda: circuits.NoisyLayer(law="normal"), "`law` is unknown.*gaussian"),
        (lambda: circuits.NoisyLayer()(None, W, V[:2], KEY), "must fit; got"),
        (
            lambda: circuits.NoisyLayer(cost=lambda y, _: y)(None, W, V, KEY),
            "`cost` must be one number",
        ),
    ],
    "squared_error": "a layer checks the shape of its target",
    "Layer": [
        (lambda: circuits.Layer(dt=0.0), "`dt` must lie in"),
        (lambda: circuits.Layer()(None, W, V[:2], KEY), "must fit; got shapes"),
        (lambda: circuits.Layer()(None, W, {"reward": V}, KEY), "must hold `pre`"),
        (
            lambda: circuits.Layer()(None, W, {"pre": V, "post": V}, KEY),
            r"says \['post'\] itself",
        ),
    ],
    "Replaying": RECORD,
    "RandomReplay": "reads nothing but its candidates",
    "TaughtReplay": "its policies refuse what they cannot use",
    "error_function": "any number will do",
    "logistic": "any number will do",
    "SharedInput": "its neuron refuses what does not fit",
    "LossCircuit": [
        (called(LossCircuit(many), None, W, None), "`loss` must return one floating"),
        (
            called(LossCircuit(lambda w, s: (total(w, s), 1)), None, W, None),
            "`loss` must return one floating",
        ),
        (
            called(LossCircuit(lambda w, s: jnp.sum(w > 0)), None, W, None),
            "`loss` must return one floating",
        ),
        (called(LossCircuit(total), V, W, None), "`activity` must be `None`"),
    ],
    "feedforward": [
        (lambda: circuits.feedforward((W, jnp.ones((2, 2))), W), "must fit, layer by"),
        (lambda: circuits.feedforward((W,), jnp.ones((2, 3))), "must fit, layer by"),
        (lambda: circuits.feedforward((W,), V), "`inputs` must be Float"),
        (lambda: circuits.feedforward(W, W), "`weights` must be a tuple of matrices"),
        (lambda: circuits.feedforward((W,), W, "sigmoit"), "`output` is unknown"),
    ],
    "SquaredError": [
        (lambda: SQUARED((W,), (W, V)), r"outputs, \(3, 3\); got \(3,\)"),
        (lambda: SQUARED((W,), (W, W[:1])), r"outputs, \(3, 3\); got \(1, 3\)"),
        (lambda: circuits.SquaredError(reduction="sum"), "`reduction` is unknown"),
        (lambda: circuits.SquaredError("linear"), "`output` is unknown"),
    ],
    "SecondMomentError": [
        (lambda: MOMENT(W), r"a tuple of one matrix \(3, 3\)"),
        (lambda: MOMENT((W, W)), r"a tuple of one matrix \(3, 3\)"),
        (lambda: MOMENT((W[:1],)), r"a tuple of one matrix \(3, 3\)"),
        (
            lambda: circuits.SecondMomentError(W, jnp.ones((2, 2))),
            "`teacher` must be a",
        ),
        (lambda: circuits.SecondMomentError(-W, W), "must be positive semidefinite"),
        (lambda: circuits.SecondMomentError(jnp.triu(W), W), "must be symmetric"),
    ],
    "RateNetwork": [
        (seen(stimulus=jnp.ones(1)), r"one entry for each of 3 neurons.*\(1,\)"),
        (seen(stimulus=ONE), "one entry for each of 3 neurons"),
        (seen(synapses=jnp.ones((N, 2))), "must be square"),
        (seen(transfer=jnp.sum), "`transfer` must return a rate for each of 3"),
        (lambda: RateNetwork().at(W), "`potential` must be Float"),
        (lambda: RateNetwork().at(V, jnp.ones(2)), "`trace` must be Float"),
        (lambda: RateNetwork(3.0), "`dt` = 3 is too large for stability"),
        (lambda: RateNetwork(keep=1.5), "`keep` must lie in"),
        (lambda: RateNetwork(inflow=INF), "`inflow` must be finite"),
        (lambda: RateNetwork(integrator="rk5"), "Did you mean 'rk4'"),
    ],
    "amplification": [
        (lambda: circuits.amplification(-1.0, 0.1, "heun"), "`integrator` is unknown")
    ],
    "StochasticNetwork": [
        (
            called(StochasticNetwork(many), None, Stochastic(W, W), None),
            "`loss` must return one floating",
        )
    ],
    "PosteriorNetwork": [
        (lambda: PosteriorNetwork(total, 1.0, 0), "`draws` must be at least 1; got 0"),
        (lambda: PosteriorNetwork(total, -1.0), "`samples` must lie in"),
        (
            called(
                PosteriorNetwork(total, 1.0), None, {"mean": W, "deviation": V}, None
            ),
            "`deviation` must be shaped like",
        ),
        (
            called(PosteriorNetwork(total, 1.0), None, {"mean": W}, None),
            "`synapses` must map `mean` and `deviation`",
        ),
        (
            called(
                PosteriorNetwork(many, 1.0), None, {"mean": W, "deviation": W}, None
            ),
            "`loss` must return one floating",
        ),
    ],
    "Memories": [
        (replayed(patterns=PATTERNS[:2]), r"memories of synapses \(3, 3\)"),
        (replayed(targets=MEMORIES.targets[:1]), "memories of synapses"),
        (replayed(stored=jnp.ones(3, bool)), "memories of synapses"),
        (replayed(patterns=PATTERNS / 2), "`patterns` must be 0 or 1"),
        (replayed(targets=PATTERNS), "`targets` must be -1 or 1"),
        (replayed(stored=jnp.zeros(2, bool)), "`stored` must mark a pattern"),
    ],
    "memories_of": [
        (lambda: memories_of(PATTERNS * 255), "`patterns` must be 0 or 1"),
        (lambda: memories_of(NAN * PATTERNS), "`patterns` must be 0 or 1"),
        (lambda: memories_of(V), "`patterns` must be Float"),
        (lambda: memories_of(PATTERNS, 4), "between 1 and 3 neurons; got 4"),
        (lambda: memories_of(PATTERNS, stored=V > 0), "`stored` must be Bool"),
        (
            lambda: memories_of(PATTERNS, stored=V[:2] < 0),
            "`stored` must mark a pattern",
        ),
        (
            lambda: memories_of([["on", "off"]]),
            "`patterns` must be a number or an array",
        ),
    ],
    "Replay": [
        (replayed(Factored(-STACK.factors, V)), "`factors` must be finite and not neg"),
        (
            replayed(STACK, Replay(parametrisation=Power(2))),
            "a Power must be a stack of 1; got 2",
        ),
        (
            replayed(SINGLE, Replay(parametrisation=SignedPower(2))),
            "a SignedPower must be a stack of 2; got 1",
        ),
        (lambda: Replay(enough=NAN), "`enough` must lie in"),
    ],
    "WeakestReplay": [(lambda: WeakestReplay(-0.1), "`noise` must lie in")],
    "SoftReplay": [(lambda: circuits.SoftReplay(-1.0), "`sharpness` must lie in")],
    "PrioritisedReplay": [
        (lambda: circuits.PrioritisedReplay(-1.0), "`sharpness` must lie in")
    ],
    "Novelty": [
        (called(Novelty(0.1), None, STACK, (V, V)), "of 3 neurons rounds to 0"),
        (called(Novelty(0.9), None, STACK, (V, V)), "of 3 neurons rounds to 3"),
        (called(Novelty(0.4), None, STACK, (V[:2], V)), "must fit the synapses"),
        (called(Novelty(0.4), None, STACK, (V, V[:1])), "must fit the synapses"),
        (lambda: Novelty(0.0), "`coding_level` must lie in"),
    ],
    "retrieve": [
        (lambda: circuits.retrieve(W, V, V), "`cues` must be"),
        (lambda: circuits.retrieve(W, V[:2], PATTERNS), "`threshold` must be"),
        (lambda: circuits.retrieve(W[:2], V, PATTERNS), "must be"),
        (lambda: circuits.retrieve(W, V, 2 * PATTERNS - 1), "`cues` must be 0 or 1"),
        (lambda: circuits.retrieve(W, V, PATTERNS, -1), "`steps` must be at least 0"),
    ],
    "Resting": [(lambda: Resting(-1.0), "`dt` must lie in")],
    "SpikingNeuron": [
        (lambda: SpikingNeuron(V, 1e-3, jnp.ones(2)), "`teacher` needs one weight"),
        (lambda: NEURON.at_soma(W), "`synapses` must be Float"),
    ],
    "SynapticKernel": [(lambda: circuits.SynapticKernel(-1.0), "must")],
    "Sigmoid": [(lambda: circuits.Sigmoid(-1.0), "`maximum` must lie in")],
    "RectifiedQuadratic": [(lambda: circuits.RectifiedQuadratic(NAN), "`threshold`")],
    "input_moments": "a neuron checks its rates",
    "relative_exponential": "any number will do",
}
SYNAPSES = {
    "AbstractFactors": KINDS,
    "AbstractSynapses": KINDS,
    "Parametrised": [(lambda: synapses.Parametrised(W, 2.0), "`read` must be a func")],
    "weights": "any tree will do",
    "Cascade": "`rules.Cascaded` makes NaN of what is no state",
    "random_cascade": [
        (lambda: synapses.random_cascade((3,), 3, 1.5, KEY), "`share` must lie in"),
        (lambda: synapses.random_cascade((3,), 0, 0.5, KEY), "`levels` must be at le"),
        (lambda: synapses.random_cascade((0,), 3, 0.5, KEY), "`shape` must be at lea"),
    ],
    "Chain": [
        (lambda: Chain(ONE), "must hold one at least"),
        (lambda: Chain(jnp.ones((0, N))), "must hold one at least"),
    ],
    "Product": "a stack of any height will do",
    "Factored": [
        (lambda: Factored(W, V), "need a `threshold`"),
        (lambda: Factored(jnp.ones((2, N, 4)), jnp.ones(4)), "need a `threshold`"),
    ],
    "Power": [
        (lambda: Power(0.5), "`exponent` must lie in"),
        (lambda: Power(2).weights(STACK.factors), "must be a stack of 1; got 2"),
        (lambda: Power(2).squares(STACK.factors), "must be a stack of 1; got 2"),
    ],
    "SignedProduct": [
        (lambda: synapses.SignedProduct(0 * V), "`signs` must be -1 or 1"),
        (
            lambda: synapses.SignedProduct(jnp.ones(2)).weights(STACK.factors),
            "`signs` must hold one for each of 3 inputs",
        ),
    ],
    "Free": [
        (lambda: synapses.Free().weights(STACK.factors), "a stack of 1; got 2"),
        (lambda: synapses.Free().ascent(STACK.factors, W), "a stack of 1; got 2"),
    ],
    "SignedPower": [
        (lambda: SignedPower(2).weights(SINGLE.factors), "a stack of 2; got 1"),
        (lambda: SignedPower(2).ascent(SINGLE.factors, W), "a stack of 2; got 1"),
        (lambda: SignedPower(2).squares(SINGLE.factors), "a stack of 2; got 1"),
    ],
    "Ordered": [(projected(synapses.Ordered(), SINGLE), "a stack of two")],
    "Ceiling": [(lambda: synapses.Ceiling(-1.0), "`most` must lie in")],
    "Bounded": [
        (lambda: synapses.Bounded(1.0, 0.0), "must be at most `high`"),
        (lambda: synapses.Bounded(0.0, 0.5).check(W), "`synapses` must lie in.*1.0"),
    ],
    "Normed": [
        (lambda: synapses.Normed(-1.0), "`norm` must lie in"),
        (lambda: synapses.Normed(order=3), "`order` must be 1 or 2"),
    ],
    "Density": [
        (lambda: synapses.Density(1.5), "`density` must lie in"),
        (lambda: synapses.Density(0.5, "on"), "`side` is unknown"),
    ],
    "Rewired": [
        (lambda: synapses.Rewired(NAN, 0.1, 0.2), "`density` must lie in"),
        (lambda: synapses.Rewired(0.5, -0.1, 0.2), "`threshold` must lie in"),
        (lambda: synapses.Rewired(0.5, 0.0, 0.0), "`first` must lie in"),
        (lambda: synapses.Rewired(0.5, 0.2, 0.1), "must be at least `threshold`"),
        (lambda: synapses.Rewired(0.5, 0.1, 0.2, 0 * V), "`signs` must be -1 or 1"),
        (lambda: synapses.Rewired(0.5, 0.1, 0.2, None, W / 2), "`places` must be 0"),
        (projected(synapses.Rewired(0.5, 0.1, 0.2), W), "give it a `key`"),
        (
            called(synapses.Rewired(0.5, 0.1, 0.2, V[:2]), W, None),
            "`signs` must be shaped",
        ),
        (
            called(synapses.Rewired(0.5, 0.1, 0.2, None, W[:2]), W, None),
            "`places` must be shaped",
        ),
        (lambda: synapses.Rewired(0.5, 0.1, 0.2).check(W), "begin with 4.*got 9"),
    ],
    "Dale": [
        (lambda: synapses.Dale(0.5 * V), "`signs` must be -1 or 1"),
        (projected(synapses.Dale(V[:2]), W), "`signs` must be shaped"),
        (lambda: synapses.Dale(-V).check(W), "must have the signs that `Dale`"),
    ],
    "Connected": [
        (
            projected(synapses.Connected(V), W),
            "`mask` must be shaped like the synapses",
        ),
        (projected(synapses.Connected(ONE), W), "`mask` must be shaped like"),
        (projected(synapses.Connected({"a": V}), {"b": V}), "`mask` must be shaped"),
        (lambda: synapses.Connected(0.5 * V), "`mask` must be 0 or 1 everywhere"),
        (lambda: synapses.Connected(NAN * V), "`mask` must be 0 or 1 everywhere"),
    ],
    "random_mask": [
        (
            lambda: synapses.random_mask((3,), 1.5, KEY),
            r"`density` must lie in \[0, 1\]",
        ),
        (lambda: synapses.random_mask((3,), NAN, KEY), "`density` must lie in"),
        (lambda: synapses.random_mask((3, 0), 0.5, KEY), "`shape` must be at least 1"),
    ],
    "Floored": [
        (projected(synapses.Floored(V)), r"an entry for each synapse \(row, n\)"),
        (projected(synapses.Floored(jnp.ones((1, N)))), "an entry for each synapse"),
        (lambda: synapses.Floored(W / 2), "`mask` must be 0 or 1"),
        (lambda: synapses.Floored(W, -1.0), "`floor` must lie in"),
    ],
    "HomeostaticScaling": [
        (lambda: synapses.HomeostaticScaling(0.0), "`target` must lie in"),
        (lambda: synapses.HomeostaticScaling(1.0, of="all"), "`of` is unknown"),
        (
            projected(synapses.HomeostaticScaling(1.0, Power(2))),
            "a Power must be a stack of 1",
        ),
    ],
    "MidpointThreshold": [
        (
            projected(synapses.MidpointThreshold(PATTERNS[:2])),
            "row for each of 3 inputs",
        ),
        (lambda: synapses.MidpointThreshold(V), "`patterns` must be a matrix"),
        (lambda: synapses.MidpointThreshold(PATTERNS / 2), "must be 0 or 1"),
        (
            lambda: synapses.MidpointThreshold(PATTERNS, V > 0),
            "`stored` must mark each",
        ),
    ],
    "RandomPatternThreshold": [
        (lambda: synapses.RandomPatternThreshold(1.0), "`coding_level` must lie in")
    ],
    "no_self_connections": [
        (lambda: synapses.no_self_connections(4, 3), "between 1 and 3 neurons; got 4")
    ],
    "log_failure_of": [
        (lambda: synapses.log_failure_of(2 * V), r"`probability` must lie in \[0, 1\]")
    ],
    "Stochastic": [
        (lambda: Stochastic(V), "either `probability` or `log_failure`"),
        (lambda: Stochastic(V, V, log_failure=V), "either `probability` or"),
        (lambda: Stochastic(V, 2 * V), r"`probability` must lie in \[0, 1\]"),
        (lambda: Stochastic(W, V), "`probability` must be shaped like"),
        (lambda: Stochastic({"a": V}, {"b": V}), "`probability` must be shaped like"),
    ],
    "Release": [
        (lambda: synapses.Release(0.0), "`fixed` must lie in"),
        (lambda: synapses.Release(divisor="mine"), "`divisor` is unknown"),
        (lambda: synapses.Release().gates(2 * V, KEY), "`probability` must lie in"),
        (lambda: synapses.Release().gates(1e-9 * V, KEY), "`probability` of 1e-09"),
    ],
    "ReleaseBounds": [
        (lambda: synapses.ReleaseBounds(0.6, 0.4), "`low` must not be above `high`"),
        (lambda: synapses.ReleaseBounds(-0.1), "`low` must lie in"),
    ],
    "Reciprocal": [
        (lambda: synapses.Reciprocal((W, W[:2]), (W,)), "`feedback` must be shaped"),
        (lambda: synapses.Reciprocal((W,), (W,)), "`feedback` must be shaped"),
        (lambda: synapses.Reciprocal(W, (W,)), "`forward` must be a tuple"),
    ],
    "check_probabilities": [
        (lambda: synapses.check_probabilities("p", [NAN * V]), "`p` must lie in")
    ],
    "Weights": "a type",
    "split_weights": [(lambda: synapses.split_weights(V), "no weights to make")],
    "uniform_probability": [
        (lambda: synapses.uniform_probability(W, 1.5), r"`value` must lie in \[0, 1\]")
    ],
}
TABLE = {tasks: TASKS, rules: RULES, circuits: CIRCUITS, synapses: SYNAPSES}


@pytest.mark.parametrize("package", TABLE, ids=lambda x: x.__name__)
def test_every_public_name_refuses_what_does_not_fit(package):
    public = {
        name
        for name, value in vars(package).items()
        if not name.startswith("_") and not isinstance(value, ModuleType)
    }
    assert public == set(TABLE[package])
    wrong = []
    for name, cases in TABLE[package].items():
        for make, message in () if isinstance(cases, str) else cases:
            try:
                made = f"nothing was raised, {make()}"
            except ValueError as error:
                made = str(error)
            if not re.search(message, made):
                wrong.append(f"{name}: expected `{message}`; {made}")
    assert not wrong, "\n".join(wrong)


# --- 0 times infinity is nothing ------------------------------------------------------


class Inverse(AbstractRule):
    """A change that is infinite where there is no synapse."""

    scale: jax.Array

    def __call__(self, synapses, signals, key):
        del signals, key
        return jax.tree.map(lambda w: self.scale / w, synapses)


SOME = jnp.asarray([1.0, 0.0, 1.0])
HOLED = jnp.asarray([2.0, 0.0, 4.0])
LOST = jnp.asarray([2.0, INF, 4.0])


@pytest.mark.parametrize(
    "wrap",
    [
        lambda rule, mask: rules.Masked(rule, mask),
        lambda rule, mask: rules.Projected(rule, jnp.diag(mask)),
    ],
)
def test_what_a_mask_drops_is_nothing_forward_and_backward(wrap):
    change = lambda w, mask=SOME: wrap(Inverse(1.0), mask)(w, ELAPSED, KEY)
    assert jnp.array_equal(change(HOLED), jnp.asarray([0.5, 0.0, 0.25]))
    slopes = jax.jacobian(change)(HOLED)
    assert jnp.array_equal(slopes, jnp.diag(jnp.asarray([-0.25, 0.0, -1 / 16])))
    pushed = jax.jvp(change, (HOLED,), (V,))[1]
    assert jnp.array_equal(pushed, jnp.asarray([-0.25, 0.0, -1 / 16]))


def test_a_soft_mask_keeps_its_gradient():
    soft = jnp.asarray([0.5, 0.0, 0.0])
    weights = jnp.asarray([2.0, 4.0, 0.0])
    change = lambda mask: jnp.sum(rules.Masked(Inverse(1.0), mask)(weights, None, KEY))
    assert jnp.array_equal(jax.grad(change)(soft), jnp.asarray([0.5, 0.25, 0.0]))
    kept = lambda mask: jnp.sum(synapses.Connected(mask)(weights))
    assert jnp.array_equal(jax.grad(kept)(SOME), weights)


def test_projections_drop_what_does_not_exist():
    assert jnp.array_equal(synapses.Connected(SOME)(LOST), HOLED)
    stack = Factored(LOST[None, None], jnp.ones(1))
    kept = synapses.Floored(SOME[None])(stack).factors
    assert jnp.array_equal(kept[0, 0], HOLED)


def test_a_closed_gate_sends_and_learns_nothing():
    """Slopes of a root are infinite at 0, where a weight that did not release is."""
    loss = lambda weights, _: jnp.sum(jnp.sqrt(jnp.abs(weights)))
    released = Stochastic(LOST, jnp.asarray([1.0, 0.0, 1.0]))
    signals = StochasticNetwork(loss)(None, released, None, KEY)[1]
    assert jnp.allclose(signals.loss, 2**0.5 + 2)
    assert jnp.allclose(signals.gradient, jnp.asarray([0.5 / 2**0.5, 0.0, 0.25]))


def test_no_precision_and_no_deviation_do_nothing():
    pull = rules.ElasticPenalty(0.1, 1.0, SOME, SOME)(LOST, ELAPSED, KEY)
    assert jnp.allclose(pull, jnp.asarray([-0.1, 0.0, -0.3]))
    certain = {"mean": V, "deviation": SOME}
    signals = PosteriorSignals(ONE, ONE, LOST, LOST)
    change = rules.BayesianDescent()(certain, signals, KEY)
    assert jnp.array_equal(change["mean"], -HOLED)
    assert change["deviation"][1] == 0


# --- NaN stays NaN --------------------------------------------------------------------

DOWN, NO_SLOPE = jnp.asarray(np.full(N, -1.0)), jnp.asarray(np.full(N, NAN))
LOSSES = LossSignals(ONE, jnp.asarray(NAN), V, lambda w: jnp.sum(w), DOWN)
STEEP = LossSignals(ONE, ONE, NO_SLOPE, lambda w: jnp.sum(w**2), V)
FLAT = LossSignals(ONE, ONE, V, lambda w: NAN * jnp.sum(w**2), V)
LIVING = jnp.asarray(np.ones((2, N)))
MARGINS = circuits.Candidates(
    jnp.asarray([[NAN, 2.0], [3.0, 1.0]]),
    jnp.asarray([[1.0, 1.0], [1.0, 1.0]]),
    jnp.asarray([True, True]),
    jnp.asarray([1.0, 1.0]),
)
BROKEN = Factored(jnp.asarray(np.where(np.arange(18) == 0, NAN, 1).reshape(2, N, N)), V)


def cycle(**circuit):
    """What a replay shows whose first neuron is lost."""
    start = Replay().start(STACK, MEMORIES)
    return Replay(**circuit)(start, BROKEN, MEMORIES, KEY)[1]


NANS = {
    "a power": lambda: Power(2.0).weights(BROKEN.factors[:1])[0, 0],
    "a power of 1": lambda: Power(1.0).ascent(BROKEN.factors[:1], W)[0, 0, 0],
    "a signed power": lambda: SignedPower(2.0).weights(BROKEN.factors)[0, 0],
    "a product": lambda: Product().weights(BROKEN.factors)[0, 0],
    "a signed product": lambda: synapses.SignedProduct(jnp.ones(3)).weights(
        BROKEN.factors
    )[0, 0],
    "a free weight": lambda: synapses.Free().weights(BROKEN.factors[:1])[0, 0],
    **{
        f"scaling of {of}": lambda of=of: synapses.HomeostaticScaling(1.0, of=of)(
            BROKEN
        ).factors[0, 0]
        for of in ("joint", "each", "weights")
    },
    "a threshold between": lambda: synapses.MidpointThreshold(PATTERNS)(
        BROKEN
    ).threshold[0],
    "a threshold": lambda: synapses.RandomPatternThreshold(0.4)(BROKEN).threshold[0],
    "pruning": lambda: (
        BROKEN.factors[0, 0, 0] + rules.Pruning()(BROKEN, cycle(), KEY).factors[0, 0, 0]
    ),
    "a slope": lambda: rules.OptimalMagnitude(Descent(), 1.0)(V, STEEP, KEY),
    "a slope of noise": lambda: rules.OptimalMagnitude(Wiener(), 1.0)(V, STEEP, KEY),
    "a curvature": lambda: rules.OptimalMagnitude(Descent(), 1.0)(V, FLAT, KEY),
    "a curvature uphill": lambda: rules.OptimalMagnitude(
        rules.Scaled(Descent(), -1.0), 1.0
    )(V, FLAT, KEY),
    "a loss before": lambda: rules.AcceptOnly(1.0)(V, LOSSES, KEY),
    "a loss after": lambda: rules.AcceptOnly(1.0)(V, FLAT, KEY),
    **{
        f"a cascade {name}": lambda at=at: (
            (
                rules.Cascaded(Asks(at[1]), 3)(
                    Cascade(jnp.asarray([at[0]])), ELAPSED, KEY
                )
            ).state
        )
        for name, at in {
            "that is lost": (NAN, 1.0),
            "asked for what is lost": (1.0, NAN),
            "below its levels": (0.0, 0.0),
            "above its levels": (-4.0, 0.0),
            "between its levels": (1.5, 1.0),
        }.items()
    },
    **{
        f"a cascade of traced {name}": lambda at=at: jax.jit(
            lambda ratio, share: (
                rules.Cascaded(Asks(0.0), at[0], ratio, share)(
                    Cascade(jnp.ones(1)), ELAPSED, KEY
                ).state
            )
        )(*at[1:])
        for name, at in {
            "share": (3, 0.5, 0.4),
            "share of 0": (1, 0.0, 0.0),
            "share above 1": (3, 0.2, 1.5),
            "ratio below 0": (3, -0.1, 0.5),
            "ratio of one level": (1, 0.6, 0.5),
        }.items()
    },
    "a chain": lambda: (
        rules.Chained(Asks(NAN), levels=3)(Chain(jnp.ones((2, 1))), ELAPSED, KEY)
    ).variables[0],
    **{
        f"a chain of traced {name}": lambda at=at: jax.jit(
            lambda coupling, factor: (
                rules.Chained(Asks(0.0), coupling, factor)(
                    Chain(jnp.ones((2, 1))), ELAPSED, KEY
                ).variables
            )
        )(*at)
        for name, at in {
            "coupling": (3.0, 2.0),
            "coupling below 0": (-0.1, 2.0),
            "factor": (0.1, 0.9),
        }.items()
    },
    "a traced share of a cascade": lambda: jax.jit(
        lambda share: synapses.random_cascade((3,), 2, share, KEY).state
    )(1.5),
    "a slow factor": lambda: rules.VolatileFactor(2)(
        LIVING.at[1, 0].set(NAN), ELAPSED, KEY
    ),
    "a volatile factor": lambda: rules.VolatileFactor(2)(
        LIVING.at[0, 0].set(NAN), ELAPSED, KEY
    ),
    "a release": lambda: (
        rules.ReleasePlasticity(1.0, 0.1, 0.1)(
            Stochastic(V, V / 2), ReleaseSignals(ONE, ONE, NAN * V, V), KEY
        ).log_failure
    ),
    "release by information that is lost": lambda: (
        (
            rules.FisherRelease(1.0, NAN * V)(Stochastic(V, V / 2), ELAPSED, KEY)
        ).log_failure
    ),
    "a deviation": lambda: rules.BayesianDescent()(
        {"mean": V, "deviation": V}, PosteriorSignals(ONE, ONE, V, NAN * V), KEY
    )["deviation"],
    "the weakest": lambda: WeakestReplay()(MARGINS, KEY)[0, 0],
    "a drawn one": lambda: circuits.PrioritisedReplay()(MARGINS, KEY)[0, 0],
    "the first policy": lambda: circuits.TaughtReplay()(MARGINS, KEY)[0, 0],
    "the soft policy": lambda: circuits.SoftReplay()(MARGINS, KEY)[0],
    "a cycle": lambda: cycle().bias[0],
    "a soft cycle": lambda: cycle(policy=circuits.SoftReplay()).drive[0],
    "a cycle with enough": lambda: cycle(enough=0.1).drive[0],
    "novelty": lambda: Novelty(0.4)(None, BROKEN, (V, V), KEY)[1].novelty,
    "recall": lambda: circuits.retrieve(BROKEN.factors[0], V, PATTERNS[:, :1], 2)[0],
    "a traced gate": lambda: jax.jit(
        lambda p: synapses.Release().gates({"a": p}, KEY)["a"]
    )(jnp.asarray([NAN, 2.0, -1.0])),
    "a traced bound": lambda: jax.jit(
        lambda low: synapses.ReleaseBounds(low, 0.4)(Stochastic(V, V)).probability
    )(0.6),
    **{
        f"a traced bound {name}": lambda at=at: jax.jit(
            lambda low, high: synapses.Bounded(low, high)(jnp.asarray([0, 1.5, 3]))
        )(*at)
        for name, at in {
            "below that is lost": (NAN, 1.0),
            "above that is lost": (0.0, NAN),
            "below one above": (2.0, 1.0),
        }.items()
    },
    **{
        f"short-term {name}": lambda at=at: jax.jit(
            lambda *at: jnp.stack(ShortTerm(*at).after(ShortTerm(*at).rest(V), V, ONE))
        )(*at)
        for name, at in {
            "traced use": (1.5, 1.0, 1.0),
            "traced use below 0": (-0.1, 1.0, 1.0),
            "traced recovery": (0.5, 0.0, 1.0),
            "traced facilitation": (0.5, 1.0, -1.0),
        }.items()
    },
    "a traced target": lambda: jax.jit(
        lambda t: on_a_layer(rules.Perceptron(), V, t * V)()
    )(0.5),
    **{
        f"a traced pattern of {type(rule).__name__}": lambda rule=rule: jax.jit(
            lambda x: on_a_layer(rule, x * V, V)()
        )(1.5)[0, 1]
        for rule in (rules.Hopfield(), rules.Storkey())
    },
    "a traced decay": lambda: jax.jit(
        lambda rate: rules.Dissipation(rate)(V, ELAPSED, KEY)
    )(2.0),
    "a traced penalty": lambda: jax.jit(
        lambda rate: rules.ElasticPenalty(rate, 1.0, V, V)(V, ELAPSED, KEY)
    )(2.0),
    "a traced decay of strengths": lambda: jax.jit(
        lambda rate: (
            rules.StrengthDescent(rate, 1.0)(
                Stochastic(V, V / 2), ReleaseSignals(ONE, ONE, V, V), KEY
            ).strength
        )
    )(2.0),
    "a traced coding level": lambda: jax.jit(
        lambda level: tasks.draw_patterns(9, 2, level, KEY, exact=True)
    )(0.05),
    "a traced level of novelty": lambda: jax.jit(
        lambda level: Novelty(level)(None, STACK, (V, V), KEY)[1].novelty
    )(0.1),
    "a traced density": lambda: jax.jit(
        lambda density: synapses.random_mask((3,), density, KEY)
    )(1.5),
    "a traced share": lambda: jax.jit(lambda share: synapses.Density(share)(W))(1.5),
    "a traced share of places": lambda: jax.jit(
        lambda share: synapses.Rewired(share, 0.1, 0.2)(W, None, KEY)
    )(-0.1),
    "a traced norm": lambda: jax.jit(lambda norm: synapses.Normed(norm)(W))(-1.0),
    "traced signs": lambda: jax.jit(lambda sign: synapses.Dale(sign * V)(W))(0.5),
    **{
        f"rewiring at a traced {name}": lambda at=at: jax.jit(
            lambda threshold, first, sign: synapses.Rewired(
                0.5, threshold, first, sign * V
            )(W, None, KEY)
        )(*at)
        for name, at in {
            "threshold": (NAN, 0.2, 1.0),
            "first": (0.3, 0.2, 1.0),
            "first of nothing": (0.0, 0.0, 1.0),
            "sign": (0.1, 0.2, 0.5),
        }.items()
    },
    "what is lost where no synapse may be": lambda: synapses.Rewired(
        1.0, 0.1, 0.2, places=W.at[0, 0].set(0)
    )(W.at[0, 0].set(NAN), None, KEY)[0, 0],
    "a traced image": lambda: jax.jit(lambda order: images(order=order)(0, KEY)[0])(
        jnp.asarray([[4, -1]])
    ),
    "an image of a traced task": lambda: jax.jit(
        lambda task: images(pixels=TURNS, task=task)(0, KEY)[0]
    )(jnp.asarray([[2, -1], [0, 0]])),
    "a traced item": lambda: jax.jit(lambda order: tasks.Epochs(W, order)(0, KEY))(
        jnp.asarray([-1])
    ),
    "a step beyond": lambda: tasks.Drive(W, W)(jnp.asarray(3), KEY),
    "a step before": lambda: tasks.Drive(W, W)(jnp.asarray(-1), KEY),
}


@pytest.mark.parametrize("name", NANS)
def test_nan_stays_nan(name):
    assert np.all(np.isnan(NANS[name]()))


@pytest.mark.parametrize(("dtype", "lost"), [("int8", -128), ("uint8", 255)])
def test_an_integer_item_that_is_not_there_is_the_end_of_its_type(dtype, lost):
    items = jnp.ones((2, N), dtype)
    shown = jax.jit(lambda order: tasks.Epochs(items, order)(0, KEY))
    for index in (-1, N):
        assert np.all(shown(jnp.asarray([index])) == lost)


def test_a_scaled_decay_that_is_stable_is_let_through():
    decay = rules.Dissipation(1.0)
    for rule, steps, left in (
        (rules.Scaled(decay, 3.0), 1, -0.5),
        (rules.Scaled(decay, 0.1), 1, 0.95),
        (rules.Scheduled(decay, lambda step: jnp.asarray(3.0)), 1, -0.5),
        (rules.Scaled(rules.Intermittent(decay, 3), 1.0), 3, -0.5),
    ):
        system = System(tasks.Constant(None), Resting(0.5), {"r": rule})
        state = system.start(jnp.ones(2), KEY)
        for _ in range(steps):
            state, _, _ = advance(system, state, KEY)
        assert jnp.allclose(state.synapses, left)


def test_a_coding_level_that_is_not_whole_knows_its_patterns():
    """14 of 240 active are all that 0.06 asks for."""
    pattern = jnp.asarray([1.0] * 14 + [0.0] * 226)
    known = Factored(jnp.outer(pattern, pattern)[None], jnp.full(240, 0.5))
    for level in (14 / 240, 0.06):
        found = Novelty(level)(None, known, (pattern, pattern), KEY)[1].novelty
        assert found == 0
    more = Novelty(15 / 240)(None, known, (pattern, pattern), KEY)[1].novelty
    assert more == -0.5
