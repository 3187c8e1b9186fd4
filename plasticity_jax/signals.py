"""What circuits offer and rules read."""

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
from jaxtyping import Array, Bool, Float

from ._interfaces import AbstractSignals, Scalar, Synapses


Vectors = tuple[Float[Array, " _"], ...]


class LossSignals(AbstractSignals):
    """A loss at the present synapses, its gradient there, and the loss anywhere.

    `loss_at(synapses)` is the loss of this step's stimulus as a function: rules of
    order zero probe it, rules of order two differentiate it. `update` is the step that
    the circuit's optimiser proposes; minus the gradient where it has none.
    """

    dt: Scalar
    loss: Scalar
    gradient: Synapses
    loss_at: Callable[[Synapses], Scalar]
    update: Synapses


class InputMoments(eqx.Module):
    r"""What a neuron knows of its inputs: the law of their synaptic potentials.

    `mean` (mV), `variance` (mV$^2$) and `third` cumulant (mV$^3$) of each, all above
    zero; `active` is 1 for inputs that fire and 0 for silent ones, whose moments are
    those of the rate floor.
    """

    mean: Float[Array, " n"]
    variance: Float[Array, " n"]
    third: Float[Array, " n"]
    active: Float[Array, " n"]


class Coefficients(NamedTuple):
    r"""Scalars of the Fisher matrix and of its inverse.

    $c_1, c_2, c_3$ in Hz/mV$^2$, /mV$^3$, /mV$^4$ are $E[F], E[F'], E[F'']$; $g_1$,
    $g_2$ ($= g_3$), $g_4$ in 1, 1/mV, 1/mV$^2$; `determinant` is that of the rank-two
    part. `mean`, `variance` and `q` are what they were computed from.
    """

    c1: Scalar
    c2: Scalar
    c3: Scalar
    g1: Scalar
    g2: Scalar
    g4: Scalar
    determinant: Scalar
    mean: Scalar
    variance: Scalar
    q: Scalar


class SpikingSignals(AbstractSignals):
    r"""A neuron that is told when to spike.

    `potentials` are the unweighted synaptic potentials $x$ (mV), `voltage` is $w \cdot
    x$ above rest (mV), `rate` $\phi(V)$ (Hz), `score` $\phi'/\phi$ (1/mV), `target` the
    teacher's spikes of this step; `weights` are the somatic amplitudes that made the
    voltage, `coefficients` those of their Fisher matrix, and `fisher` a dense one, of a
    neuron that was given it.
    """

    dt: Scalar
    potentials: Float[Array, " n"]
    voltage: Scalar
    rate: Scalar
    score: Scalar
    target: Scalar
    weights: Float[Array, " n"]
    moments: InputMoments
    coefficients: Coefficients
    fisher: Float[Array, "n n"] | None = None


class SharedSignals(AbstractSignals):
    """Several students on one stimulus: the signals of each, by name."""

    dt: Scalar
    students: Mapping[str, SpikingSignals]


class RateSignals(AbstractSignals):
    r"""A recurrent rate network: rates before the step, everything else after it.

    `rate` is $\phi(x)$ of the old potential; `potential` $x$, its filtered version
    `average` and the low-passed rates are new. `early_trace` is that of the
    presynaptic side (potentiation: pre before post), `late_trace` that of the
    postsynaptic side (depression). `step` counts the network's own steps.
    """

    dt: Scalar
    rate: Float[Array, " n"]
    potential: Float[Array, " n"]
    average: Float[Array, " n"]
    early_trace: Float[Array, " n"]
    late_trace: Float[Array, " n"]


class _ShownSignals(AbstractSignals):
    """What a task shows besides the input, `shown`, is read by its name."""

    may_hold: ClassVar = ("target", "error", "reward")

    def __getattr__(self, name: str) -> Any:
        held = self.__dict__
        shown = held.get("shown", {})
        if name == "error" and "target" in shown:
            output = held["rates"][-1] if "rates" in held else held["post"]
            return shown["target"] - output
        if name in shown:
            return shown[name]
        raise AttributeError(f"no `{name}`", name=name, obj=self)

    def absent(self, name: str) -> str:
        if name not in self.may_hold:
            return ""  # of other networks, not of a task
        shown = "target" if name == "error" else name
        return f"; show it: the stimulus may be {{'pre': ..., '{shown}': ...}}"


class LayerSignals(_ShownSignals):
    r"""A layer of neurons: what comes in, what goes out, what it was shown besides.

    `pre` $x$, `field` $h = Wx$, `post` $y = f(h)$ and `slope` $f'(h)$, all of this step
    and of the synapses before it. What the task shows besides the input is read by its
    name: a `target` $t$ (then also the `error` $t - y$), a `reward`, any other.
    """

    dt: Scalar
    pre: Float[Array, " pre"]
    field: Float[Array, " post"]
    post: Float[Array, " post"]
    slope: Float[Array, " post"]
    shown: Mapping[str, Array] = eqx.field(default_factory=dict)


class LayeredSignals(_ShownSignals):
    r"""Layers of neurons from the first to the last, a tuple of each quantity.

    `inputs` $y_{l-1}$, `fields` $h_l = W_ly_{l-1}$, `rates` $y_l = f(h_l)$ and `slopes`
    $f'(h_l)$, all of this step and of the synapses before it. What the task shows
    besides the input is read by its name: a `target` $t$ (then also the `error` $t -
    y_L$), a `reward`, any other.
    """

    dt: Scalar
    inputs: Vectors
    fields: Vectors
    rates: Vectors
    slopes: Vectors
    shown: Mapping[str, Array] = eqx.field(default_factory=dict)


class PredictiveSignals(AbstractSignals):
    r"""Layers that predict one another: a tuple of each quantity, first layer first.

    After inference: `errors` $\epsilon_l$ of every layer, the `inputs` $f(x_{l-1})$
    that go with them, `states` $x_l$ of the hidden layers. `error` is $t$ less the
    output of the network before.
    """

    dt: Scalar
    inputs: Vectors
    errors: Vectors
    states: Vectors
    error: Float[Array, " post"]


class EquilibriumSignals(AbstractSignals):
    r"""A network that has settled twice: a tuple of each quantity, first layer first.

    `nudged` are the input and all rates $\rho(s_l)$ where the output is drawn to its
    target, `reference` those that they are compared with; `contrast` is how much more
    the former was nudged. `states` $s_l$ are those of the free network, and `error` is
    $t$ less its output.
    """

    dt: Scalar
    reference: Vectors
    nudged: Vectors
    contrast: Scalar
    states: Vectors
    error: Float[Array, " post"]


class ReplaySignals(AbstractSignals):
    r"""What neurons read while stored patterns are replayed, one row each.

    `fields` are $w_i \cdot \xi^\mu - I_i$ of all patterns; `replay` (row, pattern) is
    the sign with which each neuron replays each pattern times the share that it gives
    it, `drive` $\sum_\mu$ `replay` $\xi^\mu$ and `bias` their sums over patterns.
    `alive` marks synapses that are not yet pruned. `step` counts cycles from 0.
    """

    dt: Scalar
    weights: Float[Array, "row n"]
    alive: Bool[Array, "row n"]
    fields: Float[Array, "row pattern"]
    replay: Float[Array, "row pattern"]
    drive: Float[Array, "row n"]
    bias: Float[Array, " row"]


class NoveltySignals(AbstractSignals):
    r"""What synapses read when a pattern is shown once.

    `presynaptic` and `postsynaptic` activity (0 or 1; equal unless a sequence is
    stored), and the `novelty` $d$: the shift of the common inhibition that lets a share
    of the network equal to the coding level be active, 0 for a familiar pattern.
    """

    dt: Scalar
    presynaptic: Float[Array, " n"]
    postsynaptic: Float[Array, " row"]
    alive: Bool[Array, "row n"]
    novelty: Scalar


class ReleaseSignals(AbstractSignals):
    r"""What a stochastic synapse reads: the gradient of one realised network.

    `gradient` is that of the loss with respect to the expected strength, $g = (r/d)
    \partial\ell/\partial w$: exactly 0 where nothing was released. `gates` are $r/d$.
    """

    dt: Scalar
    loss: Scalar
    gradient: Synapses
    gates: Synapses


class PosteriorSignals(AbstractSignals):
    r"""Gradients at weights drawn around their means: $E_1$ and $E_2$ of each weight.

    `gradient` is the mean over draws of the summed loss's gradient, `correlation` that
    of the gradient times the standard normal deviate of the weight.
    """

    dt: Scalar
    loss: Scalar
    gradient: Synapses
    correlation: Synapses


class Elapsed(AbstractSignals):
    """Time that passes, for synapses that change on their own."""

    dt: Scalar


class SpikeSignals(_ShownSignals):
    r"""Spikes of a step on either side: 0 or 1 where there is at most one.

    `pre` (pre,) as they arrive and `post` (post,) as they are fired; the `voltage`
    before the reset and the synaptic `current` after the step (mV). A `reward` or a
    `target` that the task shows is read by its name.
    """

    dt: Scalar
    pre: Float[Array, " pre"]
    post: Float[Array, " post"]
    voltage: Float[Array, " post"]
    current: Float[Array, " post"]
    shown: Mapping[str, Array] = eqx.field(default_factory=dict)


class ReadoutSignals(AbstractSignals):
    r"""Spiking neurons whose filtered spikes are read out, and what derives them.

    `pre` are the input's spikes, `before` and `post` those of the neurons in the step
    before and in this one, `slope` the derivative of a spike by the potential;
    `output` $y$ and `error` $y^* - y$. Of the potential, of the threshold's increment
    and of the output `kept`, `recovered` and `smoothed` are what a step leaves;
    `adaptation` is how far a unit of increment lifts each neuron's threshold.
    """

    dt: Scalar
    pre: Float[Array, " pre"]
    before: Float[Array, " neuron"]
    post: Float[Array, " neuron"]
    slope: Float[Array, " neuron"]
    output: Float[Array, " output"]
    error: Float[Array, " output"]
    kept: Scalar
    recovered: Scalar
    smoothed: Scalar
    adaptation: Float[Array, " neuron"]
