r"""Derivatives of long runs by the mode that suits, and of steady states.

A run is a function of its parameters; so is the state that it settles at. `derivative`
differentiates the one, `fixed_point` the other without going through the run, and
`growth` (in its own file) says over how many steps a derivative means anything.
"""

import itertools
import math
from collections.abc import Callable
from typing import Any, SupportsIndex

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optimistix as optx
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, ArrayLike, PyTree

from .._arguments import (
    check_takes,
    concrete,
    one_of,
    shape_of,
    whole,
    with_array_leaves,
)
from ..curvature import arrays_of


MODES = ("forward", "reverse")
FEW = 4
"""Parameters per value up to which forward mode is taken.

On a CPU one lane more of forward mode costs 0.1 (36 synapses) to 1.4 runs (440 of
them), and reverse mode 3 to 5 runs in all: they cross between 2 and 16 parameters.
"""
LANES = 16  # of forward mode at once
MEMORY = 2.0**30  # bytes that reverse mode may keep


class Derivative(eqx.Module):
    """A value and its derivative, the `mode` by which it was found, and `why` that.

    Every leaf of `slope` is shaped like one of the value followed by one of the
    parameters, as those of `jax.jacobian`: of a number by a pytree, shaped like it.

    >>> found = derivative(lambda p: p["gain"] ** 2, {"gain": 3.0})
    >>> float(found.value), float(found.slope["gain"]), found.mode, found.why
    (9.0, 6.0, 'forward', '1 parameter, 1 value')
    """

    value: PyTree
    slope: PyTree
    mode: str = eqx.field(static=True)
    why: str = eqx.field(static=True)


def derivative(
    function: Callable[[Any], Any],
    params: PyTree,
    *,
    mode: str | None = None,
    memory: float | int = MEMORY,
) -> Derivative:
    """Value and derivative of `function(params)`, by forward or by reverse mode.

    `params` is any pytree; its inexact arrays count, the rest is held fixed (and has
    `None` for a slope). The value is a number or a pytree of inexact arrays. Forward
    mode, a lane per parameter, costs no memory however long the run; reverse mode costs
    the same for any number of parameters, and keeps what the backward pass needs: of
    `simulate` one state per record (see `checkpoint_interval`). Forward mode is taken
    for up to 4 parameters per number in the value, and where reverse mode would keep
    more than `memory` bytes, which is counted before anything runs.

    Differentiate with respect to few parameters by naming them:

        run = lambda changes: lifetime(dataclasses.replace(config, **changes), key)
        derivative(run, {"gain": config.gain, "plasticity": config.plasticity})

    Where a run draws (masks, spikes) the derivative is that at fixed draws, and a
    threshold has none. Raises `ValueError` for another `mode`, params without floats
    and values that are not floats.

    >>> found = derivative(lambda x: x @ x, jnp.arange(8.0))
    >>> found.slope.tolist(), found.mode
    ([0.0, 2.0, 4.0, 6.0, 8.0, 10.0, 12.0, 14.0], 'reverse')
    """
    check_takes("function", function, "params")
    arrays, of_arrays = arrays_of(function, params)
    flat, unravel = ravel_pytree(arrays)
    told = jax.eval_shape(of_arrays, arrays)
    leaves = jax.tree.leaves(told)
    if not leaves or not all(jnp.issubdtype(x.dtype, jnp.inexact) for x in leaves):
        raise ValueError(f"`function` must return floats; got {shape_of(told)}.")
    count, values = flat.size, sum(math.prod(x.shape) for x in leaves)
    if mode is None:
        mode, why = _chosen(of_arrays, arrays, count, values, memory)
    else:
        one_of("mode", mode, MODES)
        why = "as asked for"
    if mode == "reverse":
        value, slope = _reverse(of_arrays, arrays)
        return Derivative(value, slope, mode, why)
    value, columns = _forward(lambda x: of_arrays(unravel(x)), flat)
    return Derivative(value, _columns_as(arrays, columns), mode, why)


def _chosen(
    function: Callable[[Any], Any],
    arrays: PyTree,
    count: int,
    values: int,
    most: float | int,
) -> tuple[str, str]:
    """The mode that suits, and why."""
    says = f"{count} parameter{'s'[: count != 1]}, {values} value{'s'[: values != 1]}"
    if count <= FEW * values:
        return "forward", says
    kept = jax.eval_shape(lambda x: jax.vjp(function, x)[1], arrays)
    size = sum(math.prod(x.shape) * x.dtype.itemsize for x in jax.tree.leaves(kept))
    if size > most:
        return "forward", f"{says}; reverse mode would keep {size / 1e6:.0f} MB"
    return "reverse", f"{says}; {size / 1e6:.2g} MB kept"


def _reverse(function: Callable[[Any], Any], arrays: PyTree) -> tuple[PyTree, PyTree]:
    """Value and slope, a backward pass for each number in the value."""
    value, pull = jax.vjp(function, arrays)
    flat, unravel = ravel_pytree(value)
    rows = jax.vmap(lambda x: pull(unravel(x))[0])(jnp.eye(flat.size, dtype=flat.dtype))
    return value, _rows_as(value, rows)


def _rows_as(value: PyTree, rows: PyTree) -> PyTree:
    """Rows of a Jacobian, stacked over all numbers in the value, leaf by leaf."""
    leaves, shape = jax.tree.flatten(value)
    ends = list(itertools.accumulate((x.size for x in leaves), initial=0))

    def slope(leaf: Array, low: int, high: int) -> PyTree:
        within = lambda x: x[low:high].reshape(leaf.shape + x.shape[1:])
        return jax.tree.map(within, rows)

    return shape.unflatten(map(slope, leaves, ends[:-1], ends[1:]))


def _forward(function: Callable[[Any], Any], flat: Array) -> tuple[PyTree, PyTree]:
    """Value and the derivatives along all parameters, which come first."""
    column = lambda direction: jax.jvp(function, (flat,), (direction,))
    basis = jnp.eye(flat.size, dtype=flat.dtype)
    values, columns = jax.lax.map(column, basis, batch_size=min(LANES, flat.size))
    return jax.tree.map(lambda x: x[0], values), columns


def _columns_as(arrays: PyTree, columns: PyTree) -> PyTree:
    """Columns of a Jacobian, stacked over all parameters, leaf by leaf."""
    leaves, shape = jax.tree.flatten(arrays)
    ends = np.cumsum([x.size for x in leaves])[:-1]

    def slope(stack: Array) -> PyTree:
        parts = jnp.split(jnp.moveaxis(stack, 0, -1), ends, axis=-1)
        pairs = zip(parts, leaves, strict=True)
        return shape.unflatten([x.reshape(*x.shape[:-1], *p.shape) for x, p in pairs])

    return jax.tree.map(slope, columns)


def checkpoint_interval(steps: SupportsIndex) -> int:
    """The `every` of `simulate` at which the gradient of a run keeps least.

    The divisor of `steps` for which `steps / every + every` is least: near the square
    root, 400 for 100,000 steps in pieces of 250. A prime number of steps has none.

    >>> checkpoint_interval(100_000), checkpoint_interval(900), checkpoint_interval(7)
    (400, 30, 7)
    """
    count = whole("steps", steps, 1)
    divisors = [d for d in range(1, math.isqrt(count) + 1) if count % d == 0]
    return count // divisors[-1]


def central_difference(
    function: Callable[[Any], Any], params: PyTree, *, width: ArrayLike = 1e-5
) -> PyTree:
    r"""$[f(p + h) - f(p - h)]/2h$ by every parameter: what derivatives must be near.

    Shaped like the `slope` of `derivative`. $h$ is `width` times the size of the
    parameter, or `width` where that is below 1e-3 of its neighbours (a leaf of zeros:
    of 1). The same function for all, so that runs draw the same noise. Take `width`
    near the cube root of the rounding, 1e-5 in double precision. Raises `ValueError`
    for a width that is not positive.

    >>> found = central_difference(lambda p: p["gain"] ** 2, {"gain": 3.0}, width=0.01)
    >>> print(f"{found['gain']:.2f}")
    6.00
    """
    check_takes("function", function, "params")
    if concrete(width) and not np.all(np.asarray(width) > 0):
        raise ValueError(f"`width` must be positive; got {width}.")
    arrays, of_arrays = arrays_of(function, params)
    flat, unravel = ravel_pytree(arrays)
    size = jnp.concatenate([_sizes(x) for x in jax.tree.leaves(arrays)])
    steps = jnp.asarray(width, flat.dtype) * size.astype(flat.dtype)

    def at(place: tuple[Array, Array]) -> tuple[PyTree, Array]:
        i, step = place
        moved = flat.at[i].add(step)
        return of_arrays(unravel(moved)), moved[i] - flat[i]  # as the numbers have it

    # One by one: two batches in LAPACK at once can wait for each other for ever.
    which = jnp.tile(jnp.arange(flat.size), 2)
    values, moves = jax.lax.map(at, (which, jnp.concatenate([steps, -steps])))
    above, below = jnp.split(moves, 2)
    wide = above - below

    def secants(x: Array) -> Array:
        rise = x[: flat.size] - x[flat.size :]
        return rise / wide.astype(x.dtype).reshape(-1, *(1,) * (x.ndim - 1))

    return _columns_as(arrays, jax.tree.map(secants, values))


def _sizes(leaf: Array) -> Array:
    """How large the entries of a leaf are, for a step that they would notice."""
    size = jnp.ravel(jnp.abs(leaf))
    largest = jnp.max(size)
    largest = jnp.where(largest == 0, jnp.ones_like(largest), largest)
    return jnp.maximum(size, 1e-3 * largest)


def fixed_point(
    update: Callable[[Any, Any], Any],
    start: PyTree,
    params: PyTree,
    *,
    solver: Any = None,
    max_steps: SupportsIndex = 256,
) -> PyTree:
    r"""The state that `update(state, params)` leaves as it is, found from `start`.

    Differentiable in `params` by the implicit function theorem, $\mathrm dx = (1 -
    \partial_xf)^{-1}\partial_pf\,\mathrm dp$: nothing goes back through the search, and
    the derivative is that of the limit of the run, at the cost of one linear solve. By
    Optimistix: Newton's method to 1e-9 (1e-5 in single precision), or another `solver`
    of its fixed points and roots, such as `optimistix.FixedPointIteration`. Steady
    states of noise are fixed points of their moments. `update` must be smooth there and
    have no direction in which it does nothing ($1$ is no eigenvalue of $\partial_xf$).

    `ValueError` if the search does not end within `max_steps`; NaN where it is traced,
    and where `start` or `params` are.

    >>> halfway = lambda w, goal: w + (goal - w) / 2
    >>> settled = lambda goal: fixed_point(halfway, 0.0, goal)
    >>> print(f"{settled(3.0):.3f} {jax.grad(settled)(3.0):.3f}")
    3.000 1.000
    """
    check_takes("update", update, "state", "params")
    start, params = jax.tree.map(_as_float, start), with_array_leaves(params)
    check_returns(update, start, params)
    if solver is None:
        exact = all(x.dtype == jnp.float64 for x in jax.tree.leaves(start))
        near = 1e-9 if exact else 1e-5
        solver = optx.Newton(rtol=near, atol=near)
    most = whole("max_steps", max_steps, 1)
    closed = eqx.filter_closure_convert(update, start, params)
    found = _limit(closed, start, params, solver, most)
    known = eqx.filter((start, params), eqx.is_inexact_array)
    if concrete(found, known) and _lost(found) and not _lost(known):
        raise ValueError(
            f"no fixed point was found from `start` within {most} steps: start nearer, "
            "or choose another `solver`."
        )
    return found


def _lost(tree: PyTree) -> bool:
    """Whether there is a NaN."""
    return any(np.isnan(x).any() for x in jax.tree.leaves(tree))


@eqx.filter_custom_jvp
def _limit(update: Any, start: PyTree, params: Any, solver: Any, most: int) -> PyTree:
    """The fixed point; NaN where none was found."""
    found = optx.fixed_point(update, solver, start, params, max_steps=most, throw=False)
    missed = found.result != optx.RESULTS.successful
    return jax.tree.map(lambda x: jnp.where(missed, jnp.nan, x), found.value)


@_limit.def_jvp
def _(primals: Any, tangents: Any) -> tuple[PyTree, PyTree]:
    """What `optimistix.ImplicitAdjoint` does, but NaN where there is no derivative.

    There it stops the program, by a callback to the host.
    """
    update, start, params = with_array_leaves(primals[:3])
    found = _limit(update, start, params, *primals[3:])
    at_rest = lambda update, params: update(found, params)
    knobs = (update, params), (tangents[0], tangents[2])
    push, _ = ravel_pytree(eqx.filter_jvp(at_rest, *knobs)[1])
    flat, unravel = ravel_pytree(found)
    after = lambda x: ravel_pytree(update(unravel(x), params))[0]
    matrix = jnp.eye(flat.size, dtype=flat.dtype) - jax.jacfwd(after)(flat)
    sizes = jnp.linalg.svd(jax.lax.stop_gradient(matrix), compute_uv=False)
    singular = sizes[-1] <= flat.size * jnp.finfo(flat.dtype).eps * sizes[0]
    matrix = jnp.where(singular, jnp.nan, matrix)
    return found, unravel(jnp.linalg.solve(matrix, push))


def _as_float(x: ArrayLike) -> Array:
    array = jnp.asarray(x)
    inexact = jnp.issubdtype(array.dtype, jnp.inexact)
    return array if inexact else array.astype(jnp.result_type(float))


def check_returns(
    update: Callable[[Any, Any], Any], state: PyTree, params: Any
) -> None:
    """Raise `ValueError` unless `update(state, params)` is shaped like the state."""
    told = eqx.filter_eval_shape(update, state, params)
    shapes = [[(x.shape, x.dtype) for x in _arrays(tree)] for tree in (told, state)]
    if jax.tree.structure(told) != jax.tree.structure(state) or shapes[0] != shapes[1]:
        raise ValueError(
            f"`update` must return what it is given, {shape_of(state)}; got "
            f"{shape_of(told)}."
        )


def _arrays(tree: PyTree) -> list[Any]:
    return [x for x in jax.tree.leaves(tree) if hasattr(x, "dtype")]
