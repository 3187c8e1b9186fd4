"""Memory planes, and the weight matrices that hold them.

Susman, Brenner & Barak 2019. Vectors have length 1, not the square root of the number
of neurons: a memory of strength $a$ then has eigenvalues $a$ or $\\pm ia$.
"""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Key

from ... import Scalar
from ..._arguments import among, floating, one_of
from ...numerics import normal


Vector = Float[Array, " n"]
Matrix = Float[Array, "n n"]
Planes = Float[Array, "plane 2 n"]
KINDS = ("gaussian", "binary", "hadamard")


def draw_planes(
    kind: str, planes: int, size: int, key: Key[Array, ""], orthonormal: bool = False
) -> Planes:
    r"""Pairs of vectors $u, v$ of length about 1, shaped (plane, 2, n).

    `gaussian`: entries of variance $1/N$; `binary`: signs over $\sqrt N$; `hadamard`:
    columns of a Hadamard matrix in random order with random signs of the neurons,
    exactly orthogonal, every pair of signs equally frequent (`size` a power of two).
    With `orthonormal` all vectors together are made orthonormal by QR, which keeps
    their span.

    Raises `ValueError` for an unknown kind, or more vectors than neurons.

    >>> u, v = draw_planes("hadamard", 1, 8, jr.key(0))[0]
    >>> print(f"{u @ u:.2f} {abs(u @ v):.2f}")
    1.00 0.00
    """
    one_of("pattern", kind, KINDS)
    if planes < 0 or 2 * planes > size:
        raise ValueError(
            f"{planes} planes need at least {2 * planes} neurons; got `size` = {size}."
        )
    if kind == "hadamard":
        vectors = _hadamard(2 * planes, size, key)
    elif kind == "binary":
        vectors = jr.rademacher(key, (2 * planes, size), dtype=jnp.result_type(float))
        vectors = vectors / size**0.5
    else:
        vectors = normal(key, (2 * planes, size)) / size**0.5
    if orthonormal and kind != "hadamard" and planes:
        q, r = jnp.linalg.qr(vectors.T)
        vectors = (q * jnp.sign(jnp.diagonal(r))[None]).T
    return vectors.reshape(planes, 2, size)


def _hadamard(count: int, size: int, key: Key[Array, ""]) -> Float[Array, "count n"]:
    """Columns of a Hadamard matrix (none constant) in random order, neurons flipped."""
    if size & (size - 1) or count > size - 1:
        raise ValueError(
            f"Hadamard patterns need `size` a power of two above the number of vectors "
            f"({count}); got {size}."
        )
    for_order, for_rows = jr.split(key)
    chosen = 1 + jr.permutation(for_order, size - 1)[:count]
    rows = jr.permutation(for_rows, size)
    odd = jax.lax.population_count(chosen[:, None] & rows[None]) % 2
    return (1 - 2 * odd.astype(jnp.result_type(float))) / size**0.5


@floating
def real_memory(u: Vector, strength: Scalar | float) -> Matrix:
    r"""$a\,uu^\top$: a real outlier $a\|u\|^2$ (Hopfield).

    >>> u = jnp.asarray([0.6, 0.8])
    >>> print(np.asarray(real_memory(u, 5.0) @ u).round(3))  # 5 u
    [3. 4.]
    """
    return strength * jnp.outer(u, u)


@floating
def imaginary_memory(u: Vector, v: Vector, strength: Scalar | float) -> Matrix:
    r"""$a(uv^\top - vu^\top)$: eigenvalues $\pm ia$ for an orthonormal pair.

    >>> imaginary_memory([1.0, 0.0], [0.0, 1.0], 5.0).tolist()
    [[0.0, 5.0], [-5.0, 0.0]]
    """
    forward = jnp.outer(u, v)
    return strength * (forward - forward.T)


@floating
def lawful_share(u: Vector, v: Vector, signs: Vector) -> Scalar:
    r"""Share of $a(uv^\top - vu^\top)$ that neurons of one sign each can hold (beyond).

    Weights of the wrong sign are 0 (`synapses.Dale`); what is left of the coefficient
    $A$. Of $\|uv^\top - vu^\top\|^2$ pairs of one kind hold half; an excitatory
    (`signs` 1) and an inhibitory neuron (-1) hold all, or nothing of what turns the
    wrong way. Anti-symmetric and lawful weights join neurons of two kinds only.

    >>> u, v = jnp.eye(2)  # a loop of an excitatory and an inhibitory neuron
    >>> [float(lawful_share(*x, jnp.asarray([1.0, -1.0]))) for x in ((v, u), (u, v))]
    [1.0, 0.0]
    """
    signs = among("signs", signs, (1.0, -1.0))
    turn = jnp.outer(u, v) - jnp.outer(v, u)
    kept = jnp.where(turn * signs[None] > 0, 1.0, 0.0)
    held = jnp.where(signs[:, None] == signs[None], 0.5, kept)
    return jnp.sum(held * (turn * signs[None]) ** 2) / jnp.sum(turn**2)


@floating
def low_rank(
    planes: Planes, expansion: Float[Array, " plane"], rotation: Float[Array, " plane"]
) -> tuple[Float[Array, "n k"], Float[Array, "k k"]]:
    r"""Factors $(U, D)$ of $W = UDU^\top$, several memories at once (Eq. 8).

    $U = [u_1, v_1, \dots]$, $D$ block-diagonal with blocks $(\alpha, \rho; -\rho,
    \alpha)$: `expansion` $\alpha$ and `rotation` $\rho$ of each plane. Raises
    `ValueError` for other numbers of strengths than of planes.

    >>> basis, core = low_rank(jnp.eye(4)[None, :2], [0.5], [5.0])
    >>> core.tolist()
    [[0.5, 5.0], [-5.0, 0.5]]
    """
    if planes.ndim != 3 or not planes.shape[:1] == rotation.shape == expansion.shape:
        raise ValueError(
            "`planes` (plane, 2, n) need an `expansion` and a `rotation` each; got "
            f"shapes {planes.shape}, {expansion.shape} and {rotation.shape}."
        )
    count, _, size = planes.shape
    basis = planes.reshape(2 * count, size).T
    turn = jnp.asarray(np.array([[0.0, 1.0], [-1.0, 0.0]]), rotation.dtype)
    still = jnp.eye(2, dtype=rotation.dtype)
    rotations, expansions = rotation[:, None, None], expansion[:, None, None]
    blocks = rotations * turn[None] + expansions * still[None]
    core = jnp.zeros((count, 2, count, 2), rotation.dtype)
    index = jnp.arange(count)
    core = core.at[index, :, index, :].set(blocks)
    return basis, core.reshape(2 * count, 2 * count)
