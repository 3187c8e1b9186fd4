"""Layers upon each other, and a layer upon itself."""

import itertools
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from .._arguments import optional, real, require, shape_of
from .._interfaces import AbstractCircuit, Scalar, Synapses
from ..signals import LayeredSignals, LayerSignals
from ..synapses._reading import weights
from ._layer import check_target, linear, parts, read, transferred


Vector = Float[Array, " _"]
Matrix = Float[Array, "post pre"]
Vectors = tuple[Vector, ...]
Matrices = tuple[Float[Array, "_ _"], ...]


class LayeredNetwork(AbstractCircuit):
    r"""$y_l = f(W_ly_{l-1})$, layer after layer, anew at every step of `dt`.

    Synapses are a tuple of $W_l$ (post, pre), from the first layer to the last. The
    stimulus is $y_0$, or a dictionary of `pre` and of what is shown besides, as for a
    `Layer`. `transfer` is $f$, that of the last layer is `output`; linear unless given.
    Raises `ValueError` for parts that do not fit in shape.

    Offers `LayeredSignals`. It keeps no activity.

    >>> task = tasks.Constant({"pre": jnp.ones(3), "target": jnp.ones(1)})
    >>> system = System(task, LayeredNetwork(), {"it": rules.Backpropagation(0.1)})
    >>> start = system.start((jnp.full((2, 3), 0.1), jnp.full((1, 2), 0.1)), jr.key(0))
    >>> rate = lambda state, seen, changes: seen.rates[-1][0]
    >>> print(f"{simulate(system, start, jr.key(0), steps=99, record=rate)[1][-1]:.3f}")
    1.000
    """

    transfer: Callable[[Vector], Vector] = jnp.tanh
    output: Callable[[Vector], Vector] = linear
    dt: Scalar = eqx.field(default=1.0, converter=real)

    def __check_init__(self) -> None:
        require(self, dt=(1e-9, np.inf))

    def __call__(
        self, activity: None, synapses: Any, stimulus: Any, key: Key[Array, ""]
    ) -> tuple[None, LayeredSignals]:
        matrices = layers(synapses, key)
        pre, shown = parts(
            stimulus, LayeredSignals.__dataclass_fields__, matrices[0].dtype
        )
        check_input(matrices, pre)
        seen = passed(matrices, pre, self.transfer, self.output)
        check_target(shown, seen[2][-1])
        return None, LayeredSignals(self.dt, *seen, shown)


def layers(synapses: Any, key: Any) -> Matrices:
    """The weights of every layer; `ValueError` unless they fit, one upon the other."""
    matrices = weights(synapses, key)
    if (
        not isinstance(matrices, tuple)
        or not matrices
        or any(np.ndim(w) != 2 for w in matrices)
        or any(a.shape[0] != b.shape[1] for a, b in itertools.pairwise(matrices))
    ):
        raise ValueError(
            "`synapses` must be a tuple of matrices (post, pre), each of which takes "
            f"what the one before it gives; got {shape_of(matrices)}."
        )
    return matrices


def check_input(matrices: Matrices, pre: Vector) -> None:
    """Raise `ValueError` unless the input has an entry for each first-layer column."""
    if pre.shape != matrices[0].shape[1:]:
        raise ValueError(
            f"the input must have an entry for each of {matrices[0].shape[1]} columns "
            f"of the first layer's synapses; got the shape {pre.shape}."
        )


def passed(
    matrices: Matrices, pre: Vector, transfer: Callable, output: Callable
) -> tuple[Vectors, Vectors, Vectors, Vectors]:
    """Inputs, fields, rates and slopes of every layer, from the first to the last."""
    seen = []
    for i, w in enumerate(matrices):
        field = w @ pre
        last = i == len(matrices) - 1
        rate, slope = transferred(output if last else transfer, field)
        seen.append((pre, field, rate, slope))
        pre = rate
    inputs, fields, rates, slopes = zip(*seen, strict=True)
    return inputs, fields, rates, slopes


class RecurrentLayer(AbstractCircuit):
    r"""$y \leftarrow f(Wy + x)$: a layer that receives its own rates of a step ago.

    Synapses are $W$ (neuron, neuron); the input $x$ reaches the neurons one by one, or
    through fixed `inputs` weights (neuron, input). Or, where fixed `recurrent` weights
    $R$ are given, they are those of the input: $y \leftarrow f(Ry + Wx)$; `ValueError`
    for both. Stimulus and errors as in `Layer`. The activity are the rates, 0 to begin
    with.

    Offers `LayerSignals`: `pre` is what the synapses see, the rates before the step or
    the input, `post` are the rates after it.

    >>> task, hebb = tasks.Constant(jnp.ones(3)), rules.Hebb(0.01)
    >>> system = System(task, RecurrentLayer(), {"hebb": hebb})
    >>> start = system.start(jnp.eye(3) / 2, jr.key(0))
    >>> state, _ = simulate(system, start, jr.key(0), steps=30, frozen=True)
    >>> print(np.array(state.activity).round(3))  # y = y / 2 + 1
    [2. 2. 2.]
    """

    transfer: Callable[[Vector], Vector] = linear
    dt: Scalar = eqx.field(default=1.0, converter=real)
    inputs: Matrix | None = eqx.field(default=None, converter=optional)
    recurrent: Matrix | None = eqx.field(default=None, converter=optional)

    def __check_init__(self) -> None:
        require(self, dt=(1e-9, np.inf))
        if self.inputs is not None and self.recurrent is not None:
            raise ValueError("give `inputs` or `recurrent`, not both.")

    def start(
        self, synapses: Synapses, stimulus: Any = None, key: Any = None
    ) -> Vector:
        """Silence."""
        return jnp.zeros_like(weights(synapses)[:, 0])

    def __call__(
        self, activity: Vector, synapses: Synapses, stimulus: Any, key: Key[Array, ""]
    ) -> tuple[Vector, LayerSignals]:
        plastic = weights(synapses, key)
        pre, shown = parts(stimulus, LayerSignals.__dataclass_fields__, plastic.dtype)
        count = len(plastic)
        if self.recurrent is not None:
            drive = _reached("recurrent", self.recurrent, activity, count)
        else:
            drive, pre = _reached("inputs", self.inputs, pre, count), activity
        signals = read(self, plastic, {**shown, "pre": pre}, drive)
        return signals.post, signals


def _reached(name: str, fixed: Matrix | None, x: Vector, count: int) -> Vector:
    """What fixed weights, or connections one to one, bring to so many neurons."""
    shape = x.shape if fixed is None else fixed.shape
    if shape != ((count,) if fixed is None else (count, *x.shape)):
        raise ValueError(
            f"`{name}` weights must reach each of {count} neurons from each of "
            f"{len(x)} inputs, or one to one without any; got the shape {shape}."
        )
    return x if fixed is None else fixed.astype(x.dtype) @ x
