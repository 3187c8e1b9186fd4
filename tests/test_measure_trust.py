"""No measure makes an ordinary number of what is lost, or of what does not fit."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from plasticity_jax import measure, numerics


EYE = jnp.asarray([[1.0, 0.0], [0.0, 1.0]])
SIGNS = jnp.asarray([[1.0, -1.0]])
TWO = lambda x: jnp.stack([x, jnp.ones(())])
ROW = lambda x: TWO(x)[None]
HOST = lambda *values: np.asarray([float(x) for x in values])
FRAMES = lambda x: jnp.stack([TWO(x), TWO(jnp.ones(()))]).astype(complex)

# every measure of a number x that is 1 or NaN, all of whose answers hang on it
NUMBERS = {
    "mean_accuracy": lambda x: measure.mean_accuracy(x * EYE),
    "forgetting": lambda x: measure.forgetting(x * EYE),
    "learning_accuracy": lambda x: measure.learning_accuracy(x * EYE),
    "mutual_information": lambda x: measure.mutual_information(
        EYE * ROW(x), jnp.asarray([0, 1])
    ),
    "margins": lambda x: measure.margins(ROW(x), SIGNS, jnp.asarray([True, True])),
    "norm": lambda x: (measure.norm(TWO(x), 2), measure.norm(jnp.ones(2), x)),
    "noise_ratio": lambda x: (
        measure.noise_ratio(jnp.ones(1), ROW(x), 2),
        measure.noise_ratio(x[None], ROW(jnp.ones(())), 0.5),
    ),
    "volatile_noise_ratio": lambda x: (
        measure.volatile_noise_ratio(jnp.ones(1), ROW(x), 1),
        measure.volatile_noise_ratio(jnp.ones(1), ROW(jnp.ones(())), 2, x / 2),
    ),
    "memory_ratios": lambda x: measure.memory_ratios(SIGNS, SIGNS, ROW(x)),
    "density": lambda x: (measure.density(TWO(x)), measure.density(TWO(x), None)),
    "metabolic_cost": lambda x: (
        measure.metabolic_cost(TWO(x)),
        measure.metabolic_cost(jnp.ones(2), x, 0.0),
        measure.metabolic_cost(jnp.ones(2), 0.0, x),
    ),
    "lifetime_sparseness": lambda x: measure.lifetime_sparseness(TWO(x)),
    "rotation": lambda x: measure.rotation(x * EYE, *EYE),
    "expansion": lambda x: measure.expansion(x * EYE, *EYE),
    "plane_basis": lambda x: (
        measure.plane_basis(TWO(x), EYE[0]),
        measure.plane_basis(EYE[0], TWO(x))[1],
    ),
    "plane_activity": lambda x: measure.plane_activity(TWO(x), *EYE),
    "change_shares": lambda x: measure.change_shares(
        {"noise": TWO(x), "learning": TWO(x)}
    ),
    "rank_correlation": lambda x: measure.rank_correlation(
        jnp.stack([x, x + 1, x / 2]), jnp.arange(3.0)
    ),
    "memory_eigenvalue": lambda x: measure.memory_eigenvalue(x * EYE[::-1], EYE),
    "leading_overlaps": lambda x: measure.leading_overlaps(x * EYE, EYE[None]),
    "track_eigenvalues": lambda x: measure.track_eigenvalues(
        FRAMES(x), jnp.stack([EYE, EYE]).astype(complex)
    ),
    "drift": lambda x: measure.drift(jnp.full(4, x), 0.25),
    "cascade_transitions": lambda x: (
        jnp.sum(measure.cascade_transitions(2, x / 3)[0]),
        jnp.sum(measure.cascade_transitions(2, 0.4, x / 2)[1]),
    ),
    "cascade_signal": lambda x: (
        measure.cascade_signal(x[None], 2),
        measure.cascade_signal(jnp.ones(1), 2, x / 3),
        measure.cascade_signal(jnp.ones(1), 1, 0.4, x / 3),
    ),
    "chain_signal": lambda x: (
        measure.chain_signal(x[None], 2),
        measure.chain_signal(jnp.ones(1), 2, x / 4),
        measure.chain_signal(jnp.ones(1), 2, 0.25, 2 * x),
    ),
    "chain_noise": lambda x: (
        measure.chain_noise(2, x / 4),
        measure.chain_noise(2, 0.25, 2 * x),
    ),
    "root": numerics.root,
    "ratio": lambda x: (numerics.ratio(x, x + 1), numerics.ratio(x + 1, x)),
    "masked": lambda x: numerics.masked(x / x, x),
    "power": lambda x: (numerics.power(x, 0.5), numerics.power(x, 0)),
    "extent": lambda x: numerics.extent(TWO(x)),
    "eigh": lambda x: numerics.eigh(x * EYE),
    "eigvalsh": lambda x: numerics.eigvalsh(x * EYE),
    "tree_vdot": lambda x: numerics.tree_vdot({"a": TWO(x)}, {"a": jnp.ones(2)}),
    "row_sums": lambda x: numerics.row_sums(x * jnp.ones((2, 3))),
    "tree_norm": lambda x: numerics.tree_norm((TWO(x), jnp.ones(3))),
    "tree_angle": lambda x: numerics.tree_angle((TWO(x), EYE), (TWO(1.0), -EYE)),
    "tree_scale": lambda x: numerics.tree_scale(x, jnp.ones(2)),
    "tree_unit": lambda x: numerics.tree_unit((TWO(x), jnp.ones(3))),
}
ON_THE_HOST = {
    "log_vertex": lambda x: measure.log_vertex(HOST(1, 2, 3), HOST(2, x, 3)),
    "vertex_of_mean": lambda x: measure.vertex_of_mean(
        HOST(1, 2, 3), np.stack([HOST(2, x, 3), HOST(3, x, 2)])
    ),
    "log_slope": lambda x: measure.log_slope(HOST(1, 2), HOST(2, x)),
    "autocorrelation_time": lambda x: measure.autocorrelation_time(
        HOST(*[x, -1] * 4), 0.5
    ),
    "kolmogorov_smirnov": lambda x: measure.kolmogorov_smirnov(HOST(x, 1), HOST(2, 3)),
    "largest_l1_margin": lambda x: measure.largest_l1_margin(
        [[float(x), 0.0], [0.0, 1.0]], [1, -1]
    ),
    "largest_l2_margin": lambda x: measure.largest_l2_margin(
        [[float(x), 0.0], [0.0, 1.0]], [1, -1]
    ),
}
YES_OR_NO = {  # true at 1; NaN is refused, or is no
    "degenerate": lambda x: measure.degenerate(ROW(x)),
    "recalled": lambda x: measure.recalled(ROW(x).T, jnp.ones((2, 1)), 1.0, 0.0),
    "is_complex": lambda x: measure.is_complex(
        x * (jnp.outer(*EYE) - jnp.outer(*EYE[::-1])), *EYE
    ),
}
OTHERS = {
    "important_counts": "takes marks, true or false; NaN is refused below",
    "shuffled_counts": "the same",
    "check_finite": "is what refuses NaN",
    "integrated_changes": "adds up what rules return",
    "tree_size": "reads shapes only",
    "normal_like": "reads shapes only",
}


def _public(*modules):
    return {
        name
        for module in modules
        for name, value in vars(module).items()
        if callable(value)
        and not isinstance(value, type)
        and name[0] != "_"
        # not what a module only imports
        and (module is measure or getattr(value, "__module__", "") == module.__name__)
        and name != "T"
    }


def _all(condition, found):
    leaves = [np.asarray(x) for x in jax.tree.leaves(found)]
    leaves = [x for x in leaves if x.dtype.kind in "fc"]
    return bool(leaves) and all(bool(np.all(condition(x))) for x in leaves)


def test_every_measure_is_in_a_table():
    tables = (NUMBERS, ON_THE_HOST, YES_OR_NO, OTHERS)
    named = [name for table in tables for name in table]
    assert len(named) == len(set(named))
    assert set(named) == _public(measure, numerics)


@pytest.fixture(scope="module")
def traced():
    """Every table at 1 and at NaN, in one compiled program."""
    tables = {**NUMBERS, **YES_OR_NO}
    at = jax.jit(lambda x: {name: make(x) for name, make in tables.items()})
    return at(jnp.ones(())), at(jnp.asarray(jnp.nan))


@pytest.mark.parametrize("name", NUMBERS)
def test_nan_stays_nan(name, traced):
    found, lost = traced
    assert _all(np.isfinite, found[name])
    assert _all(np.isnan, lost[name])
    try:
        lost = NUMBERS[name](jnp.asarray(jnp.nan))
    except ValueError as error:
        assert "finite" in str(error) or "nan" in str(error)  # noqa: PT017
    else:
        assert _all(np.isnan, lost)


@pytest.mark.parametrize("name", ON_THE_HOST)
def test_nan_stays_nan_on_the_host(name):
    at = ON_THE_HOST[name]
    assert _all(np.isfinite, at(1.0))
    try:
        lost = at(np.nan)
    except ValueError as error:
        assert "nan" in str(error)  # noqa: PT017
    else:
        assert _all(np.isnan, lost)


@pytest.mark.parametrize("name", YES_OR_NO)
def test_nan_is_refused_or_no(name, traced):
    assert np.all(traced[0][name])
    assert not np.any(traced[1][name])
    with pytest.raises(ValueError, match=r"nan|finite"):
        YES_OR_NO[name](jnp.asarray(jnp.nan))


HALF = jnp.asarray(np.full((4, 2), 0.5))
LABELS = jnp.asarray([0, 1, 0, 1])
PATTERNS, TARGETS = np.eye(3), [1, -1, 1]
COUNTED = jnp.asarray([[True, False]])
REFUSED = {
    "`labels` must lie in [0, 1], of 2 outputs; got 2": lambda: (
        measure.mutual_information(HALF, LABELS + 1)
    ),
    "of 2 outputs; got -1": lambda: measure.mutual_information(HALF, LABELS - 1),
    "`labels` must be Integer[Array, 'sample']": lambda: measure.mutual_information(
        HALF, LABELS / 2
    ),
    "got outputs float64(4, 2), labels int64(3,)": lambda: measure.mutual_information(
        HALF, LABELS[1:]
    ),
    "sum 1 for each sample; sample 0": lambda: measure.mutual_information(
        2 * HALF, LABELS
    ),
    "as many of both; got shape (2, 3)": lambda: measure.forgetting(jnp.ones((2, 3))),
    "as many of both; got shape (3, 2)": lambda: measure.learning_accuracy(
        jnp.ones((3, 2))
    ),
    "`accuracies` must be Float[Array, '*batch after task']": lambda: (
        measure.mean_accuracy(jnp.ones(2))
    ),
    "got fields float64(2, 2), targets float64(1, 2)": lambda: measure.margins(
        jnp.ones((2, 2)), SIGNS
    ),
    "must be -1 or 1 everywhere; got 0": lambda: measure.margins(SIGNS, 0 * SIGNS),
    "got targets float64(1, 2), stored bool(1,)": lambda: measure.degenerate(
        SIGNS, jnp.asarray([True])
    ),
    "got margin float64(2,), weights float64(1, 2), q": lambda: measure.noise_ratio(
        jnp.ones(2), SIGNS, 1
    ),
    "got margin float64(), weights float64(1, 2), order": lambda: (
        measure.volatile_noise_ratio(jnp.ones(()), SIGNS, 1)
    ),
    "targets float64(1, 2), weights float64(2,)": lambda: measure.memory_ratios(
        SIGNS, SIGNS, jnp.ones(2)
    ),
    "`q` must be positive; got -1.0": lambda: measure.norm(SIGNS, -1),
    "`q` must be positive; got 0.0": lambda: measure.noise_ratio(jnp.ones(1), SIGNS, 0),
    "`order` must be at least 1": lambda: measure.volatile_noise_ratio(
        jnp.ones(1), SIGNS, 0.5
    ),
    "`above` must not be negative": lambda: measure.volatile_noise_ratio(
        jnp.ones(1), SIGNS, 2, -0.1
    ),
    "`relative` must lie in": lambda: measure.density(SIGNS, 2.0),
    "at least 2 patterns; got 1": lambda: measure.lifetime_sparseness(jnp.ones((3, 1))),
    "`responses` must not be negative; got -1": lambda: measure.lifetime_sparseness(
        SIGNS
    ),
    "got states float64(3, 2), patterns float64(3, 1)": lambda: measure.recalled(
        jnp.ones((3, 2)), jnp.ones((3, 1)), 0.5
    ),
    "`states` must be 0 or 1 everywhere; got 2": lambda: measure.recalled(
        2 * EYE, EYE, 0.5
    ),
    "of 2 neurons is none": lambda: measure.recalled(EYE, EYE, 0.5),
    "`coding_level` must lie in": lambda: measure.recalled(EYE, EYE, 1.5),
    "`own` must lie in [0, 2]; got 3": lambda: measure.largest_l1_margin(
        PATTERNS, TARGETS, own=3
    ),
    "`own` must lie in [0, 2]; got -1": lambda: measure.largest_l2_margin(
        PATTERNS, TARGETS, own=-1
    ),
    "got u float64(2,), v float64(1,)": lambda: measure.plane_basis(
        jnp.ones(2), jnp.ones(1)
    ),
    "got potential float64(3,), u float64(2,), v": lambda: measure.plane_activity(
        jnp.ones(3), *EYE
    ),
    "u.u = 4, v.v = 1": lambda: measure.plane_activity(EYE[0], 2 * EYE[0], EYE[1]),
    "u.u = nan": lambda: measure.rotation(EYE, jnp.nan * EYE[0], EYE[1]),
    "got weights float64(2, 2), basis float64(3, 3)": lambda: measure.memory_eigenvalue(
        EYE, jnp.eye(3)
    ),
    "columns of `basis` must be orthonormal": lambda: measure.memory_eigenvalue(
        EYE, 2 * EYE
    ),
    "columns of `bases` must be orthonormal": lambda: measure.leading_overlaps(
        EYE, jnp.ones((1, 2, 2))
    ),
    "got weights float64(2, 2), bases float64(2, 2)": lambda: measure.leading_overlaps(
        EYE, EYE
    ),
    "need `vectors` (time, n, n)": lambda: measure.track_eigenvalues(
        FRAMES(jnp.ones(())), EYE.astype(complex)
    ),
    "`changes` must be shaped alike": lambda: measure.change_shares(
        {"noise": jnp.ones(3), "learning": jnp.ones((3, 3))}
    ),
    "`spontaneous` must be names": lambda: measure.change_shares(
        {"noise": jnp.ones(3)}, "noise"
    ),
    "must be 0 or 1 everywhere; got nan": lambda: measure.important_counts(
        jnp.full((2, 2), jnp.nan)
    ),
    "must be a matrix (post, pre)": lambda: measure.important_counts(COUNTED[0]),
    "`first` must be Float[ndarray, 'm']": lambda: measure.kolmogorov_smirnov(
        np.ones((2, 2)), np.ones(2)
    ),
    "got x float64(3,), y float64(2,)": lambda: measure.rank_correlation(
        jnp.ones(3), jnp.ones(2)
    ),
    "at least two steps": lambda: measure.drift(jnp.ones(1)),
    "`share` must lie in (0, 0.5]; got 0.6": lambda: measure.drift(jnp.ones(9), 0.6),
    "`x` must increase": lambda: measure.log_vertex(HOST(2, 1), HOST(1, 2)),
    "`x` must be positive": lambda: measure.log_vertex(HOST(0, 1), HOST(1, 2)),
    "`y` must be positive": lambda: measure.log_slope(HOST(1, 2), HOST(0, 1)),
    "got x float64(2,), y float64(3,)": lambda: measure.log_slope(
        HOST(1, 2), HOST(1, 2, 3)
    ),
    "two different values": lambda: measure.log_slope(HOST(1, 1), HOST(1, 2)),
    "got x float64(2,), curves float64(2,)": lambda: measure.vertex_of_mean(
        HOST(1, 2), HOST(1, 2)
    ),
    "`coupling` must be lower at this factor: a step would overshoot; got 2": lambda: (
        measure.chain_noise(3, 2.0)
    ),
    "`coupling` must be lower at this factor: a step would overshoot; got 1": lambda: (
        measure.chain_signal(jnp.ones(1), 3, 1.0, 1.0)
    ),
    "`interval` must be positive": lambda: measure.autocorrelation_time(
        HOST(1, 2), -0.5
    ),
}


@pytest.mark.parametrize("says", REFUSED)
@pytest.mark.usefixtures("unchecked")
def test_what_does_not_fit_is_refused(says):
    with pytest.raises(ValueError, match=re.escape(says)):
        REFUSED[says]()


@jax.jit
def _outside():
    """Measures of numbers that are traced: the first fits, the others do not."""
    bits = jax.vmap(lambda shift: measure.mutual_information(HALF, LABELS + shift))
    sizes = jax.vmap(lambda q: measure.norm(SIGNS[0], q))
    noise = jax.vmap(lambda g: measure.chain_noise(3, g))
    shares = jax.vmap(measure.lifetime_sparseness)
    return (
        bits(jnp.arange(3)),
        sizes(jnp.asarray([2.0, 0.0, -1.0])),
        noise(jnp.asarray([1.9, 2.0])),
        shares(EYE - jnp.diag(jnp.asarray([0.0, 2.0]))),
    )


def test_traced_labels_and_exponents_out_of_range_are_nan():
    for found in _outside():
        assert np.isnan(found).tolist() == [False, *[True] * (len(found) - 1)]


# name -> a measure of vectors (3, 4) of some size, and the power of the size in it
SIZED = {
    "norm 2": (lambda w: measure.norm(w, 2), 1),
    "norm 0.5": (lambda w: measure.norm(w, 0.5), 1),
    "norm 200": (lambda w: measure.norm(w, 200), 1),
    "volatile": (lambda w: measure.volatile_noise_ratio(w[0], w, 2), 0.5),
    "ratio": (lambda w: measure.noise_ratio(w[0], w, 1.5), 0),
    "memory": (
        lambda w: measure.memory_ratios(w[None, :1], jnp.sign(w[None, :1]), w[None]),
        0,
    ),
    "sparseness": (measure.lifetime_sparseness, 0),
    "basis": (lambda w: jnp.stack(measure.plane_basis(w, w[::-1])), 0),
}


@functools.cache
def _sized(size):
    """Every measure of weights of a size, and its slopes, in one compiled program."""
    weights = size * jnp.asarray([3.0, 4.0, 0.0, 1.0], jnp.float32)
    return _values_and_slopes(weights)


@jax.jit
def _values_and_slopes(w):
    return {name: (f(w), jax.jacobian(f)(w)) for name, (f, _) in SIZED.items()}


@pytest.mark.parametrize("name", SIZED)
def test_no_size_that_single_precision_holds_is_too_large_or_small(name):
    _, degree = SIZED[name]
    right, slopes = _sized(1.0)[name]
    for size in (1e25, 1e-25):
        found, steep = _sized(size)[name]
        right_here = np.asarray(right, float) * size**degree
        np.testing.assert_allclose(found, right_here, rtol=2e-5, atol=1e-36)
        steep = np.asarray(steep, float) * size ** (1 - degree)
        np.testing.assert_allclose(steep, slopes, rtol=2e-5, atol=1e-6)


def test_the_norm_of_zeros_and_of_what_is_infinite():
    norm = jax.jit(jax.vmap(jax.value_and_grad(lambda w: measure.norm(w, 2))))
    found, slopes = norm(np.asarray([[0.0, 0.0], [np.inf, 1.0], [np.inf, np.nan]]))
    assert np.array_equal(found, [0.0, np.inf, np.nan], equal_nan=True)
    assert not np.any(slopes[0])


def test_angles_of_parallel_trees_are_exact_and_have_slopes():
    draw = np.random.default_rng(0)
    x = draw.normal(size=(100, 5)).astype(np.float32)
    y = x * draw.lognormal(size=(100, 1)).astype(np.float32)
    angle = jax.jit(jax.vmap(jax.value_and_grad(numerics.tree_angle)))
    found, slopes = angle(x, y)
    assert np.all(found < 1e-6)  # the arc cosine is NaN for a third of them
    assert np.all(np.isfinite(slopes))
    away = np.asarray([[0.0, 1e-5], [0.0, -1e-5], [-2.0, 0.0]], np.float32)
    found, _ = angle(np.float32(3 * [[1, 0]]), np.float32([1, 0]) + away)
    np.testing.assert_allclose(found, [1e-5, 1e-5, np.pi], rtol=1e-5)


@pytest.mark.usefixtures("unchecked")
def test_angles_of_any_size_and_kind_and_none_of_nothing():
    one, two = jnp.asarray([[3, 0], [1, 1]], jnp.float32)
    assert jnp.isclose(numerics.tree_angle(*jnp.asarray([[3, 0], [1, 1]])), np.pi / 4)
    for size in (1e-30, 1.0, 1e30):
        assert jnp.isclose(numerics.tree_angle(size * one, two), np.pi / 4)
    for lost in (0 * one, jnp.asarray([jnp.inf, 1.0], jnp.float32)):
        assert jnp.isnan(numerics.tree_angle(lost, two))
    with pytest.raises(ValueError, match="shaped alike"):
        numerics.tree_angle(one, one[:1])


def test_chains_that_precision_does_not_resolve_are_refused():
    single = functools.partial(np.asarray, dtype=np.float32)
    close = {"coupling": single(0.25), "factor": single(2.0)}
    found = measure.chain_signal(single([1e6, 1e12]), 10, **close)
    assert np.isclose(found[0], measure.chain_signal([1e6], 10)[0], rtol=0.03)
    assert found[1] == 0
    with pytest.raises(ValueError, match="`times` must be shorter in this precision"):
        measure.chain_signal(single([3e6]), 10, **close)
    few, many = (functools.partial(measure.chain_noise, m, **close) for m in (18, 20))
    assert np.isclose(few(), measure.chain_noise(18), rtol=0.005)
    with pytest.raises(ValueError, match="`variables` must be fewer"):
        many()
    assert jnp.isnan(jax.jit(many)())
    for count, factor in ((27, 2.0), (200, 10.0)):  # no number holds the last's age
        with pytest.raises(ValueError, match="`variables` must be fewer"):
            measure.chain_noise(count, factor=factor)


def test_weights_count_by_their_size():
    weights = jnp.asarray([-3.0, 4.0, 0.0, 0.0])
    assert measure.norm(weights, 2) == 5
    assert measure.density(weights) == 0.5
    assert measure.noise_ratio(jnp.asarray(10.0), weights, 2) == 2


def test_a_share_of_neurons_does_not_hang_on_rounding():
    """0.2 times 0.35 times 100 is 6.999999999999999."""
    patterns = jnp.zeros((100, 1))
    assert measure.recalled(patterns.at[:7].set(1.0), patterns, 0.35)
    assert not measure.recalled(patterns.at[:8].set(1.0), patterns, 0.35)


def test_numbers_of_any_kind_are_floats():
    same = [
        (lambda w: measure.norm(w, 3), [1, 2, 2]),
        (lambda w: measure.noise_ratio(1, w, 2), [3, 4]),
        (measure.lifetime_sparseness, [1, 2, 4]),
        (measure.drift, [1, 2, 4, 3]),
        (lambda y: measure.rank_correlation([1, 2, 4], y), [2, 1, 4]),
        (lambda y: measure.log_slope([1, 2, 4], y), [1, 3, 4]),
    ]
    for function, whole in same:
        for given in (whole, np.asarray(whole), jnp.asarray(whole)):
            assert function(given) == function(jnp.asarray(whole, float))
