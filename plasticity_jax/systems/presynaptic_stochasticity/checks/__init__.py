"""Every closed form beside autodiff, enumeration and simulation, for `verify`."""

from collections.abc import Iterator

from ....experiment import Check
from ._chain import chain_checks
from ._drift import drift_checks
from ._gradients import gradient_checks as gradient_checks
from ._information import information_checks
from ._mean_field import mean_field_checks
from ._release import release_checks
from ._resting import resting_checks


def checks() -> Iterator[Check]:
    """All checks of the system; run them in double precision."""
    yield from release_checks()
    yield from information_checks()
    yield from chain_checks()
    yield from resting_checks()
    yield from drift_checks()
    yield from mean_field_checks()
