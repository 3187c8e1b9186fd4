"""Every closed form beside autodiff, exact optima and simulation, for `verify`."""

from collections.abc import Iterator

from ....experiment import Check
from ._capacity import capacity_checks
from ._gradients import gradient_checks as gradient_checks
from ._noise import noise_checks
from ._optimum import optimum_checks
from ._rule import rule_checks


def checks() -> Iterator[Check]:
    """All checks of the system; run them in double precision."""
    yield from rule_checks()
    yield from optimum_checks()
    yield from capacity_checks()
    yield from noise_checks()
