"""What users' own rules, circuits, projections and runs must do, and are told."""

import contextlib
import dataclasses
import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax
import pytest

from plasticity_jax import (
    AbstractCircuit,
    AbstractProjection,
    AbstractRule,
    AbstractSignals,
    advance,
    rules,
    simulate,
    State,
    sweep,
    System,
)
from plasticity_jax._arguments import fill_array_fields, real, whole
from plasticity_jax._interfaces import Scalar
from plasticity_jax._sweep._lanes import _diverged
from plasticity_jax.circuits import (
    Layer,
    LossCircuit,
    RateNetwork,
    Resting,
    StochasticNetwork,
)
from plasticity_jax.tasks import Constant


KEY = jr.key(0)
WEIGHTS = {"a": jnp.asarray(np.ones((3, 3))), "b": jnp.asarray(np.ones(3))}
LOSS = LossCircuit(lambda w, _: sum(jnp.sum(x**2) for x in jax.tree.leaves(w)))


class Returns(AbstractRule):
    """A rule that returns something."""

    what: object = eqx.field(static=True)

    def __call__(self, synapses, signals, key):
        return self.what(synapses, signals)


def stepped(rule=None, circuit=LOSS, projections=(), activity=None, weights=WEIGHTS):
    system = System(
        Constant(None), circuit, {} if rule is None else {"mine": rule}, projections
    )
    return advance(system, State(activity, weights), KEY)


SHAPES = {
    "one entry per neuron": lambda w, _: {"a": jnp.ones(3), "b": jnp.ones(3)},
    "a scalar": lambda w, _: {"a": jnp.ones(()), "b": jnp.ones(3)},
    "a number": lambda w, _: 0.1,
    "nothing": lambda w, _: None,
    "a missing part": lambda w, _: {"a": w["a"]},
    "another part": lambda w, _: {**w, "c": w["a"]},
    "another kind of tree": lambda w, _: (w["a"], w["b"]),
    "complex numbers": lambda w, _: jax.tree.map(lambda x: x.astype(complex), w),
    "integers": lambda w, _: jax.tree.map(lambda x: x.astype(int), w),
    "masks": lambda w, _: jax.tree.map(lambda x: x > 0, w),
}


@pytest.mark.parametrize("what", SHAPES.values(), ids=list(SHAPES))
def test_a_change_that_is_not_shaped_like_the_synapses_names_the_rule(what):
    with pytest.raises(ValueError, match=r"^rule 'mine' \(Returns\) must return .*b:"):
        stepped(Returns(what))


@pytest.mark.parametrize("what", SHAPES.values(), ids=list(SHAPES))
def test_a_projection_that_changes_shapes_is_named(what):
    class Wrong(AbstractProjection):
        def __call__(self, synapses, signals=None, key=None):
            return what(synapses, None)

    with pytest.raises(ValueError, match=r"^the projection Wrong must return .*b:"):
        stepped(projections=(Wrong(),))


class Kicked(AbstractProjection):
    """Noise of a projection's own, as large as the loss, and the step."""

    def __call__(self, synapses, signals=None, key=None):
        kick = signals.loss * jr.normal(key) * (1.0 + signals.step.astype(float))
        return jax.tree.map(lambda w: w + kick, synapses)


def test_projections_read_signals_and_step_and_draw_by_themselves():
    system = System(Constant(None), LOSS, {}, (Kicked(), Kicked()))
    state = system.start(WEIGHTS, KEY)
    ends = lambda steps: simulate(system, state, KEY, steps=steps)[0].synapses["b"][0]
    one, two = ends(1) - 1, ends(2) - 1
    assert one != 0
    assert abs(two - 2 * one) > 1
    alone = dataclasses.replace(system, projections=(Kicked(),))
    kick = simulate(alone, state, KEY, steps=1)[0].synapses["b"][0] - 1
    assert abs(one - 2 * kick) > 1e-3  # each draws its own
    with pytest.raises(ValueError, match="the projection Sees reads the signal `post`"):
        stepped(projections=(Sees(),))
    with pytest.raises(ValueError, match=r"`projections\[0\]` must be a function of"):
        System(Constant(None), LOSS, {}, (Blind(),))


class Sees(AbstractProjection):
    """Reads what a loss does not offer."""

    def __call__(self, synapses, signals=None, key=None):
        return signals.post


class Blind(AbstractProjection):
    """Takes synapses only."""

    def __call__(self, synapses):
        return synapses


def test_a_signal_that_is_not_there_names_rule_signal_and_circuits():
    rule = Returns(lambda w, signals: signals.early_trace)
    says = r"rule 'mine' \(Returns\) reads the signal `early_trace`, which LossSignals"
    with pytest.raises(ValueError, match=says + ".* offer it: RateNetwork"):
        stepped(rule)
    mistake = Returns(lambda w, signals: w.nothing)  # an error of the rule's own
    with pytest.raises(AttributeError, match="nothing"):
        stepped(mistake)


class Unstarted(AbstractCircuit):
    """Counts from nothing, or reads the synapses as something else."""

    counts: bool

    def __call__(self, activity, synapses, stimulus, key):
        return activity + 1 if self.counts else synapses @ synapses, None


@pytest.mark.parametrize(
    ("counts", "says"),
    [(True, r"NoneType.* \(its activity is None: let its `start`"), (False, "@")],
)
def test_a_circuit_that_fails_is_named(counts, says):
    system = System(Constant(None), Unstarted(counts), {})
    with pytest.raises(ValueError, match=f"the circuit Unstarted: .*{says}"):
        simulate(system, system.start(WEIGHTS, KEY), KEY, steps=1)


def test_a_start_wants_a_key(monkeypatch):
    monkeypatch.setattr("jaxtyping.config.jaxtyping_disable", True)
    with pytest.raises(ValueError, match=r"`key` must be made by jax\.random\.key"):
        System(Constant(None), LOSS, {}).start(WEIGHTS, 0)


class Half(AbstractCircuit):
    """A circuit that returns something."""

    what: object = eqx.field(static=True)

    def __call__(self, activity, synapses, stimulus, key):
        return self.what(activity)


@pytest.mark.parametrize(
    "what",
    [
        lambda activity: None,
        lambda activity: activity,
        lambda activity: (activity[:2], None),
        lambda activity: ({"x": activity}, None),
        lambda activity: (activity, None),
        lambda activity: (activity, {"dt": 1.0}),
    ],
)
def test_a_circuit_that_returns_something_else_is_named(what):
    with pytest.raises(ValueError, match=r"^the circuit Half must return"):
        stepped(circuit=Half(what), activity=jnp.ones(3))


@pytest.mark.usefixtures("unchecked")
def test_parts_of_a_system_are_of_their_kind():
    decay = rules.Dissipation(0.1)
    with pytest.raises(ValueError, match=r"`projections` must be a tuple.*list"):
        System(Constant(None), LOSS, {}, [decay])
    with pytest.raises(ValueError, match=r"`projections` must be a tuple.*Dissip"):
        System(Constant(None), LOSS, {}, decay)
    with pytest.raises(ValueError, match=r"`rules` must map names to rules; got Dis"):
        System(Constant(None), LOSS, decay)
    with pytest.raises(ValueError, match=r"`rules` must map names to rules; got list"):
        System(Constant(None), LOSS, [decay])
    with pytest.raises(ValueError, match=r"rules: 'x' must be an AbstractRule; got fl"):
        System(Constant(None), LOSS, {"x": 0.1})
    with pytest.raises(ValueError, match=r"'projection 0' must not begin with 'proj"):
        System(Constant(None), LOSS, {"projection 0": decay})
    with pytest.raises(ValueError, match=r"`task` must be an AbstractTask; got None"):
        System(None, LOSS, {})
    with pytest.raises(ValueError, match=r"`circuit` must be an AbstractCircuit"):
        System(Constant(None), lambda *_: None, {})
    with pytest.raises(ValueError, match=r"\[0\] must be an AbstractProjection"):
        System(Constant(None), LOSS, {}, (decay,))


# --- numbers --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [4, np.int64(4), np.uint8(4), np.asarray(4), np.arange(5)[4], jnp.asarray(4)],
)
def test_counts_may_come_from_numpy(value):
    assert whole("steps", value) == 4
    assert type(whole("steps", value)) is int


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("value", [4.0, True, np.True_, "4", None, [4], np.arange(1)])
def test_what_is_no_count_is_refused_by_name(value):
    with pytest.raises(ValueError, match="`steps` must be an integer; got"):
        simulate(None, None, KEY, steps=value)
    with pytest.raises(ValueError, match="`every` must be an integer; got"):
        simulate(None, None, KEY, steps=4, every=value)


class Decay(AbstractRule):
    rate: jax.Array
    gain: "jax.Array" = 2
    power: int = 1
    name: str = "decay"
    fixed: float = eqx.field(default=0.5, static=True)

    def __call__(self, synapses, signals, key):
        return jax.tree.map(lambda w: -self.rate * self.gain * w, synapses)


def test_numbers_in_array_fields_are_leaves():
    for rate in (0.1, np.float32(0.1), np.float64(0.1), np.full(3, 0.1), 1):
        rule = Decay(rate)
        assert isinstance(rule.rate, jax.Array)
        assert jnp.issubdtype(rule.rate.dtype, jnp.inexact)
        assert isinstance(rule.gain, jax.Array)
    assert type(rule.power) is int
    assert rule.name == "decay"
    assert type(rule.fixed) is float
    slope = eqx.filter_grad(lambda rule: stepped(rule)[0].synapses["b"].sum())(
        Decay(0.1)
    )
    assert slope.rate == -6.0


def test_numbers_further_in_are_leaves_too():
    class Inner(eqx.Module):
        rate: jax.Array

    class Outer(AbstractRule):
        parts: tuple
        inner: Inner
        drop: eqx.nn.Dropout

        def __call__(self, synapses, signals, key):
            return synapses

    outer = Outer((0.1, {"a": np.float32(2)}), Inner(0.3), eqx.nn.Dropout(0.5))
    assert all(isinstance(x, jax.Array) for x in jax.tree.leaves(outer.parts))
    assert isinstance(outer.inner.rate, jax.Array)
    assert type(outer.drop.p) is float  # a setting, not a hyper-parameter
    for one in (np.int64(1), np.asarray(1), 1):
        assert isinstance(Decay(one).rate, jax.Array)


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    "weights",
    [jnp.asarray([1, 1]), {"a": 1, "b": jnp.asarray([1.0])}, jnp.asarray([True])],
)
def test_integer_synapses_are_refused(weights):
    with pytest.raises(ValueError, match="`synapses` must be floating-point arrays"):
        stepped(rules.Dissipation(0.1), Resting(1.0), weights=weights)


def test_other_modules_may_do_the_same():
    class Mine(eqx.Module):
        scale: jax.Array

        def __check_init__(self):
            fill_array_fields(self)

    assert isinstance(Mine(3.0).scale, jax.Array)


class Plain(eqx.Module):
    gain: jax.Array = 1.0  # without a converter
    rates: jax.Array = eqx.field(default_factory=lambda: jnp.ones(3))
    size: int = eqx.field(default=3, static=True)


def gained(config, key):
    return {"x": config.gain * jr.normal(key)}


KEYS = jr.split(KEY, 2)


def swept(run=gained, config=None, grid=None, keys=KEYS, **options):
    config = Plain() if config is None else config
    return sweep(run, config, grid or {}, keys, progress=False, **options)


def test_a_python_float_in_a_config_compiles_one_program_for_all_values():
    swept(config=Plain(0.7), batch_size=2)
    with jax.log_compiles(False), _compilations() as seen:
        swept(config=Plain(0.8), batch_size=2)
    assert seen == []


@contextlib.contextmanager
def _compilations():
    seen = []
    listen = lambda event, *_, **__: (
        seen.append(event) if "backend_compile" in event else None
    )
    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield seen
    finally:
        jax.monitoring.clear_event_listeners()


@dataclasses.dataclass
class NoModule:
    gain: float = 1.0


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("config", [NoModule(), {"gain": 1.0}, 3.0, Plain])
def test_a_config_that_is_no_module_is_refused(config):
    with pytest.raises(ValueError, match=r"`config` must be an equinox.Module"):
        swept(config=config)


RETURNED = {
    "nothing": (lambda c, k: {}, "got an empty one"),
    "no dict": (lambda c, k: [c.gain], r"got \(float"),
    "None": (lambda c, k: None, "got None"),
    "None by name": (lambda c, k: {"x": None}, "'x' is None"),
    "a nested dict": (lambda c, k: {"x": {"a": c.gain}}, r"'x' is \{a: "),
    "a tuple": (lambda c, k: {"x": (c.gain, c.gain)}, r"'x' is \("),
    "a text": (lambda c, k: {"x": "much"}, "'x' is str"),
    "a key": (lambda c, k: {"x": k}, "'x' is ArrayImpl|'x' is .*Tracer"),
    "a number as a name": (lambda c, k: {1: c.gain}, "names that are text; got 1"),
}


@pytest.mark.parametrize(("run", "says"), RETURNED.values(), ids=list(RETURNED))
def test_what_a_run_returns_wrongly_is_named(run, says):
    with pytest.raises(ValueError, match="`run` must return .*" + says):
        swept(run)


@pytest.mark.usefixtures("unchecked")
def test_other_arguments_of_a_sweep_are_named():
    with pytest.raises(ValueError, match="'rates' is not one number"):
        swept(grid={"rates": [1.0, 2.0]})
    with pytest.raises(ValueError, match=r"`batch_size` must be an integer; got 2\.5"):
        swept(batch_size=2.5)
    with pytest.raises(ValueError, match="`executor` must be a concurrent"):
        swept(executor="dask")
    with pytest.raises(ValueError, match="of the kind 'rbg'"):
        swept(keys=jr.split(jr.key(0, impl="rbg"), 2))
    for given in ("cpu", ["cpu"], jax.devices()[0]):
        with pytest.raises(ValueError, match="`devices` must be a list of devices"):
            swept(devices=given)
    with pytest.raises(ValueError, match=r"3: .*int"):
        swept(store=3)
    for run in (3, lambda config: {}, lambda config, key, more: {}):
        with pytest.raises(
            ValueError, match=r"`run` must be a function of \(config, k"
        ):
            swept(run=run)
    for dims in (None, "a", ("a", 1), 3):
        with pytest.raises(ValueError, match="dims: 'x' must have a tuple of names"):
            swept(dims={"x": dims})
    assert swept(batch_size=np.int32(2)).attrs["batch_size"] == 2


@pytest.mark.usefixtures("unchecked")
def test_other_arguments_of_a_run_are_named():
    state = State(None, WEIGHTS)
    system = System(Constant(None), LOSS, {})
    run = functools.partial(simulate, steps=2)
    for wrong in (0, None, jnp.ones(2), "key"):
        with pytest.raises(ValueError, match="`key` must be made by"):
            run(system, state, wrong)
    with pytest.raises(ValueError, match="`state` must be a State; got None"):
        run(system, None, KEY)
    with pytest.raises(ValueError, match="`system` must be a System; got LossCircuit"):
        run(LOSS, state, KEY)
    for record in (3, lambda state, signals: state):
        with pytest.raises(
            ValueError, match=r"`record` must be a function of .state, s"
        ):
            run(system, state, KEY, record=record)
    for loss in (3, lambda synapses: 0.0):
        with pytest.raises(
            ValueError, match=r"`loss` must be a function of .synapses, s"
        ):
            LossCircuit(loss)
        with pytest.raises(
            ValueError, match=r"`loss` must be a function of .weights, st"
        ):
            StochasticNetwork(loss)
    with pytest.raises(ValueError, match=r"`step` must be an integer; got 1\.5"):
        State(None, WEIGHTS, step=1.5)
    resting = System(Constant(None), RateNetwork(), {})
    with pytest.raises(
        ValueError, match="RateNetwork: `activity` must be a Rates; got"
    ):
        run(resting, state, KEY)


def test_a_config_of_another_precision_is_refused():
    for made, used in ((False, True), (True, False)):
        with jax.enable_x64(made):
            config = Plain(gain=real(0.1))
        with (
            jax.enable_x64(used),
            pytest.raises(ValueError, match=r"config: `gain` is of float\d\d and the"),
        ):
            swept(config=config, keys=jr.split(jr.key(0), 2))


KINDS = (jnp.float16, jnp.bfloat16, jnp.float32, jnp.float64, jnp.complex64)
KINDS += (jnp.float8_e5m2, jnp.float8_e4m3fn)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: jnp.dtype(kind).name)
def test_a_diverged_run_is_seen_in_every_type(kind):
    values = np.asarray(jnp.asarray([[1.0, 2.0], [1.0, jnp.nan]], kind))
    assert _diverged({"x": values}).tolist() == [False, True]
    assert _diverged({"x": np.ones((2, 3), int)}).tolist() == [False, False]


# --- the step is part of every signal -------------------------------------------------


class Own(AbstractSignals):
    dt: Scalar


def test_every_circuit_counts_the_steps():
    silent = Half(lambda activity: (activity, Own(real(1.0))))
    for circuit in (LOSS, Resting(1.0), silent):
        _, signals, _ = stepped(
            rules.Scheduled(rules.Wiener(), lambda step: step + 2), circuit
        )
        assert signals.step == 0
    network = RateNetwork()
    start = network.at(jnp.zeros(3))._replace(age=jnp.asarray(7, jnp.int32))
    system = System(Constant(jnp.zeros(3)), network, {})
    _, signals, _ = advance(system, State(start, jnp.zeros((3, 3))), KEY)
    assert signals.step == 7  # its own count


# --- precision ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "double"),
    [(jnp.float32, True), (jnp.bfloat16, True), (jnp.float16, False)],
)
def test_weights_keep_their_precision_in_either_mode(kind, double):
    with jax.enable_x64(double), jax.numpy_dtype_promotion("standard"):
        weights = {"a": jnp.ones((2, 2), kind), "b": jnp.ones(3, kind)}
        kinds = jax.tree.map(lambda x: x.dtype, weights)
        circuit = LossCircuit(LOSS.loss, optimiser=optax.adam(0.1))
        system = System(
            Constant(None),
            circuit,
            {
                "repair": rules.NoisyGradient(0.1, 1.0),
                "noise": rules.Wiener(),
                "adam": rules.Update(),
                "mine": Decay(0.1),
            },
        )
        state = State(circuit.optimiser.init(weights), weights)
        final, _ = simulate(system, state, jr.key(0), steps=2)
        assert jax.tree.map(lambda x: x.dtype, final.synapses) == kinds
        assert all(jnp.isfinite(x).all() for x in jax.tree.leaves(final.synapses))


@pytest.mark.parametrize(
    "make",
    [
        lambda: System(Constant(None), Layer, {}),
        lambda: System(Constant(None), Layer(), {"oja": rules.Oja}),
        lambda: rules.Scaled(rules.Oja, 2.0),
        lambda: rules.Reparametrised(rules.Oja),
    ],
)
def test_a_class_in_place_of_what_it_makes_is_refused_by_name(make, unchecked):
    with pytest.raises(ValueError, match=r"the class (Layer|Oja), of which one must"):
        make()
