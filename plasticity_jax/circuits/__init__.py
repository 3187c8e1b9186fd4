"""How activity moves, and what it lets plasticity read."""

from .._transfer import RectifiedQuadratic as RectifiedQuadratic
from .._transfer import Sigmoid as Sigmoid
from ._kernel import relative_exponential as relative_exponential
from ._kernel import SynapticKernel as SynapticKernel
from ._loss import feedforward as feedforward
from ._loss import LossCircuit as LossCircuit
from ._loss import SecondMomentError as SecondMomentError
from ._loss import SquaredError as SquaredError
from ._rate import amplification as amplification
from ._rate import error_function as error_function
from ._rate import logistic as logistic
from ._rate import RateNetwork as RateNetwork
from ._rate import Rates as Rates
from ._spiking import Afferents as Afferents
from ._spiking import input_moments as input_moments
from ._spiking import SharedInput as SharedInput
from ._spiking import SpikingNeuron as SpikingNeuron
