"""What circuits offer and rules read."""

from collections.abc import Callable

from ._interfaces import AbstractSignals, Scalar, Synapses


class LossSignals(AbstractSignals):
    """A loss at the present synapses, its gradient there, and the loss anywhere.

    `loss_at(synapses)` is the loss of this step's stimulus as a function: rules of
    order zero probe it, rules of order two differentiate it. `update` is the step that
    the circuit's optimiser proposes; minus the gradient where it has none.
    """

    dt: Scalar
    loss: Scalar
    gradient: Synapses
    loss_at: Callable[[Synapses], Scalar]
    update: Synapses
