"""How much of the change of synapses is due to what."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key, PyTree

from .._arguments import concrete, shape_of, whole
from .._interfaces import advance, Scalar, State, Synapses, System
from .._random import unrolled
from ..numerics import tree_norm, tree_size


Changes = Mapping[str, Synapses]


class Shares(NamedTuple):
    """Root mean squares over synapses: of the spontaneous change, and of the rest.

    >>> found = change_shares({"noise": jnp.ones(4), "hebb": jnp.full(4, 3.0)})
    >>> print(found.spontaneous, found.dependent)
    1.0 3.0
    """

    spontaneous: Scalar
    dependent: Scalar


def change_shares(changes: Changes, spontaneous: Sequence[str] = ("noise",)) -> Shares:
    """The rms over synapses of the named changes together, and of all others.

    `changes` by rule are those of one step, which gives instantaneous shares, or
    summed over a window (`integrated_changes`). Changes of one kind are added before
    the square is taken, so what homeostasis undoes of learning does not count. Raises
    `ValueError` for a name that is not among the changes, and for changes that are not
    shaped alike.

    >>> up, down = jnp.ones(4), -jnp.ones(4)
    >>> found = change_shares({"noise": up, "hebb": up, "decay": down})
    >>> print(found.spontaneous, found.dependent)
    1.0 0.0
    """
    if isinstance(spontaneous, str):
        raise ValueError(f"`spontaneous` must be names, such as ('{spontaneous}',).")
    if missing := set(spontaneous) - set(changes):
        raise ValueError(
            f"`spontaneous` names {sorted(missing)}; the changes are those of "
            f"{sorted(changes)}."
        )
    shapes = {name: shape_of(change) for name, change in changes.items()}
    if len(set(shapes.values())) > 1:
        raise ValueError(f"`changes` must be shaped alike; got {shapes}.")
    own = [change for name, change in changes.items() if name in spontaneous]
    rest = [change for name, change in changes.items() if name not in spontaneous]
    return Shares(_rms(own), _rms(rest))


def integrated_changes(
    system: System, state: State, key: Key[Array, ""], *, steps: int
) -> tuple[State, dict[str, Synapses]]:
    """The state after `steps` steps, and what each rule has changed on the way.

    The same bits as `simulate` with this key. Without projections the changes add up
    to the difference of the synapses. Raises `ValueError` as `simulate` does.

    >>> task = tasks.Constant(jnp.ones(3))
    >>> system = System(task, circuits.Layer(), {"hebb": rules.Hebb(0.5)})
    >>> start = system.start(jnp.ones((1, 3)), jr.key(0))
    >>> state, changes = integrated_changes(system, start, jr.key(1), steps=2)
    >>> print(state.synapses, changes["hebb"])
    [[6.25 6.25 6.25]] [[5.25 5.25 5.25]]
    """
    steps, key = whole("steps", steps, 1), unrolled(key)
    if concrete(state.step):
        system.task.check(int(state.step), steps)

    def step(carry: tuple[State, Any], _: None) -> tuple[tuple[State, Any], None]:
        state, total = carry
        state, _signals, changes = advance(system, state, key)
        return (state, jax.tree.map(jnp.add, total, changes)), None

    still = jax.tree.map(jnp.zeros_like, state.synapses)
    total = dict.fromkeys(system.rules, still)
    return jax.lax.scan(step, (state, total), length=steps)[0]


def _rms(changes: Sequence[PyTree]) -> Scalar:
    """Of the sum; zero for none."""
    if not changes:
        return jnp.zeros(())
    total = jax.tree.map(lambda *leaves: sum(leaves), *changes)
    return tree_norm(total) / tree_size(total) ** 0.5
