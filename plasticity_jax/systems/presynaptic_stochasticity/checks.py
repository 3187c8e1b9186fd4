"""Every closed form beside autodiff, enumeration and simulation, for `verify`."""

from collections.abc import Iterator

from ..._experiment import Check
from .chain_checks import chain_checks
from .information_checks import information_checks
from .release_checks import release_checks


def checks() -> Iterator[Check]:
    """All checks of the system; run them in double precision."""
    yield from release_checks()
    yield from information_checks()
    yield from chain_checks()
