"""Rules of several layers against gradients, closed forms and printed numbers."""

import itertools
from collections.abc import Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from .. import AbstractCircuit, AbstractRule, simulate, System
from ..circuits import LayeredNetwork, linear, RecurrentLayer
from ..experiment import always, Check, exact
from ..numerics import tree_angle
from ..rules import Backpropagation, FeedbackAlignment, Hebb, KolenPollack
from ..synapses import Reciprocal
from ..tasks import Constant
from ._numbers import KEY, uniform


Weights = tuple[Array, ...]


def feedback_checks() -> Iterator[Check]:
    """Backpropagation and what stands for it; recurrence."""
    yield from _gradients()
    yield from _alignment()
    yield from _kolen_pollack()
    yield from _recurrent()


@eqx.filter_jit
def moved(
    rule: AbstractRule, circuit: AbstractCircuit, weights: Any, shown: dict[str, Array]
) -> Any:
    """One change, from the start."""
    activity = circuit.start(weights, shown)
    return rule(weights, circuit(activity, weights, shown, KEY)[1], KEY)


def deep(seed: int = 1) -> tuple[Weights, dict[str, Array]]:
    """Four layers of neurons, an input and a target."""
    sizes = (3, 4, 3, 4, 2)
    weights = tuple(
        0.7 * uniform((post, pre), seed + i)
        for i, (pre, post) in enumerate(itertools.pairwise(sizes))
    )
    return weights, {"pre": uniform((3,), 20), "target": uniform((2,), 21)}


def downhill(
    weights: Weights, shown: dict[str, Array], transfer: Any, output: Any = linear
) -> Weights:
    """Minus the gradient of half the squared error, by autodiff."""

    def loss(weights: Weights) -> Array:
        y = shown["pre"]
        for w in weights[:-1]:
            y = transfer(w @ y)
        return jnp.sum((shown["target"] - output(weights[-1] @ y)) ** 2) / 2

    return jax.tree.map(jnp.negative, jax.grad(loss)(weights))


def flat(tree: Any) -> Array:
    """All numbers of a tree in a row."""
    return jnp.concatenate([jnp.ravel(x) for x in jax.tree.leaves(tree)])


def same(name: str, source: str, got: Any, want: Any, within: float = 1e-10) -> Check:
    """`exact` of whole trees."""
    return exact(name, source, flat(got), flat(want), within)


def _gradients() -> Iterator[Check]:
    weights, shown = deep()
    curved, straight = LayeredNetwork(output=jnp.tanh, dt=0.5), LayeredNetwork(linear)
    want = downhill(weights, shown, jnp.tanh, jnp.tanh)
    found = moved(Backpropagation(2.0), curved, weights, shown)
    yield same("backpropagation: the gradient", "autodiff", found, want)
    transposed = tuple(w.T for w in weights[1:])
    found = moved(FeedbackAlignment(transposed, 2.0), curved, weights, shown)
    name = "feedback alignment: through transposed weights the gradient"
    yield same(name, "autodiff", found, want)
    product, down = [], jnp.eye(2)
    for w in weights[:0:-1]:
        down = w.T @ down
        product.insert(0, down)
    rule = FeedbackAlignment(tuple(product), 1.0, direct=True)
    found = moved(rule, straight, weights, shown)
    want = downhill(weights, shown, linear)
    name = "direct feedback: through products of weights the gradient"
    yield same(name, "autodiff, linear", found, want)
    two, back = (weights[0], uniform((2, 4), 9)), (uniform((4, 2), 10),)
    direct = moved(FeedbackAlignment(back, 1.0, direct=True), curved, two, shown)
    found = moved(FeedbackAlignment(back, 1.0), curved, two, shown)
    name = "direct feedback: one hidden layer is feedback alignment"
    yield same(name, "Nøkland 2016", direct, found)


def _small() -> tuple[Weights, Array, dict[str, Array]]:
    """Two layers, feedback, and five examples of what another matrix does."""
    weights = 0.3 * uniform((3, 4), 12), 0.3 * uniform((2, 3), 13)
    inputs = uniform((4, 5), 15)
    targets = uniform((2, 4), 16) @ inputs
    return weights, uniform((3, 2), 14), {"pre": inputs.T, "target": targets.T}


def _mean(rule: AbstractRule, circuit: Any, weights: Any, shown: Any) -> Any:
    """The mean change over examples."""
    each = jax.vmap(lambda one: moved(rule, circuit, weights, one))(shown)
    return jax.tree.map(lambda x: jnp.mean(x, axis=0), each)


def _angle(a: Array, b: Array) -> Array:
    """In degrees."""
    return jnp.degrees(tree_angle(a, b))


def _course(rule: AbstractRule, circuit: Any, start: Any, shown: Any) -> Any:
    """Weights before each of 401 steps along the mean change."""

    def step(weights: Any, _: None) -> tuple[Any, Any]:
        change = _mean(rule, circuit, weights, shown)
        return jax.tree.map(jnp.add, weights, change), weights

    return jax.lax.scan(step, start, length=401)[1]


def _alignment() -> Iterator[Check]:
    weights, back, shown = _small()
    rule, network = FeedbackAlignment((back,), 0.05), LayeredNetwork(linear)
    first, second = _course(rule, network, weights, shown)
    steps = np.asarray([0, 40, 200, 400])
    angles = jax.vmap(lambda w: _angle(w, back.T))(second)
    source = "Lillicrap et al. 2016; NumPy"
    want = np.asarray([44.07, 22.94, 26.92, 30.44])
    name = "feedback alignment: angle of weights to feedback"
    yield exact(name, source, angles[steps], want, 2e-4)

    def turned(first: Array, second: Array) -> Array:
        found = _mean(rule, network, (first, second), shown)[0]
        true = _mean(Backpropagation(), network, (first, second), shown)[0]
        return _angle(found, true)

    changes = jax.vmap(turned)(first, second)
    want = np.asarray([45.32, 23.81, 20.54, 26.70])
    name = "feedback alignment: angle of changes to the gradient"
    yield exact(name, source, changes[steps], want, 2e-4)
    below = jnp.mean((angles < 90) & (changes < 90))
    yield always("feedback alignment: angles below 90 degrees", "400 steps", below)
    lower, upper = jnp.diff(first, axis=0), back @ jnp.diff(second, axis=0)
    square = first @ jnp.swapaxes(first, 1, 2)
    found = jnp.diff(square, axis=0) - upper - jnp.swapaxes(upper, 1, 2)
    want = lower @ jnp.swapaxes(lower, 1, 2)
    name = "feedback alignment: what the flow conserves, each step"
    yield exact(name, "W1 W1' - B W2 - (B W2)'", found, want)


def _kolen_pollack() -> Iterator[Check]:
    weights, back, shown = _small()
    start, rule = Reciprocal(weights, (back,)), KolenPollack(0.1, 0.04)
    course = _course(rule, LayeredNetwork(dt=0.5), start, shown)
    apart = course.forward[1] - jnp.swapaxes(course.feedback[0], 1, 2)
    decay = 0.98 ** jnp.arange(401)[:, None, None]
    name = "Kolen-Pollack: weights less feedback"
    yield exact(name, "(1 - lambda)^k", apart / decay, apart[:1] + 0 * apart)
    angles = jax.vmap(lambda w, b: _angle(w, b.T))(
        course.forward[1], course.feedback[0]
    )
    for step, want in ((0, 44.07), (40, 19.24), (200, 0.850), (400, 0.0276)):
        name = f"Kolen-Pollack: angle of weights to feedback, step {step}"
        source = "Akrout et al. 2019; NumPy"
        yield exact(name, source, angles[step], want, 1e-3)


def _recurrent() -> Iterator[Check]:
    weights, others = 0.4 * uniform((3, 3), 5), uniform((3, 2), 6)
    start, shown, back = uniform((3,), 7), uniform((2,), 8), jnp.eye(3) - weights
    for name, layer, synapses in (
        ("recurrent", RecurrentLayer(inputs=others), weights),
        ("input", RecurrentLayer(recurrent=weights), others),
    ):
        system = System(Constant(shown), layer, {})
        state = system.start(synapses, KEY)
        end, _ = simulate(system, state, KEY, steps=200, every=200)
        want = jnp.linalg.solve(back, others @ shown)
        name = f"recurrent layer: where it settles, {name} synapses"
        yield exact(name, "(I - W)^-1 V x", end.activity, want)
    layer = RecurrentLayer(jnp.tanh, 0.5)
    _, signals = layer(start, weights, start[::-1], KEY)
    want = jnp.outer(jnp.tanh(weights @ start + start[::-1]), start)
    found = Hebb(2.0)(weights, signals, KEY)
    yield exact("recurrent layer: Hebb pairs after with before", "y x'", found, want)
