"""Compensation of order zero, one and two: probes, the gradient, Newton's step."""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Key

from .._arguments import counted, fitted, real, require, with_array_leaves
from .._interfaces import AbstractRule, AbstractTrace, Scalar, Synapses
from ..curvature import newton_direction, quadratic_form
from ..numerics import normal_like, tree_scale, tree_size, tree_unit, tree_vdot
from ..signals import LossSignals
from ..traces import Delayed, LowPass


Rng = Key[Array, ""]


class WeightPerturbation(AbstractRule):
    r"""The loss's slope estimated along random directions by antithetic probes.

    $-\frac{N}{K} \sum_k \frac{F[w + h\hat\zeta_k] - F[w - h\hat\zeta_k]}{2h}
    \hat\zeta_k$, directions uniform on the sphere: minus the gradient in expectation
    on a quadratic loss, for any probe size $h$. `Normalised` makes it the fixed-norm
    rule; at `probes=1` that is $-m\,\mathrm{sign}(\delta F)\hat\zeta$, weight
    perturbation and REINFORCE at once (Raman & O'Leary 2021).

    With `two_sided` off the difference is $(F[w + h\hat\zeta_k] - F[w])/h$. On a
    quadratic loss its mean is the same, since odd moments of the directions vanish (as
    those of Gaussian and of sign noise do); its variance is larger by
    $\frac{h^2 N}{4K(N+2)}(\mathrm{tr}(H)^2 + 2\,\mathrm{tr} H^2)$. But the sign that a
    fixed norm keeps is then wrong more often, the more so the larger $h$ is.

    Reads `loss_at`, one-sided also `loss`. Synapses: any pytree.

    >>> w, key = jnp.array([3.0]), jr.key(0)
    >>> _, seen = circuits.LossCircuit(lambda w, x: w @ w / 2)(None, w, None, key)
    >>> change = WeightPerturbation(0.1)(w, seen, key)
    >>> print(np.array(change).round(3))  # exact, of one synapse
    [-3.]
    """

    probe_size: Scalar = eqx.field(converter=real)
    probes: int = eqx.field(default=1, static=True, converter=counted("probes"))
    two_sided: bool = eqx.field(default=True, static=True)

    def __check_init__(self) -> None:
        require(self, probe_size=(0.0, jnp.inf))

    def __call__(self, synapses: Synapses, signals: LossSignals, key: Rng) -> Synapses:
        size = self.probe_size
        sides = 2 if self.two_sided else 1
        width = sides * jnp.where(size == 0, 1.0, size)  # no probe, no change

        def probe(key: Rng) -> Synapses:
            direction = tree_unit(normal_like(key, synapses))
            step = tree_scale(size, direction)
            ahead = signals.loss_at(jax.tree.map(jnp.add, synapses, step))
            behind = signals.loss
            if self.two_sided:
                behind = signals.loss_at(jax.tree.map(jnp.subtract, synapses, step))
            slope = (ahead - behind) / width
            return tree_scale(-tree_size(synapses) * slope, direction)

        estimates = jax.vmap(probe)(jr.split(key, self.probes))
        return jax.tree.map(lambda x: jnp.mean(x, axis=0), estimates)


class AcceptOnly(AbstractRule):
    """A random step of length `magnitude`, kept only if it lowers the loss, else 0.

    The acceptance has no useful gradient. NaN where one of the losses is.

    Raman & O'Leary 2021, Table 2 (zeroth order), with Eq. 3c at every step.
    Reads `loss` and `loss_at`. Synapses: any pytree.

    >>> w, key = jnp.zeros(3), jr.key(0)
    >>> _, seen = circuits.LossCircuit(lambda w, x: w @ w / 2)(None, w, None, key)
    >>> abs(AcceptOnly(0.1)(w, seen, key)).tolist()  # no step leads down from a minimum
    [0.0, 0.0, 0.0]
    """

    magnitude: Scalar = eqx.field(converter=real)

    def __check_init__(self) -> None:
        require(self, magnitude=(0.0, jnp.inf))

    def __call__(self, synapses: Synapses, signals: LossSignals, key: Rng) -> Synapses:
        step = tree_scale(self.magnitude, tree_unit(normal_like(key, synapses)))
        tried = signals.loss_at(jax.tree.map(jnp.add, synapses, step))
        kept = jnp.where(tried < signals.loss, 1.0, 0.0)
        lost = jnp.isnan(tried) | jnp.isnan(signals.loss)
        return tree_scale(jnp.where(lost, jnp.nan, kept), step)


class Descent(AbstractRule):
    """Plain gradient descent at unit learning rate: minus the gradient times `dt`.

    Reads `gradient` and `dt`. Synapses: any pytree.

    >>> w, key = jnp.array([1.0, 2.0, 2.0]), jr.key(0)
    >>> _, seen = circuits.LossCircuit(lambda w, x: w @ w / 2)(None, w, None, key)
    >>> Descent()(w, seen, key).tolist()
    [-1.0, -2.0, -2.0]
    """

    def __call__(self, synapses: Synapses, signals: LossSignals, key: Rng) -> Synapses:
        return tree_scale(-signals.dt, signals.gradient)


class Update(AbstractRule):
    """The step that the circuit's Optax optimiser proposes, whatever it is.

    Reads `update`. Synapses: any pytree.

    >>> import optax
    >>> circuit = circuits.LossCircuit(lambda w, x: w @ w / 2, optimiser=optax.sgd(0.5))
    >>> w, key = jnp.array([1.0, 2.0, 2.0]), jr.key(0)
    >>> _, seen = circuit(circuit.start(w), w, None, key)
    >>> Update()(w, seen, key).tolist()
    [-0.5, -1.0, -1.0]
    """

    def __call__(self, synapses: Synapses, signals: LossSignals, key: Rng) -> Synapses:
        return signals.update


class NoisyGradient(AbstractRule):
    r"""Normalised gradient corrupted by normalised noise, at a fixed mean magnitude.

    $\Delta c = -\gamma_1 \hat g + \gamma_2 \hat\nu$, $\gamma_1 = m/\sqrt{1+\rho^2}$,
    $\gamma_2 = \rho\gamma_1$ with magnitude $m$ and corruption $\rho$ (Raman & O'Leary
    2021, Methods). Its length is $m$ in the mean square only, since $\hat g$ and
    $\hat\nu$ are not orthogonal; `exact_norm` rescales every change to $m$.

    Reads `gradient`. Synapses: any pytree.

    >>> w, key = jnp.array([1.0, 2.0, 2.0]), jr.key(0)
    >>> _, seen = circuits.LossCircuit(lambda w, x: w @ w / 2)(None, w, None, key)
    >>> change = NoisyGradient(0.1, 5.0, exact_norm=True)(w, seen, key)
    >>> print(f"{jnp.linalg.norm(change):.3f}")
    0.100
    """

    magnitude: Scalar = eqx.field(converter=real)
    corruption: Scalar = eqx.field(converter=real)
    exact_norm: bool = eqx.field(default=False, static=True)

    def __check_init__(self) -> None:
        require(self, magnitude=(0.0, jnp.inf), corruption=(0.0, jnp.inf))

    def __call__(self, synapses: Synapses, signals: LossSignals, key: Rng) -> Synapses:
        clean = self.magnitude / jnp.sqrt(1 + self.corruption**2)
        noise = self.corruption * clean
        downhill = tree_scale(-clean, tree_unit(signals.gradient))
        noisy = tree_scale(noise, tree_unit(normal_like(key, synapses)))
        change = jax.tree.map(jnp.add, downhill, noisy)
        if self.exact_norm:
            return tree_scale(self.magnitude, tree_unit(change))
        return change


class Beeline(AbstractRule):
    """The straight way to `target` (the teacher's weights).

    Raises `ValueError` unless it is shaped like the synapses.

    Raman & O'Leary 2021, Fig. 4d; `beelineLearning` of their code.
    Reads no signal. Synapses: any pytree.

    >>> w, key = jnp.array([1.0, 2.0, 2.0]), jr.key(0)
    >>> _, seen = circuits.LossCircuit(lambda w, x: w @ w / 2)(None, w, None, key)
    >>> Beeline(jnp.ones(3))(w, seen, key).tolist()
    [0.0, -1.0, -1.0]
    """

    target: Synapses = eqx.field(converter=with_array_leaves)

    def __call__(self, synapses: Synapses, signals: LossSignals, key: Rng) -> Synapses:
        target = fitted("`target`", self.target, synapses)
        return jax.tree.map(jnp.subtract, target, synapses)


class Newton(AbstractRule):
    r"""Newton's step $-H^{-1} g$ from the exact dense Hessian; for small circuits.

    `damping` adds $\tau I$ to $H$ and `saddle_free` replaces $H$ by $|H|$: without
    them an indefinite Hessian can send the step uphill. Use float64; raises
    `ValueError` for synapses of 16 bits.

    Raman & O'Leary 2021, A6.
    Reads `loss_at`. Synapses: any pytree.

    >>> loss = lambda w, x: jnp.array([1.0, 2.0, 9.0]) @ (w - 1) ** 2
    >>> w, key = jnp.array([1.0, 2.0, 2.0]), jr.key(0)
    >>> _, seen = circuits.LossCircuit(loss)(None, w, None, key)
    >>> print(np.array(w + Newton()(w, seen, key)).round(3))  # at the minimum at once
    [1. 1. 1.]
    """

    damping: Scalar = eqx.field(default=0.0, converter=real)
    saddle_free: bool = eqx.field(default=False, static=True)

    def __check_init__(self) -> None:
        require(self, damping=(0.0, jnp.inf))

    def __call__(self, synapses: Synapses, signals: LossSignals, key: Rng) -> Synapses:
        for leaf in jax.tree.leaves(synapses):
            if leaf.dtype.itemsize < 4:
                raise ValueError(
                    "`Newton` solves a dense system: synapses must be float32 or "
                    f"float64; got {leaf.dtype}."
                )
        return newton_direction(
            signals.loss_at,
            synapses,
            damping=self.damping,
            saddle_free=self.saddle_free,
        )


class DelayedGradient(AbstractRule):
    """`rule`, given the gradient of `steps` steps ago; none before there was one.

    The traces of its rule are given the same gradient.

    Reads `gradient` (by its trace) and what its rule reads. Synapses: any pytree.

    >>> circuit, key = circuits.LossCircuit(lambda w, x: w @ w / 2), jr.key(0)
    >>> rules = {"descent": DelayedGradient(Descent(), steps=2)}
    >>> system = System(tasks.Constant(None), circuit, rules)
    >>> start, path = system.start(jnp.ones(3), key), lambda now, *_: now.synapses[0]
    >>> simulate(system, start, key, steps=4, record=path)[1].tolist()
    [1.0, 1.0, 0.0, -1.0]
    """

    rule: AbstractRule
    steps: int = eqx.field(static=True, converter=counted("steps", 0))

    def check(self, circuit: Any) -> None:
        self.rule.check(circuit)

    def traces(self) -> dict[str, AbstractTrace]:
        present = LowPass(1e-12, lambda signals: signals.gradient, early=True)
        past = Delayed(present, self.steps)
        found = self._with_held({"gradients": past})
        return {
            name: trace if trace is past else _OfPast(trace, past)
            for name, trace in found.items()
        }

    def __call__(self, synapses: Any, signals: LossSignals, key: Rng) -> Any:
        traces = signals.traces
        seen = _before(signals, traces["gradients"])
        own = {name: traces[name][1] for name in self.rule.traces()}
        return self.rule(synapses, dataclasses.replace(seen, traces=own), key)


def _before(signals: Any, gradients: Any) -> Any:
    """The signals with the oldest of these gradients."""
    past = jax.tree.map(lambda rows: rows[0], gradients)
    return dataclasses.replace(signals, gradient=past)


class _OfPast(AbstractTrace):
    """A trace of a rule that is given past gradients; it keeps them beside itself."""

    trace: AbstractTrace
    past: Delayed

    @property
    def moves_first(self) -> bool:
        return self.trace.moves_first

    def start(self, synapses: Any, signals: Any) -> Any:
        gradients = self.past.start(synapses, signals)
        return gradients, self.trace.start(synapses, _before(signals, gradients))

    def __call__(self, trace: Any, synapses: Any, signals: Any, change: Any) -> Any:
        gradients = self.past(trace[0], synapses, signals, change)
        before = _before(signals, gradients)
        return gradients, self.trace(trace[1], synapses, before, change)


class OptimalMagnitude(AbstractRule):
    r"""The direction of `rule` at the length that lowers the loss most.

    $\|\Delta c\|^* = \max(0, -\hat{\Delta c} \cdot g) / Q_w[\Delta c]$ (Eq. 6 of Raman
    & O'Leary 2021), recomputed at every step from one Hessian-vector product. Where
    the curvature along a descending direction is not positive there is no minimum, and
    the length is `cap`; longer steps are cut to it. A recorded length equal to `cap` is
    the flag of both.

    Reads `gradient`, `loss_at` and what its rule reads. Synapses: any pytree.

    >>> w, key = jnp.array([1.0, 2.0, 2.0]), jr.key(0)
    >>> _, seen = circuits.LossCircuit(lambda w, x: 2 * w @ w)(None, w, None, key)
    >>> rule = OptimalMagnitude(Descent(), cap=10.0)
    >>> print(np.array(rule(w, seen, key)).round(3))  # to the minimum
    [-1. -2. -2.]
    """

    rule: AbstractRule
    cap: Scalar = eqx.field(converter=real)

    def __check_init__(self) -> None:
        require(self, cap=(0.0, jnp.inf))

    def __call__(self, synapses: Any, signals: LossSignals, key: Rng) -> Any:
        change = self.rule(synapses, signals, key)
        direction = tree_unit(change)
        descent = jnp.maximum(0.0, -tree_vdot(direction, signals.gradient))
        curvature = quadratic_form(signals.loss_at, synapses, direction)
        flat = curvature <= 0
        length = descent / jnp.where(flat, 1.0, curvature)
        capped = jnp.minimum(length, self.cap)
        longest = jnp.where(jnp.isnan(descent), descent, self.cap)
        length = jnp.where(flat, longest, capped)
        still = (descent == 0) & ~jnp.isnan(curvature)
        return tree_scale(jnp.where(still, 0.0, length), direction)
