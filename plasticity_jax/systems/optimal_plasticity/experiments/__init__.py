"""The figures of Raman & O'Leary 2021 as sweeps, claims and negative controls."""

from .blind import GREEDY, PROBES
from .directions import LEARNING, TABLE2
from .drifting import FIG1, FIG1_SIGMOID
from .errors import TABLE2_ERROR
from .fluctuations import LAGGED, NOISY
from .geometry import FIG3, FIG4
from .landscape import FIG2
from .magnitudes import MAGNITUDES
from .natural import NATURAL
from .ratios import FIG5, FIG5_BEELINE, FIG5_IID, FIG5S1, FIG5S1_IID, RESTRICTED
from .scale import SCALE


EXPERIMENTS = (
    FIG1,
    FIG1_SIGMOID,
    FIG2,
    FIG3,
    FIG4,
    FIG5,
    FIG5_IID,
    FIG5_BEELINE,
    FIG5S1,
    FIG5S1_IID,
    TABLE2,
    TABLE2_ERROR,
    RESTRICTED,
    LEARNING,
    PROBES,
    GREEDY,
    LAGGED,
    NOISY,
    SCALE,
    MAGNITUDES,
    NATURAL,
)
