"""Spectra, noise, dissipation and energy beside linear algebra, autodiff and runs.

Equations and figures are those of Susman, Brenner & Barak 2019.
"""

import dataclasses
from collections.abc import Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Complex, Float, Key
from scipy.optimize import linear_sum_assignment

from .... import measure, Scalar, simulate, State, System
from ....circuits import amplification, error_function, logistic, RateNetwork
from ....experiment import always, Check, exact, expectation, once, simulated, together
from ....rules import AntisymmetricHebb, Decorrelation, PairSTDP
from ....signals import RateSignals
from ....tasks import Constant
from .. import cycles, theory
from ..config import build, Config, embed, network_of
from ..patterns import draw_planes, imaginary_memory, low_rank, real_memory


KEY = jr.key(0)
FAST = Config(  # forgets in 2 time units
    plasticity=1.0,
    dissipation=0.5,
    homeostasis="dissipation",
    initial_gain=0.0,
    size=64,
    spin_up=12.0,
)
FORMS = ((0.1, 1), (0.05, 1), (0.1, 10))  # step and interval of the noise


def weight_checks() -> Iterator[Check]:
    """Sections 5.1 to 5.4 and 5.5d; in double precision."""
    yield from _spectrum_checks()
    yield from _symmetry_checks()
    yield from _dissipation_checks()
    yield from _stationary_checks()
    yield from _published_checks()
    yield from _noise_checks()
    yield from _energy_checks()
    yield from _decay_checks()
    yield from _step_checks()


_potential = lambda state, signals, changes: state.activity.potential


def _paired(found: np.ndarray, wanted: Any) -> np.ndarray:
    """As many of the eigenvalues `found` as are `wanted`, each beside its nearest."""
    distance = np.abs(np.asarray(wanted)[:, None] - found[None])
    return found[linear_sum_assignment(distance)[1]]


def _alone(
    network: RateNetwork, potential: Float[Array, " n"], weights: Float[Array, "n n"]
) -> tuple[System, State]:
    """A network whose synapses stand still."""
    silence = Constant(jnp.zeros_like(potential))
    return System(silence, network, {}), State(network.at(potential), weights)


# --- spectra ------------------------------------------------------------------------


@once
def _memories(count: int) -> tuple[Float[Array, "n n"], Complex[Array, " k"]]:
    """Weights that hold some random memories, and what their eigenvalues should be."""
    keys = jr.split(jr.fold_in(KEY, count), 3)
    planes = draw_planes("gaussian", count, 40, keys[0])
    rotation, expansion = (3 + jr.normal(k, (count,)) for k in keys[1:])
    basis, core = low_rank(planes, expansion, rotation)
    return basis @ core @ basis.T, theory.low_rank_eigenvalues(basis, core)


def _spectrum_checks() -> Iterator[Check]:
    for count in (1, 2, 5):
        weights, want = _memories(count)
        got = _paired(np.linalg.eigvals(weights), want)
        title = f"eigenvalues of {count} plane(s), not orthogonal"
        yield exact(title, "5.1", got, want, 1e-9)
    u, v, memory, want = _plane()
    leading = np.max(np.imag(np.linalg.eigvals(memory)))
    yield exact("eigenvalue of an imaginary memory", "5.1", leading, want)
    leading = np.linalg.eigvalsh(real_memory(u, 5.0))[-1]
    yield exact("eigenvalue of a real memory", "5.1", leading, 5 * np.vdot(u, u))
    yield from _slope_checks(u, v)
    title = "squared overlaps with a complete set of planes add up to 1"
    yield exact(title, "6, Fig. 3b", _overlap(), 1.0, 1e-12)


@once
def _plane() -> tuple[Array, ...]:
    """Two vectors, their imaginary memory, and the frequency that it should have."""
    u, v = draw_planes("gaussian", 1, 40, KEY)[0]
    return u, v, imaginary_memory(u, v, 5.0), theory.plane_frequency(u, v, 5.0)


@once
def _overlap() -> Scalar:
    """Sum of the squared overlaps of random weights with a complete set of planes."""
    bases = jnp.swapaxes(draw_planes("binary", 20, 40, KEY, orthonormal=True), 1, 2)
    return jnp.sum(measure.leading_overlaps(jr.normal(KEY, (40, 40)), bases) ** 2)


@together
def _slope_checks(u: Float[Array, " n"], v: Float[Array, " n"]) -> Iterator[Check]:
    weights, still = imaginary_memory(u, v, 5.0), jnp.zeros_like(u)
    want = theory.origin_jacobian(weights, 1.0)
    for transfer in (jnp.tanh, error_function, logistic):
        network = RateNetwork(transfer=transfer)
        got = jax.jacfwd(network.slope)(still, weights, still)
        yield exact(f"Jacobian at the origin, {transfer.__name__}", "5.1", got, want)
    leading = lambda weights: jnp.max(jnp.imag(jnp.linalg.eigvals(weights)))
    keys = jr.split(KEY)
    weights = weights + jr.normal(keys[0], (40, 40)) / 40**0.5
    direction = jr.normal(keys[1], (40, 40))
    slope = jnp.vdot(jax.grad(leading)(weights), direction)
    step = 1e-6 * direction
    secant = (leading(weights + step) - leading(weights - step)) / 2e-6
    yield exact("gradient of the memory's eigenvalue, secant", "7", slope, secant, 1e-7)


# --- what rules leave alone ---------------------------------------------------------


@together
def _symmetry_checks() -> Iterator[Check]:
    n, keys = 12, jr.split(KEY, 5)
    x, rate, early, late = (jr.normal(k, (n,)) for k in keys[:4])
    weights = jr.normal(keys[4], (n, n))
    step = jnp.asarray(0, jnp.int32)
    signals = RateSignals(jnp.asarray(0.1), rate, x, x / 2, early, late, step=step)
    hebb = AntisymmetricHebb()(weights, signals, KEY)
    yield exact("learning is anti-symmetric", "5.4", hebb, -hebb.T, 1e-15)
    change = Decorrelation(0.5, 1.0)(weights, signals, KEY)
    yield exact("decorrelation, c = 1, is symmetric", "5.4", change, change.T, 1e-15)
    signals = dataclasses.replace(signals, late_trace=early)
    pair = PairSTDP(1.0, 1.0)(weights, signals, KEY)
    yield exact("pair rule with equal windows", "4.5", pair, hebb, 1e-14)
    pair = PairSTDP(1.3, 0.7)(weights, signals, KEY)
    forward = jnp.outer(signals.dt * rate, early)
    leak = hebb + 0.3 * (forward + forward.T)
    yield exact("pair rule with unequal areas", "4.5", pair, leak, 1e-14)
    yield from _filter_checks(x)


def _filter_checks(x: Float[Array, " n"]) -> Iterator[Check]:
    for scale, published in ((0.05, 0.9005), (0.01, 0.5025)):
        rule, size = "decorrelation_literal", len(x)
        config = Config(filter_scale=scale, homeostasis=rule, size=size)
        system, state = _alone(network_of(config), x, jnp.zeros((size, size)))
        system = dataclasses.replace(system, task=Constant(x))  # holds x where it is
        final, _ = simulate(system, state, KEY, steps=20)
        gain = 1 - final.activity.average[0] / final.activity.potential[0]
        title = f"postsynaptic gain of the published filter, epsilon = {scale}"
        yield exact(title, "4.4", gain, theory.filter_gain(config))
        yield simulated(title + ", as printed", "4.4", gain, published, 1e-4)


# --- dissipation --------------------------------------------------------------------


@together
def _dissipation_checks() -> Iterator[Check]:
    config = Config(noise=0.0, homeostasis="dissipation", initial_gain=0.0, size=16)
    u, v = draw_planes("gaussian", 1, 16, KEY)[0]
    memories = {"real": real_memory(u, 5.0), "imaginary": imaginary_memory(u, v, 5.0)}
    plane, steps = jnp.stack(measure.plane_basis(u, v), axis=1), 10_000
    own = lambda weights: measure.memory_eigenvalue(weights, plane).value
    for name, memory in memories.items():
        system, state = build(config, KEY)
        state = embed(config, system, state, memory, KEY)
        final, _ = simulate(system, state, KEY, steps=steps)
        want = theory.decay_factor(config) ** steps * memory
        title = f"dissipation, {name} memory: weights after {steps} steps"
        yield exact(title, "5.2", final.synapses, want, 1e-10)
        share = jnp.abs(own(final.synapses) / own(memory))
        want = theory.mean_decay(config, jnp.asarray(steps * config.step))
        title = f"dissipation, {name} memory: eigenvalue after 1 / (eta beta)"
        yield simulated(title, "5.2", share, want, 1e-4)


def _stationary_checks() -> Iterator[Check]:
    moved = {}
    for step, wait in FORMS:
        config = dataclasses.replace(FAST, step=step, noise_every=wait)
        changes, want, _ = _moved(config)
        moved[step, wait] = np.asarray(changes)
        title = f"stationary variance of a weight, dt = {step}, noise every {wait}"
        got = np.mean(moved[step, wait] ** 2)
        yield simulated(title, "5.2", got, want, 0.03)
    short = dataclasses.replace(FAST, step=0.05, noise_every=1)
    values, size = np.linalg.eigvals(moved[0.05, 1]), short.size
    radius = np.sqrt(2 * size / (size + 1) * np.mean(np.abs(values) ** 2))
    want = theory.bulk_radius(short)
    yield simulated("radius of the bulk (circular law)", "5.2", radius, want, 0.05)


@together
def _published_checks() -> Iterator[Check]:
    published = Config(homeostasis="dissipation")
    radius = theory.bulk_radius(published)
    yield simulated("radius of the bulk, published", "5.2", radius, 0.0707, 1e-3)
    times = jnp.asarray([0.0, 500.0, 1500.0, 2500.0])
    seen = 5 * theory.mean_decay(published, times)
    want = jnp.asarray([5.0, 3.03, 1.12, 0.41])
    yield exact("published decay of a memory of 5", "6, Fig. 2", seen, want, 1e-3)


# --- noise --------------------------------------------------------------------------


def _changes(config: Config, networks: int) -> Float[Array, "run n n"]:
    """How far the weights of several networks have moved after `spin_up`."""
    steps = config.steps("spin_up")

    def change(key: Key[Array, ""]) -> Float[Array, "n n"]:
        system, state = build(config, key)
        final, _ = simulate(system, state, key, steps=steps)
        return final.synapses - state.synapses

    return jax.vmap(change)(jr.split(KEY, networks))


@once
def _moved(config: Config) -> tuple[Float[Array, "run n n"], Scalar, Scalar]:
    """Of eight networks, and the variances at rest and without restraint."""
    free = theory.weight_diffusion(config, jnp.asarray(config.spin_up))
    return _changes(config, 8), theory.stationary_variance(config), free


def _noise_checks() -> Iterator[Check]:
    free = eqx.tree_at(lambda config: config.homeostasis_gain, FAST, jnp.zeros(()))
    for step, wait in FORMS:
        config = dataclasses.replace(free, step=step, noise_every=wait)
        changes, _, want = _moved(config)
        spread = jnp.ravel(changes) ** 2
        title = f"variance of a weight without restraint, dt = {step}, every {wait}"
        yield expectation(title, "4.1, 5.4", spread, want)
    config = Config(plasticity=0.05, gain=1.0, homeostasis="decorrelation", size=16)
    config = dataclasses.replace(config, noise_every=1, spin_up=FAST.spin_up)
    walks, want = _walks(config)
    title = "variance of A under decorrelation, c = 1"
    yield expectation(title, "5.4", walks**2, want)


@once
def _walks(config: Config) -> tuple[Float[Array, " walk"], Scalar]:
    """How far the rotations in seven planes of 200 networks have moved, and the law."""
    planes = draw_planes("hadamard", 7, config.size, KEY)
    each = jax.vmap(jax.vmap(measure.rotation, (None, 0, 0)), (0, None, None))
    walks = each(_changes(config, 200), planes[:, 0], planes[:, 1]).ravel()
    return walks, theory.rotation_diffusion(config, jnp.asarray(config.spin_up))


# --- energy -------------------------------------------------------------------------


@together
def _energy_checks() -> Iterator[Check]:
    keys = jr.split(KEY)
    x, weights = 3 * jr.normal(keys[0], (20,)), jr.normal(keys[1], (20, 20))
    got, want = theory.energy(jnp.tanh, x), theory.tanh_energy(x)
    yield exact("energy of tanh by quadrature", "5.3", got, want)
    got, want = theory.energy(jnp.sign, x), jnp.sum(jnp.abs(x))
    yield exact("energy of a step", "5.3", got, want)
    for transfer in (jnp.tanh, error_function):
        network, name = RateNetwork(transfer=transfer), transfer.__name__
        gradient = jax.grad(lambda x, f=transfer: theory.energy(f, x))(x)
        yield exact(f"slope of the energy, {name}", "5.3", gradient, transfer(x))
        flow = network.slope(x, weights, jnp.zeros_like(x))
        want = theory.energy_slope(transfer, weights, x)
        got = gradient @ flow
        yield exact(f"energy along the flow, {name}", "5.3", got, want, 1e-11)


@together
def _decay_checks() -> Iterator[Check]:
    start = 2 * jr.normal(KEY, (16,))
    u, v = draw_planes("gaussian", 1, 16, KEY, orthonormal=True)[0]
    growth = 0.9 * (real_memory(u, 1.0) + real_memory(v, 1.0))
    times = jnp.arange(1, 51) / 10
    low, high = theory.energy_bounds(times)
    options = {"steps": 500, "every": 10, "record": _potential}

    def energies(weights: Float[Array, "n n"]) -> Array:
        system, state = _alone(RateNetwork(0.01), start, weights)
        path = simulate(system, state, KEY, **options)[1]
        return jax.vmap(theory.tanh_energy)(path)

    strengths = (1.0, 5.0, 20.0)
    memories = jnp.stack([imaginary_memory(u, v, x) for x in strengths])
    paths = jax.vmap(energies)(jnp.concatenate([memories, memories + growth[None]]))
    for i, strength in enumerate(strengths):
        share = paths[i] / theory.tanh_energy(start)
        inside = jnp.mean((low <= share) & (share <= high))
        title = f"bounds of the energy, imaginary memory of {strength:g}"
        yield always(title, "5.3", inside)
        falls = jnp.mean(jnp.diff(paths[i + 3]) < 0)
        title = f"energy falls if W_S is below 1, imaginary memory of {strength:g}"
        yield always(title, "5.3", falls)
    network = RateNetwork(0.001, transfer=jnp.sign)
    system, state = _alone(network, start, imaginary_memory(u, v, 4.0))
    final, _ = simulate(system, state, KEY, steps=1000)
    got = jnp.sum(jnp.abs(final.activity.potential)) / jnp.sum(jnp.abs(start))
    yield simulated("energy of a step network", "5.3", got, jnp.exp(-1.0), 0.02)


# --- steps that are too long --------------------------------------------------------


def _step_checks() -> Iterator[Check]:
    for integrator in ("euler", "rk4"):
        slope, want = _one_step(integrator)
        got = _paired(np.linalg.eigvals(slope), np.atleast_1d(want))
        yield exact(f"one step of {integrator} at the origin", "5.5d", got, want)
    yield from _threshold_checks()
    yield from _artefact_checks()


@once
def _one_step(integrator: str) -> tuple[Float[Array, "n n"], Complex[Array, ""]]:
    """The slope of a step at the origin, and what it makes of the memory's mode."""
    u, v = draw_planes("gaussian", 1, 16, KEY, orthonormal=True)[0]
    weights, still = imaginary_memory(u, v, 5.0), jnp.zeros(16)
    network = RateNetwork(0.1, integrator=integrator)
    step = lambda x: network(network.at(x), weights, still, KEY)[0].potential
    mode = amplification(jnp.asarray(-1 + 5j), 0.1, integrator)
    return jax.jacfwd(step)(still), mode


@together
def _threshold_checks() -> Iterator[Check]:
    limit = cycles.euler_threshold(jnp.asarray(0.1))
    yield simulated("strength that Euler sustains, dt = 0.1", "7.2", limit, 4.359, 1e-4)
    edge = amplification(jax.lax.complex(-1.0, limit), 0.1, "euler")
    yield exact("Euler neither damps nor amplifies it", "5.5d", jnp.abs(edge), 1.0)


@once
def _radius(network: RateNetwork, strength: float, size: int, steps: int) -> Array:
    """How far activity that starts at 1 in a plane is from the origin, on average.

    Over the last tenth of the run.
    """
    u, v = draw_planes("gaussian", 1, size, KEY, orthonormal=True)[0]
    weights = imaginary_memory(u, v, strength)
    system, state = _alone(network, size**0.5 * u, weights)
    path = simulate(system, state, KEY, steps=steps, record=_potential)[1]
    radius = jax.vmap(lambda x: measure.plane_activity(x, u, v).radius)
    return jnp.mean(radius(path[-(steps // 10) :]))


def _artefact_checks() -> Iterator[Check]:
    for dt in (0.01, 0.0025):
        network = RateNetwork(dt, transfer=jnp.sign, integrator="euler")
        got, want = _radius(network, 4.0, 512, 3000), cycles.euler_radius(4.0, dt)
        title = f"Euler's spurious cycle of a step network, dt = {dt}"
        yield simulated(title, "5.5d", got, want, 0.06)
    alive = _radius(RateNetwork(0.1, integrator="euler"), 5.0, 16, 200)
    yield always("Euler, dt = 0.1, sustains a memory of 5", "5.5d", alive > 0.1)
    dead = _radius(RateNetwork(0.1), 5.0, 16, 200)
    yield always("RK4 does not", "5.5d", dead < 1e-3)
