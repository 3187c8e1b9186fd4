"""The figures of the paper and what goes beyond them, an experiment each."""

from .ablations import ABLATIONS
from .budget import BUDGET
from .curvature import CURVATURE
from .energy import FIG1, FIG1_STEPS, FIXED_RELEASE
from .energy_search import ENERGY_SEARCH
from .importance import FIG2, RANDOM_START
from .lifelong import SPLIT
from .metaplasticity import METAPLASTICITY
from .perceptron import FIG5_LOAD, FIG5_PERCEPTRON
from .permuted import CONTINUOUS, PERMUTED
from .sparsity import FIG3
from .tuning import TUNING


EXPERIMENTS = (
    FIG1,
    FIG1_STEPS,
    FIXED_RELEASE,
    ENERGY_SEARCH,
    FIG2,
    RANDOM_START,
    FIG3,
    SPLIT,
    PERMUTED,
    CONTINUOUS,
    TUNING,
    ABLATIONS,
    FIG5_PERCEPTRON,
    FIG5_LOAD,
    METAPLASTICITY,
    BUDGET,
    CURVATURE,
)
