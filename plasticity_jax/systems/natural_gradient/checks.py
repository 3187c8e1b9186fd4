"""Every closed form beside autodiff and beside simulation, for `verify`."""

from collections.abc import Iterator

from ..._experiment import Check
from .layer_checks import layer_checks
from .learning_checks import learning_checks
from .neuron_checks import neuron_checks
from .shot_noise_checks import shot_noise_checks
from .single_checks import single_checks


def checks() -> Iterator[Check]:
    """All checks of the system; run them in double precision."""
    yield from neuron_checks()
    yield from single_checks()
    yield from shot_noise_checks()
    yield from learning_checks()
    yield from layer_checks()
