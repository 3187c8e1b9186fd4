"""Every closed form beside autodiff, linear algebra and simulation, for `verify`."""

from collections.abc import Iterator

from ....experiment import Check
from ._cycles import cycle_checks
from ._dale import dale_checks
from ._drive import drive_checks
from ._gradients import gradient_checks as gradient_checks
from ._learning import learning_checks
from ._noisy import noise_checks
from ._rest import rest_checks
from ._retrieval import retrieval_checks
from ._weight import weight_checks


def checks() -> Iterator[Check]:
    """All checks of the system; run them in double precision."""
    yield from weight_checks()
    yield from learning_checks()
    yield from retrieval_checks()
    yield from cycle_checks()
    yield from drive_checks()
    yield from noise_checks()
    yield from dale_checks()
    yield from rest_checks()
