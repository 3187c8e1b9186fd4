"""Structured synapses, and what is enforced on them after every update."""

from ._connectivity import Connected as Connected
from ._connectivity import random_mask as random_mask
from ._factors import AbstractFactors as AbstractFactors
from ._factors import Ceiling as Ceiling
from ._factors import Factored as Factored
from ._factors import Floored as Floored
from ._factors import HomeostaticScaling as HomeostaticScaling
from ._factors import MidpointThreshold as MidpointThreshold
from ._factors import no_self_connections as no_self_connections
from ._factors import Ordered as Ordered
from ._factors import Power as Power
from ._factors import Product as Product
from ._factors import RandomPatternThreshold as RandomPatternThreshold
from ._factors import SignedPower as SignedPower
from ._release import check_probabilities as check_probabilities
from ._release import Release as Release
from ._release import ReleaseBounds as ReleaseBounds
from ._release import split_weights as split_weights
from ._release import Stochastic as Stochastic
from ._release import uniform_probability as uniform_probability
from ._release import Weights as Weights
from ._weights import Bounded as Bounded
from ._weights import Dale as Dale
from ._weights import Normed as Normed
