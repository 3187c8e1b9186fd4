"""Every closed form beside autodiff, linear algebra and simulation, for `verify`."""

from collections.abc import Iterator

from ..._experiment import Check
from .learning_checks import learning_checks
from .retrieval_checks import retrieval_checks
from .weight_checks import weight_checks


def checks() -> Iterator[Check]:
    """All checks of the system; run them in double precision."""
    yield from weight_checks()
    yield from learning_checks()
    yield from retrieval_checks()
