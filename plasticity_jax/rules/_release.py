"""Plasticity of strengths and of release probabilities.

Schug, Benzing & Steger 2021, eLife 10:e69884.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from .._arguments import (
    check_stable,
    fitted,
    not_negative,
    optional,
    real,
    require,
    shape_of,
    stable,
    with_array_leaves,
)
from .._interfaces import AbstractRule, AbstractTrace, Scalar
from ..numerics import masked, ratio
from ..signals import ReleaseSignals
from ..synapses._release import LEAST, LOG_LEAST, Stochastic
from ..traces import LowPass, PathIntegral
from ._masked import _AbstractChecked


Values = Float[Array, "..."]


class StrengthDescent(AbstractRule):
    r"""$\Delta\bar w = -\eta[\kappa g + \lambda\bar w]$.

    Schug et al. 2021, Eqs. 3, 5, 6. With a `ceiling` $p_{max}$ the gradient's rate is
    modulated by $\kappa = p_{max} - p$, so reliable synapses learn slowly; without one
    $\kappa = 1$. Decay is not modulated; from $\eta\lambda\,dt = 2$ on it is unstable:
    `ValueError`, or NaN inside a compiled program. Synapses at or above `hard_freeze`
    do not follow the gradient.

    Reads `gradient` and `dt`. Synapses: `Stochastic`.

    >>> w, one = synapses.Stochastic(jnp.ones(2), jnp.array([0.25, 0.75])), jnp.ones(())
    >>> seen = signals.ReleaseSignals(one, one, jnp.ones(2), jnp.ones(2))
    >>> change = StrengthDescent(0.5)(w, seen, jr.key(0))
    >>> print(np.array(change.strength).round(3))  # the reliable one learns more slowly
    [-0.375 -0.125]
    """

    rate: Scalar = eqx.field(converter=real)
    decay: Scalar = eqx.field(default=0.0, converter=real)
    ceiling: Scalar | None = eqx.field(default=1.0, converter=optional)
    hard_freeze: Scalar | None = eqx.field(default=None, converter=optional)

    def __check_init__(self) -> None:
        require(self, rate=(0.0, np.inf), decay=(0.0, np.inf))
        if self.ceiling is not None:
            require(self, ceiling=(0.0, 1.0))
        if self.hard_freeze is not None:
            require(self, hard_freeze=(0.0, np.inf))

    def check(self, circuit: Any) -> None:
        rate = self.rate * self.decay
        check_stable("rate * decay", rate, getattr(circuit, "dt", None))

    def __call__(
        self, synapses: Stochastic, signals: ReleaseSignals, key: Key[Array, ""]
    ) -> Stochastic:
        scale = self.rate * signals.dt
        decay = jnp.where(
            jnp.isnan(stable("rate * decay", scale * self.decay)), jnp.nan, self.decay
        )

        def change(strength: Values, log_failure: Values, gradient: Values) -> Values:
            if self.ceiling is not None:
                gradient = (jnp.exp(log_failure) - (1 - self.ceiling)) * gradient
            return -scale * (gradient + decay * strength)

        strength, gradient = synapses.strength, signals.gradient
        if self.hard_freeze is not None:
            held = synapses.at_least(self.hard_freeze)
            gradient = jax.tree.map(lambda f, g: jnp.where(f, 0.0, g), held, gradient)
        changes = jax.tree.map(change, strength, synapses.log_failure, gradient)
        still = jax.tree.map(jnp.zeros_like, synapses.log_failure)
        return Stochastic(changes, log_failure=still)


class ReleasePlasticity(AbstractRule):
    r"""Up where the synapse's update is large, down elsewhere.

    $\Delta p = +p_{up}$ where $|g| \ge$ `threshold`, else $-p_{down}$ (Schug et al.
    2021, Eqs. 4 and 7); `scaled` by `ceiling` $- p$, as in the published code; with
    `strict`, where $|g| >$ `threshold`, as in the text.
    Probabilities at or above `freeze` stay; from 1 on it is off. Synapses that did not
    release have $g = 0$ and go down. NaN where $g$ is.

    Reads `gradient`. Synapses: `Stochastic`.

    >>> w, one = synapses.Stochastic(jnp.ones(2), jnp.full(2, 0.5)), jnp.ones(())
    >>> seen = signals.ReleaseSignals(one, one, jnp.array([1.0, 0.0]), jnp.ones(2))
    >>> rule = ReleasePlasticity(threshold=0.5, up=0.5, down=0.25)
    >>> w = jax.tree.map(jnp.add, w, rule(w, seen, jr.key(0)))
    >>> print(np.array(w.probability).round(3))  # steps times the distance from 1
    [0.75  0.375]
    """

    threshold: Scalar = eqx.field(converter=real)
    up: Scalar = eqx.field(converter=real)
    down: Scalar = eqx.field(converter=real)
    freeze: Scalar = eqx.field(default=1.0, converter=real)
    ceiling: Scalar = eqx.field(default=1.0, converter=real)
    scaled: bool = eqx.field(default=True, static=True)
    strict: bool = eqx.field(default=False, static=True)

    def __check_init__(self) -> None:
        require(self, threshold=(0.0, np.inf), freeze=(0.0, np.inf))
        require(self, up=(0.0, 1.0), down=(0.0, 1.0), ceiling=(0.0, 1.0))

    def __call__(
        self, synapses: Stochastic, signals: ReleaseSignals, key: Key[Array, ""]
    ) -> Stochastic:

        def change(log_failure: Values, gradient: Values, frozen: Array) -> Values:
            size = jnp.abs(gradient)
            large = size > self.threshold if self.strict else size >= self.threshold
            step = jnp.where(large, self.up, -self.down)
            step = jnp.where(jnp.isnan(gradient), jnp.nan, step)
            move = self._scaled if self.scaled else _added
            return jnp.where(frozen, 0.0, move(log_failure, step))

        still = jax.tree.map(jnp.zeros_like, synapses.strength)
        frozen, before = synapses.at_least(self.freeze), synapses.log_failure
        changes = jax.tree.map(change, before, signals.gradient, frozen)
        return Stochastic(still, log_failure=changes)

    def _scaled(self, log_failure: Values, step: Values) -> Values:
        r"""$\ln(1 - \Delta\frac{p_{max} - p}{1 - p})$: a share of $1 - p$."""
        excess = (1 - self.ceiling) / jnp.maximum(jnp.exp(log_failure), LEAST)
        share = step * (1 - excess)
        return jnp.log1p(-jnp.minimum(share, 1 - jnp.finfo(share.dtype).eps))


def _added(log_failure: Values, step: Values) -> Values:
    r"""$\ln(1 - p - \Delta) - \ln(1 - p)$, for a step to 1 at most."""
    left = jnp.maximum(jnp.exp(log_failure) - step, LEAST)
    return jnp.log(left) - log_failure


def log_share(information: Values) -> Values:
    r"""$\ln(1 - p)$ where $1 - p = 1/(1 + F/F_0)$ is left of a prior's variance.

    `information` is $F/F_0$.

    >>> 1 - jnp.exp(log_share(jnp.asarray([0.0, 1.0, 9.0])))
    Array([0. , 0.5, 0.9], dtype=float...)
    """
    return -jnp.log1p(information)


def _square_when_open(signals: Any) -> Any:
    r"""$g^2/(r/p)$, whose mean is that of the square slope of a released synapse."""
    square = lambda g, gate: ratio(g**2, gate)
    return jax.tree.map(square, signals.gradient, signals.gates)


class FisherRelease(AbstractRule):
    r"""Probabilities set by Fisher information, $\ln(1 - p) = f(F/F_0)$, at once.

    `scale` is $F_0$ and `code` f: by default $1 - p = 1/(1 + F/F_0)$, the variance of
    Laplace's posterior under a prior of precision $F_0$. `fisher` is $F \ge 0$, a tree
    like the strengths, such as `curvature.Fisher(...).diagonal()`, which returns one
    row to be given back its shape. Without it $F$ is the running mean over `time` of
    the squared slope $\partial\ell/\partial w$ of those that release, from 0, if gates
    are $r/p$ as they are by default: of a batch's mean gradient it is not the
    information of one sample (Schug et al. 2021, Eqs. 9-12, have $p$ follow it through
    the threshold of `ReleasePlasticity`). Made slower by `Scaled`, in $\ln(1 - p)$.

    Reads `gradient` and `gates` (by its trace, without `fisher`). Synapses:
    `Stochastic`.

    >>> rule = FisherRelease(2.0, jnp.asarray([2.0, 6.0]))
    >>> before = synapses.Stochastic(jnp.ones(2), jnp.zeros(2))
    >>> 1 - jnp.exp(rule(before, None, jr.key(0)).log_failure)
    Array([0.5 , 0.75], dtype=float...)
    """

    scale: Scalar = eqx.field(converter=real)
    fisher: Any = eqx.field(default=None, converter=with_array_leaves)
    code: Callable[[Values], Values] = log_share
    time: Scalar = eqx.field(default=1000.0, converter=real)

    def __check_init__(self) -> None:
        require(self, scale=(1e-30, np.inf), time=(1e-12, np.inf))
        for leaf in jax.tree.leaves(self.fisher):
            not_negative("fisher", leaf)

    def traces(self) -> dict[str, AbstractTrace]:
        if self.fisher is not None:
            return {}
        return {"fisher": LowPass(self.time, _square_when_open, early=True)}

    def __call__(
        self, synapses: Stochastic, signals: Any, key: Key[Array, ""]
    ) -> Stochastic:
        before, fisher = synapses.log_failure, self.fisher
        if fisher is None:
            fisher = signals.traces["fisher"]
        fisher = fitted("`fisher`", fisher, before)

        def change(log_failure: Values, information: Values) -> Values:
            relative = not_negative("fisher", information) / self.scale
            new = self.code(relative).astype(log_failure.dtype)
            return jnp.maximum(new, LOG_LEAST) - log_failure  # also of p = 1

        still = jax.tree.map(jnp.zeros_like, synapses.strength)
        changes = jax.tree.map(change, before, fisher)
        return Stochastic(still, log_failure=changes)


class Unreliable(_AbstractChecked):
    r"""`rule` where release is unreliable: its change of strengths times $(1 - p)^k$.

    `power` is k: 1 for a drift, such as learning or compensation, 1/2 for noise, whose
    variance is then in proportion to $1 - p$. What it does to probabilities is left as
    it is. A rule for weights is carried to strengths by `Reparametrised`. Raises
    `ValueError` for synapses that do not release.

    Reads what its rule reads. Synapses: `Stochastic`.

    >>> drift = Unreliable(rules.Reparametrised(rules.Dissipation(1.0)))
    >>> releasing = synapses.Stochastic(jnp.ones(2), jnp.asarray([0.25, 0.75]))
    >>> drift(releasing, signals.Elapsed(jnp.asarray(1.0)), jr.key(0)).strength
    Array([-0.75, -0.25], dtype=float...)
    """

    power: Scalar = eqx.field(default=1.0, converter=real)

    def __check_init__(self) -> None:
        require(self, power=(0.0, jnp.inf))

    def __call__(
        self, synapses: Stochastic, signals: Any, key: Key[Array, ""]
    ) -> Stochastic:
        if not isinstance(synapses, Stochastic):
            raise ValueError(
                "`synapses` of `Unreliable` must be `Stochastic`; got "
                f"{shape_of(synapses)}."
            )
        change = self.changed(synapses, signals, key, synapses)

        def less(x: Array, change: Array) -> Array:
            return masked(jnp.exp(self.power.astype(x.dtype) * x), change)

        strength = jax.tree.map(less, synapses.log_failure, change.strength)
        return Stochastic(strength, log_failure=change.log_failure)


class ElasticPenalty(AbstractRule):
    r"""$-\eta\lambda(A\theta - C)$: a pull to what older tasks needed.

    Elastic weight consolidation (Kirkpatrick et al. 2017) with the sums over tasks of
    their Fisher diagonals, $A = \sum F$ (`precision`), and $C = \sum F\theta^*$
    (`moment`), two trees like the weights; a single anchored task is $A = F$, $C =
    F\theta^*$. Stable while $\eta\lambda\max A < 2$: NaN where it is not, or
    `ValueError` where that is concrete. No precision is no pull, also where the product
    with a weight is not finite. Raises `ValueError` unless both trees are shaped like
    the synapses.

    Reads `dt`. Synapses: any pytree.

    >>> w, precision = jnp.array([1.0, 2.0, 2.0]), jnp.array([1.0, 1.0, 0.0])
    >>> rule = ElasticPenalty(0.5, 1.0, precision, precision * 2.0)  # all were 2
    >>> _, seen = circuits.Resting(1.0)(None, w, None, jr.key(0))
    >>> (w + rule(w, seen, jr.key(0))).tolist()
    [1.5, 2.0, 2.0]
    """

    rate: Scalar = eqx.field(converter=real)
    penalty: Scalar = eqx.field(converter=real)
    precision: Any = eqx.field(converter=with_array_leaves)
    moment: Any = eqx.field(converter=with_array_leaves)

    def __check_init__(self) -> None:
        require(self, rate=(0.0, np.inf), penalty=(0.0, np.inf))
        fitted("`moment`", self.moment, self.precision, "`precision`")

    def check(self, circuit: Any) -> None:
        dt = getattr(circuit, "dt", None)
        for leaf in jax.tree.leaves(self.precision):
            rate = self.rate * self.penalty * jnp.max(leaf)
            check_stable("rate * penalty * precision", rate, dt)

    def __call__(self, synapses: Any, signals: Any, key: Key[Array, ""]) -> Any:
        precision = fitted("`precision`", self.precision, synapses)
        moment = fitted("`moment`", self.moment, synapses)
        scale = self.rate * self.penalty * signals.dt

        def pull(w: Values, a: Values, c: Values) -> Values:
            here = -scale.astype(w.dtype)
            share = stable("rate * penalty * precision", -here * a)
            return jnp.where(jnp.isnan(share), share, here * (masked(a, w) - c))

        return jax.tree.map(pull, synapses, precision, moment)


class SynapticIntelligence(AbstractRule):
    r"""$-2\eta c\,\Omega(w - \tilde w)$: a pull to where the last task ended.

    Synaptic intelligence (Zenke, Poole & Ganguli 2017): the importance $\Omega$ is the
    loss that a synapse took away while older tasks were learned, over the square of its
    way (`traces.PathIntegral`). `ends(signals)` says which step is a task's last;
    `penalty` is $c$, at which 1 restores the curvature of a task that was learned to
    its end in small steps, and `damping` is $\xi$. Stable while $2\eta c\max\Omega\,
    dt < 2$: NaN where it is not, or `ValueError` where that is concrete.

    Reads `gradient` (by its trace) and `dt`. Synapses: any pytree.

    >>> rule = SynapticIntelligence(0.25, ends=lambda seen: seen.step % 500 == 499)
    >>> w, none = jnp.array([1.0, 2.0, 2.0]), jnp.zeros(3)
    >>> path = traces.Path(none, jnp.array([0.0, 0.5, 1.0]), none)  # the anchor is at 0
    >>> seen = signals.Elapsed(jnp.array(1.0), traces={"path": path})
    >>> (w + rule(w, seen, jr.key(0))).tolist()  # held by their importance
    [1.0, 1.5, 1.0]
    """

    rate: Scalar = eqx.field(converter=real)
    ends: Callable[[Any], Any]
    penalty: Scalar = eqx.field(default=1.0, converter=real)
    damping: Scalar = eqx.field(default=1e-3, converter=real)

    def __check_init__(self) -> None:
        names = ("rate", "penalty", "damping")
        require(self, **dict.fromkeys(names, (0.0, np.inf)))

    def traces(self) -> dict[str, AbstractTrace]:
        return {"path": PathIntegral(self.ends, self.damping)}

    def __call__(self, synapses: Any, signals: Any, key: Key[Array, ""]) -> Any:
        path, scale = signals.traces["path"], 2 * self.rate * self.penalty * signals.dt

        def pull(w: Values, importance: Values, anchor: Values) -> Values:
            share = scale.astype(w.dtype) * importance
            share = stable("rate * penalty * importance", share)
            return -masked(share, w - anchor)

        return jax.tree.map(pull, synapses, path.importance, path.anchor)


class BayesianDescent(AbstractRule):
    r"""Gaussian weights by Bayesian gradient descent (Zeno et al. 2018).

    $\Delta\mu = -\eta\sigma^2E_1$ and $\sigma \leftarrow \sigma\sqrt{1 + (\sigma
    E_2/2)^2} - \sigma^2E_2/2$, both with the old $\sigma$; `rate` is $\eta$. The new
    $\sigma$ is positive for every $E_2$.

    Reads `gradient` and `correlation`. Synapses: a dictionary of `mean`
    and `deviation`.

    >>> w, one = {"mean": jnp.zeros(2), "deviation": jnp.ones(2)}, jnp.ones(())
    >>> seen = signals.PosteriorSignals(one, one, jnp.ones(2), jnp.array([0.0, 1.5]))
    >>> change = BayesianDescent()(w, seen, jr.key(0))
    >>> change["deviation"].tolist()  # 1 becomes half where curvature is seen
    [0.0, -0.5]
    """

    rate: Scalar = eqx.field(default=1.0, converter=real)

    def __check_init__(self) -> None:
        require(self, rate=(0.0, np.inf))

    def __call__(
        self, synapses: dict[str, Any], signals: Any, key: Key[Array, ""]
    ) -> dict[str, Any]:

        def move(s: Values, gradient: Values) -> Values:
            return masked(-self.rate * s**2, gradient)

        def widen(s: Values, correlation: Values) -> Values:
            half = masked(s, correlation) / 2
            root = jnp.sqrt(1 + half**2)
            # 1 / (root + half) = root - half: no cancellation where half is large
            grown = jnp.where(half > 0, 1 / (root + jnp.abs(half)), root - half)
            return s * grown - s

        deviation = synapses["deviation"]
        return {
            "mean": jax.tree.map(move, deviation, signals.gradient),
            "deviation": jax.tree.map(widen, deviation, signals.correlation),
        }
