"""What drives circuits."""

from ._batches import Bootstrap as Bootstrap
from ._batches import Constant as Constant
from ._inputs import glorot_uniform as glorot_uniform
from ._inputs import mixed_normal as mixed_normal
