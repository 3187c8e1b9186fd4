r"""What the published code does differently, for reproduction only.

Equations and figures are those of Kreutzer, Senn & Petrovici 2022.

Coefficients from a table that is read at the wrong variance; segments of 1 s that start
from rest and lose their last step; and a potential in $c_w V$ that is held from the end
of the previous segment.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from ... import Scalar, simulate, State, System
from ...curvature import Coefficients, glm_coefficients


MEANS, VARIANCES = 122, 820  # columns and rows of the table
FILLED = 802  # rows with values
Path = dict[str, Float[Array, "record n"]]
Carry = tuple[State, Scalar]


def published_coefficients(
    transfer: Callable[[Any], Any],
    mean: Scalar,
    variance: Scalar,
    q: Scalar,
    *,
    nodes: int,
    wraps: bool = False,
) -> Coefficients:
    r"""What the published code looks up, for reproduction only.

    Its table of variances starts at 10 but is indexed from 1, so it is read at about
    $\sigma_v^2 + 9$; the mean is cut to a grid of 0.25 mV within $[-15, 15]$, $q$ to a
    multiple of one half. At the weights of Fig. 3 $\gamma_s$ is 13 % too small. Its
    last rows were never filled: from $\sigma_v^2 = 402$ on $\gamma_s = 0$ ($c_1$ is
    infinite) and learning stands still. Where it `wraps`, as in the script of Fig. 12B,
    a mean below -15 is read from the far end of the table.

    >>> moments = jnp.asarray(0.0), jnp.asarray(402.0), jnp.asarray(1.0)
    >>> c = published_coefficients(circuits.Sigmoid(), *moments, nodes=201)
    >>> float(c.g1), float(c.c1)  # from the rows that were never filled
    (0.0, inf)
    """
    column = jnp.trunc(jnp.minimum((mean + 15) * 4, MEANS - 2))
    row = jnp.trunc(jnp.minimum(2 * (variance - 1), VARIANCES - 1))
    if wraps:
        column, row = column % MEANS, row % VARIANCES
    column, row = jnp.maximum(column, 0.0), jnp.maximum(row, 0.0)
    filled = row < FILLED
    shifted = 10 + jnp.where(filled, row, 0.0) / 2
    halves = jnp.floor(2 * q + 1e-3) / 2
    c = glm_coefficients(transfer, column / 4 - 15, shifted, halves, nodes=nodes)
    g1, g2, g4 = (jnp.where(filled, g, 0.0) for g in (c.g1, c.g2, c.g4))
    c = c._replace(c1=jnp.where(filled, c.c1, jnp.inf), g1=g1, g2=g2, g4=g4)
    return c._replace(mean=mean, variance=variance, q=q)


def segments(
    system: System,
    state: State,
    key: Key[Array, ""],
    records: int,
    each: int,
    steps: int,
    *,
    hold: bool,
) -> Path:
    """Weights of every student after every one of `records` times `each` segments.

    A segment has `steps` steps, of which the last is skipped, and starts with all
    potentials at zero. With `hold` $c_w V$ has the last potential of the one before.

    >>> from plasticity_jax.systems.natural_gradient import build, Config
    >>> config = Config(size=4, rate_factor=0.0, published=True)  # learns nothing
    >>> system, state = build(config, jr.key(0))
    >>> path = segments(system, state, jr.key(0), 3, each=1, steps=20, hold=False)
    >>> bool((path["natural"] == state.synapses["natural"][None]).all())
    True
    """
    neuron = system.circuit.neuron  # pyright: ignore[reportAttributeAccessIssue]
    held_of = lambda system: system.rules["learning"].rules["approximate"].held_voltage
    holds = hold and "approximate" in state.synapses
    voltages = lambda state, signals, changes: {
        name: student.voltage for name, student in signals.students.items()
    }

    def segment(carry: Carry, _: None) -> tuple[Carry, None]:
        state, held = carry
        here = system
        if holds:
            here = eqx.tree_at(held_of, system, held, is_leaf=lambda x: x is None)
        rest = neuron.start(state.synapses)
        state = State(rest, state.synapses, state.step)
        how = {"steps": steps - 1, "every": steps - 1, "record": voltages}
        state, last = simulate(here, state, key, **how)
        held = last["approximate"][0] if holds else held
        return (State(rest, state.synapses, state.step + 1), held), None

    def record(carry: Carry, _: None) -> tuple[Carry, Any]:
        carry, _ = jax.lax.scan(segment, carry, length=each)
        return carry, carry[0].synapses

    begin = State(neuron.start(state.synapses), state.synapses, state.step)
    zero = jnp.zeros_like(neuron.dt)
    return jax.lax.scan(record, (begin, zero), length=records)[1]
