"""Differentiable modelling of synaptic plasticity and memory in JAX.

- `simulate` runs a `System` (a task, a circuit, named rules, projections) from a
  `State`, step by step; `advance` makes one step, a `Record` says what is kept.
- `sweep` computes a labelled grid of runs of an `AbstractConfig`.
- `AbstractTask`, `AbstractCircuit`, `AbstractRule`, `AbstractProjection` and
  `AbstractSignals` are what parts of your own are made from; `Scalar` and `Synapses`
  are types of their fields, `real` makes a field an array leaf, `require` checks it.
- `fast_key` makes a key whose numbers take a fraction of the time.
- `tasks`, `circuits`, `rules`, `synapses`: the parts that are here.
- `signals`: what circuits offer and rules read. `traces`: what moves by itself.
- `textbook`: checks of textbook rules.
- `curvature`: Hessians, Fisher matrices, natural gradients, spectra.
- `measure`: statistics of activity, weights and learning.
- `numerics`: arithmetic at singular points, and on whole trees of arrays.
- `experiment`: sweeps with claims, controls and pictures.
- `inference`: parameters of plasticity from data, with error bars; gradients of runs.
- `data`: data sets. `systems`: the published systems. `report`: a page of results.
"""

import importlib
from typing import Any, TYPE_CHECKING

from ._version import __version__ as __version__


if TYPE_CHECKING:
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
    from ._random import fast_key as fast_key
    from ._simulate import Record as Record
    from ._simulate import simulate as simulate
    from ._sweep import AbstractConfig as AbstractConfig
    from ._sweep import sweep as sweep


_INTERFACES = ("AbstractCircuit", "AbstractProjection", "AbstractRule", "AbstractTask")
_INTERFACES += ("AbstractSignals", "advance", "Scalar", "State", "Synapses", "System")
_HOMES = {
    **dict.fromkeys(("real", "require"), "_arguments"),
    **dict.fromkeys(_INTERFACES, "_interfaces"),
    "fast_key": "_random",
    **dict.fromkeys(("Record", "simulate"), "_simulate"),
    **dict.fromkeys(("AbstractConfig", "sweep"), "_sweep"),
}
_MODULES = ("circuits", "curvature", "data", "experiment", "inference", "measure")
_MODULES += ("numerics", "report", "rules", "signals", "synapses", "systems", "tasks")
_MODULES += ("textbook", "traces")
__all__ = [*_HOMES, *_MODULES]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    """Everything on first use: the command line answers before JAX is loaded."""
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    found = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
