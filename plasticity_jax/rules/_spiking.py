r"""A spiking neuron learns: Euclidean, natural and approximate natural gradient.

Kreutzer, Senn & Petrovici 2022, eLife 11:e66526. All rules are steps of one bin, $A$
times a direction with $A = \eta\,[Y - \phi\,dt]\,\phi'/\phi$, on the somatic amplitudes
$w$; the wrapper `Reparametrised` carries them to any other parametrisation.
"""

import abc
from typing import NamedTuple

import equinox as eqx
import jax.numpy as jnp
import jax.scipy as jsp
from jaxtyping import Array, Float, Key

from .._arguments import (
    check_not_negative,
    check_positive_semidefinite,
    floating,
    optional,
    real,
    require,
    whole,
)
from .._interfaces import AbstractRule, Scalar
from ..curvature import Coefficients, skewed_glm_fisher
from ..curvature._transfer import check_transfer, Sigmoid, Transfer
from ..signals import SpikingSignals


Vector = Float[Array, " n"]
TERMS = ("homosynaptic", "uniform", "proportional")


class NaturalTerms(NamedTuple):
    r"""The three parts of a natural change, each over $A\gamma_s$.

    `homosynaptic` $c_\epsilon x/r$ is zero at silent synapses, `uniform` $-\gamma_u$ is
    the same at all, `proportional` $\gamma_w w$ grows with the weight (Kreutzer et al.
    2022, Eqs. 20-23).

    >>> neuron, w = circuits.SpikingNeuron(jnp.full(3, 20.0), 1e-3), jnp.full(3, 0.1)
    >>> told, x = neuron.coefficients(w), jnp.array([1.0, 0.0, 2.0])
    >>> terms = natural_terms(neuron.signals(w, x, 1.0, told))
    >>> (terms.homosynaptic != 0).tolist(), (terms.uniform != 0).tolist()
    ([True, False, True], [True, True, True])
    """

    homosynaptic: Vector
    uniform: Vector
    proportional: Vector


def error_of(signals: SpikingSignals) -> Scalar:
    r"""$[Y - \phi\,dt]\,\phi'/\phi$: what the last spike says of the voltage."""
    return (signals.target - signals.rate * signals.dt) * signals.score


def natural_terms(signals: SpikingSignals) -> NaturalTerms:
    r"""The natural direction $c_1 G^{-1} x$ in three terms.

    Kreutzer et al. 2022, Eqs. 38 and 107-109.

    >>> neuron = circuits.SpikingNeuron(jnp.full(3, 20.0), 1e-3)
    >>> x, w = jnp.array([1.0, 0.0, 2.0]), jnp.array([0.05, 0.1, 0.15])
    >>> terms = natural_terms(neuron.signals(w, x, 1.0, neuron.coefficients(w)))
    >>> print(np.array(terms.proportional / terms.proportional[0]).round(3))
    [1. 2. 3.]
    """
    x, c, moments = signals.potentials, signals.coefficients, signals.moments
    scale = moments.mean / moments.variance  # c_eps eps_0 at every synapse
    drive = jnp.vdot(scale, x, precision="highest")
    uniform = c.g1 * drive + c.g2 * signals.voltage
    proportional = c.g2 * drive + c.g4 * signals.voltage
    return NaturalTerms(
        moments.active * x / moments.variance,
        scale * uniform,
        proportional * signals.weights,
    )


class _AbstractGradient(AbstractRule):
    learning_rate: Scalar = eqx.field(converter=real)

    def __check_init__(self) -> None:
        require(self, learning_rate=(0.0, jnp.inf))

    def factor(self, signals: SpikingSignals) -> Scalar:
        """$A$."""
        return self.learning_rate * error_of(signals)

    @abc.abstractmethod
    def direction(self, signals: SpikingSignals) -> Vector:
        """The change over its factor."""

    def __call__(
        self, synapses: Vector, signals: SpikingSignals, key: Key[Array, ""]
    ) -> Vector:
        direction = self.direction(signals)
        return self.factor(signals) * direction


class _AbstractNaturalGradient(_AbstractGradient):
    scale_limit: eqx.AbstractVar[Scalar]

    def __check_init__(self) -> None:
        require(self, scale_limit=(0.0, jnp.inf))

    def factor(self, signals: SpikingSignals) -> Scalar:
        r"""$A\gamma_s$; ends with a division, so that XLA computes it once for all."""
        least = jnp.maximum(signals.coefficients.c1, 1 / self.scale_limit)
        return self.learning_rate * error_of(signals) / least


class EuclideanGradient(_AbstractGradient):
    r"""$\Delta w = A\,x$ (Kreutzer et al. 2022, Eqs. 10, 57).

    Reads `potentials`, `target`, `rate`, `score` and `dt`. Synapses (n,).

    >>> neuron, w = circuits.SpikingNeuron(jnp.full(3, 20.0), 1e-3), jnp.full(3, 0.1)
    >>> told, x = neuron.coefficients(w), jnp.array([1.0, 2.0, 4.0])
    >>> seen = neuron.signals(w, x, 1.0, told)  # potentials x, and the teacher spikes
    >>> change = EuclideanGradient(0.1)(w, seen, jr.key(0))
    >>> print(np.array(change / change[0]).round(3))
    [1. 2. 4.]
    """

    def direction(self, signals: SpikingSignals) -> Vector:
        return signals.potentials


class NaturalGradient(_AbstractNaturalGradient):
    r"""$\Delta w = A\,\gamma_s [c_\epsilon x/r - \gamma_u + \gamma_w w] = A\,G^{-1}x$.

    Kreutzer et al. 2022, Eqs. 13, 38, with the closed-form inverse of
    `curvature.glm_fisher_inverse`. `terms` keeps only some of the three parts
    (`ValueError` for others); `scale_limit` caps $\gamma_s = 1/c_1$, which grows
    without bound where the neuron saturates.

    Reads `potentials`, `voltage`, `weights`, `moments`, `coefficients`, `target`,
    `rate`, `score` and `dt`. Synapses (n,).

    >>> neuron, w = circuits.SpikingNeuron(jnp.full(3, 20.0), 1e-3), jnp.full(3, 0.1)
    >>> m, x, told = neuron.moments, jnp.array([1.0, 2.0, 4.0]), neuron.coefficients(w)
    >>> change = NaturalGradient(0.1)(w, neuron.signals(w, x, 1.0, told), jr.key(0))
    >>> fisher = curvature.glm_fisher(neuron.transfer, w, m.mean, m.variance)
    >>> print(np.array(fisher.mv(change) / fisher.mv(change)[0]).round(3))  # as is x
    [1. 2. 4.]
    """

    scale_limit: Scalar = eqx.field(default=jnp.inf, converter=real)  # mV^2/Hz
    terms: tuple[str, ...] = eqx.field(default=TERMS, static=True)

    def __check_init__(self) -> None:
        known = isinstance(self.terms, tuple) and set(self.terms) <= set(TERMS)
        if not known or not self.terms or len(set(self.terms)) < len(self.terms):
            raise ValueError(f"`terms` must be some of {TERMS}; got {self.terms!r}.")

    def direction(self, signals: SpikingSignals) -> Vector:
        parts = natural_terms(signals)._asdict()
        return jnp.asarray(sum(parts[name] for name in self.terms))


class ApproximateNaturalGradient(_AbstractNaturalGradient):
    r"""The natural gradient with $\gamma_u = c_u c_\epsilon$, $\gamma_w = c_w V$.

    Kreutzer et al. 2022, Eqs. 112-114: nothing but $\gamma_s$ depends on the other
    synapses. `uniform` is $c_u/\epsilon_0$, just below 1, or None for
    `uniform_constant`; above $1 + 1/q$ learning is unstable. `proportional` is $c_w$ in
    1/mV; where `adaptive` it is `proportional_limit` instead. With `held_voltage` that
    potential (mV) stands in $c_w V$ for the present one, as in the published code.

    Reads `potentials`, `voltage`, `weights`, `moments`, `coefficients`, `target`,
    `rate`, `score` and `dt`. Synapses (n,).

    >>> neuron, w = circuits.SpikingNeuron(jnp.full(3, 20.0), 1e-3), jnp.full(3, 0.1)
    >>> told, x = neuron.coefficients(w), jnp.array([19.0, 20.0, 21.0])
    >>> seen = neuron.signals(w, x, 1.0, told)  # potentials x, and the teacher spikes
    >>> rule = ApproximateNaturalGradient(0.1, uniform=1.0, proportional=0.0)
    >>> jnp.sign(rule(w, seen, jr.key(0))).tolist()  # the mean of x is 20 mV
    [-1.0, 0.0, 1.0]
    """

    uniform: Scalar | None = eqx.field(default=0.95, converter=optional)
    proportional: Scalar = eqx.field(default=0.05, converter=real)  # 1/mV
    scale_limit: Scalar = eqx.field(default=jnp.inf, converter=real)  # mV^2/Hz
    held_voltage: Scalar | None = eqx.field(default=None, converter=optional)  # mV
    adaptive: bool = eqx.field(default=False, static=True)

    def __check_init__(self) -> None:
        finite = (-1e30, 1e30)
        require(self, proportional=finite)
        if self.uniform is not None:
            require(self, uniform=finite)

    def direction(self, signals: SpikingSignals) -> Vector:
        moments, weight = signals.moments, self.proportional
        voltage = signals.voltage if self.held_voltage is None else self.held_voltage
        if self.adaptive:
            weight = proportional_limit(signals.coefficients)
        uniform = self.uniform
        if uniform is None:
            uniform = uniform_constant(signals.coefficients.q)
        return (
            moments.active * signals.potentials / moments.variance
            - uniform * (moments.mean / moments.variance)
            + weight * voltage * signals.weights
        )


@floating
def uniform_constant(q: Scalar) -> Scalar:
    r"""$c_u/\epsilon_0 = \sqrt{1 + q}/(1 + \sqrt{1 + q})$: what leaves the least error.

    Of the mean-field theory for $c_w = 0$ (derived, not in the paper): with $g = 1 -
    c_u/\epsilon_0$ the divergence settles at $\frac{\eta\,dt}4 [n - 1 + (1 + q)(1 + g^2
    q)/(1 + gq)]$. 0.90 for the paper's inputs, $q = 78$; 1 for many.

    >>> print(f"{uniform_constant(78.0):.2f}, {uniform_constant(8.0):.2f}")
    0.90, 0.75
    """
    check_not_negative("q", q)
    root = jnp.sqrt(jnp.where(q < 0, jnp.nan, 1 + q))
    return root / (1 + root)


def proportional_limit(c: Coefficients) -> Scalar:
    r"""$c_w = -\delta/(1 + \delta\sigma_v^2)$: $g_4$ for infinitely many inputs.

    $\delta = c_3/c_1 - (c_2/c_1)^2$; derived, not in the paper. Not universal: 0.017/mV
    at $\sigma_v^2 = 3.85$, $\mu_v = 0$ and 0.048/mV at 22 and 6.5.

    >>> transfer = circuits.SpikingNeuron(jnp.full(3, 20.0), 1e-3).transfer
    >>> c = curvature.glm_coefficients(transfer, mean=0.0, variance=3.85, q=78.0)
    >>> print(f"{proportional_limit(c):.3f}")
    0.017
    """
    delta = c.c3 / c.c1 - (c.c2 / c.c1) ** 2
    return -delta / (1 + delta * c.variance)


class DenseNaturalGradient(_AbstractGradient):
    r"""$\Delta w = A\,G^{-1}x$ for a dense Fisher matrix, by Cholesky (baseline).

    Without `fisher` the matrix is the neuron's, as old as its last refresh:
    `SpikingNeuron(..., fisher=...)`. Raises `ValueError` where it has none, or unless
    `fisher` is symmetric, positive semidefinite and as large as there are weights.
    Where it has no inverse the changes are NaN.

    Kreutzer et al. 2022, Eq. 12.
    Reads `potentials`, `target`, `rate`, `score` and `dt`, and `fisher` where it has
    none of its own. Synapses (n,).

    >>> neuron, w = circuits.SpikingNeuron(jnp.full(3, 20.0), 1e-3), jnp.full(3, 0.1)
    >>> told, x = neuron.coefficients(w), jnp.array([1.0, 2.0, 4.0])
    >>> seen = neuron.signals(w, x, 1.0, told)  # potentials x, and the teacher spikes
    >>> change = DenseNaturalGradient(0.1, fisher=jnp.diag(x))(w, seen, jr.key(0))
    >>> print(np.array(change / change[0]).round(3))
    [1. 1. 1.]
    """

    fisher: Float[Array, "n n"] | None = eqx.field(
        default=None, converter=optional
    )  # Hz/mV^2 mV^2, per second

    def __check_init__(self) -> None:
        if self.fisher is not None:
            check_positive_semidefinite("fisher", self.fisher)

    def direction(self, signals: SpikingSignals) -> Vector:
        fisher = self.fisher
        if fisher is None:
            fisher = signals.fisher
        if fisher is None:
            raise ValueError(
                "there is no Fisher matrix: give the rule `fisher`, or the neuron "
                "(`SpikingNeuron(..., fisher=...)`) a function of the weights."
            )
        if fisher.shape != 2 * signals.potentials.shape:
            raise ValueError(
                f"`fisher` {fisher.shape} must have a row for every weight; there "
                f"are {signals.potentials.shape}."
            )
        factor = jsp.linalg.cho_factor((fisher + fisher.T) / 2)
        return jsp.linalg.cho_solve(factor, signals.potentials)


class SkewedNaturalGradient(_AbstractGradient):
    r"""$\Delta w = A\,G^{-1}x$ with the skewness of Poisson inputs in $G$; $O(n)$.

    `curvature.skewed_glm_fisher`, evaluated at every step. For few inputs at low rates
    the Gaussian closed form is off by tens of per cent; this one by a few. Changes are
    NaN where `nodes` are too few for the potential.

    Kreutzer et al. 2022, Eq. 12, with more than the Gaussian $G$ of Eq. 13.
    Reads `potentials`, `weights`, `moments`, `target`, `rate`, `score` and `dt`.
    Synapses (n,).

    >>> neuron, w = circuits.SpikingNeuron(jnp.full(3, 20.0), 1e-3), jnp.zeros(3)
    >>> told, x = neuron.coefficients(w), jnp.array([1.0, 2.0, 4.0])
    >>> seen = neuron.signals(w, x, 1.0, told)  # potentials x, and the teacher spikes
    >>> change = SkewedNaturalGradient(0.1)(w, seen, jr.key(0))
    >>> print(np.array(change / NaturalGradient(0.1)(w, seen, jr.key(0))).round(3))
    [1. 1. 1.]
    """

    transfer: Transfer = eqx.field(default_factory=Sigmoid)
    nodes: int = eqx.field(default=49, static=True)

    def __check_init__(self) -> None:
        whole("nodes", self.nodes, 9)
        check_transfer(self.transfer)

    def direction(self, signals: SpikingSignals) -> Vector:
        m, weights = signals.moments, signals.weights
        laws = (weights, m.mean, m.variance, m.third)
        fisher = skewed_glm_fisher(self.transfer, *laws, nodes=self.nodes)
        return fisher.inverse().mv(signals.potentials)
