"""How activity moves, and what it lets plasticity read."""

from ._loss import feedforward as feedforward
from ._loss import LossCircuit as LossCircuit
from ._loss import SecondMomentError as SecondMomentError
from ._loss import SquaredError as SquaredError
