"""Statistics of runs: steady states, optima, growth."""

from ._steady import drift as drift
from ._steady import log_slope as log_slope
from ._steady import log_vertex as log_vertex
from ._steady import STATIONARY as STATIONARY
