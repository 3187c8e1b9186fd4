"""Memories among random synapses, beside dense networks, for `verify`."""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Key

from ....experiment import Check, expectation, simulated, together
from .. import noisy
from ..patterns import draw_planes, low_rank


SIZE, PLANES, RADIUS = 600, 2, 0.8
NETWORKS, SMALLER = 16, 150
ERROR = SIZE**-0.5  # of one network, in order


def noise_checks() -> Iterator[Check]:
    """Section 10, low rank plus noise; in double precision."""
    yield from _response_checks()
    yield from _eigenvector_checks()


def _core() -> Array:
    growth, turns = 0.3 * jnp.ones(PLANES), jnp.linspace(1.5, 3.0, PLANES)
    return low_rank(jnp.eye(2 * PLANES).reshape(PLANES, 2, -1), growth, turns)[1]


def _among_noise(size: int, key: Key[Array, ""]) -> tuple[Array, Array]:
    """The planes of the core, shaped (plane, 2, n), and their weights plus noise."""
    for_planes, for_noise = jr.split(key)
    planes = draw_planes("gaussian", PLANES, size, for_planes, orthonormal=True)
    basis = planes.reshape(2 * PLANES, size).T
    noise = RADIUS / size**0.5 * jr.normal(for_noise, (size, size))
    return planes, basis @ _core() @ basis.T + noise


@together
def _response_checks() -> Iterator[Check]:
    """Means over networks of what a small stimulus elicits."""
    for_stimulus, *keys = jr.split(jr.key(0), 1 + NETWORKS)
    stimulus = jr.normal(for_stimulus, (2 * PLANES,))
    radius, frequency = jnp.asarray(RADIUS), jnp.asarray(1.3)
    law = noisy.linear_response(_core(), radius, frequency, stimulus)

    def response(key: Key[Array, ""]) -> tuple[Array, Array]:
        planes, weights = _among_noise(SMALLER, key)
        basis = planes.reshape(2 * PLANES, SMALLER).T.astype(complex)
        whole = (1 + 1j * 1.3) * jnp.eye(SMALLER) - weights
        activity = jnp.linalg.solve(whole, basis @ stimulus.astype(complex))
        inside = basis.T @ activity
        along = jnp.real(jnp.vdot(law.overlaps, inside))
        elsewhere = jnp.linalg.norm(activity - basis @ inside)
        return along / jnp.linalg.norm(law.overlaps) ** 2, elsewhere**2

    along, elsewhere = jax.vmap(response)(jnp.stack(keys))
    title = "a small stimulus among noise"
    yield expectation(f"{title}: overlaps", "10", along, 1.0)
    yield expectation(f"{title}: power elsewhere", "10", elsewhere, law.outside**2)


@together
def _eigenvector_checks() -> Iterator[Check]:
    """Of memories, in one large network."""
    planes, weights = _among_noise(SIZE, jr.key(0))
    # eigenvectors by inverse iteration from the planes' own, at their eigenvalues
    overlaps, laws = [], []
    for k, turn in enumerate(np.linspace(1.5, 3.0, PLANES)):
        value, (u, v) = 0.3 + 1j * turn, planes[k]
        vector = u + 1j * v
        matrix = (value + 0.01) * jnp.eye(SIZE) - weights
        for _ in range(4):
            vector = jnp.linalg.solve(matrix, vector)
            vector = vector / jnp.linalg.norm(vector)
        overlaps.append(jnp.linalg.norm(planes[k].astype(complex) @ vector))
        laws.append(noisy.outlier_overlap(jnp.asarray(RADIUS), jnp.asarray(abs(value))))
    got, want = (jnp.mean(jnp.stack(x)) for x in (overlaps, laws))
    yield simulated("eigenvectors of memories in their planes", "10", got, want, ERROR)
