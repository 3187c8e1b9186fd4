"""The figures of the paper and what goes beyond them, an experiment each."""

from .after_sleep import FIG3_AFTER
from .continuous import CONTINUOUS
from .development import FIG4_DEVELOPMENT
from .energy import ENERGY
from .fluctuating import FIG5_INCREMENTS, FIG6_NORMS
from .imaging import FIG5_IMAGING
from .learned import LEARNED
from .noises import FIG2_NOISES
from .policies import POLICIES, SOFT
from .published import FIG2_PUBLISHED
from .release import RELEASE
from .robustness import FIG2
from .scaling import FIG4_SCALING
from .signs import SIGNS
from .sleep import FIG3_SLEEP
from .tolerance import FIG2_RECALL
from .variants import VARIANTS_OF_SLEEP
from .volatile_order import VOLATILE_ORDER
from .volatility import VOLATILITY
from .wake import FIG3_WAKE
from .weights import FIG2_WEIGHTS


EXPERIMENTS = (
    *(
        FIG2,
        FIG2_PUBLISHED,
        FIG2_RECALL,
        FIG2_NOISES,
        FIG2_WEIGHTS,
        FIG3_WAKE,
        FIG3_SLEEP,
        FIG3_AFTER,
    ),
    *(FIG4_SCALING, FIG4_DEVELOPMENT, FIG5_INCREMENTS, FIG5_IMAGING, FIG6_NORMS),
    *(VARIANTS_OF_SLEEP, POLICIES, SOFT, CONTINUOUS),
    *(VOLATILE_ORDER, VOLATILITY, RELEASE, ENERGY, SIGNS, LEARNED),
)
