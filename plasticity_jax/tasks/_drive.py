"""Stimuli that move along fixed directions of a network."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from .._arguments import (
    check_finite,
    check_range,
    concrete,
    floating,
    one_of,
    real,
    stable,
    whole,
)
from .._interfaces import AbstractTask, Scalar
from ..numerics import normal


Course = Float[Array, "step 2"]


class Drive(AbstractTask):
    r"""$b(t) = \sum_k c_k(t)\,a_k$: amplitudes `course` (step, k) on `axes` (k, n).

    Learning, silence and cues of several memories are one course, and a derivative with
    respect to it designs stimuli. Step k of a run plays row k, counted by `State.step`.
    A run beyond the last row is refused by `simulate` (`ValueError`), and its stimuli
    are NaN where the step is known to the compiled program only; with
    `then="silence"` they are 0.

    >>> axes = jnp.array([[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]])
    >>> task = Drive(axes, course=jnp.array([[2.0, 0.0], [2.0, 3.0]]), then="silence")
    >>> [task(jnp.array(step), jr.key(0)).tolist() for step in range(3)]
    [[2.0, 0.0, 2.0], [2.0, 3.0, 2.0], [0.0, 0.0, 0.0]]
    """

    axes: Float[Array, "k n"] = eqx.field(converter=real)
    course: Float[Array, "step k"] = eqx.field(converter=real)
    then: str = eqx.field(default="refuse", static=True)

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
        one_of("then", self.then, ("refuse", "silence"))

    def check(self, first: int, steps: int) -> None:
        length = len(self.course)
        if self.then == "refuse" and not 0 <= first <= first + steps <= length:
            raise ValueError(
                f"`course` has {length} steps; a run of {steps} from step {first} on "
                "goes beyond it. Give a longer course, a state whose `step` is 0, or "
                "then='silence'."
            )

    def __call__(self, step: Int[Array, ""], key: Key[Array, ""]) -> Float[Array, " n"]:
        length = len(self.course)
        row = jnp.where(step < 0, length, step)  # else it would count from the end
        beyond = jnp.nan if self.then == "refuse" else 0.0
        now = self.course.at[row].get(mode="fill", fill_value=beyond)
        return now @ self.axes


def window(steps: int, dt: float, start: float, stop: float) -> Float[Array, " step"]:
    """1 at the steps from `start` to before `stop`, to the nearest step, 0 elsewhere.

    Raises `ValueError` unless `dt` is positive and some of the `steps`, and none beyond
    them, lie between the two.
    """
    steps = whole("steps", steps, 1)
    for name, value in {"dt": dt, "start": start, "stop": stop}.items():
        check_finite(name, value)
    check_range("dt", dt, 1e-30, np.inf)
    first, last = round(start / dt), round(stop / dt)
    if concrete(first, last) and not 0 <= first < last <= steps:
        raise ValueError(
            f"`start` = {start} and `stop` = {stop} must be one step of `dt` = {dt} "
            f"apart at least, within {steps} steps; they round to steps {first} and "
            f"{last}."
        )
    step = jnp.arange(steps)
    return jnp.where((step >= first) & (step < last), 1.0, 0.0)


@floating
def turning(
    steps: int, dt: float, start: float, stop: float, frequency: Scalar
) -> Course:
    r"""$(\cos\omega t, \sin\omega t)$ from `start` to `stop`, 0 elsewhere.

    `frequency` is $\omega$ in radians per unit of time, $t$ counted from `start`.
    Raises `ValueError` unless the times fit the steps.

    >>> course = turning(steps=4, dt=0.5, start=0.5, stop=1.5, frequency=jnp.pi)
    >>> print(abs(np.array(course).round(3)).tolist())  # a right angle a step
    [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]
    """
    check_finite("frequency", frequency)
    on = window(steps, dt, start, stop)
    phase = frequency * (dt * jnp.arange(float(steps)) - start)
    return on[:, None] * jnp.stack([jnp.cos(phase), jnp.sin(phase)], axis=1)


def cue(steps: int, dt: float, start: float, stop: float) -> Course:
    """1 along the first axis only, from `start` to `stop`: part of a memory.

    Raises `ValueError` unless the times fit the steps.

    >>> cue(steps=4, dt=0.5, start=0.5, stop=1.5)[:, 0].tolist()
    [0.0, 1.0, 1.0, 0.0]
    """
    on = window(steps, dt, start, stop)
    return jnp.stack([on, jnp.zeros_like(on)], axis=1)


@floating
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
    constant $1/\zeta$. Stationary variance $dt_{\rm ref}/(2\zeta)$. Raises `ValueError`
    unless the times fit the steps and the decay is stable; NaN where it is traced.

    >>> times = {"steps": 4, "dt": 0.1, "start": 0.0, "stop": 0.3}
    >>> s = wandering(**times, decay=0.5, reference_dt=0.1, key=jr.key(0))
    >>> print(np.array(s[3] / s[2]).round(3))  # after the noise it only decays
    [0.95 0.95]
    """
    check_range("decay", decay, 0.0, np.inf)
    check_range("reference_dt", reference_dt, 0.0, np.inf)
    on = window(steps, dt, start, stop)
    share = stable("decay", dt * decay)
    noise = (dt * reference_dt) ** 0.5 * on[:, None] * normal(key, (steps, 2))

    def forward(
        s: Float[Array, "2"], kick: Float[Array, "2"]
    ) -> tuple[Float[Array, "2"], Float[Array, "2"]]:
        s = s - share * s + kick
        return s, s

    return jax.lax.scan(forward, jnp.zeros(2), noise)[1]
