"""In which order, and how often: what the compiler must be told of a step.

It is told by conditions that never come true, which it does not see: that a number is
both NaN and infinite. They cost nothing, and no number changes.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, PyTree


def once(made: PyTree) -> PyTree:
    """`made`, its vectors `stored`.

    XLA else repeats what makes a vector, a random generator too, wherever it is read:
    in an outer product for every synapse.
    """
    is_vector = lambda x: isinstance(x, jax.Array) and x.ndim == 1 and not _is_key(x)
    return jax.tree.map(lambda x: stored(x) if is_vector(x) else x, made)


def stored(x: Array) -> Array:
    """`x`, computed once for all that read it.

    An array with an entry replaced is one that XLA stores.
    """
    if not x.size:
        return x
    first = _first(x)
    first = jnp.where(_never(x), jnp.zeros_like(first), first)
    return jax.lax.dynamic_update_slice(x, first, (0,) * x.ndim)


def after(done: PyTree, changes: PyTree) -> PyTree:
    """`changes`, those of matrices not before what is `done`.

    XLA changes an array in place only where all that reads it must come first, and else
    copies it at every step: synapses are read by the circuit, so that their change must
    depend on what that has done.
    """
    read = [x for x in jax.tree.leaves(done) if x.size and not _is_key(x)]
    if not read:
        return changes
    never = jnp.any(jnp.stack([_never(x) for x in read]))
    wait = lambda x: jnp.where(never, 0, x) if x.ndim > 1 else x
    return jax.tree.map(wait, changes)


def _is_key(x: Array) -> bool:
    return jnp.issubdtype(x.dtype, jax.dtypes.prng_key)


def _never(x: Array) -> Bool[Array, ""]:
    first = jnp.real(_first(x).ravel()[0]).astype(jnp.float32)
    return jnp.isnan(first) & jnp.isinf(first)


def _first(x: Array) -> Array:
    """The first entry, with the axes of `x`."""
    return x[(slice(1),) * x.ndim]
