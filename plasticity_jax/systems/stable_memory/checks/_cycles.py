"""Fixed points, the divergence of the period, and invariances, for `verify`."""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array

from .... import Scalar
from ....experiment import always, Check, exact, simulated, together
from .. import cycles, fixed_points, mean_field
from ..patterns import draw_planes, low_rank
from ..retrieval import LowRankNetwork


KEY = jr.key(0)
NEAR = (0.04, 0.01)  # of the critical rotation above it


def cycle_checks() -> Iterator[Check]:
    """Sections 5.5b, c and e; in double precision."""
    expansion = jnp.asarray(2.0)
    yield from _below(expansion)
    yield from _above(expansion)
    yield from _prefactor(expansion)
    yield from _orthants()
    yield from _invariances()


@together
def _below(expansion: Scalar) -> Iterator[Check]:
    rotation = jnp.asarray(0.4)
    points = fixed_points.fixed_points(jnp.tanh, expansion, rotation)
    slope = cycles.reduced_slope
    flow = lambda s: slope(cycles.balanced_rates(jnp.tanh), expansion, rotation, s)
    for name, place in points._asdict().items():
        title = f"{name} below the critical rotation"
        yield exact(f"{title}: rests", "5.5b", 1 + flow(place), jnp.ones(2), 1e-12)
        matrix = jax.jacfwd(flow)(place)
        stable = (jnp.linalg.det(matrix) > 0) & (jnp.trace(matrix) < 0)
        yield always(f"{title}: stability", "5.5b", stable == (name == "node"))
    place = fixed_points.step_fixed_points(expansion, rotation)
    change = slope(cycles.balanced_rates(jnp.sign), expansion, rotation, place)
    yield exact("fixed point of a step: rests", "5.5b", 1 + change, jnp.ones(2), 1e-12)


@together
def _above(expansion: Scalar) -> Iterator[Check]:
    critical = cycles.critical_rotation(jnp.tanh, expansion)
    law = fixed_points.slowing(jnp.tanh, expansion)

    def slowed(near: Scalar) -> Array:
        """The period times the root of the distance from the critical rotation."""
        rates, rotation = cycles.balanced_rates(jnp.tanh), critical * (1 + near)
        turn = lambda x: cycles.quarter_turn(rates, expansion, rotation, x)
        on_cycle = jax.lax.fori_loop(0, 3, lambda _, x: turn(x).end, expansion)
        return 4 * turn(on_cycle).time * jnp.sqrt(near * critical)

    far, close = jax.lax.map(slowed, jnp.asarray(NEAR))
    limit = 2 * close - far  # its next term falls with the root of the distance
    title = "divergence of the period at the critical rotation"
    yield simulated(title, "5.5b", limit, law, 0.02)


@together
def _prefactor(expansion: Scalar) -> Iterator[Check]:
    start, share = jnp.asarray(1.3), 2 / np.pi
    turn = lambda rates, x: cycles.quarter_turn(rates, expansion, 4.0, x)
    printed = turn(cycles.printed_rates, start)
    got = turn(cycles.orthant_rates, share * start)
    radii = lambda x: jnp.stack([x.end, x.least, x.largest])
    title = "arctan with its prefactor: radii"
    yield exact(title, "5.5c", radii(got), share * radii(printed), 1e-12)
    yield exact(title[:-5] + "time", "5.5c", got.time, printed.time, 1e-12)


def _orthants() -> Iterator[Check]:
    angle = (np.arange(100_000) + 0.5) * (2 * np.pi / 100_000)
    first, second = np.cos(angle), np.sin(angle)  # directions of Gaussian pairs
    state = jnp.asarray([0.7, -1.3])
    sign = np.sign(first * 0.7 + second * -1.3)
    want = [np.mean(np.sign(z) * sign) for z in (first, second)]
    got = cycles.orthant_rates(state)
    yield exact("arctan is a mean of signs", "5.5", got, want, 1e-4)


@together
def _invariances() -> Iterator[Check]:
    count, keys = 3, jr.split(KEY, 4)
    ones = jnp.ones(count)
    planes = draw_planes("gaussian", count, 4096, keys[0], orthonormal=True)
    overlaps = jr.normal(keys[1], (2 * count,))
    any_turn = jnp.linalg.qr(jr.normal(keys[2], (2 * count, 2 * count)))[0]
    unitary = mean_field.unitary(count, keys[3])
    basis, still = low_rank(planes, 2 * ones, 0 * ones)
    _, turning = low_rank(planes, 2 * ones, 4 * ones)
    slope = lambda core, p: mean_field.overlap_slope(jnp.tanh, core, p)
    for title, core, turn in (
        ("no rotation: all rotations of overlaps", still, any_turn),
        ("equal rotations: unitary ones", turning, unitary),
    ):
        got, want = slope(core, turn @ overlaps), turn @ slope(core, overlaps)
        yield exact(f"invariance, {title}", "5.5e", got, want, 1e-12)
    got, want = slope(turning, any_turn @ overlaps), any_turn @ slope(turning, overlaps)
    apart = jnp.linalg.norm(got - want) / jnp.linalg.norm(want)
    yield always("invariance, equal rotations: no others", "5.5e", apart > 0.1)
    network = LowRankNetwork(basis, turning, jnp.tanh)
    got = network.overlaps(network(basis @ overlaps * 4096**0.5))
    gap = jnp.linalg.norm(got - slope(turning, overlaps)) / jnp.linalg.norm(got)
    yield simulated("overlaps of 4096 neurons", "5.5e", 1 + gap, 1.0, 0.05)
    radius = cycles.gaussian_cycle(jnp.tanh, jnp.asarray(2.0), jnp.asarray(0.0)).radius
    place = radius * overlaps / jnp.linalg.norm(overlaps)
    values = jnp.linalg.eigvalsh(jax.jacfwd(lambda p: slope(still, p))(place))
    neutral = jnp.mean(jnp.where(jnp.abs(values[1:]) < 1e-9, 1.0, 0.0))
    yield always("every mixture rests, in all directions but one", "5.5e", neutral)
