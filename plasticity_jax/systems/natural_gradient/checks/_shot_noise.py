"""The exact Fisher matrix for Poisson inputs beside draws, limits and closed forms.

Equations and figures are those of Kreutzer, Senn & Petrovici 2022.
"""

import functools
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from .... import Scalar
from ....circuits import input_moments, RectifiedQuadratic, Sigmoid, SynapticKernel
from ....curvature import fisher_density, glm_fisher, skewed_glm_fisher
from ....experiment import always, Check, exact, expectation, simulated, soon, together
from ....measure import log_slope
from .. import shot_noise
from ..shot_noise import (
    fisher_error,
    relative_spectrum,
    shot_noise_fisher,
    update_angle,
)


Vector = Float[Array, " n"]
WEIGHTS = (0.12, -0.08, 0.2, -0.1)
RATES = (10.0, 20.0, 30.0, 50.0)  # Hz
DRAWS = 100_000
SIZES = (50, 100, 200)


def shot_noise_checks() -> Iterator[Check]:
    """All checks of `shot_noise`; run them in double precision."""
    yield from _few_inputs(_draws())
    yield from _single_inputs()
    yield from _many_inputs()


@soon
def _draws() -> Float[Array, "draw n"]:
    kernel, keys = SynapticKernel(), jr.split(jr.key(0), DRAWS)
    draw = lambda key: shot_noise.draw_potentials(jnp.asarray(RATES), kernel, 40, key)
    return jax.vmap(draw)(keys)


@together
def _few_inputs(x: Float[Array, "draw n"]) -> Iterator[Check]:
    """Four inputs: the law of the potential and the matrix against draws."""
    weights, rates, kernel = jnp.asarray(WEIGHTS), jnp.asarray(RATES), SynapticKernel()
    moments = input_moments(rates, kernel)
    voltages, density = shot_noise.voltage_density(weights, rates, kernel)
    mass = density * (voltages[1] - voltages[0])
    mean = jnp.vdot(weights, moments.mean)
    central = [jnp.vdot(mass, (voltages - mean) ** k) for k in (2, 3)]
    cumulants = (moments.variance, moments.third)
    want = [jnp.vdot(weights**k, c) for k, c in zip((2, 3), cumulants, strict=True)]
    got = jnp.stack([jnp.sum(mass), jnp.vdot(mass, voltages), *central])
    want = jnp.stack([jnp.ones_like(mean), mean, *want])
    says = "mass, mean, variance and third cumulant of the potential"
    yield exact(says, "T6", got, want, 1e-8)
    full = shot_noise_fisher(Sigmoid(), weights, rates, kernel)
    seen = fisher_density(Sigmoid(), x @ weights)[0]
    for i, j in ((0, 0), (1, 1), (2, 2), (3, 3), (0, 1), (0, 2), (1, 3), (2, 3)):
        samples = seen * x[:, i] * x[:, j]
        yield expectation(f"entry {i}, {j} of the matrix", "T6", samples, full[i, j])
    quadratic = RectifiedQuadratic(threshold=-300.0)
    got = shot_noise_fisher(quadratic, weights, rates, kernel)
    want = jnp.diag(moments.variance) + jnp.outer(moments.mean, moments.mean)
    says = "quadratic transfer function: two moments of any law"
    yield exact(says, "T5", got, want, 1e-9)


@together
def _single_inputs() -> Iterator[Check]:
    """Figures 4, 5 and 7: where the closed form shows the rule, not the metric."""
    cases = ((0.05, 5.0, 1.58), (0.01, 10.0, 1.10))
    weights, rates, _ = jnp.asarray(cases)[..., None].swapaxes(0, 1)
    single = jax.vmap(functools.partial(_ratios, Sigmoid()))(weights, rates)
    for found, (weight, rate, ratio) in zip(single[:, 0], cases, strict=True):
        says = f"exact over closed form, one synapse, w = {weight}, {rate:g} Hz"
        yield simulated(says, "T6, Figs. 4, 5", found, ratio, 0.005)
    rates = jnp.asarray([5.0] * 5 + [1e-4] * 5)
    of = lambda weight: _ratios(Sigmoid(threshold=15.0), jnp.full(10, weight), rates)
    many = jax.vmap(of)(jnp.asarray([0.1, 0.45]))
    says = "its largest eigenvalue, w = 0.1"
    yield simulated(says, "T6, Fig. 7", many[0, -1], 2.45, 0.01)
    says = "its smallest eigenvalue, w = 0.45"
    yield simulated(says, "T6, Fig. 7", many[1, 0], 0.36, 0.01)


def _ratios(transfer: Sigmoid, weights: Vector, rates: Vector) -> Vector:
    """Eigenvalues of exact over closed form."""
    kernel = SynapticKernel()
    moments = input_moments(rates, kernel)
    closed = glm_fisher(transfer, weights, moments.mean, moments.variance, nodes=401)
    full = shot_noise_fisher(transfer, weights, rates, kernel)
    return relative_spectrum(full, closed.as_matrix())


def _many_inputs() -> Iterator[Check]:
    """The table of T6 and the correction T7, weights within plus or minus 1/n."""
    even = [np.tile(np.linspace(-1.0, 1.0, n // 2) / n, 2) for n in SIZES]
    draws = jr.uniform(jr.key(1), (8, 100), minval=-0.01, maxval=0.01)
    error, corrected, angle = np.asarray([_errors_of(w) for w in (*even, *draws)]).T
    slope = log_slope(np.asarray(SIZES, float), error[:3])
    yield simulated("exponent of its error in n, 50 to 200", "T6", slope, -1.0, 0.2)
    says, smaller = "with the third cumulant ten times smaller", corrected < 0.1 * error
    yield always(f"{says}, 50 to 200", "T7", np.mean(smaller[:3]))
    mean = np.mean(error[3:])
    yield simulated("error, n = 100, mean over draws", "T6", mean, 0.11, 0.2)
    draws, told = angle[3:], 3.9  # of one draw: 4 standard errors of both
    apart = 4 * float(np.std(draws, ddof=1)) * (1 + 1 / len(draws)) ** 0.5 / told
    says_it = "its angle (degrees), n = 100"
    yield simulated(says_it, "T6", np.mean(draws), told, apart)
    yield always(f"{says}, all draws", "T7", np.mean(smaller[3:]))


def _errors_of(weights: ArrayLike) -> tuple[Scalar, Scalar, Scalar]:
    """Errors and angle, half of the inputs at 10, 50 Hz, silent ones to fill up."""
    weights = np.asarray(weights)
    rates = np.repeat([10.0, 50.0], len(weights) // 2)
    pad = lambda x: jnp.asarray(np.pad(x, (0, SIZES[-1] - len(x))))
    return _errors(pad(weights), pad(rates))


@soon
def _errors(weights: Vector, rates: Vector) -> tuple[Scalar, Scalar, Scalar]:
    """Errors of both closed forms and the angle; silent inputs add nothing to them."""
    kernel, transfer = SynapticKernel(), Sigmoid()
    silent = jnp.where(rates > 0, 0.0, 1.0)
    moments = input_moments(rates, kernel)
    seen = transfer, weights, moments.mean, moments.variance
    full = shot_noise_fisher(transfer, weights, rates, kernel)
    gaussian = glm_fisher(*seen).as_matrix()
    corrected = skewed_glm_fisher(*seen, moments.third).operator().as_matrix()
    matrices = full, gaussian, corrected
    full, gaussian, corrected = (jnp.diag(silent) + x for x in matrices)
    way = jr.uniform(jr.key(2), weights.shape, minval=-1.0, maxval=1.0) * (1 - silent)
    way = way / jnp.sum(1 - silent) - weights  # to the weights of a teacher
    errors = fisher_error(full, gaussian), fisher_error(full, corrected)
    return *errors, update_angle(full, gaussian, way)
