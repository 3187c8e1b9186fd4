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

    >>> w = jnp.array([1.0, 2.0, 2.0])
    >>> _, seen = circuits.LossCircuit(lambda w, x: w @ w / 2)(None, w, None, jr.key(0))
    >>> seen.gradient.tolist(), float(seen.loss), float(seen.loss_at(2 * w))
    ([1.0, 2.0, 2.0], 4.5, 18.0)
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

    >>> kernel = circuits.SynapticKernel()
    >>> moments = circuits.input_moments(jnp.array([20.0, 0.0]), kernel)
    >>> float(moments.mean[0]), moments.active.tolist()
    (20.0, [1.0, 0.0])
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

    >>> neuron = circuits.SpikingNeuron(jnp.full(3, 20.0), 1e-3)
    >>> c = neuron.coefficients(jnp.full(3, 0.1))
    >>> print(f"{c.mean:.1f} mV, {c.variance:.1f} mV^2")  # 0.1 x 60, 0.01 x 60 / 0.026
    6.0 mV, 23.1 mV^2
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

    >>> neuron, w = circuits.SpikingNeuron(jnp.full(3, 20.0), 1e-3), jnp.full(3, 0.125)
    >>> told, x = neuron.coefficients(w), jnp.array([8.0, 16.0, 24.0])
    >>> seen = neuron.signals(w, x, 1.0, told)
    >>> float(seen.voltage), float(seen.target)
    (6.0, 1.0)
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
    """Several students on one stimulus: the signals of each, by name.

    >>> circuit = circuits.SharedInput(circuits.SpikingNeuron(jnp.full(3, 20.0), 1e-3))
    >>> w, spikes = {"a": jnp.zeros(3)}, tasks.Spikes(jnp.ones((1, 3)), jnp.ones(()))
    >>> _, seen = circuit(circuit.start(w), w, spikes, jr.key(0))
    >>> float(seen.students["a"].target)
    1.0
    """

    dt: Scalar
    students: Mapping[str, SpikingSignals]


class RateSignals(AbstractSignals):
    r"""A recurrent rate network: rates before the step, everything else after it.

    `rate` is $\phi(x)$ of the old potential; `potential` $x$, its filtered version
    `average` and the low-passed rates are new. `early_trace` is that of the
    presynaptic side (potentiation: pre before post), `late_trace` that of the
    postsynaptic side (depression). `step` counts the network's own steps.

    >>> network, w = circuits.RateNetwork(dt=0.1), jnp.zeros((3, 3))
    >>> _, seen = network(network.at(jnp.full(3, 99.0)), w, jnp.zeros(3), jr.key(0))
    >>> print(f"{seen.rate[0]:.3f}, {seen.potential[0]:.2f}")  # 99 exp(-0.1) after it
    1.000, 89.58
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
        kept = ", ".join(sorted((held | shown).keys() - {"shown", "step", "traces"}))
        says = f"{type(self).__name__} holds no `{name}`; it holds {kept}."
        raise AttributeError(says, name=name, obj=self)

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

    >>> w, target = jnp.ones((2, 3)), jnp.array([4.0, 5.0])
    >>> x = {"pre": jnp.ones(3), "target": target}
    >>> _, seen = circuits.Layer()(None, w, x, jr.key(0))
    >>> seen.post.tolist(), seen.error.tolist()
    ([3.0, 3.0], [1.0, 2.0])
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

    >>> w, network = (jnp.ones((2, 3)), jnp.ones((1, 2))), circuits.LayeredNetwork()
    >>> _, seen = network(None, w, jnp.full(3, 99.0), jr.key(0))
    >>> [rates.tolist() for rates in seen.rates], seen.inputs[1].tolist()
    ([[1.0, 1.0], [2.0]], [1.0, 1.0])
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

    >>> w, shown = (jnp.ones((2, 3)), jnp.ones((1, 2))), jnp.array([7.0])
    >>> network = circuits.PredictiveNetwork(transfer=jnp.positive, inference="timed")
    >>> _, seen = network(None, w, {"pre": jnp.ones(3), "target": shown}, jr.key(0))
    >>> [errors.tolist() for errors in seen.errors], seen.error.tolist()
    ([[1.0, 1.0], [1.0]], [1.0])
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

    >>> w, x = (jnp.ones((1, 3)),), jnp.array([1.0, 0.0, 2.0])
    >>> network = circuits.EquilibriumNetwork(nudge=1.0, transfer=circuits.linear)
    >>> _, seen = network(None, w, {"pre": x, "target": jnp.array([5.0])}, jr.key(0))
    >>> print(f"{seen.reference[1][0]:.3f}, {seen.nudged[1][0]:.3f}")  # half-way to 5
    3.000, 4.000
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

    >>> circuit, memories = circuits.Replay(), circuits.memories_of(jnp.eye(2))
    >>> w = synapses.Factored(jnp.ones((2, 2, 2)), threshold=jnp.full(2, 0.5))
    >>> _, seen = circuit(circuit.start(w, memories), w, memories, jr.key(0))
    >>> seen.replay.tolist(), seen.bias.tolist()
    ([[0.0, -1.0], [-1.0, 0.0]], [-1.0, -1.0])
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

    >>> x, w = jnp.array([1.0, 1.0, 0.0, 0.0]), jnp.ones((2, 4, 4))
    >>> w = synapses.Factored(w, threshold=jnp.zeros(4))  # all fields are 2
    >>> _, seen = circuits.Novelty(0.5)(None, w, (x, x), jr.key(0))
    >>> float(seen.novelty), bool(seen.alive.all())
    (2.0, True)
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

    >>> network = circuits.StochasticNetwork(lambda w, x: w @ w / 2)
    >>> w = synapses.Stochastic(jnp.array([1.0, 2.0, 2.0]), jnp.full(3, 0.5))
    >>> seen = network.signals(w, None, gates=jnp.array([0.0, 2.0, 2.0]))
    >>> float(seen.loss), seen.gradient.tolist()
    (16.0, [0.0, 8.0, 8.0])
    """

    dt: Scalar
    loss: Scalar
    gradient: Synapses
    gates: Synapses


class PosteriorSignals(AbstractSignals):
    r"""Gradients at weights drawn around their means: $E_1$ and $E_2$ of each weight.

    `gradient` is the mean over draws of the summed loss's gradient, `correlation` that
    of the gradient times the standard normal deviate of the weight.

    >>> network = circuits.PosteriorNetwork(lambda w, x: w @ w / 2, samples=10.0)
    >>> w = {"mean": jnp.array([1.0, 2.0, 2.0]), "deviation": jnp.zeros(3)}
    >>> _, seen = network(None, w, None, jr.key(0))
    >>> seen.gradient.tolist(), float(seen.loss)
    ([10.0, 20.0, 20.0], 45.0)
    """

    dt: Scalar
    loss: Scalar
    gradient: Synapses
    correlation: Synapses


class Elapsed(AbstractSignals):
    """Time that passes, for synapses that change on their own.

    >>> _, seen = circuits.Resting(0.5)(None, jnp.ones(3), None, jr.key(0))
    >>> float(seen.dt)
    0.5
    """

    dt: Scalar


class SpikeSignals(_ShownSignals):
    r"""Spikes of a step on either side: 0 or 1 where there is at most one.

    `pre` (pre,) as they arrive and `post` (post,) as they are fired; the `voltage`
    before the reset and the synaptic `current` after the step (mV). A `reward` or a
    `target` that the task shows is read by its name.

    >>> network, w = circuits.LeakyNetwork(), jnp.zeros((2, 3))
    >>> stimulus = {"pre": jnp.ones(3), "external": jnp.array([1e3, 0.0])}
    >>> _, seen = network(network.start(w), w, stimulus, jr.key(0))
    >>> seen.pre.tolist(), seen.post.tolist()
    ([1.0, 1.0, 1.0], [1.0, 0.0])
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

    >>> network, x = circuits.LSNN(), {"pre": jnp.ones(1), "target": jnp.array([3.0])}
    >>> w = {"input": jnp.eye(1), "recurrent": jnp.zeros((1, 1)), "readout": jnp.eye(1)}
    >>> _, seen = network(network.start(w), w, x, jr.key(0))
    >>> seen.post.tolist(), seen.output.tolist(), seen.error.tolist()
    ([1.0], [1.0], [2.0])
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
