"""Premises of the paper's statements, and its appendix on the default network.

Equations are those of Raman & O'Leary 2021.
"""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import jax.random as jr
from jax.flatten_util import ravel_pytree
from jaxtyping import Array

from ....curvature import hessian, newton_direction, quadratic_form
from ....experiment import always, Check, exact, expectation, simulated, together
from ....numerics import normal_like, tree_scale, tree_unit
from ....rules import AcceptOnly, NoisyGradient, WeightPerturbation
from ....signals import LossSignals
from .. import theory
from ..config import Config, objective


N = 24


@together
def premise_checks() -> Iterator[Check]:
    """What each rule, each fluctuation and each matrix must be for the statements."""
    spectrum = jnp.geomspace(0.05, 5.0, N)
    basis = jnp.linalg.qr(jr.normal(jr.key(0), (N, N)))[0]
    matrix = basis @ jnp.diag(spectrum) @ basis.T
    yield from _descent_checks(matrix)
    yield from _moment_checks(matrix)
    yield from _orientation_checks(spectrum, matrix)
    probes = jr.normal(jr.key(7), (4000, 5, N))
    sums = jax.vmap(lambda z: z[:, 0] @ z)(probes)
    cosines, law = sums[:, 0] / jnp.linalg.norm(sums, axis=1), theory.probe_alignment
    yield expectation("cosine of 5 Gaussian probes", "rule 6", cosines, law(N, 5))
    values = jnp.exp(jr.normal(jr.key(4), (400, 12)))
    newton = jax.vmap(lambda x: theory.newton_curvature(x, jnp.ones_like(x)))(values)
    flatter = jnp.mean(newton <= jnp.mean(values, axis=1))
    yield always("equal terms: Newton's step is at most average", "A6", flatter)


def _descent_checks(matrix: Array) -> Iterator[Check]:
    """Eq. 3c: which rules descend at every step, and which on average."""
    loss, draws = lambda w: w @ matrix @ w / 2, 400
    points = jr.normal(jr.key(1), (draws, N))
    keys = jr.split(jr.key(2), draws)

    def slope(w: Array, key: Array, rule: object) -> Array:
        value, gradient = jax.value_and_grad(loss)(w)
        seen = LossSignals(jnp.ones(()), value, gradient, loss, -gradient)
        return tree_unit(rule(w, seen, key)) @ tree_unit(gradient)  # pyright: ignore[reportCallIssue]

    for name, rule in {
        "the gradient": NoisyGradient(1.0, 0.0),
        "one probe": WeightPerturbation(0.7),
        "five probes": WeightPerturbation(0.7, 5),
    }.items():
        falls = jax.vmap(lambda w, k, r=rule: slope(w, k, r))(points, keys) < 0
        yield always(f"{name} descends at every step", "Eq. 3c", jnp.mean(falls))
    kept = jax.vmap(lambda w, k: slope(w, k, AcceptOnly(0.7)))(points, keys)
    yield always("an accepted step descends", "Eq. 3c", jnp.mean(kept <= 0))
    value, gradient = jax.value_and_grad(loss)(points[0])
    seen = LossSignals(jnp.ones(()), value, gradient, loss, -gradient)
    noisy = jax.vmap(lambda k: NoisyGradient(1.0, 3.0)(points[0], seen, k) @ gradient)
    slopes, law = noisy(keys), -jnp.linalg.norm(gradient) / 10**0.5
    yield always("some corrupted steps ascend", "Eq. 3c", jnp.any(slopes > 0))
    yield expectation("they descend on average", "Eq. 3c", slopes, law)
    saddle, at = lambda w: w[0] ** 2 - w[1] ** 2 / 2, jnp.asarray([0.1, 1.0])
    steps = [newton_direction(saddle, at, saddle_free=free) for free in (False, True)]
    slopes = jnp.stack([jnp.vdot(step, jax.grad(saddle)(at)) for step in steps])
    ascends = jnp.array_equal(slopes > 0, jnp.asarray([True, False]))
    yield always("at a saddle Newton's step ascends, |H|'s not", "Eq. 3c", ascends)


def _moment_checks(matrix: Array) -> Iterator[Check]:
    """Average curvature needs equal second moments; equal means do not matter."""
    loss, w = lambda w: w @ matrix @ w / 2, jr.normal(jr.key(3), (N,))
    along = jax.vmap(lambda v: quadratic_form(loss, w, v))(jnp.eye(N))
    mean = theory.mean_curvature(matrix)
    yield exact("one synapse at a time, always up", "Eq. 12", jnp.mean(along), mean)
    chance = along / jnp.sum(along)
    seen = theory.mean_curvature(matrix, jnp.diag(chance))
    name = "unequal synapses, up as often as down"
    yield exact(name, "Eq. 12", jnp.sum(chance * along), seen)
    yield always("steep ones more often: above the average", "Eq. 12", seen > mean)


def _orientation_checks(spectrum: Array, matrix: Array) -> Iterator[Check]:
    """A5: its premise holds of a path Hessian that is oriented at random."""
    turns = jnp.linalg.qr(jr.normal(jr.key(5), (400, N, N)))[0]
    turned = jax.vmap(lambda u: u @ jnp.diag(spectrum) @ u.T)(turns)
    ratios = jax.vmap(lambda m: theory.path_steepness(m, matrix))(turned)
    yield expectation("M unrelated to H: average curvature", "A5", ratios, 1.0)
    aligned = theory.path_steepness(matrix, matrix)
    yield always("M = H: more than average", "A5, Eq. 14", aligned > 1)
    gradients = jr.normal(jr.key(6), (20_000, N)) @ matrix
    upward = jnp.sum(gradients @ matrix * gradients, axis=1)
    want = aligned * theory.mean_curvature(matrix) * jnp.sum(matrix**2)
    yield expectation("mean of g H g from that", "A5", upward, want)


@together
def default_network_checks() -> Iterator[Check]:
    """The identities of the appendix on the 12-20-10 network, near its teacher."""
    loss, teacher = objective(Config(samples=30), jr.key(0))
    flat = lambda tree: ravel_pytree(tree)[0]
    moved = lambda size: jax.tree.map(
        lambda t, d: t + size * d, teacher, normal_like(jr.key(1), teacher)
    )
    weights = moved(0.1)
    gradient, matrix = jax.grad(loss)(weights), hessian(loss, weights)
    values, vectors = jnp.linalg.eigh(matrix)
    overlaps = vectors.T @ flat(gradient)
    q = lambda direction: quadratic_form(loss, weights, direction)
    steep = theory.gradient_curvature(values, overlaps)
    yield exact("Q of the gradient, N = 440", "A2", steep, q(gradient))
    inside = (values[0] <= steep) & (steep <= values[-1])
    yield always("it lies between the extreme eigenvalues", "A2", inside)
    level = theory.newton_curvature(values, overlaps)
    newton = q(newton_direction(loss, weights))
    yield exact("Q of Newton's step, N = 440", "A6", level, newton, 1e-6)
    noise = tree_unit(normal_like(jr.key(2), weights))
    clean = tree_unit(tree_scale(-1.0, gradient))
    both = q(jax.tree.map(jnp.add, clean, noise))
    mixed = theory.mixture_curvature(loss, weights, clean, noise)
    yield exact("Q of a corrupted gradient, N = 440", "A8", mixed, both)
    path = theory.path_hessian(loss, weights, teacher, nodes=12)
    along = path @ (flat(weights) - flat(teacher))
    name = "gradient from the path Hessian, N = 440"
    yield exact(name, "path Hessian", along, flat(gradient))

    def missed(size: Array) -> Array:
        step = tree_scale(size, noise)
        after = jax.grad(loss)(jax.tree.map(jnp.add, weights, step))
        slope = flat(after) @ flat(step)
        return jnp.abs(slope - theory.step_slope(loss, weights, step))

    def searched(size: Array) -> Array:
        at = moved(size)
        unit = tree_unit(tree_scale(-1.0, jax.grad(loss)(at)))
        along = lambda s: loss(jax.tree.map(lambda w, u: w + s * u, at, unit))
        slope = jax.grad(along)
        length = theory.optimal_length(loss, at, unit)
        turn = lambda _, s: s - slope(s) / jax.grad(slope)(s)
        return jnp.abs(length / jax.lax.fori_loop(0, 5, turn, length) - 1)

    orders = {
        "order of what a step's slope misses": ("Positivity", missed, 3.0),
        "optimal length: error falls with the distance": ("Eq. 6", searched, 1.0),
    }
    sizes = jnp.asarray([1e-3, 1e-2])
    for name, (source, function, want) in orders.items():
        rises = jnp.diff(jnp.log(jax.vmap(function)(sizes)))
        order = rises[0] / jnp.log(sizes[1] / sizes[0])
        yield simulated(name, source, order, want, 0.1 / want)


def appendix_checks() -> Iterator[Check]:
    """Both parts."""
    yield from premise_checks()
    yield from default_network_checks()
