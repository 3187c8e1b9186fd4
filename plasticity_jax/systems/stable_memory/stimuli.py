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
    as their `axes`, and are a `task` of `build`:

        plane = draw_planes("binary", 1, config.size, key, orthonormal=True)[0]
        system, state = build(config, key, rotating(config, plane))
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
    """
    steps, dt = config.steps("duration") + config.steps("follow"), config.step
    noise = config.decay, REFERENCE_STEP, key
    return _along(
        plane,
        config.amplitude * tasks.wandering(steps, dt, 0.0, config.duration, *noise),
    )


def cued(config: Config, plane: Plane) -> Drive:
    r"""$A_c\sqrt N\,u$ for `duration`: one axis of the plane, at `cue_amplitude`."""
    course = tasks.cue(config.steps("duration"), config.step, 0.0, config.duration)
    return _along(plane, config.cue_amplitude * config.size**0.5 * course)


def _along(plane: Plane, course: Float[Array, "step 2"]) -> Drive:
    check_finite("plane", plane)
    return Drive(plane, course, "silence")
