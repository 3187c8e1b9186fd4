"""Every closed form beside autodiff, exact optima and simulation, for `verify`."""

from collections.abc import Iterator

from ..._experiment import Check
from .capacity_checks import capacity_checks
from .noise_checks import noise_checks
from .optimum_checks import optimum_checks
from .rule_checks import rule_checks


def checks() -> Iterator[Check]:
    """All checks of the system; run them in double precision."""
    yield from rule_checks()
    yield from optimum_checks()
    yield from capacity_checks()
    yield from noise_checks()
