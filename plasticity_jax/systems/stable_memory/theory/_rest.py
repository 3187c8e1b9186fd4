"""What rate control does to weights while activity rests, at any rates."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from .... import Scalar
from ...._arguments import floating, not_negative
from ..config import Config


Vector = Float[Array, " n"]
Plane = Float[Array, "2 n"]
Times = Float[Array, "*time"]


@floating
def resting_rotation(
    config: Config, rates: Vector, targets: Vector, plane: Plane, time: Times
) -> Times:
    r"""Share of $A$ that rate control leaves of an imaginary memory at rest.

    Without noise and for any increasing $\phi$. Anti-symmetric weights do no work about
    a fixed point $x^* = Wr$ either, $r = \phi(x^*)$: with $V = \sum_i\int_0^{x_i -
    x^*_i}[\phi(x^*_i + s) - r_i]ds$ (section 5.3 has $x^* = 0$) $\dot V < 0$, so
    activity of any start comes to this one rest. There $r^\top Wr = 0$: the rule's
    $(\phi_0 - r)(r^\top W)$ leaves $Wr$, and so $r$, as they are, while $r^\top W$
    falls as $e^{-kt}$, $k = \eta\kappa_H q\cdot r$ with $q = r - \phi_0$. Hence
    $W(t) = [\mathbf I - (1 - e^{-kt})\,qr^\top/q\cdot r]\,W(0)$ and
    $$A(t)/A(0) = 1 - (1 - e^{-kt})\,\frac{q_\parallel\cdot r_\parallel}{2q\cdot r}$$
    with the parts in the orthonormal `plane` (2, n). Odd $\phi$ is silent at rest and
    loses nothing. With rates above zero a plane of random signs loses $1/N$ in the
    mean, a plane of non-negative patterns a share that does not shrink with $N$.
    Targets above the rates ($k < 0$) make $r^\top W$ grow instead. Discrete: $(1 -
    k\,\Delta t)^{t/\Delta t}$ for $e^{-kt}$, exact.

    >>> plane, late = jnp.eye(4)[:2], 1e4
    >>> share = resting_rotation(Config(), jnp.ones(4), jnp.zeros(4), plane, late)
    >>> print(f"{share:.2f}")  # the plane has 2 of 4 parts of the rates
    0.75
    """
    steps = not_negative("time", time) / config.step
    excess = rates - targets
    own, whole = jnp.sum((plane @ excess) * (plane @ rates)) / 2, excess @ rates
    scale = config.plasticity * config.homeostasis_gain * config.step
    rate = scale * whole
    gentle = jnp.abs(rate) < 0.5
    erased = -jnp.expm1(steps * jnp.log1p(-jnp.where(gentle, rate, 0.0)))
    erased = jnp.where(gentle, erased, 1 - (1 - rate) ** steps)
    limit = scale * steps * (1 - (steps - 1) * rate / 2)  # and its slope
    spent = jnp.where(whole == 0, limit, erased / jnp.where(whole == 0, 1.0, whole))
    return 1 - own * spent


@floating
def lawful_growth(config: Config, rates: Vector, targets: Vector) -> Scalar:
    r"""$\eta\kappa_H\sum_i r_i[\phi_{0,i} - r_i]_+$: growth of weights of fixed signs.

    With rates $r$ that are never negative, $r^\top W$ has the signs that Dale's law
    gives its columns. Rate control then strengthens every weight onto a neuron below
    its target, be it excitatory or inhibitory, and weakens the others until the law
    holds them at 0: what is left of $r^\top W$ grows at this speed for as long as
    excitation and inhibition leave the rates where they are. Without the law the sum
    has its negative terms too, and what drives the rates is erased
    (`resting_rotation`).

    >>> rates, targets = jnp.ones(2), jnp.asarray([3.0, 0.0])
    >>> print(f"{lawful_growth(Config(plasticity=0.01), rates, targets):.2f}")
    0.02
    """
    below = jnp.maximum(targets - rates, 0.0)
    return config.plasticity * config.homeostasis_gain * (rates @ below)
