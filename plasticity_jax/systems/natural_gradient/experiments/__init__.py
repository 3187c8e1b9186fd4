"""The figures of the paper and what goes beyond them, an experiment each."""

from .angles import FIG12_ANGLES
from .coefficients import FIG11
from .correlated import CORRELATED
from .curves import FIG3F, PUBLISHED, TABLE1
from .geometry import FIG1
from .layer import LAYER, LAYER_ANGLES
from .map import FIG7
from .online import ONLINE
from .psth import FIG3BC
from .robustness import ABLATIONS, FIG9D, UNIFORM
from .scale import FIG10
from .shot_noise import SHOT_NOISE
from .single import FIG4, FIG5
from .skewed import SKEWED
from .two_afferents import FIG3DE


EXPERIMENTS = (
    FIG1,
    FIG3BC,
    FIG3DE,
    FIG3F,
    PUBLISHED,
    FIG4,
    FIG5,
    FIG7,
    FIG9D,
    FIG10,
    FIG11,
    FIG12_ANGLES,
    TABLE1,
    ABLATIONS,
    UNIFORM,
    ONLINE,
    CORRELATED,
    SHOT_NOISE,
    SKEWED,
    LAYER_ANGLES,
    LAYER,
)
