"""Plasticity rules: pure functions of synapses, signals and a key."""

from ._descent import Beeline as Beeline
from ._descent import Descent as Descent
from ._descent import Newton as Newton
from ._descent import NoisyGradient as NoisyGradient
from ._descent import OptimalMagnitude as OptimalMagnitude
from ._descent import Update as Update
from ._noise import Wiener as Wiener
from ._optax import gradient_transformation as gradient_transformation
from ._perturbation import AcceptOnly as AcceptOnly
from ._perturbation import WeightPerturbation as WeightPerturbation
from ._spiking import ApproximateNaturalGradient as ApproximateNaturalGradient
from ._spiking import DenseNaturalGradient as DenseNaturalGradient
from ._spiking import EuclideanGradient as EuclideanGradient
from ._spiking import natural_terms as natural_terms
from ._spiking import NaturalGradient as NaturalGradient
from ._spiking import NaturalTerms as NaturalTerms
from ._spiking import proportional_limit as proportional_limit
from ._spiking import SkewedNaturalGradient as SkewedNaturalGradient
from ._wrappers import Masked as Masked
from ._wrappers import Normalised as Normalised
from ._wrappers import Projected as Projected
from ._wrappers import Reparametrised as Reparametrised
from ._wrappers import Scaled as Scaled
from ._wrappers import Separate as Separate
