"""A recurrent network of rate neurons (Susman et al. 2019, Eq. 1)."""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Int, Key

from .._arguments import (
    check_finite,
    concrete,
    floating,
    one_of,
    optional,
    real,
    require,
)
from .._interfaces import AbstractCircuit, Scalar, Synapses
from ..numerics import normal
from ..signals import RateSignals
from ..synapses._reading import weights


Vector = Float[Array, " n"]
Values = Float[Array, "*shape"]
Matrix = Float[Array, "n n"]
LONGEST_STEP = {"rk4": 2.785, "euler": 2.0}  # at which the leak alone is stable


@floating
def error_function(x: Values) -> Values:
    r"""$\mathrm{erf}(\sqrt\pi x/2)$: odd, slope 1 at the origin, saturates at 1.

    >>> error_function(jnp.array([0.0, 99.0])).tolist()
    [0.0, 1.0]
    >>> print(f"{jax.grad(error_function)(0.0):.3f}")
    1.000
    """
    return jax.lax.erf(x * (np.pi**0.5 / 2))


@floating
def logistic(x: Values) -> Values:
    r"""$1/(1 + e^{-4x})$: rates between 0 and 1, slope 1 at the origin.

    >>> print(np.array(logistic(jnp.array([-9.0, 0.0, 9.0]))).round(3))
    [0.  0.5 1. ]
    >>> print(f"{jax.grad(logistic)(0.0):.3f}")
    1.000
    """
    return jax.nn.sigmoid(4 * x)


class Rates(NamedTuple):
    """What is carried from step to step.

    Potentials, their filtered version, the low-passed rates of either side of a
    synapse, and the number of steps taken.

    >>> network, w, key = RateNetwork(dt=0.1), jnp.zeros((3, 3)), jr.key(0)
    >>> activity, seen = network(network.start(w), w, jnp.zeros(3), key)
    >>> activity.potential.tolist(), int(activity.age)
    ([0.0, 0.0, 0.0], 1)
    """

    potential: Vector
    average: Vector
    early_trace: Vector
    late_trace: Vector
    age: Int[Array, ""]


class RateNetwork(AbstractCircuit):
    r"""$\dot x = -x + W\phi(x) + b(t)$ in units of the neural time constant.

    The stimulus is $b$, shaped (n,); synapses are $W$, shaped (n, n), from column to
    row, and stand still within a step of `dt`, which is one step of `integrator`: `rk4`
    or `euler`. Euler is there to compare with published code: it turns eigenvalues
    whose imaginary part exceeds $\sqrt{2/dt - 1}$ into oscillations that the equation
    does not have.

    `transfer` is $\phi$, applied entry by entry. Low-passed rates follow $\tau\dot y =
    -y + \phi(x)$ with $\tau$ = `trace_time`, that of the postsynaptic side with
    `late_trace_time` where it differs. The filtered potential obeys $\bar x \leftarrow$
    `keep` $\bar x$ + `inflow` $x$ at every step. With a `floor`, independent noise of
    standard deviation `floor` $\sqrt{dt}$ keeps activity from dying out exactly. Raises
    `ValueError` where a step is too long, or for parts that do not fit in shape.

    Offers `RateSignals`. The activity begins as `circuit.start(synapses)`, potentials
    at zero, or as `circuit.at(potential)`.

    >>> network, w, key = RateNetwork(dt=0.1), jnp.zeros((3, 3)), jr.key(0)
    >>> activity, seen = network(network.at(jnp.ones(3)), w, jnp.zeros(3), key)
    >>> print(f"{activity.potential[0]:.4f}, {np.exp(-0.1):.4f}")
    0.9048, 0.9048
    """

    dt: Scalar = eqx.field(default=0.1, converter=real)
    trace_time: Scalar = eqx.field(default=50.0, converter=real)
    late_trace_time: Scalar | None = eqx.field(default=None, converter=optional)
    keep: Scalar = eqx.field(default=0.0, converter=real)
    inflow: Scalar = eqx.field(default=0.0, converter=real)
    floor: Scalar | None = eqx.field(default=None, converter=optional)
    transfer: Callable[[Vector], Vector] = jnp.tanh
    integrator: str = eqx.field(default="rk4", static=True)

    def __check_init__(self) -> None:
        one_of("integrator", self.integrator, list(LONGEST_STEP))
        require(self, dt=(1e-9, np.inf), keep=(-1.0, 1.0))
        check_finite("inflow", self.inflow)
        check_step(self.dt, self.integrator)
        for name in ("trace_time", "late_trace_time"):
            if getattr(self, name) is not None:
                require(self, **{name: (0.0, np.inf)})
                _slower(name, getattr(self, name), self.dt)
        if self.floor is not None:
            require(self, floor=(0.0, np.inf))

    def start(self, synapses: Synapses, stimulus: Any = None, key: Any = None) -> Rates:
        """Silence: all potentials at zero."""
        return self.at(jnp.zeros_like(weights(synapses)[:, 0]))

    @floating
    def at(self, potential: Vector, trace: Vector | None = None) -> Rates:
        """Activity at these potentials; traces and filter at zero if not given."""
        still = jnp.zeros_like(potential)
        trace = still if trace is None else trace
        return Rates(potential, still, trace, trace, jnp.asarray(0, jnp.int32))

    def slope(self, potential: Vector, synapses: Matrix, stimulus: Vector) -> Vector:
        r"""$-x + W\phi(x) + b$."""
        return synapses @ self.transfer(potential) + stimulus - potential

    def __call__(
        self, activity: Rates, synapses: Synapses, stimulus: Vector, key: Key[Array, ""]
    ) -> tuple[Rates, RateSignals]:
        synapses = weights(synapses, key)
        x, dt = activity.potential, self.dt
        n, rate = len(x), self.transfer(x)
        for must, part, shape in (
            ("`synapses` must be square, one row", synapses, (n, n)),
            ("the stimulus must have one entry", stimulus, (n,)),
            ("`transfer` must return a rate", rate, (n,)),
        ):
            if jnp.shape(part) != shape:
                raise ValueError(
                    f"{must} for each of {n} neurons; got {jnp.shape(part)}."
                )
        early, late = activity.early_trace, activity.late_trace
        early = early + dt / self.trace_time * (rate - early)
        if self.late_trace_time is None:
            late = early
        else:
            late = late + dt / self.late_trace_time * (rate - late)
        average = self.keep * activity.average + self.inflow * x

        first = synapses @ rate + stimulus - x
        change = first
        if self.integrator == "rk4":
            second = self.slope(x + dt / 2 * first, synapses, stimulus)
            third = self.slope(x + dt / 2 * second, synapses, stimulus)
            fourth = self.slope(x + dt * third, synapses, stimulus)
            change = (first + 2 * second + 2 * third + fourth) / 6
        x = x + dt * change
        if self.floor is not None:
            x = x + self.floor * jnp.sqrt(dt) * normal(key, x.shape, x.dtype)
        signals = RateSignals(dt, rate, x, average, early, late, step=activity.age)
        return Rates(x, average, early, late, activity.age + 1), signals


def amplification(eigenvalue: Any, dt: float, integrator: str) -> Any:
    r"""Factor of one step on a mode of the Jacobian: $1 + z$, $z = \lambda\,dt$.

    For `euler`; $1 + z + z^2/2 + z^3/6 + z^4/24$ for `rk4`. A silent memory of strength
    $\rho$ has $\lambda = -1 + i\rho$; where the factor is longer than 1 the step makes
    activity grow that decays in the equation. Raises `ValueError` for another
    integrator.

    >>> for integrator in ("euler", "rk4"):  # the equation's factor is exp(-0.5), 0.61
    ...     print(f"{abs(amplification(-1 + 3j, 0.5, integrator)):.2f}")
    1.58
    0.64
    """
    one_of("integrator", integrator, list(LONGEST_STEP))
    z = dt * (np.asarray(eigenvalue) if isinstance(eigenvalue, list) else eigenvalue)
    if integrator == "euler":
        return 1 + z
    return 1 + z * (1 + z / 2 * (1 + z / 3 * (1 + z / 4)))


def check_step(dt: ArrayLike, integrator: str) -> None:
    """Raise `ValueError` where a step is too long for the leak alone to be stable."""
    most = LONGEST_STEP[integrator]
    if concrete(dt) and np.any(np.asarray(dt) >= most):
        raise ValueError(
            f"`dt` = {np.max(np.asarray(dt)):.4g} is too large for stability: steps of "
            f"'{integrator}' must be below {most} neural time constants."
        )


def _slower(name: str, time: Scalar, dt: Scalar) -> None:
    """Raise unless a low-pass of this time constant is stable at steps of `dt`."""
    if concrete(time, dt) and np.any(np.asarray(time) < np.asarray(dt)):
        raise ValueError(
            f"`{name}` = {float(np.min(np.asarray(time))):.4g} must not be below `dt` "
            f"= {float(np.max(np.asarray(dt))):.4g}."
        )
