"""Every closed form beside autodiff and beside simulation, for `verify`.

Equations and figures are those of Raman & O'Leary 2021.
"""

import math
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import jax.random as jr
from jax.flatten_util import ravel_pytree
from jaxtyping import Array

from ....circuits import feedforward, SecondMomentError, SquaredError
from ....curvature import hessian, newton_direction, quadratic_form
from ....experiment import always, Check, exact, expectation, simulated, together
from ....numerics import normal_like, tree_unit
from ....rules import NoisyGradient, WeightPerturbation
from ....signals import LossSignals
from ....tasks import glorot_uniform, mixed_normal
from .. import networks, theory
from ._appendix import appendix_checks
from ._gradients import gradient_checks as gradient_checks
from ._run import run_checks


def checks() -> Iterator[Check]:
    """All checks of the system; run them in double precision."""
    yield from algebra_checks()
    yield from network_checks()
    yield from noise_checks()
    yield from appendix_checks()
    yield from run_checks()


# --- identities ---------------------------------------------------------------------


@together
def algebra_checks() -> Iterator[Check]:
    """What holds on any loss, and what holds on a quadratic of given spectrum."""
    spectrum = jnp.geomspace(0.05, 5.0, 24)
    basis = jnp.linalg.qr(jr.normal(jr.key(0), (24, 24)))[0]
    matrix = basis @ jnp.diag(spectrum) @ basis.T
    loss = lambda w: 0.5 * jnp.vdot(w, matrix @ w)  # minimum at the origin
    w, c, e = jr.normal(jr.key(1), (3, 24))
    gradient = jax.grad(loss)(w)
    change = theory.second_order_change(loss, w, c, e)
    yield exact("change over one step", "Eq. 2, 7", change, loss(w + c + e) - loss(w))
    length = theory.optimal_length(loss, w, c)
    unit = tree_unit(c)
    along = lambda s: loss(w + s * unit)
    searched = -jax.grad(along)(0.0) / jax.grad(jax.grad(along))(0.0)
    yield exact("optimal length, line search", "Eq. 6", length, searched)
    end = jax.grad(loss)(w + length * unit)
    angle = jnp.abs(jnp.vdot(end, unit)) / jnp.linalg.norm(end)
    yield exact("optimal step ends tangent", "Fig. 4a", 1 + angle, 1.0)
    delta = jnp.asarray(0.3)
    average = theory.mean_curvature(matrix)
    curvature = quadratic_form(loss, w, c)
    expected = lambda s: theory.expected_change(loss, w, s * unit, delta)
    slope = jax.grad(lambda s: expected(s) / s)(jnp.asarray(0.7))
    closed = theory.slope_per_length(curvature, jnp.asarray(0.7), average, delta)
    yield exact("slope of the change per length", "A1", closed, slope)
    closed = jnp.stack([jnp.vdot(unit, gradient) + 0.7 * curvature, curvature])
    auto = jnp.stack([jax.grad(expected)(0.7), jax.grad(jax.grad(expected))(0.7)])
    yield exact("derivatives of the expected change", "Eq. 8", closed, auto)
    at_best = theory.learning_excess(-expected(length), delta, average)
    excess = (length / delta) ** 2 * curvature / average - 1
    yield exact("excess of the ratio while learning", "Eq. 10", at_best, excess)
    ratio = theory.optimal_ratio(average, curvature)
    zero = theory.slope_per_length(curvature, ratio * delta, average, delta)
    yield exact("Eq. 9 is where A1 vanishes", "Eq. 9, A1", 1 + zero, 1.0)
    overlaps = basis.T @ gradient
    yield exact("gradient is H (w - w*)", "Eq. 13", gradient, matrix @ w)
    newton = newton_direction(loss, w)
    yield exact("Newton's step is the beeline", "A6", newton, -w, 1e-8)
    steep = theory.gradient_curvature(spectrum, overlaps)
    flat = theory.newton_curvature(spectrum, overlaps)
    mixed = theory.mixture_curvature(loss, w, c, e)
    for name, source, form, direction, *tolerance in (
        ("Q of the gradient", "Eq. 14, A2", steep, gradient),
        ("Q of Newton's step", "A6", flat, newton, 1e-8),
        ("Q of a corrupted direction", "A8", mixed, c + e),
        ("Q is scale-free", "Box 3", curvature, -7.3 * c),
    ):
        yield exact(name, source, form, quadratic_form(loss, w, direction), *tolerance)
    slope, after = theory.step_slope(loss, w, c), jnp.vdot(jax.grad(loss)(w + c), c)
    yield exact("slope after a step", "Positivity", slope, after)
    yield from _spectral_inequalities()


def _spectral_inequalities() -> Iterator[Check]:
    """A3 and A4 over random spectra, and the counter-example to A3."""
    values = jnp.sort(jnp.exp(jr.normal(jr.key(2), (400, 12))), axis=1)
    power = jnp.sort(jnp.exp(jr.normal(jr.key(3), (400, 12))), axis=1)
    ascending = jnp.sqrt(power) / values
    ordered = jax.vmap(theory.gradient_power_ascends)(values, ascending)
    steep = jax.vmap(theory.gradient_is_steep)(values, ascending)
    yield always("A4 implies A3", "A3, A4", jnp.mean(steep & ordered))
    equal = jax.vmap(theory.gradient_is_steep)(values, jnp.ones_like(values))
    yield always("equal displacements: steeper than average", "Eq. 14", jnp.mean(equal))
    reversed_ = jax.vmap(theory.gradient_is_steep)(values, values**-1.5)
    yield always("c ~ lambda^(-3/2) reverses A3", "A3", 1 - jnp.mean(reversed_))


@together
def network_checks() -> Iterator[Check]:
    """Exact curvature of both networks against their closed forms."""
    sizes = (6, 7, 3)
    inputs = mixed_normal(6, 40, jr.key(0))
    teacher = glorot_uniform(sizes, jr.key(1))
    weights = glorot_uniform(sizes, jr.key(2))
    batch = (inputs, feedforward(teacher, inputs))
    error = SquaredError()
    loss = lambda w: error(w, batch)
    flat = lambda tree: ravel_pytree(tree)[0]
    slope, matrix = jax.grad(loss)(weights), hessian(loss, weights)
    by_hand = flat(networks.two_layer_gradient(weights, *batch))
    yield exact("2-layer gradient", "Methods", by_hand, flat(slope))
    by_hand = networks.two_layer_hessian(weights, *batch)
    yield exact("2-layer Hessian", "Methods", by_hand, matrix)
    lowest = jnp.linalg.eigvalsh(hessian(loss, teacher))[0]
    yield always("Hessian at the teacher is psd", "Positivity", lowest > -1e-14)
    path = theory.path_hessian(loss, weights, teacher, nodes=64)
    along = path @ (flat(weights) - flat(teacher))
    yield exact("gradient from the path Hessian", "path Hessian", along, flat(slope))
    values, vectors = jnp.linalg.eigh(matrix)
    overlaps = vectors.T @ flat(slope)
    q = lambda direction: quadratic_form(loss, weights, direction)
    steep = theory.gradient_curvature(values, overlaps)
    yield exact("Q of the gradient, nonlinear", "A2", steep, q(slope))
    level = theory.newton_curvature(values, overlaps)
    bent = q(newton_direction(loss, weights))
    yield exact("Q of Newton's step, nonlinear", "A6", level, bent, 1e-6)
    direction = normal_like(jr.key(3), weights)
    noise = normal_like(jr.key(4), weights)

    def residual(size: Array) -> Array:
        c, e = (jax.tree.map(lambda x: size * x, d) for d in (direction, noise))
        moved = jax.tree.map(lambda *x: sum(x), weights, c, e)
        second = theory.second_order_change(loss, weights, c, e)
        return jnp.abs(loss(moved) - loss(weights) - second)

    steps = jnp.asarray([1e-3, 1e-2])
    order = jnp.diff(jnp.log(jax.vmap(residual)(steps))) / jnp.diff(jnp.log(steps))
    yield simulated("order of the remainder", "Eq. 2", order[0], 3.0, 0.1 / 3)
    yield from _linear_checks(inputs)


def _linear_checks(inputs: Array) -> Iterator[Check]:
    """A linear network's error from the inputs' second moment alone."""
    teacher, weights = (glorot_uniform((6, 3), jr.key(seed)) for seed in (5, 6))
    moment, error = inputs @ inputs.T / inputs.shape[1], SquaredError()
    quick = SecondMomentError(moment, teacher[0])
    slow = lambda w: error(w, (inputs, feedforward(teacher, inputs)))
    yield exact("linear error from C", "Methods", quick(weights), slow(weights))
    slopes = (jax.grad(loss)(weights)[0] for loss in (quick, slow))
    yield exact("linear gradient from C", "Methods", *slopes)
    closed = networks.linear_hessian(moment, 3)
    yield exact("linear Hessian", "Methods", closed, hessian(slow, weights))


# --- expectations over noise ----------------------------------------------------------


@together
def noise_checks() -> Iterator[Check]:
    """Means over random directions, probes and corrupted gradients."""
    count, draws = 40, 20_000
    spectrum = jnp.geomspace(0.1, 4.0, count)
    loss = lambda w: 0.5 * jnp.sum(spectrum * w**2)
    w, delta = jr.normal(jr.key(0), (count,)), 0.7
    unit = jax.vmap(tree_unit)(jr.normal(jr.key(1), (draws, count)))
    curvatures = jax.vmap(lambda e: jnp.sum(spectrum * e**2))(unit)
    matrix = jnp.diag(spectrum)
    average = theory.mean_curvature(matrix)
    yield expectation("mean curvature of a fluctuation", "Eq. 12", curvatures, average)
    spread, law = (curvatures - average) ** 2, theory.curvature_variance(matrix)
    yield expectation("its variance", "Eq. 12", spread, law)
    gradient = jax.grad(loss)(w)
    yield expectation("fluctuations are blind", "Eq. 3a", unit @ gradient, 0.0)
    cross = unit @ (spectrum * w)
    yield expectation("they do not see repair", "Eq. 3b", cross, 0.0)
    clean, rho = -tree_unit(gradient), 1.5
    corrupted = clean[None] + rho * unit
    upward = jnp.sum(spectrum[None] * corrupted**2, axis=1) / (1 + rho**2)
    printed = theory.mixture_curvature_without_overlap(
        jnp.vdot(clean, spectrum * clean), average, jnp.asarray(rho)
    )
    yield expectation("numerator of the printed A8", "A8", upward, printed)
    rises = jax.vmap(lambda e: loss(w + delta * e) - loss(w))(unit)
    still = theory.expected_change(loss, w, jnp.zeros(count), jnp.asarray(delta))
    yield expectation("mean rise from a fluctuation", "Eq. 4, Box 2", rises, still)
    met, law = jnp.abs(unit[:, 0]), theory.probe_alignment(count)
    yield expectation("E|e . zeta| of a probe", "one-probe law", met, law)
    seen = LossSignals(jnp.ones(()), loss(w), gradient, loss, -gradient)
    yield from _rule_checks(w, seen, spectrum, jr.split(jr.key(2), draws))


def _rule_checks(
    w: Array, seen: LossSignals, spectrum: Array, keys: Array
) -> Iterator[Check]:
    """Means of what the rules that draw at random do, over their draws."""
    gradient, count = seen.gradient, len(w)
    drawn = lambda rule, keys: jax.vmap(lambda key: rule(w, seen, key))(keys)
    lengths = jnp.sum(drawn(NoisyGradient(1.0, 1.5), keys) ** 2, axis=1)
    yield expectation("mean square length of rule 1", "Methods", lengths, 1.0)
    spread, law = (lengths - 1) ** 2, theory.length_variance(jnp.asarray(1.5), count)
    yield expectation("its variance", "Methods, derived", spread, law)
    estimates = drawn(WeightPerturbation(0.7), keys)
    along, law = estimates @ gradient, -jnp.vdot(gradient, gradient)
    yield expectation("a probe's mean is minus the gradient", "rule 5", along, law)
    upward = jnp.sum(spectrum[None] * jax.vmap(tree_unit)(estimates) ** 2, axis=1)
    average = jnp.mean(spectrum)
    yield expectation("a probe sees average curvature", "Table 2", upward, average)
    many = jax.vmap(tree_unit)(drawn(WeightPerturbation(0.7, probes=100), keys[:400]))
    cosine, law = jnp.mean(many @ -tree_unit(gradient)), math.sqrt(100 / 141)
    yield simulated("cosine of 100 probes", "rule 6", cosine, law, 0.02)
