"""Stimuli that move along fixed directions of a network."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, Int, Key

from .._interfaces import AbstractTask, real, Scalar


Course = Float[Array, "step 2"]


class Drive(AbstractTask):
    r"""$b(t) = \sum_k c_k(t)\,a_k$: amplitudes `course` (step, k) on `axes` (k, n).

    Nothing after the last step of the course. Learning, silence and cues of several
    memories are one course, and a derivative with respect to it designs stimuli.
    """

    axes: Float[Array, "k n"] = eqx.field(converter=real)
    course: Float[Array, "step k"] = eqx.field(converter=real)

    def __check_init__(self) -> None:
        if self.axes.ndim != 2 or self.course.ndim != 2:
            raise ValueError(
                "`axes` (k, n) and `course` (step, k) must be matrices; got "
                f"{self.axes.shape} and {self.course.shape}."
            )
        if self.course.shape[1] != self.axes.shape[0]:
            raise ValueError(
                f"`course` needs one column for each of the {self.axes.shape[0]} axes; "
                f"got {self.course.shape}."
            )

    def __call__(self, step: Int[Array, ""], key: Key[Array, ""]) -> Float[Array, " n"]:
        del key
        now = self.course.at[step].get(mode="fill", fill_value=0.0)
        return now @ self.axes


def window(steps: int, dt: float, start: float, stop: float) -> Float[Array, " step"]:
    """1 at the steps that begin at `start` or later and before `stop`, 0 elsewhere."""
    first, last = round(start / dt), round(stop / dt)
    step = jnp.arange(steps)
    return jnp.where((step >= first) & (step < last), 1.0, 0.0)


def rotation(
    steps: int, dt: float, start: float, stop: float, frequency: Scalar
) -> Course:
    r"""$(\cos\omega t, \sin\omega t)$ from `start` to `stop`, 0 elsewhere.

    `frequency` is $\omega$ in radians per unit of time, $t$ counted from `start`.
    """
    on = window(steps, dt, start, stop)
    phase = frequency * (dt * jnp.arange(float(steps)) - start)
    return on[:, None] * jnp.stack([jnp.cos(phase), jnp.sin(phase)], axis=1)


def cue(steps: int, dt: float, start: float, stop: float) -> Course:
    """1 along the first axis only, from `start` to `stop`: part of a memory."""
    on = window(steps, dt, start, stop)
    return jnp.stack([on, jnp.zeros_like(on)], axis=1)


def wandering(
    steps: int,
    dt: float,
    start: float,
    stop: float,
    decay: Scalar,
    reference_dt: float,
    key: Key[Array, ""],
) -> Course:
    r"""Two Ornstein-Uhlenbeck processes, driven from `start` to `stop`.

    $s \leftarrow s - dt\,\zeta s + \sqrt{dt\,dt_{\rm ref}}\,z$ from $s = 0$, with
    `decay` $\zeta$; the noise stops at `stop`, the process then decays with time
    constant $1/\zeta$. Stationary variance $dt_{\rm ref}/(2\zeta)$.
    """
    on = window(steps, dt, start, stop)
    noise = (dt * reference_dt) ** 0.5 * on[:, None] * jr.normal(key, (steps, 2))

    def forward(
        s: Float[Array, "2"], kick: Float[Array, "2"]
    ) -> tuple[Float[Array, "2"], Float[Array, "2"]]:
        s = s - dt * decay * s + kick
        return s, s

    return jax.lax.scan(forward, jnp.zeros(2), noise)[1]
