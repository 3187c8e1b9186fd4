"""What drives circuits."""

from .._random import spike_counts as spike_counts
from ._batches import Bootstrap as Bootstrap
from ._batches import Constant as Constant
from ._batches import Drawn as Drawn
from ._batches import Epochs as Epochs
from ._batches import Recorded as Recorded
from ._drive import cue as cue
from ._drive import Drive as Drive
from ._drive import turning as turning
from ._drive import wandering as wandering
from ._images import batch_orders as batch_orders
from ._images import ImageBatches as ImageBatches
from ._images import split_by_class as split_by_class
from ._images import standardised as standardised
from ._images import task_shares as task_shares
from ._inputs import draw_patterns as draw_patterns
from ._inputs import epoch_orders as epoch_orders
from ._inputs import glorot_uniform as glorot_uniform
from ._inputs import mixed_normal as mixed_normal
from ._spikes import Spikes as Spikes
from ._spikes import SpikeTrains as SpikeTrains
