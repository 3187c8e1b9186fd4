"""Labelled grids of runs: one machine behind one door, `sweep`."""

from ._config import AbstractConfig as AbstractConfig
from ._sweep import sweep as sweep
