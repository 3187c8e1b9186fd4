"""Every closed form beside autodiff and beside simulation, for `verify`."""

from collections.abc import Iterator

from ....experiment import Check
from ._gradients import gradient_checks as gradient_checks
from ._layer import layer_checks
from ._learning import learning_checks
from ._metric import metric_checks
from ._neuron import neuron_checks
from ._shot_noise import shot_noise_checks


def checks() -> Iterator[Check]:
    """All checks of the system; run them in double precision."""
    yield from neuron_checks()
    yield from learning_checks()
    yield from shot_noise_checks()
    yield from layer_checks()
    yield from metric_checks()
