"""What every system is made of, and one step of it."""

import warnings

import jax

from ._parts import AbstractCircuit as AbstractCircuit
from ._parts import AbstractProjection as AbstractProjection
from ._parts import AbstractRule as AbstractRule
from ._parts import AbstractSignals as AbstractSignals
from ._parts import AbstractTask as AbstractTask
from ._parts import AbstractTrace as AbstractTrace
from ._parts import Scalar as Scalar
from ._parts import SPIKES as SPIKES
from ._parts import stream as stream
from ._parts import Synapses as Synapses
from ._system import advance as advance
from ._system import State as State
from ._system import System as System
from ._system import with_traces as with_traces


if jax.__version__ == "0.10.2":
    warnings.warn(
        "JAX 0.10.2 computes wrong numbers on a CPU (rows of vmapped products get the "
        "results of others, jax#39103): install another version.",
        stacklevel=2,
    )
if jax.__version__ in ("0.10.0", "0.10.1", "0.11.0"):
    warnings.warn(
        f"JAX {jax.__version__} may wait for ever on a CPU (batches of matrices "
        "factorised or solved at once): install another version.",
        stacklevel=2,
    )
