r"""How many memories a synchronous map can hold: planes beside single patterns.

Susman, Brenner & Barak 2019, Supplementary Note 2, whose protocol is not public. $s
\leftarrow \mathrm{sgn}(Ws)$, a neuron without input keeping its sign. Vectors are signs
here, not signs over $\sqrt N$: fields are then whole numbers, and ties are exact in
single precision up to $2^{24}$. Unused memories are rows of zeros, so one program
serves every load. Low-rank products cost less than a weight matrix does as long as
fewer vectors than half the neurons are stored.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from ... import Scalar
from ..._arguments import admit, floating, not_negative


States = Float[Array, "n state"]
Signs = Float[Array, "plane 2 n"]
Values = Float[Array, "..."]
Numbers = Values | np.ndarray | float


def plane_field(planes: Signs, states: States) -> States:
    r"""$N\sum_k (u_kv_k^\top - v_ku_k^\top)s$: no diagonal to remove.

    >>> planes = jnp.asarray([[[1.0, 1, -1, -1], [1, -1, 1, -1]]])
    >>> plane_field(planes, planes[0, :1].T)[:, 0].tolist()  # of u: -N v
    [-4.0, 4.0, -4.0, 4.0]
    """
    u, v = planes[:, 0], planes[:, 1]
    return u.T @ (v @ states) - v.T @ (u @ states)


def pattern_field(planes: Signs, states: States) -> States:
    r"""$N(\sum_\mu \xi_\mu\xi_\mu^\top - \mathrm{diag})s$: both vectors of each plane.

    The Hopfield network of as many vectors, without self-connections.

    >>> planes = jnp.asarray([[[1.0, 1, -1, -1], [1, -1, 1, -1]]])
    >>> pattern_field(planes, planes[0, :1].T)[:, 0].tolist()  # of u: (N - 2) u
    [2.0, 2.0, -2.0, -2.0]
    """
    xi = planes.reshape(-1, planes.shape[-1])
    own = jnp.sum(xi**2, axis=0)[:, None]
    return xi.T @ (xi @ states) - own * states


def updated(
    field: Callable[[Signs, States], States], planes: Signs, states: States
) -> States:
    """All neurons at once; those without input keep their sign.

    >>> planes = jnp.asarray([[[1.0, 1, -1, -1], [1, -1, 1, -1]]])
    >>> updated(plane_field, planes, planes[0, :1].T)[:, 0].tolist()  # u becomes -v
    [-1.0, 1.0, -1.0, 1.0]
    """
    drive = field(planes, states)
    return jnp.where(drive == 0, states, jnp.sign(drive))


def settled(
    field: Callable[[Signs, States], States],
    planes: Signs,
    states: States,
    updates: int,
) -> States:
    """After `updates` synchronous updates.

    >>> planes = jnp.asarray([[[1.0, 1, -1, -1], [1, -1, 1, -1]]])
    >>> settled(plane_field, planes, planes[0, :1].T, 4)[:, 0].tolist()  # u again
    [1.0, 1.0, -1.0, -1.0]
    """
    step = lambda _, states: updated(field, planes, states)
    return jax.lax.fori_loop(0, updates, step, states)


@floating
def plane_overlap(planes: Signs, states: States) -> Float[Array, " state"]:
    r"""$\sqrt{m_u^2 + m_v^2}$, the state of each column in the plane of its number.

    >>> planes = jnp.asarray([[[1.0, 1, -1, -1], [1, -1, 1, -1]]])
    >>> state = jnp.asarray([[1.0], [1], [1], [-1]])  # half of u, half of v
    >>> print(np.asarray(plane_overlap(planes, state)).round(3))
    [0.707]
    """
    size = planes.shape[-1]
    pair = jnp.einsum("kan,nk->ak", planes[: states.shape[1]], states) / size
    return jnp.sqrt(jnp.sum(pair**2, axis=0))


@floating
def vector_overlap(planes: Signs, states: States) -> Float[Array, " state"]:
    """$|m_u|$, the state of each column with the first vector of its plane.

    >>> planes = jnp.asarray([[[1.0, 1, -1, -1], [1, -1, 1, -1]]])
    >>> vector_overlap(planes, jnp.asarray([[1.0], [1], [1], [-1]])).tolist()
    [0.5]
    """
    size = planes.shape[-1]
    return jnp.abs(jnp.einsum("kn,nk->k", planes[: states.shape[1], 0], states)) / size


@floating
def first_step_error(load: Numbers, overlap: Numbers = 1.0) -> Array:
    r"""$\frac12\mathrm{erfc}(m/\sqrt{2\alpha_v})$: wrong signs after one update.

    From a state of overlap $m$ with a stored vector, at `load` $\alpha_v$ vectors per
    neuron, in a large network. The same for planes and for single patterns. Raises
    `ValueError` for a negative load and an overlap outside [-1, 1]; NaN if traced.

    >>> print(f"{first_step_error(0.138):.4f}")  # at the critical load of Hopfield
    0.0036
    """
    load, overlap = jnp.asarray(load), jnp.asarray(overlap)
    spread = jnp.sqrt(2 * not_negative("load", load))
    overlap = admit("overlap", overlap, jnp.abs(overlap) > 1, "lie in [-1, 1]")
    return jax.scipy.special.erfc(overlap.astype(spread.dtype) / spread) / 2


@floating
def half_load(loads: Float[Array, " load"], success: Float[Array, " load"]) -> Scalar:
    """The load where success first falls below one half, linear between loads.

    NaN where it never does, or is below from the start, and where an entry is NaN.
    Raises `ValueError` unless both are vectors of one length.

    >>> print(f"{half_load([0.1, 0.2, 0.3], [1.0, 0.8, 0.2]):.2f}")
    0.25
    """
    below: Bool[Array, " load"] = success < 0.5
    last = jnp.maximum(jnp.argmax(below), 1)
    known = jnp.any(below) & ~below[0]
    known &= ~jnp.any(jnp.isnan(loads) | jnp.isnan(success))
    drop = success[last - 1] - success[last]
    share = (success[last - 1] - 0.5) / jnp.where(known, drop, 1.0)
    between = loads[last - 1] + share * (loads[last] - loads[last - 1])
    return jnp.where(known, between, jnp.nan)
