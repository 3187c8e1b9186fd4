r"""Below and above the critical rotation: fixed points, and the period's divergence.

Of a plane of balanced signs (`cycles`, section 5.5b), for $\phi$ odd, bounded by 1 and
concave on $x > 0$:

$\dot a = -a + \alpha\phi(a) - \rho\phi(b)$, $\dot b = -b + \alpha\phi(b) + \rho\phi(a)$

Quarter turns of a fixed point are fixed points.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ... import Scalar
from ..._arguments import admit, floating, positive
from .cycles import balanced_rates, held_rotations, reduced_slope
from .cycles._rates import Pair, Transfer
from .roots import root


class FixedPoints(NamedTuple):
    """One of four stable points (a, b), and the saddle that it meets: 0 < a < b.

    >>> found = fixed_points(jnp.tanh, 2000.0, 600.0)
    >>> print(np.asarray(found.node / 1000).round(2))  # strong memories: as of a step
    [1.4 2.6]
    """

    node: Pair
    saddle: Pair


@floating
def fixed_points(
    transfer: Transfer, expansion: Scalar, rotation: Scalar
) -> FixedPoints:
    r"""Below $\rho_c$ there is no cycle: activity comes to rest at a node.

    Off the origin; at $\rho_c$ nodes and saddles meet and vanish. Differentiable.
    Raises `ValueError` unless the rotation lies above 0 and below $\rho_c$, and is NaN
    where it is traced.

    >>> node = fixed_points(jnp.tanh, 2.0, 0.1).node
    >>> slope = reduced_slope(balanced_rates(jnp.tanh), 2.0, 0.1, node)
    >>> bool(jnp.all(jnp.abs(slope) < 1e-5))  # at rest
    True
    """
    found = held_rotations(transfer, expansion)
    most = found.rotation(found.critical, expansion)
    wrong = ~((rotation > 0) & (rotation < most))
    must = f"lie above 0 and below the critical one, {most}"
    rotation = admit("rotation", rotation, wrong, must)
    excess = lambda a, given: found.rotation(a, given[0]) - given[1]
    short = lambda a, given: -excess(a, given)
    given = expansion, rotation
    node = root(excess, found.critical, (1 - 1e-9) * found.edge, given)
    saddle = root(short, 1e-9 * found.edge, found.critical, given)
    return FixedPoints(
        *(jnp.stack([a, found.other(a, expansion)]) for a in (node, saddle))
    )


@floating
def step_fixed_points(expansion: Scalar, rotation: Scalar) -> Pair:
    r"""Of a step, all stable: $(\alpha - \rho, \alpha + \rho)$ for $\rho < \alpha$.

    >>> step_fixed_points(2.0, 0.5).tolist()
    [1.5, 2.5]
    """
    wrong = ~((rotation >= 0) & (rotation < expansion))
    must = f"not be negative, and below the expansion {expansion}"
    rotation = admit("rotation", rotation, wrong, must)
    return jnp.stack([expansion - rotation, expansion + rotation])


@floating
def slowing(transfer: Transfer, expansion: Scalar) -> Scalar:
    r"""$\lim T\sqrt{\rho - \rho_c}$: how the period diverges at the critical rotation.

    Node and saddle have met, $\dot z = \beta(\rho - \rho_c) + \gamma z^2$ along their
    line: each of four passages takes $\pi/\sqrt{\beta\gamma(\rho - \rho_c)}$. The next
    term of the period is of the order of 1. Of a step it diverges as a logarithm
    (`cycles.balanced_step_cycle`).

    >>> print(f"{slowing(jnp.tanh, 2.0):.1f}")
    14.9
    """
    found = held_rotations(transfer, expansion)
    a, rho = found.critical, found.rotation(found.critical, expansion)
    place = jnp.stack([a, found.other(a, expansion)])
    flow = lambda s: reduced_slope(balanced_rates(transfer), expansion, rho, s)
    jacobian = jax.jacfwd(flow)(place)
    right = jnp.stack([-jacobian[0, 1], jacobian[0, 0]])
    left = jnp.stack([jacobian[1, 0], -jacobian[0, 0]])
    bent = jax.jvp(lambda s: jax.jvp(flow, (s,), (right,))[1], (place,), (right,))[1]
    rates = transfer(place)
    pushed = left @ jnp.stack([-rates[1], rates[0]])
    product = positive("transfer", pushed * (left @ bent) / 2)
    return 4 * np.pi * jnp.abs(left @ right) / jnp.sqrt(product)
