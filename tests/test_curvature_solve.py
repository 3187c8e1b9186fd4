"""Natural gradients and Newton steps against NumPy, and at singular matrices."""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import lineax as lx
import numpy as np
import optax
import pytest
from jax.flatten_util import ravel_pytree

from plasticity_jax import curvature


SIZE, RANK, DAMPING = 6, 4, 0.3
DRAW = np.random.default_rng(0)
FACTOR, CHANGE = map(jnp.asarray, DRAW.normal(size=(2, SIZE, RANK)))
FLAT = DRAW.normal(size=SIZE)
GRADIENT = {"a": jnp.asarray(FLAT[:4].reshape(2, 2)), "b": jnp.asarray(FLAT[4:])}
METHODS = ["dense", "cholesky", "cg"]


def close(actual, expected, tolerance=1e-10):
    assert actual.shape == expected.shape
    size = np.max(np.abs(expected))
    return np.allclose(actual, expected, rtol=tolerance, atol=tolerance * size)


def as_operator(matrix):
    def product(tree):
        flat, unravel = ravel_pytree(tree)
        return unravel(matrix @ flat)

    structure = jax.eval_shape(lambda: GRADIENT)
    return lx.FunctionLinearOperator(product, structure, lx.positive_semidefinite_tag)


def solve(amount, damping, method):
    """At `FACTOR + amount * CHANGE`: a metric of rank 4 on 6 weights."""
    factor = FACTOR + amount * CHANGE
    metric = as_operator(factor @ factor.T)
    options = {"damping": damping, "method": method, "rtol": 1e-13}
    return curvature.natural_gradient(GRADIENT, metric, **options)


def by_numpy(amount, damping):
    factor = np.array(FACTOR + amount * CHANGE)
    return np.linalg.solve(factor @ factor.T + damping * np.eye(SIZE), FLAT)


@pytest.mark.parametrize("method", METHODS)
def test_natural_gradient_and_its_slopes(method):
    flat = lambda amount, damping: ravel_pytree(solve(amount, damping, method))[0]
    slopes = jax.jit(jax.vmap(jax.jacfwd(flat, argnums=(0, 1)), in_axes=(None, 0)))
    values = jax.jit(jax.vmap(flat, in_axes=(None, 0)))
    dampings = jnp.array([DAMPING, 2.0])
    by_amount, by_damping = slopes(0.0, dampings)
    step = 1e-5
    for i, damping in enumerate((DAMPING, 2.0)):
        assert close(values(0.0, dampings)[i], by_numpy(0.0, damping))
        secant = by_numpy(step, damping) - by_numpy(-step, damping)
        assert close(by_amount[i], secant / (2 * step), 1e-7)
        secant = by_numpy(0.0, damping + step) - by_numpy(0.0, damping - step)
        assert close(by_damping[i], secant / (2 * step), 1e-7)


def test_undamped_singular_metric_has_the_least_norm_solution_and_its_slope():
    flat = jax.jit(lambda amount: ravel_pytree(solve(amount, 0.0, "dense"))[0])
    by_numpy = lambda factor: np.linalg.pinv(factor @ factor.T, hermitian=True) @ FLAT
    assert close(flat(0.0), by_numpy(np.array(FACTOR)))
    factor, change, step = np.array(FACTOR), np.array(CHANGE), 1e-5
    secant = by_numpy(factor + step * change) - by_numpy(factor - step * change)
    assert close(jax.jit(jax.jacrev(flat))(0.0), secant / (2 * step), 1e-6)


def test_conjugate_gradients_do_not_depend_on_the_scale_of_the_gradient():
    metric = as_operator(FACTOR @ FACTOR.T)
    tree = lambda scale: curvature.natural_gradient(
        jax.tree.map(lambda x: scale * x, GRADIENT), metric, damping=1.0, method="cg"
    )
    solve = jax.jit(lambda scale: ravel_pytree(tree(scale))[0])
    assert close(solve(1e-30) / 1e-30, solve(1.0), 1e-12)
    assert not np.any(solve(0.0))


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_conjugate_gradients_in_single_precision_at_any_scale_of_the_metric(scale):
    """Eigenvalues from 1e-4 to 1: no direction is too flat, no entry too small."""
    basis = np.linalg.qr(np.array(jr.normal(jr.key(5), (200, 200))))[0]
    metric, damping = basis * np.logspace(-4, 0, 200) @ basis.T, 1e-4
    gradient = metric @ np.array(jr.normal(jr.key(6), (200,)))
    scaled = lambda x: jnp.asarray(scale * x, jnp.float32)
    solve = jax.jit(partial(curvature.natural_gradient, method="cg"))
    x = solve(scaled(gradient), scaled(metric), damping=scaled(damping))
    assert close(x, np.linalg.solve(metric + damping * np.eye(200), gradient), 1e-3)


@pytest.mark.parametrize("slope_of", [jax.jacfwd, jax.jacrev])
def test_slopes_of_conjugate_gradients_do_not_depend_on_their_scale(slope_of):
    flat = lambda amount: ravel_pytree(solve(1e-30 * amount, DAMPING, "cg"))[0]
    step = 1e-5
    secant = (by_numpy(step, DAMPING) - by_numpy(-step, DAMPING)) / (2 * step)
    assert close(jax.jit(slope_of(flat))(0.0) / 1e-30, secant, 1e-7)


def test_natural_gradient_follows_the_metric_of_the_batch():
    """One step on a linear Gaussian, whose Fisher is the mean square of the inputs."""
    inputs, teacher = jr.normal(jr.key(4), (9, 3)), jnp.array([1.0, -2.0, 0.5])
    gauss = lambda w, x, y: -0.5 * (y - w @ x) ** 2
    fisher = lambda w, batch, **_: curvature.Fisher(
        gauss, w, batch, kind="empirical", targets=batch @ w + 1
    ).matrix()
    natural = curvature.natural_gradient_transform(fisher, method="cholesky")
    optimiser = optax.chain(natural, optax.scale(-1.0))
    w = jnp.zeros(3)

    @jax.jit
    def update(w, batch):
        loss = lambda w: 0.5 * jnp.mean((batch @ (w - teacher)) ** 2)
        gradient, value = jax.grad(loss)(w), loss(w)
        state = optimiser.init(w)
        updates, _ = optimiser.update(gradient, state, w, batch=batch, value=value)
        return optax.apply_updates(w, updates)

    assert close(update(w, inputs), np.array(teacher))
    with pytest.raises(ValueError, match="`params` must be given"):
        natural.update(w, natural.init(w))


def quadratic(matrix):
    target = jnp.arange(3.0)
    return lambda w: 0.5 * (w["w"] - target) @ matrix @ (w["w"] - target)


@jax.jit
def newton(matrix, damping, point):
    step = lambda saddle_free: curvature.newton_direction(
        quadratic(matrix), {"w": point}, damping=damping, saddle_free=saddle_free
    )
    return step(False)["w"], step(True)["w"]


MINIMUM = jnp.array([[2.0, 1, 0], [1, 2, 0], [0, 0, 1]])
SADDLE = jnp.array([[1.0, 2, 0], [2, 1, 0], [0, 0, 3]])  # -1, 3, 3
VALLEY = jnp.array([[1.0, 1, 0], [1, 1, 0], [0, 0, 0]])  # 0, 0, 2
POINT = jnp.array([0.7, -0.4, 5.0])


@pytest.mark.parametrize("matrix", [MINIMUM, SADDLE, VALLEY])
@pytest.mark.parametrize("damping", [0.0, 0.5])
def test_newton_directions(matrix, damping):
    plain, free = newton(matrix, damping, POINT)
    h, g = np.array(matrix), np.array(matrix @ (POINT - jnp.arange(3.0)))
    values, vectors = np.linalg.eigh(h)
    magnitude = vectors * np.abs(values) @ vectors.T
    for step, curved in ((plain, h), (free, magnitude)):
        damped = curved + damping * np.eye(3)
        assert close(step, -np.linalg.pinv(damped, hermitian=True, rcond=1e-12) @ g)
    assert free @ g < 0
    if damping == 0.0:
        assert np.allclose(matrix @ (POINT + plain - jnp.arange(3.0)), 0, atol=1e-12)


def test_newton_step_of_nothing_is_zero():
    plain, free = newton(jnp.zeros((3, 3)), 0.0, POINT)
    assert not np.any(plain)
    assert not np.any(free)


@pytest.mark.parametrize("matrix", [SADDLE, VALLEY])
def test_slopes_of_newton_directions_where_eigenvalues_repeat(matrix):
    """Along a change of the matrix that keeps its rank, and of damping and point."""
    turn = jnp.array([[0, 0.3, 1], [-0.3, 0, 2], [-1, -2, 0]])
    rotation = lambda s: jax.scipy.linalg.expm(s * turn)
    turned = lambda s: rotation(s) @ matrix @ rotation(s).T

    def steps(s):
        plain, free = newton(turned(s), 0.0, POINT * (1 + s))
        return jnp.stack([plain, free, newton(turned(s), 0.5 + s, POINT)[1]])

    steps, step = jax.jit(steps), 1e-5
    secant = (steps(step) - steps(-step)) / (2 * step)
    assert close(jax.jit(jax.jacfwd(steps))(0.0), np.array(secant), 1e-7)


def test_single_precision_and_cuda():
    w = {"w": jnp.ones(3, jnp.float32)}
    matrix = MINIMUM.astype(jnp.float32)

    def everything(w, matrix):
        loss = lambda w: 0.5 * w["w"] @ matrix @ w["w"]
        step = curvature.newton_direction(loss, w)
        solve = lambda method: curvature.natural_gradient(w, matrix, method=method)
        return [step, *map(solve, METHODS)]

    step, *solved = jax.jit(everything)(w, matrix)
    assert {x.dtype for x in jax.tree.leaves((step, solved))} == {jnp.dtype("float32")}
    assert close(step["w"], -np.ones(3), 1e-5)
    for x in solved:
        assert close(x["w"], np.array([1 / 3, 1 / 3, 1.0]), 1e-5)
    traced = jax.jit(everything).trace(w, matrix).lower(lowering_platforms=("cuda",))
    assert "callback" not in traced.as_text()


def test_modules_keep_their_structure():
    model = eqx.nn.MLP(1, 1, 2, 1, jax.nn.tanh, key=jr.key(0))
    loss = lambda model: jnp.sum((model(jnp.ones(1)) - 1) ** 2)
    step = eqx.filter_jit(curvature.newton_direction)(loss, model, damping=0.1)
    moved = eqx.apply_updates(model, step)
    assert jax.tree.structure(moved) == jax.tree.structure(model)


def test_bad_arguments_are_named():
    untagged = lx.MatrixLinearOperator(jnp.eye(6))
    for metric, options, message in [
        (jnp.eye(6), {"method": "cgg"}, "`method` is unknown: 'cgg'.*mean 'cg'"),
        (jnp.eye(5), {}, "act on the 6 entries of `gradient`; it acts on 5"),
        (untagged, {}, "`metric` must be positive semidefinite"),
    ]:
        with pytest.raises(ValueError, match=message):
            curvature.natural_gradient(GRADIENT, metric, **options)
    with pytest.raises(ValueError, match="`method` is unknown"):
        curvature.natural_gradient_transform(lambda w: w, method="full")
