"""Arithmetic at singular points, spectra, whole trees of arrays: NaN stays NaN.

Gradients are finite where the value is: at the singular point they are zero. The
conditions are true of 0 (or below) and false of NaN, so that NaN goes through; written
the other way round (`x > 0`) a lost run would look calm.
"""

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, ArrayLike, Key

from ._interfaces import Scalar, Synapses
from ._random import normal as normal
from ._random import poisson as poisson
from ._random import unrolled as unrolled


def root(x: Array) -> Array:
    """Square root; 0 with zero gradient at 0, NaN below.

    >>> print(root(jnp.array([0.0, 4.0])), jax.grad(root)(0.0))
    [0. 2.] 0.0
    """
    zero = x == 0
    return jnp.where(zero, jnp.zeros_like(x), jnp.sqrt(jnp.where(zero, 1, x)))


def ratio(above: Array, below: Array, otherwise: ArrayLike = 0) -> Array:
    """`above / below`; `otherwise` where `below` is 0 and `above` is a number.

    >>> print(ratio(jnp.array([1.0, 2.0]), jnp.array([0.0, 4.0])))
    [0.  0.5]
    """
    zero = below == 0
    found = above / jnp.where(zero, jnp.ones_like(below), below)
    instead = jnp.asarray(otherwise, found.dtype)
    return jnp.where(zero & ~jnp.isnan(found), instead, found)


def masked(mask: Array, x: Array) -> Array:
    """`mask * x`; 0 where the mask is 0, also of an `x` that is not finite there.

    The gradient by the mask is `x`, but 0 where that is dropped.

    >>> print(masked(jnp.array([0.0, 1.0]), jnp.array([jnp.inf, 3.0])))
    [0. 3.]
    """
    lost = (mask == 0) & ~jnp.isfinite(x)
    return mask * jnp.where(lost, jnp.zeros_like(x), x)


def row_sums(x: Array) -> Array:
    """The sum over the last axis, as a product: a CPU adds several at once.

    >>> print(row_sums(jnp.ones((2, 3))))
    [3. 3.]
    """
    ones = jnp.ones((x.shape[-1], 1), x.dtype)
    return jnp.matmul(x, ones, precision="highest")[..., 0]


def power(base: Array, exponent: Any) -> Array:
    """`base ** exponent` of positive numbers; 0 with zero gradient at 0 and below.

    Also at the exponent 0, where 0 ** 0 would count what is not there. NaN to any
    power is NaN.

    >>> x = jnp.array([0.0, 4.0])
    >>> print(power(x, 0.5).round(3), power(x, 0))
    [0. 2.] [0. 1.]
    """
    nothing = base <= 0
    raised = jnp.where(nothing, jnp.ones_like(base), base) ** exponent
    raised = jnp.where(jnp.isnan(base), base, raised)  # NaN ** 0 is 1
    return jnp.where(nothing, jnp.zeros_like(raised), raised)


def extent(x: Array, exponent: Any = 2) -> Array:
    """What to divide by before a power: the largest size along the last axis, kept.

    1 where its power is far from where precision ends, so that ordinary numbers keep
    their bits, and where all are 0 or one is infinite. NaN where one is. A constant
    under differentiation.

    >>> huge = jnp.array([3e30, -4e30], jnp.float32)
    >>> print(np.array(huge / extent(huge)).round(3), extent(jnp.array([3.0, -4.0])))
    [ 0.75 -1.  ] [1.]
    """
    largest = jnp.max(jnp.abs(x), axis=-1, keepdims=True, initial=0)
    largest, exponent = jax.lax.stop_gradient((largest, exponent))
    far = jnp.abs(exponent * jnp.log2(largest)) > jnp.finfo(x.dtype).maxexp / 2
    far = (far & (largest != 0) & ~jnp.isinf(largest)) | jnp.isnan(largest)
    return jnp.where(far, largest, jnp.ones_like(largest))


def eigh(matrix: Array) -> tuple[Array, Array]:
    """Eigenvalues and eigenvectors, NaN where the symmetric matrix is not finite.

    LAPACK may make ordinary numbers of one that holds NaN.

    >>> values, vectors = eigh(jnp.array([[2.0, 1.0], [1.0, 2.0]]))
    >>> print(np.asarray(values).round(3), jnp.abs(vectors[:, 1]).round(3))
    [1. 3.] [0.707 0.707]
    """
    lost = _lost(matrix)
    values, vectors = jnp.linalg.eigh(matrix)
    values = jnp.where(lost[..., 0], jnp.nan, values)
    return values, jnp.where(lost, jnp.nan, vectors)


def eigvalsh(matrix: Array) -> Array:
    """Eigenvalues of a symmetric matrix, NaN where it is not finite, as in `eigh`.

    >>> print(np.asarray(eigvalsh(jnp.array([[2.0, 1.0], [1.0, 2.0]]))).round(3))
    [1. 3.]
    >>> print(eigvalsh(jnp.array([[2.0, jnp.nan], [1.0, 2.0]])))
    [nan nan]
    """
    return jnp.where(_lost(matrix)[..., 0], jnp.nan, jnp.linalg.eigvalsh(matrix))


def _lost(matrix: Array) -> Array:
    return ~jnp.all(jnp.isfinite(matrix), axis=(-2, -1), keepdims=True)


T = TypeVar("T")


def tree_size(tree: Synapses) -> int:
    """Number of entries over all leaves.

    >>> tree_size({"w": jnp.ones((2, 3)), "b": jnp.ones(2)})
    8
    """
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


def tree_vdot(a: Synapses, b: Synapses) -> Scalar:
    """Inner product over all leaves together; `ValueError` if their shapes differ.

    >>> tree = {"w": jnp.ones((2, 3)), "b": jnp.full(2, 5.0)}
    >>> print(tree_vdot(tree, tree))
    56.0
    """
    _check_alike(a, b)
    product = lambda x, y: jnp.sum(_inexact(x) * _inexact(y))  # integers overflow
    products = jax.tree.leaves(jax.tree.map(product, a, b))
    return functools.reduce(jnp.add, products) if products else jnp.zeros(())


def _check_alike(a: Synapses, b: Synapses) -> None:
    def check(x: Array, y: Array) -> None:
        if x.shape != y.shape:
            raise ValueError(f"leaves must be shaped alike; got {x.shape}, {y.shape}.")

    jax.tree.map(check, a, b)


def _inexact(x: Array) -> Array:
    real = jnp.issubdtype(x.dtype, jnp.inexact)
    return x if real else x.astype(jnp.result_type(float))


def tree_norm(tree: Synapses) -> Scalar:
    """Euclidean norm over all leaves, its gradient zero (not NaN) at the origin.

    NaN where an entry is.

    >>> print(tree_norm((jnp.array([3.0]), jnp.array([4.0]))))
    5.0
    """
    return root(tree_vdot(tree, tree))


def tree_angle(
    a: Synapses, b: Synapses, length: Callable[[Any], Scalar] = tree_norm
) -> Scalar:
    r"""Angle in radians between two trees, in the metric that `length` measures in.

    $2\arctan(|u - v|/|u + v|)$ of their unit vectors $u$ and $v$: it resolves small
    angles, where an arc cosine loses half of the digits and is NaN if rounding takes
    the cosine above 1. Its gradient is zero where they are parallel. NaN where one of
    them is zero; `ValueError` if their shapes differ.

    >>> x = jnp.array([1.0, 1e-5])
    >>> print(f"{tree_angle(x, jnp.array([2.0, 0.0])):.1e}")
    1.0e-05
    """
    _check_alike(a, b)

    def unit(tree: Synapses) -> Synapses:
        flat, unravel = ravel_pytree(jax.tree.map(_inexact, tree))
        flat = flat / extent(flat)
        size = length(unravel(flat))
        return unravel(flat / jnp.where((size == 0) | jnp.isinf(size), jnp.nan, size))

    u, v = unit(a), unit(b)
    apart, between = jax.tree.map(jnp.subtract, u, v), jax.tree.map(jnp.add, u, v)
    return 2 * jnp.arctan2(length(apart), length(between))


def tree_scale(scale: Scalar | float, tree: T) -> T:
    """Every leaf times one number, in the leaf's own precision.

    Raises `ValueError` for more than one number.

    >>> half = tree_scale(0.5, (jnp.ones(2), jnp.ones(1, jnp.bfloat16)))
    >>> print(half[0], half[1].dtype)
    [0.5 0.5] bfloat16
    """
    if shape := jnp.shape(scale):
        raise ValueError(f"`scale` must be one number; got the shape {shape}.")
    return jax.tree.map(lambda leaf: jnp.asarray(scale, leaf.dtype) * leaf, tree)


def tree_unit(tree: T) -> T:
    """The tree at unit length; a zero tree stays zero, NaN where its length is lost.

    >>> x, y = tree_unit((jnp.array([3.0]), jnp.array([4.0])))
    >>> print(x.round(3), y.round(3))
    [0.6] [0.8]
    """
    flat, unravel = ravel_pytree(tree)  # one vector: fuses with a flat draw
    length = tree_norm(flat)
    length = jnp.where(jnp.isinf(length), jnp.nan, length)  # else all would be 0
    return unravel(flat / jnp.where(length == 0, 1.0, length))


def normal_like(key: Key[Array, ""], tree: T) -> T:
    """Independent standard normals shaped like `tree`, all from one draw.

    >>> noise = normal_like(jr.key(0), {"w": jnp.zeros((2, 3)), "b": jnp.zeros(1000)})
    >>> print(noise["w"].shape, f"{noise['b'].std():.1f}")
    (2, 3) 1.0
    """
    flat, unravel = ravel_pytree(tree)
    return unravel(normal(key, flat.shape, flat.dtype))
