"""Layers whose activity settles before their synapses learn."""

from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Key

from .._arguments import counted, one_of, optional, real, require, shape_of
from .._interfaces import AbstractCircuit, Scalar
from ..signals import EquilibriumSignals, PredictiveSignals
from ._layer import check_target, linear, transferred
from ._layered import check_input, layers, Matrices, passed


Vector = Float[Array, " _"]
Vectors = tuple[Vector, ...]
INFERENCES = ("settled", "fixed", "timed")
PHASES = ("free", "random", "symmetric")


class PredictiveNetwork(AbstractCircuit):
    r"""Predictive coding: errors $\epsilon_l = x_l - W_lf(x_{l-1})$ in every layer.

    Whittington & Bogacz 2017, doi 10.1162/NECO_a_00949. The last layer predicts the
    target, $\epsilon_L = \beta(t - W_Lf(x_{L-1}))$, and $f(x_0)$ is the input. From a
    pass through the layers, anew at every step of `dt`, all states move together, down
    $F = \sum_{l<L}\frac12|\epsilon_l|^2 + \frac\beta2|t - W_Lf(x_{L-1})|^2$, `steps`
    times: $x_l \leftarrow x_l + \gamma(-\epsilon_l + f'(x_l) \odot W_{l+1}^\top
    \epsilon_{l+1})$, $\gamma$ = `step`, .1 unless given. $\beta$ is `nudge`; 1 clamps
    the output. Below the square root of the precision, 3e-4 of float32 and 1e-8 of
    float64, the rounding of errors outweighs what a smaller $\beta$ gains.

    Two other kinds of `inference` give backpropagation times $\beta$ exactly: `fixed`
    holds predictions and slopes at their first values, once it has settled; `timed`
    takes $\epsilon_l$ after $L - l$ moves, whatever `steps`, of $\gamma$ = 1 unless
    another `step` is given (Song et al. 2020).

    Synapses are a tuple of $W_l$ (post, pre), from the first layer to the last; the
    stimulus is a dictionary of `pre` and `target`. Raises `ValueError` for parts that
    do not fit. Offers `PredictiveSignals`. It keeps no activity.

    >>> w, shown = (jnp.ones((1, 1)), jnp.ones((1, 1))), {"pre": jnp.ones(1)}
    >>> network = PredictiveNetwork(transfer=linear)
    >>> _, seen = network(None, w, {**shown, "target": jnp.array([3.0])}, jr.key(0))
    >>> print(*(np.array(x).round(3) for x in seen.errors))  # the layers share it
    [1.] [1.]
    """

    nudge: Scalar = eqx.field(default=1.0, converter=real)
    step: Scalar | None = eqx.field(default=None, converter=optional)
    transfer: Callable[[Vector], Vector] = jnp.tanh
    dt: Scalar = eqx.field(default=1.0, converter=real)
    steps: int = eqx.field(default=100, static=True, converter=counted("steps"))
    inference: str = eqx.field(default="settled", static=True)

    def __check_init__(self) -> None:
        one_of("inference", self.inference, INFERENCES)
        require(self, nudge=(0.0, np.inf), dt=(1e-9, np.inf))
        if self.step is not None:
            require(self, step=(1e-9, 1.0))

    def __call__(
        self, activity: None, synapses: Any, stimulus: Any, key: Key[Array, ""]
    ) -> tuple[None, PredictiveSignals]:
        weights = layers(synapses, key)
        pre, target = _taught(weights, stimulus)
        states = passed(weights, pre, self.transfer, linear)[1][:-1]
        first = self._predicted(states, weights, pre)
        held = first if self.inference == "fixed" else None
        look = lambda states: self._errors(states, weights, pre, target, held)
        if self.inference == "timed":
            inputs, errors = first[0], ()
            for layer in range(len(weights) - 1, -1, -1):
                _, slopes, seen = look(states)
                errors = (seen[layer], *errors)
                states = self._moved(states, weights, slopes, seen)
        else:
            move = lambda states: self._moved(states, weights, *look(states)[1:])
            states = _repeated(move, states, self.steps)
            inputs, _, errors = look(states)
        missed = target - first[1][-1]
        return None, PredictiveSignals(self.dt, inputs, errors, states, missed)

    def _predicted(
        self, states: Vectors, weights: Matrices, pre: Vector
    ) -> tuple[Vectors, Vectors, Vectors]:
        """Inputs of all layers, what they predict, slopes of the hidden ones."""
        seen = [transferred(self.transfer, x) for x in states]
        inputs = (pre, *(rate for rate, _ in seen))
        guesses = tuple(w @ x for w, x in zip(weights, inputs, strict=True))
        return inputs, guesses, tuple(slope for _, slope in seen)

    def _errors(
        self,
        states: Vectors,
        weights: Matrices,
        pre: Vector,
        target: Vector,
        held: tuple[Vectors, Vectors, Vectors] | None,
    ) -> tuple[Vectors, Vectors, Vectors]:
        """Inputs and slopes, at these states or held, and the errors left."""
        seen = self._predicted(states, weights, pre) if held is None else held
        inputs, guesses, slopes = seen
        pairs = zip((*states, target), guesses, strict=True)
        *below, last = (x - guess for x, guess in pairs)
        return inputs, slopes, (*below, self.nudge.astype(pre.dtype) * last)

    def _moved(
        self, states: Vectors, weights: Matrices, slopes: Vectors, errors: Vectors
    ) -> Vectors:
        """All states a step down, each by its error and by what that above sends."""
        step = real(1.0 if self.inference == "timed" else 0.1)
        step = step if self.step is None else self.step
        back = [w.T @ e for w, e in zip(weights[1:], errors[1:], strict=True)]
        parts = zip(states, errors[:-1], slopes, back, strict=True)
        return tuple(
            x + step.astype(x.dtype) * (slope * above - error)
            for x, error, slope, above in parts
        )


class EquilibriumNetwork(AbstractCircuit):
    r"""Descends $E = \sum_l \frac12|s_l|^2 - \rho(s_l)^\top W_l\rho(s_{l-1})$, twice.

    Equilibrium propagation (Scellier & Bengio 2017, doi 10.3389/fncom.2017.00024) in
    layers, $\rho(s_0)$ being the input: what a layer sends up comes back through
    $W^\top$. From silence, anew at every step of `dt`, $s \leftarrow s - \gamma\,
    \partial E/\partial s$ with $\gamma$ = `step`, `free_steps` times; from there,
    `nudged_steps` times, with $\frac\beta2|t - s_L|^2$ added to $E$, $\beta$ = `nudge`.

    Other `phases` than that `free` one to compare with: `symmetric` nudges from the
    free state both ways (Laborieux et al. 2021), which needs $E$ to be bounded at
    $-\beta$ as well; `random` draws the sign of $\beta$. Whether activity settles is
    not checked: with large weights it does not. Below the square root of the
    precision, 3e-4 of float32 and 1e-8 of float64, the rounding of states outweighs
    what a smaller $\beta$ gains.

    Synapses are a tuple of $W_l$ (post, pre), from the first layer to the last; the
    stimulus is a dictionary of `pre` and `target`. `transfer` is $\rho$. Raises
    `ValueError` for parts that do not fit. Offers `EquilibriumSignals`. It keeps no
    activity.

    >>> w, shown = (jnp.ones((1, 1)), jnp.array([[0.5]])), {"pre": jnp.ones(1)}
    >>> network = EquilibriumNetwork(transfer=linear, free_steps=99)
    >>> _, seen = network(None, w, {**shown, "target": jnp.ones(1)}, jr.key(0))
    >>> print(f"{seen.states[0][0]:.3f}, {seen.states[1][0]:.3f}")  # s1 = 1 + s2 / 2
    1.333, 0.667
    """

    nudge: Scalar = eqx.field(default=0.5, converter=real)
    step: Scalar = eqx.field(default=0.5, converter=real)
    transfer: Callable[[Vector], Vector] = jnp.tanh
    dt: Scalar = eqx.field(default=1.0, converter=real)
    free_steps: int = eqx.field(
        default=20, static=True, converter=counted("free_steps")
    )
    nudged_steps: int = eqx.field(
        default=4, static=True, converter=counted("nudged_steps")
    )
    phases: str = eqx.field(default="free", static=True)

    def __check_init__(self) -> None:
        one_of("phases", self.phases, PHASES)
        require(self, nudge=(1e-9, 1e9), step=(1e-9, 1.0), dt=(1e-9, np.inf))

    def __call__(
        self, activity: None, synapses: Any, stimulus: Any, key: Key[Array, ""]
    ) -> tuple[None, EquilibriumSignals]:
        weights = layers(synapses, key)
        pre, target = _taught(weights, stimulus)
        shown, nudge = (weights, pre, target), self.nudge.astype(pre.dtype)
        silence = tuple(jnp.zeros_like(w[:, 0]) for w in weights)
        free = self._settled(silence, self.free_steps, *shown, 0 * nudge)
        if self.phases == "random":
            nudge = nudge * jr.rademacher(key, (), nudge.dtype)
        nudged = self._settled(free, self.nudged_steps, *shown, nudge)
        other, contrast = free, nudge
        if self.phases == "symmetric":
            other = self._settled(free, self.nudged_steps, *shown, -nudge)
            contrast = 2 * nudge
        reference, nudged = self._rates(other, pre), self._rates(nudged, pre)
        error = target - free[-1]
        return None, EquilibriumSignals(
            self.dt, reference, nudged, contrast, free, error
        )

    def energy(
        self,
        states: Vectors,
        weights: Matrices,
        pre: Vector,
        target: Vector,
        nudge: Scalar,
    ) -> Scalar:
        r"""$E + \frac\beta2|t - s_L|^2$."""
        rates = self._rates(states, pre)
        bonds = zip(rates[1:], weights, rates[:-1], strict=True)
        bound = sum(post @ (w @ below) for post, w, below in bonds)
        own = sum(state @ state for state in states) / 2
        return own - bound + nudge * jnp.sum((target - states[-1]) ** 2) / 2

    def _settled(self, states: Vectors, count: int, *given: Any) -> Vectors:
        """The states after so many steps down the energy."""

        def move(states: Vectors) -> Vectors:
            down = jax.grad(self.energy)(states, *given)
            step = lambda x, slope: x - self.step.astype(x.dtype) * slope
            return jax.tree.map(step, states, down)

        return _repeated(move, states, count)

    def _rates(self, states: Vectors, pre: Vector) -> Vectors:
        return (pre, *(transferred(self.transfer, state)[0] for state in states))


def _taught(weights: Matrices, stimulus: Any) -> tuple[Vector, Vector]:
    """Input and target; `ValueError` unless these alone are shown, and fit."""
    if not isinstance(stimulus, Mapping) or stimulus.keys() != {"pre", "target"}:
        raise ValueError(
            "the stimulus must be a dictionary of `pre`, the input, and `target`; got "
            f"{shape_of(stimulus)}."
        )
    pre, target = (
        jnp.asarray(stimulus[x], weights[0].dtype) for x in ("pre", "target")
    )
    check_input(weights, pre)
    check_target({"target": target}, weights[-1][:, 0])
    return pre, target


def _repeated(
    move: Callable[[Vectors], Vectors], states: Vectors, count: int
) -> Vectors:
    return jax.lax.scan(lambda x, _: (move(x), None), states, length=count)[0]
