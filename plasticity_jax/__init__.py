"""Differentiable modelling of synaptic plasticity and memory in JAX.

Mechanisms live in `rules`, `circuits` and `tasks`, exact curvature in `curvature`,
statistics in `measure`, data sets in `data`, and the published systems in `systems`.
"""

import importlib
from types import ModuleType

from ._config import load_plan as load_plan
from ._interfaces import AbstractCircuit as AbstractCircuit
from ._interfaces import AbstractProjection as AbstractProjection
from ._interfaces import AbstractRule as AbstractRule
from ._interfaces import AbstractSignals as AbstractSignals
from ._interfaces import AbstractTask as AbstractTask
from ._interfaces import advance as advance
from ._interfaces import State as State
from ._interfaces import System as System
from ._signals import LossSignals as LossSignals
from ._simulate import simulate as simulate
from ._sweep import sweep as sweep


__version__ = "0.1.0"
_MODULES = (
    "circuits",
    "curvature",
    "data",
    "measure",
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
