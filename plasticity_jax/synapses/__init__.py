"""Structured synapses, and what is enforced on them after every update."""

from ._connectivity import Connected as Connected
from ._connectivity import random_mask as random_mask
