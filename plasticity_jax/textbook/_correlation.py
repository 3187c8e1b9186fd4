"""Rules of correlation against their averaged flows."""

from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Int, Key

from .. import AbstractTask, advance, simulate, State, System
from ..circuits import Layer
from ..experiment import always, Check, exact, expectation
from ..rules import BCM, Covariance, Hebb, Oja, Sanger
from ..tasks import Constant
from ._numbers import drift, inputs_of, KEY, orthogonal, rates_at, uniform


EIGENVALUES = (3.0, 2.0, 1.0, 0.5, 0.25)
SHARES = (0.5, 0.3, 0.2)  # probabilities of three orthogonal patterns


def correlation_checks() -> Iterator[Check]:
    """Hebb, covariance, Oja, Sanger and BCM."""
    inputs, weights = uniform((6, 3), 1) + jnp.linspace(0.5, 1.0, 3), uniform((2, 3), 2)
    yield from _hebb(inputs, weights)
    yield from _covariance(inputs, weights)
    yield from _oja()
    yield from _sanger()
    yield from _bcm(inputs, weights[:1])
    yield from _bcm_limit()


def _hebb(inputs: Array, weights: Array) -> Iterator[Check]:
    moment = inputs.T @ inputs / 6
    found = drift(Hebb(1.0), weights, inputs)
    yield exact("Hebb: mean drift", "W C", found, weights @ moment)
    size = jnp.linalg.norm(found)
    yield exact("Hebb: its size at given numbers", "NumPy", size, 1.29397, 1e-5)
    row = weights[:1]
    for _ in range(20):
        row = row + drift(Hebb(0.1), row, inputs)
    values, vectors = jnp.linalg.eigh(moment)
    grown = jnp.sum((1 + 0.1 * values) ** 40 * (weights[0] @ vectors) ** 2)
    found = jnp.sum(row**2)
    yield exact("Hebb: growth along eigenvectors", "(1 + eta C)^k", found, grown)


class _Gaussian(AbstractTask):
    """Correlated normal inputs with a mean of 1."""

    root: Array

    def __call__(self, step: Int[Array, ""], key: Key[Array, ""]) -> Array:
        del step
        return 1 + self.root @ jr.normal(key, self.root.shape[:1])


def _covariance(inputs: Array, weights: Array) -> Iterator[Check]:
    mean = jnp.mean(inputs, axis=0)
    away = inputs - mean
    found = drift(Covariance(1.0), weights, inputs, {"mean": (weights @ mean, mean)})
    want = weights @ (away.T @ away) / 6
    yield exact("covariance: mean drift", "Sejnowski 1977", found, want)
    # With running means it is 2 / (2 - a) times that; a rate of 1e-9 moves no weight.
    task, rate, time = _Gaussian(uniform((3, 3), 3)), 1e-9, -1 / jnp.log(0.9)
    system = System(task, Layer(), {"it": Covariance(rate, time)})
    still = jnp.eye(3)[:1]

    def sample(key: Array) -> Array:
        before, _ = simulate(
            system, system.start(still, key), key, steps=100, every=100
        )
        after, _ = simulate(system, before, key, steps=400, every=400)
        return (after.synapses - before.synapses)[0, 0] / rate / 400

    samples = jax.vmap(sample)(jr.split(KEY, 400))
    want = 2 / 1.9 * (task.root @ task.root.T)[0, 0]
    name = "covariance: drift with running means, read before they move"
    yield expectation(name, "2 / (2 - a)", samples, want)


def _flow(
    field: Callable[[Array], Array], start: Array, time: float, steps: int
) -> Array:
    """By Runge and Kutta's fourth order."""
    h = time / steps

    def step(w: Array, _: None) -> tuple[Array, None]:
        first = field(w)
        second = field(w + h / 2 * first)
        third = field(w + h / 2 * second)
        last = field(w + h * third)
        return w + h / 6 * (first + 2 * second + 2 * third + last), None

    return jax.lax.scan(step, start, length=steps)[0]


def _oja() -> Iterator[Check]:
    order, turn = jnp.asarray(EIGENVALUES), orthogonal(5, 4)
    moment = turn * order @ turn.T
    inputs, start = inputs_of(moment), 0.4 * uniform((5,), 5)
    field = lambda w: drift(Oja(1.0), w[None], inputs)[0]
    want = moment @ start - (start @ moment @ start) * start
    yield exact("Oja: mean drift", "C w - (w C w) w", field(start), want)
    grown = turn @ (jnp.exp(2 * order) * (turn.T @ start))
    want = grown / jnp.sqrt(1 - start @ start + grown @ grown)
    found = _flow(field, start, 2.0, 400)
    yield exact("Oja: along the averaged flow", "closed form", found, want, 1e-8)
    found = rates_at(lambda w: w + 0.05 * field(w), turn[:, 0])
    want = 1 - 0.05 * jnp.asarray([6.0, 2.75, 2.5, 2.0, 1.0])
    yield exact("Oja: convergence by the eigenvalue gap", "Oja 1982", found, want)


def _sanger() -> Iterator[Check]:
    order, turn = jnp.asarray(EIGENVALUES), orthogonal(5, 4)
    inputs, leading = inputs_of(turn * order @ turn.T), turn[:, :2].T
    flow = lambda w: drift(Sanger(1.0), w, inputs)
    found = leading + flow(leading)
    yield exact("Sanger: leading eigenvectors stay", "Sanger 1989", found, leading)
    want = [
        [-2 * order[i], *[-order[i]] * i, *order[i + 1 :] - order[i]] for i in (0, 1)
    ]
    want = jnp.sort(jnp.asarray([*want[0], *want[1]]))
    found = rates_at(flow, leading)
    yield exact("Sanger: all rates of convergence", "Jacobian", found, want)
    start, rule = 0.3 * uniform((2, 5), 7), Sanger(1.0, subspace=True)
    end = _flow(lambda w: drift(rule, w, inputs), start, 2.0, 400)
    grown = start @ (turn * jnp.exp(2 * order) @ turn.T)
    twice = turn * jnp.expm1(4 * order) @ turn.T
    want = grown.T @ jnp.linalg.solve(jnp.eye(2) + start @ twice @ start.T, grown)
    name = "subspace: projector along the averaged flow"
    yield exact(name, "Yan, Helmke & Moore 1994", end.T @ end, want, 1e-7)


def _bcm(inputs: Array, weights: Array) -> Iterator[Check]:
    def energy(weights: Array) -> Array:
        y = inputs @ weights[0]
        return -(jnp.mean(y**3) / 3 - jnp.mean(y**2) ** 2 / 4)

    square = jnp.mean((inputs @ weights[0]) ** 2)[None]
    found = drift(BCM(1.0), weights, inputs, {"threshold": square})
    want = -jax.grad(energy)(weights)
    yield exact("BCM: drift is a gradient", "Intrator & Cooper 1992", found, want)
    shares, patterns = jnp.asarray(SHARES), jnp.eye(3)

    def flow(w: Array) -> Array:
        traces = {"threshold": (shares @ w[0] ** 2)[None]}
        each = [drift(BCM(1.0), w, x[None], traces) for x in patterns]
        return jnp.tensordot(shares, jnp.stack(each), 1)

    fixed = jnp.asarray([[0.0, 1 / SHARES[1], 0.0]])  # it selects the second of three
    found = fixed + flow(fixed)
    yield exact("BCM: selects a pattern", "y = threshold = 1 / p", found, fixed)
    want = jnp.sort(-shares / shares[1])
    yield exact("BCM: and stays", "- p_i / p_k", rates_at(flow, fixed), want)
    pair = jnp.asarray([[1.25, 1.25, 0.0]])
    unstable = bool(rates_at(flow, pair)[-1] > 0)
    yield always("BCM: two patterns are not stable", "Jacobian", unstable)


def _bcm_limit() -> Iterator[Check]:
    """The threshold must move faster than the weights: A < b / (1 + b)."""
    share = 0.05  # b, the threshold's step
    time = -1 / jnp.log1p(-share)

    def radius(rate: float) -> Array:
        rule = BCM(rate, time, first=1.0)
        system = System(Constant(jnp.ones(1)), Layer(), {"it": rule})
        state = system.start(jnp.ones((1, 1)), KEY)

        def step(pair: Array) -> Array:
            traces = {"it": {"threshold": pair[1:]}}
            here = State(None, pair[:1, None], state.step, traces)
            end = advance(system, here, KEY)[0]
            return jnp.stack([end.synapses[0, 0], end.traces["it"]["threshold"][0]])

        matrix = jax.jacobian(step)(jnp.ones(2))
        return jnp.max(jnp.abs(jnp.linalg.eigvals(matrix)))

    limit = share / (1 + share)
    found = radius(limit)
    yield exact("BCM: growth at the threshold's limit", "b / (1 + b)", found, 1.0)
    split = bool(radius(0.99 * limit) < 1) and bool(radius(1.01 * limit) > 1)
    yield always("BCM: stable below it, unstable above", "Hopf bifurcation", split)
