"""No wrong number without a word: every public name of `curvature`, by tables.

A public function that is not in `CALLS` fails the first test.
"""

import inspect
import warnings
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import lineax as lx
import numpy as np
import optax
import pytest

from plasticity_jax import curvature
from plasticity_jax.curvature._transfer import Sigmoid


KEY = jr.key(0)
SQUARE = [[2, 1], [1, 3]]
INPUTS = jnp.asarray([[1.0], [2.0]])
OUTCOMES = jnp.asarray([0.0, 1.0])
RECORDS = {"Coefficients", "Estimate", "SkewedFisher", "Spectrum", "SteadyState"}
HELPERS = {"arrays_of", "enough_nodes"}  # they return no numbers of what they are given


def loss(w):
    return (w[0] ** 2 + w[0] * w[1] + 2 * w[1] ** 2) ** 2


def predict(w):
    return jnp.stack([w[0] * w[1], w[0] ** 2 + w[1]])


def misfit(outputs):
    return jnp.sum(outputs**4)


def log_prob(w, x, y):
    return jax.nn.log_sigmoid((2 * y - 1) * (w[0] * x[0] + w[1]))


def arrays(w):
    return jax.tree.map(jnp.asarray, w)


def bare(function):
    """Without the tests' own type checks, as users have it."""
    return inspect.unwrap(function)


def solved(method):
    return lambda gradient, metric, damping: curvature.natural_gradient(
        gradient, metric, damping=damping, method=method
    )


def transformed(gradient, metric, damping):
    transform = curvature.natural_gradient_transform(lambda w: metric, damping=damping)
    return transform.update(gradient, optax.EmptyState(), gradient)[0]


def of_fisher(form: str, **options: Any) -> Callable:
    def found(w):
        result = getattr(curvature.Fisher(log_prob, w, INPUTS, **options), form)()
        return result if eqx.is_array(result) else result.mv(arrays(w))

    return found


# Name -> a call whose every result depends on every argument, and integers for it; a
# tuple is a pytree of parameters, which is given as floats.
CALLS: dict[str, tuple[Callable, list]] = {
    "best_ratio": (curvature.best_ratio, [[1, 2, 4], 1]),
    "gradient_parts": (curvature.gradient_parts, [1, 2, 1]),
    "greedy_ratio": (curvature.greedy_ratio, [[1, 2, 4], 1]),
    "isotropic_loss": (curvature.isotropic_loss, [1, 2, 3, 1]),
    "coloured_variance": (curvature.coloured_variance, [[1, 1], 0]),
    "delayed_variance": (lambda k: curvature.delayed_variance(k, 0), [[1, 1]]),
    "lagged_loss": (curvature.lagged_loss, [[1, 2, 4], 1, 2, 1]),
    "lagged_ratio": (curvature.lagged_ratio, [[1, 2, 4], 1]),
    "preconditioned_loss": (
        curvature.preconditioned_loss,
        [[[2, 1], [1, 3]], [[3, 1], [1, 1]], 1, 2],
    ),
    "relaxation_rate": (curvature.relaxation_rate, [1, 2, 1]),
    "stationary_balance": (
        lambda *of: jnp.subtract(*curvature.stationary_balance(*of)),
        [1, 2, 3, 1, 2, 1],
    ),
    "steady_state": (curvature.steady_state, [[1, 2, 4], 1, 2, 1, [0, 1, 0]]),
    "Fisher": (of_fisher("matrix", outcomes=OUTCOMES), [(1.0, 2.0)]),
    "Fisher sampled": (
        of_fisher("matrix", kind="sampled", outcomes=OUTCOMES, key=KEY),
        [(1.0, 2.0)],
    ),
    "Fisher diagonal": (
        of_fisher("diagonal", kind="empirical", targets=OUTCOMES),
        [(1.0, 2.0)],
    ),
    "Fisher operator": (of_fisher("operator", outcomes=OUTCOMES), [(1.0, 2.0)]),
    "sensitivity": (
        lambda w: curvature.sensitivity(lambda w, x: x * w[0] + w[1], w, INPUTS),
        [(1.0, 2.0)],
    ),
    "gauss_newton": (
        lambda w: curvature.gauss_newton(predict, w, misfit),
        [(1.0, 2.0)],
    ),
    "gauss_newton_diagonal": (
        lambda w: curvature.gauss_newton_diagonal(predict, w, misfit),
        [(1.0, 2.0)],
    ),
    "gauss_newton_operator": (
        lambda w: curvature.gauss_newton_operator(predict, w, misfit).mv(arrays(w)),
        [(1.0, 2.0)],
    ),
    "hessian": (lambda w: curvature.hessian(loss, w), [(1.0, 2.0)]),
    "hessian_diagonal": (lambda w: curvature.hessian_diagonal(loss, w), [(1.0, 2.0)]),
    "hessian_operator": (
        lambda w: curvature.hessian_operator(loss, w).mv(arrays(w)),
        [(1.0, 2.0)],
    ),
    "hvp": (lambda w, v: curvature.hvp(loss, w, v), [(1.0, 2.0), (3.0, 1.0)]),
    "quadratic_form": (
        lambda w, v: curvature.quadratic_form(loss, w, v),
        [(1.0, 2.0), (3.0, 1.0)],
    ),
    "newton_direction": (
        lambda w, damping: curvature.newton_direction(loss, w, damping=damping),
        [(1.0, 2.0), 1],
    ),
    "newton_direction saddle_free": (
        lambda w: curvature.newton_direction(loss, w, saddle_free=True),
        [(1.0, 2.0)],
    ),
    "natural_gradient": (solved("dense"), [(1.0, 2.0), SQUARE, 1]),
    "natural_gradient cholesky": (solved("cholesky"), [(1.0, 2.0), SQUARE, 1]),
    "natural_gradient cg": (solved("cg"), [(1.0, 2.0), SQUARE, 1]),
    "natural_gradient_transform": (transformed, [(1.0, 2.0), SQUARE, 1]),
    "diagonal_plus_low_rank": (
        lambda *of: curvature.diagonal_plus_low_rank(*of).as_matrix(),
        [[1, 2], [[1], [3]], [[2]]],
    ),
    "inverse_diagonal_plus_low_rank": (
        lambda *of: curvature.inverse_diagonal_plus_low_rank(*of).as_matrix(),
        [[1, 2], [[1], [3]], [[2]]],
    ),
    "spectrum": (lambda matrix: curvature.spectrum(matrix).eigenvalues, [SQUARE]),
    "spectrum lanczos": (
        lambda matrix: curvature.spectrum(matrix, method="lanczos", probes=2, key=KEY),
        [SQUARE],
    ),
    "top_eigenpairs": (
        lambda matrix: curvature.top_eigenpairs(matrix, 2, key=KEY),
        [SQUARE],
    ),
    "trace": (curvature.trace, [SQUARE]),
    "trace hutchinson": (
        lambda matrix: curvature.trace(matrix, method="hutchinson", key=KEY),
        [SQUARE],
    ),
    "trace hutch++": (
        lambda matrix: curvature.trace(matrix, method="hutch++", samples=6, key=KEY),
        [SQUARE],
    ),
    "glm_coefficients": (
        lambda *of: curvature.glm_coefficients(Sigmoid(), *of)[3:7],
        [1, 2, 3],
    ),
    "glm_fisher": (
        lambda *of: curvature.glm_fisher(Sigmoid(), *of).as_matrix(),
        [[1, 2], [3, 1], [1, 2]],
    ),
    "glm_fisher_inverse": (
        lambda *of: curvature.glm_fisher_inverse(Sigmoid(), *of).as_matrix(),
        [[1, 2], [3, 1], [1, 2]],
    ),
    "correlated_glm_fisher": (
        lambda *of: curvature.correlated_glm_fisher(Sigmoid(), *of),
        [[1, 2], [3, 1], [[2, 1], [1, 2]]],
    ),
    "correlated_glm_fisher_inverse": (
        lambda *of: curvature.correlated_glm_fisher_inverse(Sigmoid(), *of),
        [[1, 2], [3, 1], [[2, 1], [1, 2]]],
    ),
    "sampled_glm_fisher": (
        lambda *of: curvature.sampled_glm_fisher(Sigmoid(), *of),
        [[[1, 2], [3, 1], [1, 1]], [1, 2]],
    ),
    "fisher_density": (
        lambda *of: curvature.fisher_density(Sigmoid(), *of, 1),
        [[1, 2]],
    ),
    "mean_density": (
        lambda *of: curvature.mean_density(Sigmoid(), *of, order=1),
        [1, 2],
    ),
    "quadrature_error": (
        lambda *of: curvature.quadrature_error(Sigmoid(), *of, nodes=25),
        [1, 2],
    ),
    "skewed_glm_fisher": (
        lambda *of: curvature.skewed_glm_fisher(Sigmoid(), *of).operator().as_matrix(),
        [[1, 2], [3, 1], [1, 2], [1, 0]],
    ),
    "voltage_moments": (
        lambda *of: sum(curvature.voltage_moments(*of)),
        [[1, 2], [3, 1], [1, 2]],
    ),
}


def as_float(argument):
    if isinstance(argument, tuple):
        return tuple(jnp.asarray(x) for x in argument)
    return jnp.asarray(argument, float)


def as_given(argument, numpy):
    """Python numbers and lists, or those of NumPy."""
    if isinstance(argument, tuple):
        return tuple(map(np.float64, argument)) if numpy else argument
    return np.asarray(argument) if numpy else argument


def with_nan(argument):
    first, *rest = jax.tree.leaves(as_float(argument))
    first = first.at[(0,) * first.ndim].set(jnp.nan)
    return (first, *rest) if isinstance(argument, tuple) else first


def test_the_table_holds_every_public_name():
    public = {
        name
        for name, value in vars(curvature).items()
        if callable(value) and not name.startswith("_")
    }
    assert public - RECORDS - HELPERS == {name.split()[0] for name in CALLS}


def same(got, want):
    assert got.dtype == want.dtype
    return np.allclose(got, want, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", CALLS)
def test_nan_stays_nan_and_numbers_of_any_kind_give_the_same(name):
    function, arguments = CALLS[name]
    compiled, floats = jax.jit(function), [as_float(x) for x in arguments]
    right = jax.tree.leaves(compiled(*floats))
    assert np.all([np.all(np.isfinite(leaf)) for leaf in right])
    given = [as_given(x, numpy=i % 2 == 1) for i, x in enumerate(arguments)]
    assert all(map(same, jax.tree.leaves(function(*given)), right))
    calls = [function(*map(with_nan, arguments))]
    for i, x in enumerate(arguments):
        calls.append(compiled(*floats[:i], with_nan(x), *floats[i + 1 :]))
    for leaf in jax.tree.leaves(calls):
        assert np.any(np.isnan(leaf))


def test_a_float_among_arrays_is_a_parameter_but_in_a_module_a_setting():
    square = lambda w: jnp.sum(w["a"] ** 2) * w["b"]
    found = curvature.hessian(square, {"a": jnp.ones(2), "b": 3.0})
    assert np.array_equal(found, [[6, 0, 2], [0, 6, 2], [2, 2, 0]])
    model = {"linear": eqx.nn.Linear(1, 1, key=KEY), "dropout": eqx.nn.Dropout(0.5)}
    out = lambda model: jnp.sum(model["linear"](jnp.ones(1))) ** 2
    assert np.allclose(curvature.hessian(out, model), 2)
    assert curvature.hessian(out, model).shape == (2, 2)


# --- what does not fit ----------------------------------------------------------------

ONE = {"a": jnp.asarray([1.0, 1.0]), "b": jnp.asarray([1.0, 1.0, 1.0])}
OTHER = lx.FunctionLinearOperator(
    lambda w: w,
    jax.eval_shape(lambda: {"a": jnp.ones(3), "b": jnp.ones(2)}),
    lx.positive_semidefinite_tag,
)
EYE = jnp.asarray([[1.0, 0.0], [0.0, 1.0]])
TWISTED = jnp.asarray([[0.0, 1.0], [-1.0, 0.0]])
HIDDEN = jnp.asarray([[1, -0.9, -0.9], [-0.9, 1, -0.9], [-0.9, -0.9, 1]])
trio = {"outcomes": jnp.asarray([0, 1])}


def softmax(w, x, y):
    return jax.nn.log_softmax(w * x)[y]


SETTLED = bare(curvature.steady_state)
REFUSED: list[tuple[Callable, str]] = [
    (lambda: curvature.spectrum(TWISTED), r"`operator` must be symmetric; .*\(0, 1\)"),
    (lambda: curvature.top_eigenpairs(TWISTED, 1, key=KEY), "must be symmetric"),
    (lambda: bare(curvature.trace)(jnp.ones((3, 2))), "`operator` must be square"),
    (lambda: bare(curvature.spectrum)(jnp.ones((3, 2))), "must be a square matrix"),
    (lambda: curvature.natural_gradient(jnp.ones(2), TWISTED), "`metric` must be sym"),
    (lambda: curvature.natural_gradient(jnp.ones(2), -EYE), "`metric` must be pos"),
    (
        lambda: curvature.natural_gradient(jnp.ones(3), HIDDEN),
        "it has a negative eigenvalue",
    ),
    *(
        (
            lambda how=how: curvature.natural_gradient(
                jnp.ones(0), jnp.ones((0, 0)), method=how
            ),
            r"`gradient` must hold a number; got float64\(0,\)",
        )
        for how in ("dense", "cholesky", "cg")
    ),
    (lambda: curvature.hessian(jnp.sum, jnp.ones(0)), "`params` must hold a number"),
    (lambda: curvature.natural_gradient(ONE, OTHER), r"like `gradient`, .*\(3,\)"),
    (lambda: curvature.natural_gradient(EYE[0], EYE, damping=-1), "`damping` must not"),
    (lambda: curvature.natural_gradient(EYE[0], EYE, damping=EYE[0]), "be one number"),
    (lambda: curvature.natural_gradient(EYE[0], EYE, rtol=-1.0), "`rtol` must lie"),
    (lambda: curvature.natural_gradient_transform(lambda w: EYE, rtol=-1.0), "`rtol`"),
    (lambda: curvature.newton_direction(loss, EYE[0], damping=-1), "`damping` must"),
    (lambda: curvature.hvp(loss, EYE[0], jnp.ones(3)), r"`direction` .*\(2,\).*\(3,\)"),
    (lambda: curvature.quadratic_form(loss, EYE[0], jnp.ones(())), "`direction` must"),
    (lambda: curvature.quadratic_form(loss, EYE[0], {"a": EYE[0]}), "`direction` must"),
    (
        lambda: curvature.Fisher(softmax, EYE, EYE[0], **trio).matrix(),
        "must return one number",
    ),
    (
        lambda: curvature.Fisher(
            softmax, jnp.ones(3), jnp.ones((2, 3)), **trio
        ).matrix(),
        "one input sum to",
    ),
    (
        lambda: curvature.diagonal_plus_low_rank(jnp.ones(3), EYE[:, :1], EYE[:1, :1]),
        "`factors` must be Float",
    ),
    (lambda: curvature.diagonal_plus_low_rank([1], [[1]], [[-3]]), "holds -2"),
    (lambda: curvature.diagonal_plus_low_rank([1], [[1, 1]], TWISTED), "`core` must"),
    (
        lambda: curvature.inverse_diagonal_plus_low_rank([0], [[1]], [[1]]),
        "`diagonal` must not hold a 0",
    ),
    (lambda: curvature.steady_state([1, 2], 0, 1, 0), "without repair"),
    (lambda: curvature.steady_state([1, 2], -1, 1, 0), "`ratio` must not be negative"),
    (lambda: curvature.steady_state([1, 2], 1, -1, 0), "`fluctuation` must not be"),
    (lambda: curvature.steady_state([1, 2], 1, 1, -1), "`corruption` must not be"),
    (lambda: curvature.steady_state(EYE[0], EYE[0], 1.0, 0.0), "`ratio` must be Float"),
    (lambda: curvature.steady_state([1, -1], 1, 1, 0), "a saddle has no steady"),
    (lambda: curvature.steady_state([], 1, 1, 0), "must be a row of at least one"),
    (lambda: curvature.steady_state([1, 2], 1, 1, 0, [0.5, 0.4]), "must sum to 1"),
    (lambda: curvature.steady_state([1, 2], 1, 1, 0, [2, -1]), "`driven` must not be"),
    (
        lambda: curvature.steady_state(EYE[0], 1.0, 1.0, 0.0, jnp.ones(1)),
        "`driven` must be Float",
    ),
    (lambda: curvature.isotropic_loss(0, 1, 1, 0), "without repair"),
    (lambda: curvature.isotropic_loss(1, 1, -1, 0), "`mean_curvature` must not be"),
    (lambda: curvature.lagged_loss([1, 2], 0, 1, 0), "without repair"),
    (lambda: curvature.lagged_loss([1], 1, 1, 0, delay=1, every=2), "give one of"),
    (lambda: curvature.lagged_ratio([1, 2], 0, correlation=-1), "`correlation` must"),
    (lambda: curvature.delayed_variance(0.1, -1), "`delay` must be at least 0"),
    (lambda: curvature.steady_state([1, 2], 1, 1, 0, None, [1, 1]), "`weights` must"),
    (lambda: curvature.relaxation_rate(1, 1, -1), "`corruption` must not be negative"),
    (lambda: curvature.stationary_balance(-1, 1, 1, 1, 1, 1), "`mean_gradient_norm`"),
    (lambda: curvature.best_ratio([0, 0], 0), "on a flat loss no ratio is best"),
    (lambda: curvature.greedy_ratio([], 0), "must be a row of at least one"),
    (lambda: curvature.best_ratio([1e-9, 1], 0, [1, 0]), "beyond the lower end"),
]


@pytest.mark.parametrize(("call", "message"), REFUSED)
def test_what_does_not_fit_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_counts_are_integers_of_any_kind():
    counted = {
        "block_size": lambda n: curvature.hessian(loss, EYE[0], block_size=n),
        "samples": lambda n: curvature.trace(
            EYE, method="hutchinson", samples=n, key=KEY
        ),
        "steps": lambda n: curvature.spectrum(
            EYE, method="lanczos", steps=n, probes=np.int32(2), key=KEY
        ),
        "probes": lambda n: curvature.spectrum(
            EYE, method="lanczos", steps=2, probes=n, key=KEY
        ),
        "count": lambda n: curvature.top_eigenpairs(EYE, n, key=KEY),
        "max_steps": lambda n: curvature.natural_gradient(
            EYE[0], EYE, method="cg", max_steps=n
        ),
    }
    for name, call in counted.items():
        with pytest.raises(ValueError, match=f"`{name}` must be an integer"):
            call(True)
        call(np.int64(2))


# --- closed forms outside their domain ------------------------------------------------


def test_traced_values_outside_the_domain_are_infinite_or_nan():
    one, zero = jnp.ones(()), jnp.zeros(())
    law, two = jax.jit(curvature.steady_state), jnp.asarray([1.0, 2.0])
    assert law(two, zero, one, zero).loss == jnp.inf
    assert law(jnp.zeros(2), one, one, zero).loss == 0
    assert law(two, one, zero, zero).loss == 0
    assert np.isnan(law(jnp.asarray([1.0, -1.0]), one, one, zero).loss)
    assert np.isnan(law(two, one, one, -one).loss)
    assert np.isnan(
        jax.jit(curvature.steady_state)(two, one, one, zero, 0.4 * two).loss
    )
    assert jax.jit(curvature.isotropic_loss)(zero, one, one, zero) == jnp.inf
    assert np.isnan(jax.jit(curvature.best_ratio)(jnp.zeros(2), zero))
    solve = jax.jit(lambda d: curvature.natural_gradient(EYE[0], EYE, damping=d))
    assert np.all(np.isnan(solve(-one)))


def test_only_an_undriven_direction_is_curved():
    """It is marginal: a step of length 1 to and fro, half of it on either side."""
    state = curvature.steady_state([0.0, 1.0, 4.0], 1.0, 1.0, 0.0, [1.0, 0.0, 0.0])
    assert np.isclose(state.loss, 4 * 0.5**2 / 2)


@pytest.mark.dear
def test_the_best_ratio_has_its_derivative():
    spectrum, step = jnp.asarray([1.0, 2.0, 4.0]), 1e-5
    law = lambda rho: curvature.best_ratio(spectrum, rho)
    secant = (law(0.5 + step) - law(0.5 - step)) / (2 * step)
    assert np.isclose(jax.grad(law)(0.5), secant, rtol=1e-6)
    assert secant > 0.05


def test_an_outcome_of_probability_zero_counts_nothing_if_its_score_is_finite():
    """Else the limit may be anything: of p = w^2 it is 4, of p = w infinite."""
    logits = lambda w: jnp.stack([w[0], w[1], w[0] * w[1]])
    three = lambda w, x, y: jax.nn.log_softmax(
        jnp.where(jnp.arange(3) < 2, logits(w), -jnp.inf)
    )[y]
    two = lambda w, x, y: jax.nn.log_softmax(logits(w)[:2])[y]
    at = lambda log_prob, count: curvature.Fisher(
        log_prob, jnp.asarray([1.0, 2.0]), INPUTS, outcomes=jnp.arange(count)
    ).matrix()
    assert np.allclose(at(three, 3), at(two, 2), rtol=1e-12)
    square = lambda w, x, y: jnp.log(jnp.stack([w[0] ** 2, 1 - w[0] ** 2]))[y]
    found = curvature.Fisher(
        square, jnp.zeros(1), INPUTS, outcomes=jnp.arange(2)
    ).matrix()
    assert np.isnan(found)


# --- damping --------------------------------------------------------------------------

SIZE = 80
ROTATION = np.linalg.qr(np.random.default_rng(0).normal(size=(SIZE, SIZE)))[0]
DECAY = 14 * np.geomspace(1e-9, 1, SIZE)
METRIC = ROTATION * DECAY @ ROTATION.T
TANGENT = METRIC @ METRIC / 14
PULL = METRIC @ np.random.default_rng(1).normal(size=SIZE)


def off(found, right):
    return np.linalg.norm(np.asarray(found) - right) / np.linalg.norm(right)


def test_damped_systems_are_solved_as_damped_in_single_precision():
    damping = 1e-3
    single = lambda x: jnp.asarray(x, jnp.float32)
    solve = lambda metric, damping: curvature.natural_gradient(
        single(PULL), metric, damping=damping
    )
    inverse = np.linalg.inv(METRIC + damping * np.eye(SIZE))
    found, slope = jax.jvp(solve, (single(METRIC), damping), (single(TANGENT), damping))
    assert off(found, inverse @ PULL) < 1e-3
    change = TANGENT + damping * np.eye(SIZE)
    assert off(slope, -inverse @ change @ inverse @ PULL) < 1e-3


def test_a_direction_that_only_damping_lifts_is_kept():
    flat = jnp.diag(jnp.zeros(780, jnp.float32).at[0].set(14))
    found = curvature.natural_gradient(jnp.ones(780), flat, damping=1e-3)
    assert np.allclose(found[1:], 1e3, rtol=1e-5)


def test_where_rounding_decides_there_is_a_word():
    single = lambda x: jnp.asarray(x, jnp.float32)
    solve = lambda metric, damping, **how: curvature.natural_gradient(
        jnp.ones(len(metric)), single(metric), damping=damping, **how
    )
    for method in ("dense", "cholesky"):
        with pytest.warns(
            UserWarning, match="good to about 3e-02 .* `damping`, or use"
        ):
            solve(METRIC, 1e-5, method=method)
    with pytest.warns(UserWarning, match="up to 5.00e-05 are left out"):
        solve(np.diag([5e-5] + [14.0] * 99), 0.0)
    with pytest.warns(UserWarning, match="ended at a residual of"):
        solve(METRIC, 0.0, method="cg")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        solve(np.diag([0.0] + [14.0] * 99), 0.0)
        solve(METRIC, 1e-3, method="cholesky")


@pytest.mark.parametrize("saddle_free", [False, True])
@pytest.mark.dear
def test_newton_keeps_what_damping_lifts_and_stays_finite(saddle_free):
    """Eigenvalues 1 and, of 400 weights, many zeros, one of minus the damping."""
    damping = 3e-5
    values = jnp.zeros(400, jnp.float32).at[0].set(1).at[1].set(-damping)
    shape = lambda w, values: jnp.sum(values * w**2) / 2 + jnp.sum(w)
    step = lambda values: curvature.newton_direction(
        lambda w: shape(w, values),
        jnp.zeros(400, jnp.float32),
        damping=damping,
        saddle_free=saddle_free,
    )
    found, slope = jax.jvp(step, (values,), (values.at[5].set(1),))
    assert np.allclose(found[2:], -1 / damping, rtol=1e-5)
    assert np.isclose(slope[5], 1 / damping**2, rtol=1e-5)
    assert np.isclose(found[1], -0.5 / damping if saddle_free else 0, rtol=1e-5)


# --- repeated eigenvalues -------------------------------------------------------------


MANY = {
    40: [np.ones(40), np.zeros(40), [5] * 3 + [1] * 37],
    100: [
        [4] * 3 + [1] + [0] * 96,
        [5] * 2 + list(np.linspace(0, 1, 98)),
        [-1] * 3 + list(np.linspace(-9, -2, 97)),
    ],
    1: [[2.0]],
}


@pytest.mark.parametrize(
    ("size", "precision"),
    [(1, jnp.float32), (40, jnp.float32), (40, jnp.float64), (100, jnp.float64)],
)
@pytest.mark.dear
def test_repeated_eigenvalues_are_all_found(size, precision):
    """For 40 the steps span the whole space, for 100 they do not."""
    count, eps = min(size, 3), jnp.finfo(precision).eps
    top = jax.jit(lambda matrix: curvature.top_eigenpairs(matrix, count, key=KEY))
    for values in MANY[size]:
        matrix = jnp.diag(jnp.asarray(values, precision))
        found, vectors = top(matrix)
        right, near = np.sort(values)[::-1][:count], 50 * eps * np.max(np.abs(values))
        assert np.allclose(found, right, rtol=0, atol=max(near, 1e-4 * (size == 100)))
        repeated = right == right[0]
        assert np.allclose(found[repeated], right[repeated], rtol=0, atol=near)
        apart = np.asarray(vectors @ vectors.T) - np.eye(count)
        assert np.max(np.abs(apart)) < 50 * eps
