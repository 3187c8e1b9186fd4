r"""Recall from fixed low-rank connectivity, integrated in continuous time.

Susman, Brenner & Barak 2019, Eqs. 7 and 8, with a real-coded term. Overlaps are $p =
U^\top x/\sqrt N$, of order one; everything orthogonal to the memories decays as
$e^{-t}$ exactly.
"""

from collections.abc import Callable
from typing import NamedTuple

import diffrax
import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from ... import Scalar
from ..._arguments import check_finite, concrete, floating, real
from ...numerics import root
from .patterns import low_rank, Planes


Vector = Float[Array, " n"]
Times = Float[Array, " time"]
MOST_STEPS = 100_000


class LowRankNetwork(eqx.Module):
    r"""$\dot x = -x + (UDU^\top + d\mathbf I)\phi(x)$ at a cost of $O(NM)$.

    `basis` is $U$ (n, k), `core` $D$ (k, k), `diagonal` $d$, `transfer` $\phi$. Raises
    `ValueError` for shapes that do not fit and numbers that are not finite.

    >>> core = jnp.asarray([[0.0, 5.0], [-5.0, 0.0]])
    >>> network = LowRankNetwork(jnp.eye(4)[:, :2], core, jnp.sign)
    >>> network(jnp.asarray([1.0, 0.0, 0.0, 2.0])).tolist()
    [-1.0, -5.0, 0.0, -2.0]
    """

    basis: Float[Array, "n k"] = eqx.field(converter=real)
    core: Float[Array, "k k"] = eqx.field(converter=real)
    transfer: Callable[[Vector], Vector] = jnp.tanh
    diagonal: Scalar = eqx.field(default=0.0, converter=real)

    def __check_init__(self) -> None:
        count = self.basis.shape[-1]
        if self.basis.ndim != 2 or self.core.shape != (count, count):
            raise ValueError(
                "`basis` (n, k) needs a `core` (k, k); got "
                f"{self.basis.shape} and {self.core.shape}."
            )
        for name in ("basis", "core", "diagonal"):
            check_finite(name, getattr(self, name))

    def __call__(self, potential: Vector) -> Vector:
        r"""$\dot x$."""
        rate = self.transfer(potential)
        recurrent = self.basis @ (self.core @ (rate @ self.basis))
        return recurrent + self.diagonal * rate - potential

    def overlaps(self, potential: Vector) -> Float[Array, " k"]:
        r"""$U^\top x/\sqrt N$."""
        return potential @ self.basis / len(potential) ** 0.5


@floating
def plane_network(
    planes: Planes,
    expansion: Scalar,
    rotation: Scalar,
    transfer: Callable[[Vector], Vector] = jnp.tanh,
) -> LowRankNetwork:
    r"""All planes stored alike: $\alpha(uu^\top + vv^\top) + \rho(uv^\top - vu^\top)$.

    `expansion` is $\alpha$, `rotation` $\rho$.

    >>> network = plane_network(jnp.eye(4).reshape(2, 2, 4), 2.0, 6.0)
    >>> network.core[2].tolist()
    [0.0, 0.0, 2.0, 6.0]
    """
    same = jnp.ones(len(planes), planes.dtype)
    basis, core = low_rank(planes, expansion * same, rotation * same)
    return LowRankNetwork(basis, core, transfer)


class Recall(NamedTuple):
    """Overlaps at the times asked for, the last potential, and whether it was solved.

    All numbers of a run that was not solved are NaN.

    >>> network = plane_network(jnp.eye(4)[None, :2], 0.0, 0.0)  # no memory
    >>> found = recall(network, [2.0, 0.0, 0.0, 0.0], [1.0, 2.0])
    >>> print(np.asarray(found.overlaps[:, 0]).round(3))  # 1 / e, 1 / e^2
    [0.368 0.135]
    """

    overlaps: Float[Array, "time k"]
    potential: Vector
    solved: Bool[Array, ""]


@floating
def recall(
    network: LowRankNetwork,
    start: Vector,
    times: Times,
    *,
    tolerance: float = 1e-6,
    step: Scalar | float | None = None,
    solver: diffrax.AbstractSolver | None = None,
    most_steps: int = MOST_STEPS,
) -> Recall:
    r"""Activity from `start` at time 0, seen at increasing `times` > 0.

    The default is Tsit5 with steps adapted to `tolerance`, relative and absolute per
    neuron. A discontinuous `transfer` needs constant steps of length `step`: an adapted
    one shrinks at every crossing. Explicit steps then chatter about crossings; where
    nothing else drives the activity, within a radius of order $\sqrt{step}$
    (`cycles.euler_radius`). A run that needs more than `most_steps`, or leaves the
    floating-point range, is flagged. One start; `vmap` over several. Differentiable in
    the network and the start where `transfer` is. Raises `ValueError` for a start of
    another length than the network and times that do not increase from 0.

    >>> network = plane_network(jnp.eye(4)[None, :2], 2.0, 0.0)
    >>> found = recall(network, [1.0, 0.0, 0.0, 1.0], [10.0, 20.0])
    >>> print(np.asarray(found.potential).round(3))  # x = 2 tanh(x) persists
    [1.915 0.    0.    0.   ]
    """
    if start.shape != network.basis.shape[:1]:
        raise ValueError(
            f"`start` needs a potential for each of {len(network.basis)} neurons; got "
            f"shape {start.shape}."
        )
    if times.ndim != 1 or not len(times):
        raise ValueError(f"`times` must be a vector; got shape {times.shape}.")
    if concrete(times) and not np.all(np.diff(np.asarray(times), prepend=0.0) > 0):
        raise ValueError("`times` must be above 0 and increase.")
    controller = diffrax.ConstantStepSize()
    if step is None:
        controller = diffrax.PIDController(rtol=tolerance, atol=tolerance)
    seen = diffrax.SubSaveAt(ts=times, fn=_overlaps), diffrax.SubSaveAt(t1=True)
    solution = diffrax.diffeqsolve(
        diffrax.ODETerm(_slope),
        diffrax.Tsit5() if solver is None else solver,
        t0=0.0,
        t1=times[-1],
        dt0=step,
        y0=start,
        args=network,
        saveat=diffrax.SaveAt(subs=seen),
        stepsize_controller=controller,
        max_steps=most_steps,
        throw=False,
    )
    assert solution.ys is not None
    overlaps, last = solution.ys[0], solution.ys[1][0]
    finite = jnp.all(jnp.isfinite(overlaps)) & jnp.all(jnp.isfinite(last))
    solved = (solution.result == diffrax.RESULTS.successful) & finite
    known = lambda x: jnp.where(solved, x, jnp.nan)
    return Recall(known(overlaps), known(last), solved)


_overlaps = lambda time, potential, network: network.overlaps(potential)
_slope = lambda time, potential, network: network(potential)


# --- what was recalled --------------------------------------------------------------


@floating
def radii(overlaps: Float[Array, "*batch k"]) -> Float[Array, "*batch plane"]:
    r"""$r_k = \sqrt{p_{u_k}^2 + p_{v_k}^2}$ of every plane; zero gradient at 0.

    >>> radii([3.0, 4.0]).tolist()
    [5.0]
    """
    return root(jnp.sum(overlaps.reshape(*overlaps.shape[:-1], -1, 2) ** 2, axis=-1))


@floating
def retrieved(
    radius: Float[Array, "*batch plane"], cued: Float[Array, "*batch"], factor: float
) -> Bool[Array, "*batch"]:
    """Whether the first plane alone was completed from its cue.

    Its radius is above `factor` times every other one and above that of the cue. The
    second condition tells recall from activity that dies with its proportions kept.
    NaN is not retrieved. Raises `ValueError` unless every set of radii has a cue.

    >>> radius = [[1.0, 0.2], [1.0, 0.8]]  # of two planes, in two runs
    >>> retrieved(radius, [0.5, 0.5], 2.0).tolist()
    [True, False]
    """
    if cued.shape not in ((), radius.shape[:-1]):
        raise ValueError(
            f"`cued` must be shaped like `radius` {radius.shape} without its planes; "
            f"got {cued.shape}."
        )
    first = radius[..., 0]
    if radius.shape[-1] == 1:
        return first > cued
    return (first > factor * jnp.max(radius[..., 1:], axis=-1)) & (first > cued)


class Turning(NamedTuple):
    """Mean frequency (radians per unit of time) and range of radii over whole turns.

    >>> times = jnp.linspace(0.0, 10.0, 201)
    >>> overlaps = 3.0 * jnp.stack([jnp.cos(2.0 * times), jnp.sin(2.0 * times)], 1)
    >>> found = turning(times, overlaps)
    >>> print(f"{found.least:.2f} {found.largest:.2f}")
    3.00 3.00
    """

    frequency: Scalar
    least: Scalar
    largest: Scalar


@floating
def turning(times: Times, overlaps: Float[Array, "time 2"]) -> Turning:
    """Rotation in a plane over the whole turns that fit into `times` from its start.

    NaN if not one does. `times` must be fine enough to follow the angle: well above two
    samples a turn, and for radii as many as their accuracy needs. Raises `ValueError`
    unless there are two overlaps at each time, and times increase.

    >>> times = jnp.linspace(0.0, 10.0, 201)
    >>> overlaps = jnp.stack([jnp.cos(2.0 * times), jnp.sin(2.0 * times)], 1)
    >>> print(f"{turning(times, overlaps).frequency:.3f}")
    2.000
    """
    if times.ndim != 1 or overlaps.shape != (len(times), 2) or not len(times):
        raise ValueError(
            "`overlaps` (time, 2) need one row for each of `times`; got shapes "
            f"{overlaps.shape} and {times.shape}."
        )
    if concrete(times) and not np.all(np.diff(np.asarray(times)) > 0):
        raise ValueError("`times` must increase.")
    phase = jnp.unwrap(jnp.arctan2(overlaps[:, 1], overlaps[:, 0]))
    swept = jnp.abs(phase - phase[0])
    turns = jnp.floor(swept[-1] / (2 * jnp.pi))
    length = jnp.interp(2 * jnp.pi * turns, swept, times) - times[0]
    inside = times <= times[0] + length
    radius = radii(overlaps)[:, 0]
    known = turns > 0
    seen = Turning(
        2 * jnp.pi * turns / jnp.where(known, length, 1.0),
        jnp.min(jnp.where(inside, radius, jnp.inf)),
        jnp.max(jnp.where(inside, radius, 0.0)),
    )
    return Turning(*(jnp.where(known, x, jnp.nan) for x in seen))
