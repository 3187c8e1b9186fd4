"""What a network is shown in the plane of a memory (Susman et al. 2019)."""

from jaxtyping import Array, Float, Key

from ... import tasks
from ..._arguments import check_finite
from ...tasks import Drive
from .config import Config, REFERENCE_STEP


Plane = Float[Array, "2 n"]


def rotating(config: Config, plane: Plane) -> Drive:
    r"""$A_r\sqrt N(\cos\omega t\,u + \sin\omega t\,v)$ for `duration`, then silence.

    Of the config's `amplitude` and `frequency`. All stimuli here have the plane (u, v)
    as their `axes`, and are a `task` of `build`.

    >>> config = Config(size=4, duration=10.0, frequency=jnp.pi / 2)
    >>> drive = rotating(config, jnp.eye(4)[:2])
    >>> print(np.asarray(abs(drive.course[::10])).round(2)[:3])  # quarter turns
    [[2. 0.]
     [0. 2.]
     [2. 0.]]
    """
    end = config.duration
    course = tasks.turning(
        config.steps("duration"), config.step, 0.0, end, config.frequency
    )
    return _along(plane, config.amplitude * config.size**0.5 * course)


def wandering(config: Config, plane: Plane, key: Key[Array, ""]) -> Drive:
    r"""$A_b(s_u u + s_v v)$, two Ornstein-Uhlenbeck processes, as published.

    Of the config's `amplitude` and `decay`; driven for `duration`, it decays during
    `follow`.

    >>> config = Config(size=4, duration=10.0, follow=5.0, decay=1.0)
    >>> course = wandering(config, jnp.eye(4)[:2], jr.key(0)).course
    >>> print(f"{course[120, 0] / course[119, 0]:.2f}")  # the drive has ended: decay
    0.90
    """
    steps, dt = config.steps("duration") + config.steps("follow"), config.step
    noise = config.decay, REFERENCE_STEP, key
    return _along(
        plane,
        config.amplitude * tasks.wandering(steps, dt, 0.0, config.duration, *noise),
    )


def cued(config: Config, plane: Plane) -> Drive:
    r"""$A_c\sqrt N\,u$ for `duration`: one axis of the plane, at `cue_amplitude`.

    >>> config = Config(size=4, duration=10.0, cue_amplitude=0.5)
    >>> cued(config, jnp.eye(4)[:2]).course[0].tolist()  # 0.5 sqrt(4) along u
    [1.0, 0.0]
    """
    course = tasks.cue(config.steps("duration"), config.step, 0.0, config.duration)
    return _along(plane, config.cue_amplitude * config.size**0.5 * course)


def _along(plane: Plane, course: Float[Array, "step 2"]) -> Drive:
    check_finite("plane", plane)
    return Drive(plane, course, "silence")
