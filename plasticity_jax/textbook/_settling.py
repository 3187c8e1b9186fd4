"""Layers that settle before they learn, against gradients and closed forms."""

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import scipy.stats
from jaxtyping import Array

from ..circuits import EquilibriumNetwork, linear, PredictiveNetwork
from ..experiment import Check, exact
from ..rules import EquilibriumPropagation, PredictiveCoding
from ._feedback import deep, downhill, flat, moved, same, Weights
from ._numbers import KEY, uniform


NUDGES = (0.1, 0.05, 0.025)


def settling_checks() -> Iterator[Check]:
    """Predictive coding and equilibrium propagation."""
    yield from _predictive_limits()
    yield from _predictive_roads()
    yield from _chain()
    yield from _equilibrium()


def _pair() -> tuple[Weights, dict[str, Array]]:
    weights = 0.7 * uniform((3, 3), 13), 0.7 * uniform((2, 3), 14)
    return weights, {"pre": uniform((3,), 20), "target": uniform((2,), 21)}


def _errors(shown: Any, weights: Weights, **more: Any) -> Weights:
    """Errors that predictive coding settles at."""
    network = PredictiveNetwork(**{"steps": 800, **more})
    return network(None, weights, shown, KEY)[1].errors


def _away(found: Array, want: Array) -> Array:
    """Relative distance."""
    return jnp.linalg.norm(found - want) / jnp.linalg.norm(want)


def _predictive_limits() -> Iterator[Check]:
    weights, shown = _pair()
    first, last = weights
    missed = {
        "linear": shown["target"] - last @ first @ shown["pre"],
        "tanh": shown["target"] - last @ jnp.tanh(first @ shown["pre"]),
    }
    slope = {"linear": 1.0, "tanh": 1 - jnp.tanh(first @ shown["pre"]) ** 2}
    transfers = {"linear": linear, "tanh": jnp.tanh}
    printed = {
        "linear": (0.06776, 0.03507, 0.01785),
        "tanh": (0.05689, 0.02908, 0.01470),
    }
    clamped = {"linear": (0.420885,) * 3, "tanh": (0.384, 0.354, 0.354)}
    for kind, transfer in transfers.items():

        def deviation(
            nudge: Any, scale: Any, kind: str = kind, transfer: Any = transfer
        ) -> Array:
            error = scale * missed[kind]
            target = shown["target"] - missed[kind] + error
            told = {**shown, "target": target}
            found = _errors(told, weights, nudge=nudge, transfer=transfer)[0]
            return _away(found / nudge, slope[kind] * (last.T @ error))

        nudges, scales = jnp.asarray(NUDGES), 0.1 ** jnp.arange(3.0)
        found = jax.vmap(deviation, (0, None))(nudges, 1.0)
        name = f"predictive coding: distance to the gradient, {kind}"
        source = "Whittington & Bogacz 2017; NumPy"
        yield exact(name, source, found, np.asarray(printed[kind]), 1e-4)
        if kind == "tanh":
            orders, want = jnp.log2(found[:-1] / found[1:]), np.asarray([0.97, 0.98])
            name = "predictive coding: order of the distance, tanh"
            yield exact(name, "first in the nudge; NumPy", orders, want, 6e-3)
        found = jax.vmap(deviation, (None, 0))(1.0, scales)
        name = f"predictive coding: clamped, however small the error, {kind}"
        want, source = np.asarray(clamped[kind]), "Rosenbaum 2022; NumPy"
        yield exact(name, source, found, want, 2e-6 if kind == "linear" else 2e-3)
    square, back = last @ last.T, last.T @ missed["linear"]
    small = lambda nudge: _errors(shown, weights, nudge=nudge, transfer=linear)[0]
    slopes = [_away(small(nudge) / nudge, back) / nudge for nudge in (1e-4, 2e-4)]
    want = jnp.linalg.norm(last.T @ square @ missed["linear"]) / jnp.linalg.norm(back)
    found, name = 2 * slopes[0] - slopes[1], "predictive coding: slope at no nudge"
    yield exact(name, "|W' A e| / |W' e|", found, want, 1e-6)


def _predictive_roads() -> Iterator[Check]:
    weights, shown = deep()
    count = len(weights)
    # Linear: the closed form of a chain.
    downs = [jnp.eye(2)]
    for w in weights[:0:-1]:
        downs.insert(0, w.T @ downs[0])
    square = sum(down.T @ down for down in downs[:-1])
    output = shown["pre"]
    for w in weights:
        output = w @ output
    missed = shown["target"] - output
    found = _errors(shown, weights, nudge=0.3, transfer=linear, step=0.3)
    top = 0.3 * jnp.linalg.solve(jnp.eye(2) + 0.3 * square, missed)
    want = tuple(down @ top for down in downs)
    yield same("predictive coding: errors of a chain", "closed form", found, want)
    found = _errors(shown, weights, transfer=linear)
    energy = jnp.sum(flat(found) ** 2) / 2
    want = missed @ jnp.linalg.solve(jnp.eye(2) + square, missed) / 2
    yield exact(
        "predictive coding: least energy of a chain", "closed form", energy, want
    )
    two, other = _pair()
    energy = jnp.sum(flat(_errors(other, two, transfer=linear)) ** 2) / 2
    name = "predictive coding: least energy at given numbers"
    yield exact(name, "NumPy", energy, 0.360358, 2e-6)
    # The rule: down the energy of the settled states.
    network = PredictiveNetwork(0.4, steps=300, dt=0.5)
    states = network(None, weights, shown, KEY)[1].states

    def energy_of(weights: Weights) -> Array:
        inputs = shown["pre"], *map(jnp.tanh, states)
        guesses = [w @ x for w, x in zip(weights, inputs, strict=True)]
        pairs = zip(states, guesses[:-1], strict=True)
        below = sum(jnp.sum((x - guess) ** 2) for x, guess in pairs)
        return (below + 0.4 * jnp.sum((shown["target"] - guesses[-1]) ** 2)) / 2

    found = moved(PredictiveCoding(2.0), network, weights, shown)
    want = jax.tree.map(jnp.negative, jax.grad(energy_of)(weights))
    yield same("predictive coding: change, down the energy", "autodiff", found, want)
    told = {**shown, "target": uniform((4,), 22)}
    found = moved(PredictiveCoding(2.0), network, weights[:1], told)
    alone = jnp.outer(told["target"] - weights[0] @ told["pre"], 0.4 * told["pre"])
    name = "predictive coding: one layer alone, the delta rule"
    yield exact(name, "Widrow & Hoff 1960", found[0], alone)
    # Exact backpropagation, by time and with predictions held.
    truth = downhill(weights, shown, jnp.tanh)
    timed = PredictiveNetwork(step=1.0, inference="timed")
    found = moved(PredictiveCoding(1.0), timed, weights, shown)
    name = "predictive coding: timed, the gradient"
    yield same(name, "Song et al. 2020", found, truth)
    slow = PredictiveNetwork(step=0.5, inference="timed")
    found = moved(PredictiveCoding(1.0), slow, weights, shown)
    name = "predictive coding: timed in halves, below the top"
    yield exact(name, "half the gradient", found[-2], truth[-2] / 2)
    fixed = PredictiveNetwork(step=0.3, steps=7, inference="fixed")
    found = moved(PredictiveCoding(1.0), fixed, weights, shown)
    shares = scipy.stats.binom.sf(np.arange(count - 1, -1, -1) - 1, 7, 0.3)
    want = tuple(float(p) * g for p, g in zip(shares, truth, strict=True))
    name = "predictive coding: held predictions, after 7 moves"
    yield same(name, "P[Bin(k, gamma) >= L - l]", found, want)


def _settle(nudge: Any, transfer: Any, phases: str = "free") -> EquilibriumNetwork:
    return EquilibriumNetwork(nudge, 0.5, transfer, 0.5, 400, 400, phases)


def _chain() -> Iterator[Check]:
    """Two linear neurons in a row."""
    first, second, nudge = 0.5, 0.6, 0.1
    weights = jnp.full((1, 1), first), jnp.full((1, 1), second)
    shown, rule = {"pre": jnp.ones(1), "target": jnp.ones(1)}, EquilibriumPropagation(2)
    stiff = 1 - second**2
    network = _settle(nudge, linear)
    signals = network(None, weights, shown, KEY)[1]
    want = first * second / stiff, (first * second + nudge) / (stiff + nudge)
    found = signals.reference[-1][0], signals.nudged[-1][0]
    source = "Scellier & Bengio 2017"
    name = "equilibrium: output, free and nudged"
    yield exact(name, source, np.stack(found), np.asarray(want))
    wants = {
        "free": (0.430743, 0.793698, stiff / (stiff + nudge)),
        "symmetric": (0.510511, 0.890455, stiff**2 / (stiff**2 - nudge**2)),
    }
    for phases, (*both, share) in wants.items():
        found = moved(rule, _settle(nudge, linear, phases), weights, shown)
        name = f"equilibrium: a linear chain, {phases}"
        yield exact(name, "NumPy", flat(found), np.asarray(both), 2e-6)
        gradient = second * (1 - want[0]) / stiff
        name = f"equilibrium: share of the gradient, {phases}"
        yield exact(name, "closed form", found[0][0, 0] / gradient, share)
    random = _settle(nudge, linear, "random")
    signals = jax.vmap(lambda key: random(None, weights, shown, key)[1])(
        jr.split(KEY, 8)
    )
    each = jax.vmap(lambda one: flat(rule(weights, one, KEY)))(signals)
    up = signals.contrast > 0
    found, want = (each[up][0] + each[~up][0]) / 2, np.asarray(wants["symmetric"][:2])
    yield exact("equilibrium: mean of both signs", "symmetric", found, want, 2e-6)


def _equilibrium() -> Iterator[Check]:
    """Tanh, against implicit differentiation of the settled cost."""
    weights = 0.6 * uniform((3, 2), 14), 0.5 * uniform((1, 3), 15)
    shown = {"pre": uniform((2,), 16), "target": 0.8 * uniform((1,), 17)}
    free = _settle(0.1, jnp.tanh)(None, weights, shown, KEY)[1].states

    def slope(states: Array, weights: Weights) -> Array:
        """What the energy's descent follows, written out."""
        hidden, output = states[:3], states[3:]
        up, back = jnp.tanh(hidden), jnp.tanh(output)
        drive = weights[0] @ shown["pre"] + weights[1].T @ back
        return jnp.concatenate(
            [hidden - (1 - up**2) * drive, output - (1 - back**2) * (weights[1] @ up)]
        )

    states = jnp.concatenate(free)
    rest = jnp.zeros(4)
    yield exact("equilibrium: at rest", "descent", 1 + slope(states, weights), 1 + rest)
    pull = rest.at[3].set(states[3] - shown["target"][0])
    stiffness = jax.jit(jax.jacobian(slope))(states, weights)
    adjoint = jnp.linalg.solve(stiffness.T, pull)
    want = jax.jit(jax.grad(lambda w: slope(states, w) @ adjoint))(weights)
    printed = {
        "free": ((0.1125, 0.0590, 0.0302), (0.93, 0.96)),
        "symmetric": ((0.01330, 0.00333, 0.000832), (2.0, 2.0)),
    }
    for phases, (sizes, orders) in printed.items():
        rule = EquilibriumPropagation(2.0)

        def distance(nudge: Array, rule: Any = rule, phases: str = phases) -> Array:
            network = _settle(nudge, jnp.tanh, phases)
            return _away(flat(moved(rule, network, weights, shown)), flat(want))

        away = jax.vmap(distance)(jnp.asarray(NUDGES))
        name = f"equilibrium: distance to the gradient, {phases}"
        yield exact(name, "implicit; NumPy", away, np.asarray(sizes), 6e-4)
        order = jnp.log2(away[:-1] / away[1:])
        name = f"equilibrium: order of the distance, {phases}"
        yield exact(name, "implicit; NumPy", order, np.asarray(orders), 6e-3)
