"""Differentiable modelling of synaptic plasticity and memory in JAX.

Mechanisms live in `rules`, `circuits` and `tasks`, exact curvature in `curvature`,
statistics in `measure`, data sets in `data`, and the published systems in `systems`.
"""

import importlib
from types import ModuleType

from ._arguments import real as real
from ._arguments import require as require
from ._interfaces import AbstractCircuit as AbstractCircuit
from ._interfaces import AbstractProjection as AbstractProjection
from ._interfaces import AbstractRule as AbstractRule
from ._interfaces import AbstractSignals as AbstractSignals
from ._interfaces import AbstractTask as AbstractTask
from ._interfaces import advance as advance
from ._interfaces import Scalar as Scalar
from ._interfaces import State as State
from ._interfaces import Synapses as Synapses
from ._interfaces import System as System
from ._simulate import Record as Record
from ._simulate import simulate as simulate
from ._sweep import AbstractConfig as AbstractConfig
from ._sweep import sweep as sweep
from ._version import __version__ as __version__
from .signals import LossSignals as LossSignals


_MODULES = (
    "circuits",
    "curvature",
    "data",
    "experiment",
    "measure",
    "numerics",
    "rules",
    "synapses",
    "systems",
    "tasks",
)


def __getattr__(name: str) -> ModuleType:
    """Sub-packages on first use, so that importing the package stays light."""
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
