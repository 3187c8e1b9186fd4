r"""Several planes of Gaussian patterns at once: what no memory can tell apart.

For infinitely many neurons and orthonormal Gaussian patterns $q = g(|p|)p$ for all
overlaps $p$ together (section 5.5e), so that $\dot p = -p + D g(|p|) p$ with the `core`
$D$ of `patterns.low_rank`.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from ..._arguments import floating, whole
from ...numerics import normal
from .cycles import gaussian_rates
from .cycles._rates import Transfer


Overlaps = Float[Array, " k"]
Matrix = Float[Array, "k k"]


@floating
def overlap_slope(transfer: Transfer, core: Matrix, overlaps: Overlaps) -> Overlaps:
    r"""$\dot p$ of all overlaps, off $p = 0$.

    It commutes with every rotation that commutes with the core: all of them where no
    plane rotates ($\rho = 0$), those of `unitary` where all do alike. So states between
    patterns persist like the patterns: recall needs patterns that are not Gaussian.

    >>> core = [[0.0, 5.0], [-5.0, 0.0]]
    >>> slope = overlap_slope(lambda x: x, core, [1.0, 0.0])  # a linear network
    >>> print(np.asarray(slope).round(3))
    [-1. -5.]
    """
    return core @ gaussian_rates(transfer)(overlaps) - overlaps


def unitary(planes: int, key: Key[Array, ""]) -> Float[Array, "k k"]:
    r"""A random element of $U(M)$ on overlaps $(p_{u_1}, p_{v_1}, \dots)$.

    Real and orthogonal, and commutes with the quarter turns of all `planes` $M$.

    >>> turned = unitary(2, jr.key(0))
    >>> quarter = jnp.kron(jnp.eye(2), jnp.asarray([[0.0, 1.0], [-1.0, 0.0]]))
    >>> bool(jnp.allclose(turned @ quarter, quarter @ turned, atol=1e-5))
    True
    """
    whole("planes", planes, 1)
    parts = normal(key, (2, planes, planes))
    z = jnp.linalg.qr(jax.lax.complex(parts[0], parts[1]))[0]
    blocks = jnp.stack([jnp.stack([z.real, -z.imag]), jnp.stack([z.imag, z.real])])
    return blocks.transpose(2, 0, 3, 1).reshape(2 * planes, 2 * planes)
