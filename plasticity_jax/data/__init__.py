"""Image data sets: digits that ship with a dependency, MNIST and Fashion-MNIST."""

from ._datasets import Dataset as Dataset
from ._datasets import load as load
from ._datasets import Status as Status
from ._datasets import status as status
from ._datasets import where as where
from ._idx import read_idx as read_idx
from ._imaging import kaufman_2012 as kaufman_2012
