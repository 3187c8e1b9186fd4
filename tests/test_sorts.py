"""Any optimiser, any precision, any number: what "any" means, by table."""

import contextlib
import inspect
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
import pytest
import test_rules

from plasticity_jax import (
    advance,
    circuits,
    measure,
    rules,
    State,
    synapses,
    System,
    tasks,
)
from plasticity_jax._interfaces import AbstractCircuit, AbstractRule
from plasticity_jax.circuits import (
    LossCircuit,
    memories_of,
    Novelty,
    PosteriorNetwork,
    RandomReplay,
    RateNetwork,
    Replay,
    Resting,
    SharedInput,
    SoftReplay,
    SpikingNeuron,
    StochasticNetwork,
    TaughtReplay,
    WeakestReplay,
)
from plasticity_jax.signals import (
    Elapsed,
    NoveltySignals,
    PosteriorSignals,
    ReleaseSignals,
)
from plasticity_jax.synapses import Factored, Power, SignedPower, Stochastic
from plasticity_jax.tasks import Constant, Spikes
from plasticity_jax.traces import ShortTerm


KEY = jr.key(0)
N, ROWS, COUNT = 6, 6, 4
ONE = jnp.asarray(1.0)
W = {"a": jnp.asarray([1.0, -2.0]), "b": jnp.asarray([0.5, -0.2])}  # shaped alike


@pytest.fixture(autouse=True)
def unchecked(monkeypatch):
    """What a user sees, who has no checker of types; also several times faster."""
    monkeypatch.setattr("jaxtyping.config.jaxtyping_disable", True)


def loss(weights, stimulus):
    """A bowl that is not round."""
    del stimulus
    return jnp.sum(weights["a"] ** 2) + 3 * jnp.sum(weights["b"] ** 2)


# --- optimisers -----------------------------------------------------------------------


def optimisers():
    """Every public optimiser of Optax that a learning rate (or nothing) makes."""
    for name, make in vars(optax).items():
        if name.startswith(("_", "scale_by")) or not inspect.isfunction(make):
            continue
        known = inspect.signature(make).parameters
        if not any("learning_rate" in x for x in known):
            continue  # a part of one
        given = {"learning_rate": 0.05} if "learning_rate" in known else {}
        made = make(**given)
        if isinstance(made, optax.GradientTransformation):
            yield name, made


COMBINED = {
    "plateau": optax.chain(optax.sgd(0.1), optax.contrib.reduce_on_plateau()),
    "clipped Polyak": optax.chain(optax.clip(9.0), optax.polyak_sgd()),
    "scheduled": optax.adam(optax.exponential_decay(0.1, 2, 0.5)),
    "only some": optax.multi_transform(
        {"on": optax.sgd(0.1), "off": optax.set_to_zero()}, {"a": "on", "b": "off"}
    ),
    "finite only": optax.apply_if_finite(optax.sgd(0.1), 3),
}


def stepped(optimiser):
    """A step of a system that learns by this optimiser."""
    circuit = LossCircuit(loss, optimiser=optimiser)
    system = System(Constant(None), circuit, {"step": rules.Update()})
    return lambda state: advance(system, state, KEY)[0]


@pytest.mark.filterwarnings("ignore")  # of Optax's own
def test_every_optimiser_is_a_rule():
    found = {**dict(optimisers()), **COMBINED}
    assert {"adam", "lbfgs", "polyak_sgd", "rprop", "sgd"} <= set(found)
    with _as_usual():
        for name, optimiser in found.items():
            step, start = stepped(optimiser), State(optimiser.init(W), W)
            after = jax.eval_shape(lambda s, step=step: step(step(s)), start)
            want = jax.eval_shape(lambda s: s, start)
            assert jax.tree.map(_kind, after) == jax.tree.map(_kind, want), name


@pytest.mark.parametrize("name", ["lbfgs", "polyak_sgd", *COMBINED])
def test_an_optimiser_steps_as_it_does_by_itself(name):
    optimiser = {**COMBINED, "lbfgs": optax.lbfgs(), "polyak_sgd": optax.polyak_sgd()}[
        name
    ]

    def alone(weights, memory):
        value, slope = jax.value_and_grad(loss)(weights, None)
        extra = {"value": value, "grad": slope, "value_fn": lambda w: loss(w, None)}
        extended = optax.with_extra_args_support(optimiser)
        change, memory = extended.update(slope, memory, weights, **extra)
        return optax.apply_updates(weights, change), memory

    with _as_usual():
        state, weights, memory = State(optimiser.init(W), W), W, optimiser.init(W)
        for _ in range(1 if name == "lbfgs" else 2):  # which compiles anew each time
            state = stepped(optimiser)(state)
            weights, memory = alone(weights, memory)
    for key, got in state.synapses.items():
        assert jnp.allclose(got, weights[key], rtol=1e-12)
    assert loss(state.synapses, None) < loss(W, None)


@contextlib.contextmanager
def _as_usual():
    """Promotion as users have it, and as Optax relies on."""
    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        yield


@pytest.mark.parametrize("activity", [None, optax.sgd(0.1, 0.9).init(W["b"])])
def test_another_state_than_the_optimisers_is_refused(activity):
    circuit = LossCircuit(loss, optimiser=optax.adam(0.1))
    with pytest.raises(ValueError, match=r"optimiser\.init\(synapses\)"):
        circuit(activity, W, None, KEY)


def test_a_state_without_an_optimiser_is_refused():
    with pytest.raises(ValueError, match="the circuit has no optimiser"):
        LossCircuit(loss)(optax.adam(0.1).init(W), W, None, KEY)


def test_a_rule_as_a_transformation_refuses_to_go_without_params():
    for rule in (rules.Newton(), rules.Descent(), rules.Wiener()):
        made = rules.gradient_transformation(rule, KEY)
        with pytest.raises(ValueError, match="give `params` to `update`"):
            made.update(W, made.init(W), value_fn=lambda w: loss(w, None))


def test_a_transformation_knows_its_step():
    halved = rules.Scheduled(rules.Descent(), lambda step: 0.5**step)
    made = rules.gradient_transformation(halved, KEY)
    memory = made.init(W)
    first, memory = made.update(W, memory, W)
    second, _ = made.update(W, memory, W)
    assert jnp.allclose(first["a"], 2 * second["a"])


# --- precisions -----------------------------------------------------------------------


class Fixed(AbstractCircuit):
    """The same signals at every step."""

    signals: Any

    def __call__(self, activity, synapses, stimulus, key):
        del synapses, stimulus, key
        return activity, self.signals


def of_numpy(function, *trees):
    """What a function of NumPy returns, as JAX's arrays; no program for it."""
    return jax.tree.map(lambda *x: jnp.asarray(function(*map(np.asarray, x))), *trees)


def draw(*shape):
    return jnp.asarray(np.random.default_rng(len(shape)).normal(size=shape))


PATTERNS = of_numpy(lambda x: (x > 0).astype(float), draw(N, COUNT))
PATTERN = of_numpy(lambda x: x[:, 0], PATTERNS)
FACTORS = Factored(of_numpy(lambda x: abs(x) + 0.1, draw(2, ROWS, N)), draw(ROWS))
MEMORIES = jax.jit(lambda: memories_of(PATTERNS, ROWS))()
REPLAYED = eqx.filter_jit(
    lambda: Replay()(Replay().start(FACTORS, MEMORIES), FACTORS, MEMORIES, KEY)[1]
)()
SHOWN = NoveltySignals(
    ONE, PATTERN, PATTERN, jnp.asarray(np.ones((ROWS, N), bool)), jnp.asarray(0.3)
)
HALVES = of_numpy(lambda w: np.full(w.shape, np.log(0.5)), W)
RELEASING = Stochastic(W, log_failure=HALVES)
RELEASED = ReleaseSignals(ONE, ONE, W, of_numpy(np.ones_like, W))
POSTERIOR = {"mean": W, "deviation": of_numpy(np.abs, W)}
ON_POSTERIOR = PosteriorSignals(ONE, ONE, W, W)
ELAPSED = Elapsed(jnp.asarray(0.1))
LIVING = of_numpy(lambda x: abs(x) + 0.1, draw(2, N))
MORE = {
    "factor ascent": (lambda: rules.FactorAscent(0.1, 0.1), FACTORS, REPLAYED),
    "factor ascent of a power": (
        lambda: rules.FactorAscent(0.1, 0.1, SignedPower(2.5)),
        FACTORS,
        REPLAYED,
    ),
    "storage": (lambda: rules.NoveltyHebb(0.1, 0.4), FACTORS, SHOWN),
    "pruning": (lambda: rules.Pruning(), FACTORS, REPLAYED),
    "volatile": (lambda: rules.VolatileFactor(2.5), LIVING, ELAPSED),
    "coupled": (
        lambda: rules.VolatileFactor(2, coupling=0.5, coupled=True),
        LIVING,
        ELAPSED,
    ),
    "scheduled": (
        lambda: rules.Scheduled(rules.Wiener(), lambda step: 0.5),
        W,
        ELAPSED,
    ),
    "strength": (lambda: rules.StrengthDescent(0.1, 0.1), RELEASING, RELEASED),
    "frozen": (
        lambda: rules.StrengthDescent(0.1, hard_freeze=0.4),
        RELEASING,
        RELEASED,
    ),
    "release": (lambda: rules.ReleasePlasticity(0.1, 0.1, 0.1), RELEASING, RELEASED),
    "unreliable": (
        lambda: rules.Unreliable(rules.Reparametrised(rules.Wiener()), 0.5),
        RELEASING,
        RELEASED,
    ),
    "by information": (lambda: rules.FisherRelease(2.0), RELEASING, RELEASED),
    "elastic": (
        lambda: rules.ElasticPenalty(0.1, 0.1, POSTERIOR["deviation"], W),
        W,
        ELAPSED,
    ),
    "Bayesian": (lambda: rules.BayesianDescent(), POSTERIOR, ON_POSTERIOR),
}
RULES = {**test_rules.RULES, **MORE}
DENSE = {  # a dense solve has no 16 bits
    "newton": "Unsupported dtype",
    "saddle-free newton": "Unsupported dtype",
    "dense": "Unsupported dtype",
    "skewed": "Unsupported dtype",
}


def cast(tree, dtype):
    """`tree` with all its floating-point arrays in `dtype`."""
    return jax.tree.map(
        lambda x: x.astype(dtype) if eqx.is_inexact_array(x) else x, tree
    )


def instances(rule):
    """The classes of a rule and of those inside."""
    parts = jax.tree.leaves(rule, is_leaf=lambda x: x is not rule and _is_rule(x))
    inner = [instances(part) for part in parts if _is_rule(part)]
    return {type(rule)}.union(*inner)


def _is_rule(x):
    return isinstance(x, AbstractRule)


def test_every_rule_is_in_the_table():
    public = {x for x in vars(rules).values() if isinstance(x, type) and _is_a_rule(x)}
    assert public == set().union(*(instances(make()) for make, _, _ in RULES.values()))


def _is_a_rule(x):
    return issubclass(x, AbstractRule)


@pytest.mark.parametrize(("x64", "dtype"), [(True, jnp.float32), (False, jnp.bfloat16)])
@pytest.mark.filterwarnings("ignore:Explicitly requested dtype")
def test_every_rule_keeps_the_precision_of_the_synapses_or_is_named(x64, dtype):
    with jax.enable_x64(x64), jax.numpy_dtype_promotion("standard"):
        for name, (make, weights, signals) in RULES.items():
            system = System(Constant(None), Fixed(cast(signals, dtype)), {"r": make()})
            state = State(None, cast(weights, dtype))
            if "newton" in name and dtype != jnp.float32:
                with pytest.raises(ValueError, match="`Newton` solves a dense system"):
                    advance(system, state, KEY)
                continue
            after = jax.eval_shape(lambda s, x=system: advance(x, s, KEY)[0], state)
            kinds = {x.dtype for x in jax.tree.leaves(after.synapses)}
            assert kinds == {jnp.dtype(dtype)}, name


ONES, EYE = jnp.asarray(np.ones(N)), jnp.asarray(np.eye(N))
NEURON = SpikingNeuron(
    of_numpy(lambda x: 20 * x, ONES),
    1e-3,
    of_numpy(lambda x: 0.1 * x, ONES),
    refresh=2,
    nodes=81,
)
TWO = {
    "x": jnp.asarray(np.linspace(0.05, 0.2, N)),
    "y": jnp.asarray(np.linspace(0.2, -0.1, N)),
}
SPIKES = Spikes(jnp.asarray(np.ones((1, N))), None)
SHAPES = (PATTERN, PATTERN)
POLICIES = {
    "weakest": WeakestReplay(),
    "noisy": WeakestReplay(0.1),
    "random": RandomReplay(),
    "prioritised": circuits.PrioritisedReplay(2.0),
    "soft": SoftReplay(2.0),
    "taught": TaughtReplay(),
}
ADAM = optax.adam(0.1)


CIRCUITS = {
    "loss": (LossCircuit(loss), W, None),
    "optimised": (LossCircuit(loss, optimiser=ADAM), W, None),
    "stochastic": (StochasticNetwork(loss), RELEASING, None),
    "posterior": (PosteriorNetwork(loss, 4.0, 2), POSTERIOR, None),
    **{
        kind: (
            RateNetwork(0.1, 50.0, 60.0, floor=0.1, integrator=kind),
            draw(N, N),
            ONES,
        )
        for kind in ("rk4", "euler")
    },
    **{name: (Replay(policy), FACTORS, MEMORIES) for name, policy in POLICIES.items()},
    "novelty": (Novelty(0.4), FACTORS, SHAPES),
    "resting": (Resting(0.1), draw(N, N), None),
    "units": (circuits.BernoulliLayer(), draw(N, N), ONES),
    "trying": (circuits.NoisyLayer(), draw(N, N), {"pre": ONES, "target": ONES}),
    "leaky": (circuits.LeakyNetwork(delay=3), draw(N, N), ONES),
    "leaky, depressing": (
        circuits.LeakyNetwork(short_term=ShortTerm.published("EE")),
        draw(N, N),
        ONES,
    ),
    "leaky, recurrent": (
        circuits.LeakyNetwork(inputs=EYE),
        draw(N, N),
        {"pre": ONES, "external": 15.0},
    ),
    "exponential": (
        circuits.ExponentialNeurons(),
        draw(N, N),
        {"pre": ONES, "external": jnp.asarray(np.full(N, 1e6))},
    ),
    "LSNN": (
        circuits.LSNN(adaptation=jnp.asarray(np.full(N, 0.1))),
        test_rules.NETWORK,
        {"pre": jnp.asarray(np.ones(3)), "target": jnp.asarray(np.ones(2))},
    ),
    "layer": (circuits.Layer(jnp.tanh), draw(N, N), {"pre": ONES, "target": ONES}),
    "layered": (circuits.LayeredNetwork(), test_rules.LAYERS, test_rules.TAUGHT),
    "reciprocal": (circuits.LayeredNetwork(), test_rules.BOTH, test_rules.TAUGHT),
    **{
        kind: (
            circuits.PredictiveNetwork(inference=kind),
            test_rules.LAYERS,
            test_rules.TAUGHT,
        )
        for kind in ("settled", "fixed", "timed")
    },
    **{
        f"equilibrium, {kind}": (
            circuits.EquilibriumNetwork(phases=kind),
            test_rules.LAYERS,
            test_rules.TAUGHT,
        )
        for kind in ("free", "random", "symmetric")
    },
    "recurrent": (circuits.RecurrentLayer(jnp.tanh), draw(N, N), ONES),
    "recurrent, fixed": (
        circuits.RecurrentLayer(recurrent=EYE),
        draw(N, N),
        {"pre": ONES, "target": ONES},
    ),
    "spiking": (NEURON, TWO["x"], SPIKES),
    "shared": (SharedInput(NEURON), TWO, SPIKES),
}


def test_every_circuit_is_in_the_table():
    public = {
        x
        for x in vars(circuits).values()
        if isinstance(x, type) and issubclass(x, AbstractCircuit)
    }
    assert public == {type(circuit) for circuit, *_ in CIRCUITS.values()}


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_every_circuit_runs_on_synapses_of_any_precision(dtype):
    with _as_usual():
        for name, (circuit, weights, stimulus) in CIRCUITS.items():
            system = System(Constant(cast(stimulus, dtype)), circuit, {})

            def ends(weights, system=system):
                state = system.start(weights, KEY)
                return state, advance(system, state, KEY)[0]

            before, after = jax.eval_shape(ends, cast(weights, dtype))
            assert jax.tree.map(_kind, before) == jax.tree.map(_kind, after), name


def _kind(x):
    return x.shape, x.dtype


def half(step):
    """The schedule 1, 1/2, 1/4, ..."""
    return 0.5 ** step.astype(float)


def thinned(name):
    """A step of a circuit with noise at every second one, halved from step to step."""
    circuit, weights, stimulus = CIRCUITS[name]
    rule = rules.Scheduled(rules.Intermittent(rules.Wiener(), 2), half)
    if name == "shared":  # inside and outside
        rule = rules.Intermittent(rules.Separate({"x": rule, "y": rule}), 1)
    system = System(Constant(stimulus), circuit, {"noise": rule})

    def step(first):
        start = system.start(weights, KEY)
        return advance(system, State(start.activity, weights, first), KEY)

    return step


def test_schedules_and_thinning_work_on_every_circuit():
    with _as_usual():
        for name, (_, weights, _) in CIRCUITS.items():
            step = lambda first, name=name: thinned(name)(first)[0].synapses
            after = jax.eval_shape(step, jnp.asarray(0))
            want = jax.tree.map(_kind, weights)
            assert jax.tree.map(_kind, after) == want, name


def test_schedules_and_thinning_count_the_steps_of_the_run():
    for first, due in ((2, False), (3, True)):
        _, signals, changes = thinned("resting")(jnp.asarray(first))
        found = jnp.concatenate([x.ravel() for x in jax.tree.leaves(changes)])
        spread = jnp.std(found) / (0.5**3 * jnp.sqrt(2 * signals.dt))
        assert (0.2 < spread < 3) if due else (spread == 0)


def test_thinned_learning_from_spikes_keeps_its_mean():
    for make, weights, signals in (
        (lambda: rules.EuclideanGradient(0.3), test_rules.V, test_rules.SPIKING),
        (test_rules.ON_STUDENTS["separate"], test_rules.STUDENTS, test_rules.SHARED),
    ):
        due = eqx.tree_at(
            lambda s: s.step, signals, jnp.asarray(3), is_leaf=lambda x: x is None
        )
        once = make()(weights, due, KEY)
        thinned = rules.Intermittent(make(), 4)(weights, due, KEY)
        if isinstance(once, dict):
            once, thinned = once["x"], thinned["x"]  # the other one is noise
        assert jnp.allclose(thinned, 4 * once, rtol=1e-10)


def test_wrappers_outside_a_run_say_that_the_step_is_missing():
    for rule in (
        rules.Scheduled(rules.Wiener(), half),
        rules.Intermittent(rules.Wiener(), 2),
    ):
        with pytest.raises(ValueError, match="Elapsed holds no `step`"):
            rule(W, ELAPSED, KEY)
    due = Elapsed(ONE, step=jnp.asarray(0))
    many = rules.Scheduled(rules.Wiener(), lambda step: jnp.ones(3))
    with pytest.raises(ValueError, match="`schedule` must return one number"):
        many(W, due, KEY)


# --- hyper-parameters -----------------------------------------------------------------

IMAGES = jnp.asarray(np.arange(12).reshape(4, 3), jnp.uint8)
LABELS = jnp.asarray([0, 1, 2, 3], jnp.int32)
ORDER = jnp.asarray([[0, 1], [2, 3]], jnp.int32)


class Decay(AbstractRule):
    """A user's rule, its field without a converter."""

    rate: jax.Array

    def __call__(self, synapses, signals, key):
        del signals, key
        return -self.rate * synapses


MODULES = {
    "user's": lambda: Decay(0.1),
    "user's, whole": lambda: Decay(1),
    "constant": lambda: tasks.Constant((0.5, {"x": 1.0})),
    "drawn": lambda: tasks.Drawn(jax.random.normal),
    "bootstrap": lambda: tasks.Bootstrap(jnp.ones((2, 3))),
    "epochs": lambda: tasks.Epochs(jnp.ones((2, 3)), jnp.arange(3)),
    "drive": lambda: tasks.Drive(np.ones((1, 2)), np.ones((2, 1))),
    "images": lambda: tasks.ImageBatches(IMAGES, LABELS, ORDER, 0.5, 2.0, 10.0),
    "trains": lambda: tasks.SpikeTrains(jnp.ones(3), 0.001, 2.0),
    "replay": lambda: tasks.Recorded((jnp.ones(3), jnp.ones((3, 2)))),
    "beeline": lambda: rules.Beeline({"a": 1.0}),
    "masked": lambda: rules.Masked(rules.Wiener(), {"a": 1.0}),
    "elastic": lambda: rules.ElasticPenalty(0.1, 2.0, {"a": 1.0}, {"a": 0.5}),
    "loss": lambda: LossCircuit(loss, 0.5),
    "stochastic": lambda: StochasticNetwork(loss, dt=0.5),
    "posterior": lambda: PosteriorNetwork(loss, 4.0, 2, 0.5),
    "rate": lambda: RateNetwork(0.1, 5.0, 6.0, 0.5, 0.5, 1.0),
    "novelty": lambda: Novelty(0.4, Power(2.0), 0.1),
    "resting": lambda: Resting(0.1),
    "cycle": lambda: Replay(WeakestReplay(0.1), Power(2), 0.1, 0.5),
    "signed": lambda: synapses.SignedProduct(jnp.array([1, -1, 1])),
    "free": lambda: synapses.Free(),
    "random replay": lambda: RandomReplay(),
    "prioritised replay": lambda: circuits.PrioritisedReplay(2.0),
    "taught": lambda: TaughtReplay(then=SoftReplay(3.0)),
    "candidates": lambda: circuits.Candidates(*[PATTERNS] * 2, PATTERNS[0], ONE),
    "neuron": lambda: SharedInput(
        SpikingNeuron(jnp.ones(3), 0.001, jnp.ones(3), floor=0.1)
    ),
    "kernel": lambda: circuits.SynapticKernel(),
    "sigmoid": lambda: circuits.Sigmoid(1.0, 2.0, 3.0),
    "quadratic": lambda: circuits.RectifiedQuadratic(1.0),
    "squared": lambda: circuits.SquaredError(),
    "moment": lambda: circuits.SecondMomentError(np.eye(2), np.ones((1, 2))),
    "connected": lambda: synapses.Connected({"a": 1.0}),
    "floored": lambda: synapses.Floored(np.ones((2, 2)), 0.1),
    "ceiling": lambda: synapses.Ceiling(0.5),
    "ordered": lambda: synapses.Ordered(),
    "scaling": lambda: synapses.HomeostaticScaling(2.0, SignedPower(2)),
    "midpoint": lambda: synapses.MidpointThreshold(np.eye(2), np.ones(2, bool)),
    "random threshold": lambda: synapses.RandomPatternThreshold(0.4),
    "bounded": lambda: synapses.Bounded(0.0, 1.0),
    "normed": lambda: synapses.Normed(2.0),
    "dale": lambda: synapses.Dale(np.ones(2)),
    "density": lambda: synapses.Density(0.5),
    "rewired": lambda: synapses.Rewired(0.5, 0.1, 0.2, np.ones(2)),
    "layer": lambda: circuits.Layer(dt=0.5),
    "units": lambda: circuits.BernoulliLayer(dt=0.5),
    "trying": lambda: circuits.NoisyLayer(dt=0.5, spread=0.2),
    "leaky": lambda: circuits.LeakyNetwork(0.5, recurrent=np.eye(2)),
    "short-term": lambda: ShortTerm(0.5, 100.0),
    "leaky state": lambda: circuits.LeakyNetwork().start(jnp.eye(2)),
    "exponential neurons": lambda: circuits.ExponentialNeurons(jump=80.5),
    "exponential state": lambda: circuits.ExponentialNeurons().start(jnp.eye(2)),
    "LSNN": lambda: circuits.LSNN(adaptation=np.ones(2)),
    "LSNN's state": lambda: circuits.LSNN().start(test_rules.NETWORK),
    "layered": lambda: circuits.LayeredNetwork(dt=0.5),
    "recurrent": lambda: circuits.RecurrentLayer(inputs=np.eye(2)),
    "predictive network": lambda: circuits.PredictiveNetwork(0.5, 0.2),
    "equilibrium network": lambda: circuits.EquilibriumNetwork(0.5, 0.2),
    "reciprocal": lambda: test_rules.BOTH,
    "bounds": lambda: synapses.ReleaseBounds(0.1, 0.9),
    "release": lambda: synapses.Release(0.5),
    "stochastic synapses": lambda: RELEASING,
    "factored": lambda: FACTORS,
    "product": lambda: synapses.Product(),
    "parametrised": lambda: synapses.Parametrised(jnp.ones(2), jnp.exp),
    "cascade": lambda: synapses.random_cascade((2, 3), 4, 0.5, KEY),
    "chain": lambda: synapses.Chain(jnp.ones((2, 3))),
    **{name: make for name, (make, _, _) in RULES.items()},
}


def test_every_number_of_every_part_is_an_array_leaf():
    built = {name: make() for name, make in MODULES.items()}
    for name, module in built.items():
        for leaf in jax.tree.leaves(module):
            assert not isinstance(leaf, float), name
            assert not isinstance(leaf, np.ndarray) or leaf.dtype == bool, name
    whole = {type(x) for x in jax.tree.leaves(list(built.values()), is_leaf=_is_module)}
    seen = set().union(*(_kinds(x) for x in built.values()))
    public = {
        x
        for package in (tasks, rules, circuits, synapses)
        for x in vars(package).values()
        if isinstance(x, type) and issubclass(x, eqx.Module) and not _is_abstract(x)
    }
    assert public <= seen | whole


def _is_abstract(kind):
    return bool(getattr(kind, "__abstractmethods__", None))


def _is_module(x):
    return isinstance(x, eqx.Module)


def _kinds(module):
    """The classes of a module and of all its fields."""
    kinds = {type(module)}
    for name in getattr(module, "__dataclass_fields__", {}):
        kinds |= _kinds(getattr(module, name))
    return kinds


def test_a_number_of_a_users_rule_has_a_gradient():
    signals = Elapsed(ONE)
    slope = eqx.filter_grad(lambda rule: jnp.sum(rule(W["b"], signals, KEY)))
    assert slope(Decay(0.1)).rate == -0.3


# --- numbers that count, and numbers that are no arrays -------------------------------

COUNTS = {
    "probes": lambda n: rules.WeightPerturbation(0.1, n).probes,
    "every": lambda n: rules.Intermittent(rules.Wiener(), n).every,
    "draws": lambda n: PosteriorNetwork(loss, 4.0, n).draws,
    "rows": lambda n: memories_of(PATTERNS, n).targets,
    "shift": lambda n: memories_of(PATTERNS, shift=n).targets,
    "steps": lambda n: circuits.retrieve(jnp.eye(2), jnp.zeros(2), jnp.eye(2), n),
    "n": lambda n: tasks.draw_patterns(n, 3, 0.5, KEY),
    "count": lambda n: tasks.draw_patterns(3, n, 0.5, KEY),
    "epochs": lambda n: tasks.epoch_orders(3, n, KEY),
    "batch": lambda n: tasks.batch_orders(np.arange(4), n, 1, KEY),
    "tasks": lambda n: tasks.task_shares(n, 80),
    "samples": lambda n: tasks.mixed_normal(3, n, KEY),
    "sizes": lambda n: tasks.glorot_uniform((3, n), KEY),
    "shape": lambda n: synapses.random_mask((3, n), 0.5, KEY),
    "levels": lambda n: measure.cascade_signal([1.0], n),
    "variables": lambda n: measure.chain_noise(n),
}


@pytest.mark.parametrize("name", COUNTS)
def test_counts_are_python_or_numpy_integers(name):
    count = COUNTS[name]
    assert np.array_equal(count(np.int64(2)), count(2))
    for wrong in (2.0, True, "2", None):
        if name == "rows" and wrong is None:  # all of them
            continue
        with pytest.raises(ValueError, match=f"`{name}` must be an integer"):
            count(wrong)


def test_integers_and_lists_give_what_floats_give():
    a, b = jnp.asarray([0.0, 1.0]), [0, 1]
    for function in (circuits.logistic, circuits.error_function):
        assert jnp.array_equal(function(a), function(b))
        assert function(1) == function(jnp.asarray(1.0))
    start = RateNetwork().at
    assert eqx.tree_equal(start(a, a), start(b, np.asarray(b)))
    factor = circuits.amplification
    for kind in ("rk4", "euler"):
        want = factor(jnp.asarray([-1.0, -2.0]), 0.5, kind)
        assert np.allclose(factor([-1, -2], 0.5, kind), want, rtol=1e-15)
    eye = jnp.eye(2)
    whole = np.eye(2, dtype=int)
    assert jnp.array_equal(
        circuits.feedforward((eye,), whole), circuits.feedforward((eye,), eye)
    )
    assert jnp.array_equal(
        circuits.retrieve(whole, b, whole, 1), circuits.retrieve(eye, a, eye, 1)
    )


@pytest.mark.parametrize("kind", [np.uint8, np.int64, bool, np.float32, float, list])
def test_patterns_of_any_kind_have_the_same_targets(kind):
    table = np.asarray(PATTERNS)
    given = table.tolist() if kind is list else table.astype(kind)
    found = memories_of(given, ROWS)
    assert jnp.issubdtype(found.targets.dtype, jnp.floating)
    assert np.array_equal(found.targets, MEMORIES.targets)
    back = memories_of(given, shift=-1).targets
    assert np.array_equal(back, np.roll(MEMORIES.targets, 1, axis=1))
