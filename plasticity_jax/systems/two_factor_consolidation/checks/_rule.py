"""What replay climbs and conserves: the running rules beside autodiff and closed forms.

Sections T1 to T4 and T10 of the specification.
"""

import functools
from collections.abc import Iterator

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Key

from .... import AbstractRule, simulate, State, System
from ....circuits import Memories, memories_of, Replay, SoftReplay, WeakestReplay
from ....experiment import Check, exact, expectation, together
from ....measure import margins
from ....rules import FactorAscent, PowerMetric
from ....synapses import (
    AbstractFactors,
    Factored,
    HomeostaticScaling,
    Power,
    Product,
    RandomPatternThreshold,
    SignedPower,
)
from ....tasks import Constant, draw_patterns
from .. import theory


KEY = jr.key(0)
SIZE, ROWS, PATTERNS = 30, 4, 12
ORDERS = (1, 2, 3, 4)


def rule_checks() -> Iterator[Check]:
    """T1 to T4 and T10; in double precision."""
    yield from _gradient_checks()
    yield from _penalty_checks()
    yield from _invariant_checks()
    yield from _geometry_checks()
    yield from _metric_checks()
    yield from _scaling_checks()
    yield from _activity_checks()


def _memories() -> Memories:
    return memories_of(draw_patterns(SIZE, PATTERNS, 0.5, KEY), ROWS)


def _synapses(height: int, key: Key[Array, ""] = KEY) -> Factored:
    """Random factors, and thresholds at which about half of the fields are positive."""
    factors = jr.uniform(key, (height, ROWS, SIZE), minval=0.5, maxval=1.5)
    return RandomPatternThreshold(0.5)(Factored(factors, jnp.zeros(ROWS)))


# --- T1 -----------------------------------------------------------------------------


@eqx.filter_jit
def _climbed(
    policy: WeakestReplay | SoftReplay,
    parametrisation: AbstractFactors,
    synapses: Factored,
) -> tuple[Factored, Factored]:
    """The change by one cycle at unit rates, and the gradient of what it climbs."""
    stored = _memories()
    circuit = Replay(policy, parametrisation)
    activity = circuit.start(synapses, stored)
    _, signals = circuit(activity, synapses, stored, KEY)
    change = FactorAscent(1.0, 1.0, parametrisation)(synapses, signals, KEY)

    def height(synapses: Factored) -> Array:
        fields = circuit.fields(synapses, stored)
        if isinstance(policy, WeakestReplay):
            return jnp.sum(margins(fields, stored.targets))
        return jnp.sum(theory.soft_margin(fields, activity.average, policy.sharpness))

    return change, jax.grad(height)(synapses)


@together
def _gradient_checks() -> Iterator[Check]:
    synapses, weaker = _synapses(2), jnp.asarray([1.0, 0.3])[:, None, None]
    policies = {"margin": WeakestReplay(), "soft margin": SoftReplay(20.0)}
    signed = eqx.tree_at(lambda s: s.factors, synapses, synapses.factors * weaker)
    for name, policy in policies.items():
        for order in ORDERS:
            change, slope = _climbed(policy, Product(), _synapses(order))
            title = f"slope of the {name}, z = {order}"
            yield exact(title, "T1", change.factors, slope.factors, 1e-12)
            title += ": threshold"
            yield exact(title, "T1", change.threshold, slope.threshold, 1e-12)
        change, slope = _climbed(policy, Power(2.5), _synapses(1))
        title = f"slope of the {name}, a factor to the power of 2.5, over 2.5"
        yield exact(title, "T1", change.factors, slope.factors / 2.5, 1e-12)
        change, slope = _climbed(policy, SignedPower(2.0), signed)
        title = f"slope of the {name}, a signed square"
        yield exact(title, "T1", change.factors, slope.factors, 1e-12)


# --- T2 -----------------------------------------------------------------------------


@functools.partial(jax.jit, static_argnames="order")
def _at_equal_factors(
    factor: float, goal: Array, penalty: float, order: int
) -> tuple[Array, Array]:
    """Slope and curvature of the penalised loss, by autodiff."""
    loss = functools.partial(_penalised, goal=goal, penalty=penalty)
    equal = jnp.full(order, factor)
    return jax.grad(loss)(equal), jax.hessian(loss)(equal)


def _penalised(
    factors: Float[Array, " factor"], goal: Array, penalty: float
) -> Float[Array, ""]:
    square = jnp.sum(factors**2) / len(factors)
    return 0.5 * (jnp.prod(factors) - goal) ** 2 + penalty * square


@together
def _penalty_checks() -> Iterator[Check]:
    goal, penalty, factor = jnp.asarray(0.8), 0.3, 0.9
    for order in ORDERS:
        slope, bend = _at_equal_factors(factor, goal, penalty, order)
        want = theory.penalised_hessian(factor, goal, penalty, order)
        title = f"curvature at equal factors, z = {order}"
        yield exact(title, "T2", bend, want, 1e-12)
        want = theory.penalised_slope(factor**order, goal, penalty, order)
        want = jnp.full(order, factor ** (order - 1)) * want
        title = f"slope at equal factors, z = {order}"
        yield exact(title, "T2", slope, want, 1e-12)
        dead = jnp.linalg.eigvalsh(_at_equal_factors(0.0, goal, penalty, order)[1])
        title = f"curvature where all factors are lost, z = {order}"
        if order == 2:
            want = penalty + jnp.asarray([-goal, goal])
            yield exact(title, "T2", dead, want)
        if order > 2:
            want = jnp.full(order, 2 * penalty / order)
            yield exact(f"{title}: none returns", "T2", dead, want)
        if order > 1:
            yield _split_check(order)
    yield from _threshold_checks(penalty)


def _split_check(order: int) -> Check:
    splits = np.random.default_rng(0).normal(size=(1000, order))
    splits[0] = 0.0  # equal factors
    splits -= splits.mean(axis=1, keepdims=True)
    weight = jnp.asarray(0.6)
    squares = np.mean((0.6 ** (1 / order) * np.exp(splits)) ** 2, axis=1)
    least = theory.factor_penalty(weight, order)
    title = f"least cost of factors with a given product, z = {order}"
    return exact(title, "T2", np.min(squares), least, 1e-12)


@eqx.filter_jit
def _descended(goals: Float[Array, " goal"], penalty: float) -> Float[Array, " goal"]:
    """Products of two factors after gradient descent on the penalised loss."""

    def settle(goal: Array, key: Key[Array, ""]) -> Array:
        slope = jax.grad(functools.partial(_penalised, goal=goal, penalty=penalty))
        step = lambda _, u: u - 0.05 * slope(u)
        start = jr.uniform(key, (2,), minval=0.5)
        return jnp.prod(jax.lax.fori_loop(0, 5000, step, start))

    return jax.vmap(settle)(goals, jr.split(KEY, len(goals)))


def _threshold_checks(penalty: float) -> Iterator[Check]:
    goals = jnp.asarray([0.1, 0.2, 0.5, 1.0, 2.0])
    want = theory.soft_threshold(goals, penalty)
    got = _descended(goals, penalty)
    yield exact("two factors settle at the soft threshold", "T2", got, want)
    alive = want[-1]
    bend = theory.penalised_hessian(jnp.sqrt(alive), goals[-1], penalty, 2)
    want = jnp.asarray([2 * penalty, 2 * alive])
    yield exact("curvature there", "T2", jnp.linalg.eigvalsh(bend), want)


# --- T3 -----------------------------------------------------------------------------


_drive = lambda state, signals, changes: signals.drive


def _free(order: int, rate: float) -> tuple[System, State]:
    """Replay of the weakest pattern without bounds, pruning and homeostasis."""
    stored, synapses = _memories(), _synapses(order)
    circuit = Replay(pruned_below=0.0)
    system = System(Constant(stored), circuit, {"replay": FactorAscent(rate, rate)})
    return system, system.start(synapses, jr.key(0))


@together
def _invariant_checks() -> Iterator[Check]:
    rate, steps = 0.002, 200
    system, state = _free(2, rate)
    final, drives = simulate(system, state, KEY, steps=steps, record=_drive)
    want = theory.factors_after(state.synapses.factors, drives, rate)
    title = f"both factors after {steps} cycles of replay"
    yield exact(title, "T3", final.synapses.factors, want, 1e-12)
    for order in ORDERS[1:]:
        system, state = _free(order, 0.1)
        final, drives = simulate(system, state, KEY, steps=1, record=_drive)
        before, after = state.synapses.factors, final.synapses.factors
        others = jnp.prod(before[2:], axis=0)
        left = theory.imbalance_decay(0.1, drives[0], others)
        title = f"imbalance of factors after a cycle, z = {order}"
        want = (before[0] ** 2 - before[1] ** 2) * left
        yield exact(title, "T3", after[0] ** 2 - after[1] ** 2, want, 1e-12)


# --- T4 -----------------------------------------------------------------------------


@together
def _geometry_checks() -> Iterator[Check]:
    for order in ORDERS:
        weights = jr.uniform(KEY, (ROWS, SIZE), minval=0.1, maxval=2.0)
        factors = jnp.repeat(weights[None] ** (1 / order), order, axis=0)
        got, drive = _moved(Factored(factors, jnp.ones(ROWS)))
        title = f"weights of equal factors follow a preconditioned slope, z = {order}"
        want = theory.preconditioner(weights, order) * drive
        yield exact(title, "T4", got, want, 1e-12)


@eqx.filter_jit
def _moved(synapses: Factored) -> tuple[Float[Array, "row n"], Float[Array, "row n"]]:
    """How fast weights move as the rate grows from 0, and the drive."""
    stored, circuit = _memories(), Replay()
    _, signals = circuit(circuit.start(synapses, stored), synapses, stored, KEY)

    def weights(rate: Array) -> Float[Array, "row n"]:
        change = FactorAscent(rate, 0.0)(synapses, signals, KEY)
        return Product().weights(synapses.factors + change.factors)

    zero, one = jnp.zeros(()), jnp.ones(())
    return jax.jvp(weights, (zero,), (one,))[1], signals.drive


@together
def _metric_checks() -> Iterator[Check]:
    """Metrics between those of one and of two factors, and their flow."""
    drive = jr.normal(KEY, (ROWS, SIZE))
    weights = jr.uniform(KEY, (ROWS, SIZE), minval=0.1, maxval=2.0)
    for exponent in (0.0, 0.4, 1.0):
        order = theory.order_of_metric(exponent)
        got = order * _in_metric(weights, drive, exponent)
        want = _by_power(weights, drive, order)
        title = f"weights in the metric of w^{exponent:g} and by equal factors"
        yield exact(title, "T4, autodiff", got, want, 1e-12)
        # at a time before which no weight reaches 0
        flow = lambda t, s=exponent: theory.weights_after(weights, drive, t, s)
        now, speed = jax.jvp(flow, (jnp.asarray(0.01),), (jnp.ones(()),))
        title = f"flow in the metric of w^{exponent:g}, from its speed"
        yield exact(title, "T4, autodiff", speed, _in_metric(now, drive, exponent))


class _Driven(AbstractRule):
    """Weights move by a given drive."""

    drive: Float[Array, "row n"]

    def __call__(self, synapses: Array, signals: None, key: Key[Array, ""]) -> Array:
        return self.drive


def _in_metric(weights: Array, drive: Array, exponent: float) -> Array:
    return PowerMetric(_Driven(drive), exponent)(weights, None, KEY)


def _by_power(weights: Array, drive: Array, order: Array) -> Array:
    """How fast weights $u^z$ move as $u$ climbs."""
    how, factor = Power(order), weights[None] ** (1 / order)
    climb = how.ascent(factor, drive)
    return jax.jvp(how.weights, (factor,), (climb,))[1]


# --- T10 ----------------------------------------------------------------------------


@together
def _scaling_checks() -> Iterator[Check]:
    for order in ORDERS:
        synapses = HomeostaticScaling(1.0)(_synapses(order))
        weights = Product().weights(synapses.factors)
        scaled = Product().weights(1.3 * synapses.factors)
        want = theory.scaled_weights(weights, 1.3, order)
        title = f"weights after all factors grow by 1.3, z = {order}"
        yield exact(title, "T10", scaled, want, 1e-12)
        after = HomeostaticScaling(2.5)(synapses)
        want = theory.retargeted_weights(weights, 1.0, 2.5, order)
        got = Product().weights(after.factors)
        title = f"weights after the homeostatic target grows by 2.5, z = {order}"
        yield exact(title, "T10", got, want, 1e-12)
        stored, circuit = _memories(), Replay()
        larger = Factored(1.3 * synapses.factors, 1.3**order * synapses.threshold)
        fields = circuit.fields(synapses, stored)
        title = f"fields after factors and thresholds grow, z = {order}"
        got = circuit.fields(larger, stored)
        yield exact(title, "T10", got, 1.3**order * fields, 1e-12)


@together
def _activity_checks() -> Iterator[Check]:
    for level in (0.5, 0.2):
        factors = jr.uniform(KEY, (2, 1, 400), minval=0.07, maxval=0.13)
        synapses = RandomPatternThreshold(level)(Factored(factors, jnp.zeros(1)))
        patterns = draw_patterns(400, 10_000, level, KEY)
        fields = Product().weights(factors) @ patterns - synapses.threshold[:, None]
        active = (fields[0] > 0).astype(fields.dtype)
        title = f"random patterns that activate a new neuron, coding level {level}"
        yield expectation(title, "P0", active, level)
