"""The figures of the paper and what goes beyond them, an experiment each."""

from .capacity import SUPP4
from .compensation import COMPENSATION
from .cycles import SUPP3
from .dale import DALE
from .designed import DESIGNED
from .erosion import FIG2
from .filters import EULER, FILTERED
from .fluctuations import FIG1B, SILENT, TURNOVER
from .learning import FIG3
from .learning_limits import FIG3_PUBLISHED, SLOW_STIMULI, SUPP2
from .life_cycle import FIG5
from .lifetime import LIFETIME, LIFETIME_LAW
from .positive_rates import POSITIVE_RATES
from .restraints import RESTRAINTS
from .retention import RETENTION
from .retrieval import FIG4A, FIG4B
from .sequence import SEQUENCE
from .sparse import PHASE, SUPP1
from .timing import TIMING
from .trajectories import FIG3A
from .variants import VARIANTS


EXPERIMENTS = (
    FIG1B,
    FIG2,
    RETENTION,
    VARIANTS,
    FILTERED,
    EULER,
    TURNOVER,
    SILENT,
    FIG3A,
    FIG3,
    FIG3_PUBLISHED,
    SUPP2,
    SLOW_STIMULI,
    FIG4A,
    FIG4B,
    FIG5,
    SUPP1,
    SUPP3,
    SUPP4,
    PHASE,
    RESTRAINTS,
    TIMING,
    LIFETIME,
    LIFETIME_LAW,
    DESIGNED,
    SEQUENCE,
    DALE,
    POSITIVE_RATES,
    COMPENSATION,
)
