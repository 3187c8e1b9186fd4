"""Rules of a layer that is told its error, or what it earned."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from .._arguments import among, real, require
from .._interfaces import AbstractTrace, Scalar
from ..signals import LayerSignals
from ..traces import Eligibility, LowPass, SOME_TIME
from ._correlation import _RateRule


Matrix = Float[Array, "post pre"]


class Delta(_RateRule):
    r"""$\dot W = \eta\, (t - y) x^\top$ (Widrow & Hoff 1960).

    Its drift vanishes at the Wiener solution; stable in the mean below $\eta =
    2/\lambda_{max}$, in the mean square below less. Some texts write $2\eta$.
    Reads `pre`, `error` and `dt`. Synapses (post, pre).

    >>> w, x, key = jnp.ones((2, 3)), jnp.array([1.0, 0.0, 2.0]), jr.key(0)
    >>> shown = {"pre": x, "target": jnp.array([4.0, 3.0])}
    >>> _, seen = circuits.Layer()(None, w, shown, key)
    >>> Delta(0.5)(w, seen, key).tolist()  # both rates are 3
    [[0.5, 0.0, 1.0], [0.0, 0.0, 0.0]]
    """

    def __call__(
        self, synapses: Matrix, signals: LayerSignals, key: Key[Array, ""]
    ) -> Matrix:
        return jnp.outer(signals.dt * self.rate * signals.error, signals.pre)


class Perceptron(_RateRule):
    r"""Where $t\,h \le 0$: $\Delta w = \eta\, t x$ (Rosenblatt 1958).

    Targets are -1 or 1; `ValueError` for others, NaN of traced ones. A change
    for each presentation, whatever `dt`. From $w = 0$ it makes at most
    $(\max|x|/\gamma)^2$ mistakes, $\gamma$ being the largest margin of unit weights
    (Novikoff 1962).
    Reads `pre`, `field` and `target`. Synapses (post, pre).

    >>> w, x, key = jnp.ones((2, 3)), jnp.array([1.0, 2.0, 3.0]), jr.key(0)
    >>> shown = {"pre": x, "target": jnp.array([1.0, -1.0])}
    >>> _, seen = circuits.Layer()(None, w, shown, key)
    >>> Perceptron()(w, seen, key).tolist()  # only the second is wrong
    [[0.0, 0.0, 0.0], [-1.0, -2.0, -3.0]]
    """

    rate: Scalar = eqx.field(default=1.0, converter=real)

    def limits(self) -> dict[str, tuple[float, ...]]:
        return {"target": (-1.0, 1.0)}

    def __call__(
        self, synapses: Matrix, signals: LayerSignals, key: Key[Array, ""]
    ) -> Matrix:
        target = among("target", signals.target, self.limits()["target"])
        margin = target * signals.field
        wrong = jnp.where(margin <= 0, target, 0)
        known = jnp.where(jnp.isnan(margin), jnp.nan, wrong)
        return jnp.outer(self.rate * known, signals.pre)


class PES(_RateRule):
    r"""$\Delta D = \kappa\,\frac{dt}{n}\, (t - \hat y)\,\tilde a^\top$.

    Nengo's rule (MacNeil & Eliasmith 2011, doi 10.1371/journal.pone.0022885): decoders
    $D$ (output, neuron) of $n$ neurons whose rates $a$ (Hz), the layer's input, are
    low-passed with `time` (5 ms), moved before they are read. It is the delta rule with
    $\eta = \kappa/n$.
    Reads `pre` (by its trace), `error` and `dt`. Synapses (post, pre).

    >>> rates, key = jnp.array([100.0, 50.0, 200.0]), jr.key(0)
    >>> task = tasks.Constant({"pre": rates, "target": jnp.array([2.0])})
    >>> system = System(task, circuits.Layer(dt=1e-3), {"pes": PES(1e-3)})
    >>> start = system.start(jnp.zeros((1, 3)), key)
    >>> print(f"{simulate(system, start, key, steps=999)[0].synapses[0] @ rates:.2f}")
    2.00
    """

    rate: Scalar = eqx.field(default=1e-4, converter=real)
    time: Scalar = eqx.field(default=5e-3, converter=real)

    def __check_init__(self) -> None:
        require(self, time=SOME_TIME)

    def traces(self) -> dict[str, AbstractTrace]:
        return {"rates": LowPass(self.time, lambda s: s.pre, early=True)}

    def __call__(
        self, synapses: Matrix, signals: LayerSignals, key: Key[Array, ""]
    ) -> Matrix:
        rates = signals.traces["rates"]
        step = self.rate * signals.dt / len(rates)
        return jnp.outer(step * signals.error, rates)


class Reinforce(_RateRule):
    r"""$z \leftarrow \lambda z + (s - p)x^\top$, $\dot W = \eta (R - \bar R) z$.

    REINFORCE (Williams 1992, doi 10.1007/BF00992696) with an eligibility of `time`
    (Baxter & Bartlett 2001): a reward that comes $d$ steps after what earned it counts
    $\lambda^d$, $\lambda = e^{-dt/\tau}$. The mean change is the gradient of the
    expected reward. $\bar R$ is a mean over `baseline_time`, read before it moves.
    Raises `ValueError` unless the reward is one number.
    Reads `pre`, `post`, `rate` and `reward` (a `BernoulliLayer`), `dt` and two traces.
    Synapses (post, pre).

    >>> units = circuits.BernoulliLayer(reward=lambda post, seen: jnp.sum(2 * post - 1))
    >>> task, key = tasks.Constant(jnp.array([1.0, 0.0, 2.0])), jr.key(0)
    >>> system = System(task, units, {"reinforce": Reinforce(0.5)})
    >>> state, _ = simulate(system, system.start(jnp.zeros((1, 3)), key), key, steps=1)
    >>> state.synapses.tolist()  # towards 1, which is rewarded, whatever was drawn
    [[0.25, 0.0, 0.5]]
    """

    time: Scalar = eqx.field(default=20.0, converter=real)
    baseline_time: Scalar = eqx.field(default=100.0, converter=real)

    def __check_init__(self) -> None:
        require(self, time=SOME_TIME, baseline_time=SOME_TIME)

    def traces(self) -> dict[str, AbstractTrace]:
        score = lambda s: jnp.outer(s.post - s.rate, s.pre)
        return {
            "eligibility": Eligibility(self.time, score),
            "reward": LowPass(self.baseline_time, lambda s: s.reward),
        }

    def __call__(
        self, synapses: Matrix, signals: LayerSignals, key: Key[Array, ""]
    ) -> Matrix:
        if jnp.ndim(signals.reward):
            raise ValueError(
                f"`reward` must be one number; got shape {jnp.shape(signals.reward)}."
            )
        surprise = signals.reward - signals.traces["reward"]
        return signals.dt * self.rate * surprise * signals.traces["eligibility"]


class NodePerturbation(_RateRule):
    r"""$\dot W = -\frac{\eta}{\sigma} (C(\sigma\xi) - C(0))\,\xi x^\top$, $\xi$ noise.

    On the summed inputs (Jabri & Flower 1992; Werfel, Xie & Seung 2005, doi
    10.1162/089976605774320539). `two_sided`: $(C(\sigma\xi) - C(-\sigma\xi))/2\sigma$.
    The mean is minus the gradient, exactly where the cost is quadratic in the fields,
    else of the cost that the noise smoothes. The variance grows with the number of
    neurons $M$: $(M \pm 1)|g|^2$, plus of normals and minus of signs, and of one side
    what $\sigma^2$ adds.
    Reads `pre`, `noise`, `spread`, `cost`, `quiet_cost` or `opposite_cost` (a
    `NoisyLayer`) and `dt`. Synapses (post, pre).

    >>> w, x, key = jnp.ones((1, 3)), jnp.array([1.0, 0.0, 2.0]), jr.key(0)
    >>> layer = circuits.NoisyLayer(law="signs")
    >>> _, seen = layer(None, w, {"pre": x, "target": jnp.array([4.0])}, key)
    >>> change = NodePerturbation(0.5, two_sided=True)(w, seen, key)
    >>> print(np.array(change).round(3))  # of one neuron it is the delta rule
    [[0.5 0.  1. ]]
    """

    two_sided: bool = eqx.field(default=False, static=True)

    def __call__(
        self, synapses: Matrix, signals: LayerSignals, key: Key[Array, ""]
    ) -> Matrix:
        apart, other = signals.spread, "quiet_cost"
        if self.two_sided:
            apart, other = 2 * apart, "opposite_cost"
        slope = (signals.cost - getattr(signals, other)) / apart
        return jnp.outer(-signals.dt * self.rate * slope * signals.noise, signals.pre)
