"""Memories among random synapses, beside dense networks, for `verify`."""

from collections.abc import Iterator

import jax.numpy as jnp
import jax.random as jr
import numpy as np

from ....experiment import Check, simulated, together
from .. import noisy
from ..patterns import draw_planes, low_rank


SIZE, PLANES, RADIUS = 600, 2, 0.8
ERROR = SIZE**-0.5  # of one network, in order


@together
def noise_checks() -> Iterator[Check]:
    """Section 10, low rank plus noise; in double precision."""
    for_planes, for_noise, for_stimulus = jr.split(jr.key(0), 3)
    planes = draw_planes("gaussian", PLANES, SIZE, for_planes, orthonormal=True)
    ones = jnp.ones(PLANES)
    basis, core = low_rank(planes, 0.3 * ones, jnp.linspace(1.5, 3.0, PLANES))
    noise = RADIUS / SIZE**0.5 * jr.normal(for_noise, (SIZE, SIZE))
    weights = basis @ core @ basis.T + noise
    radius, frequency = jnp.asarray(RADIUS), jnp.asarray(1.3)
    stimulus = jr.normal(for_stimulus, (2 * PLANES,))
    law = noisy.linear_response(core, radius, frequency, stimulus)
    shift = 1 + 1j * 1.3
    whole = shift * jnp.eye(SIZE) - weights
    activity = jnp.linalg.solve(whole, (basis @ stimulus).astype(complex))
    inside = basis.T.astype(complex) @ activity
    outside = jnp.linalg.norm(activity - basis.astype(complex) @ inside)
    title = f"a small stimulus, {SIZE} neurons"
    apart = jnp.linalg.norm(inside - law.overlaps) / jnp.linalg.norm(inside)
    yield simulated(f"{title}: overlaps", "10", 1 + apart, 1.0, 4 * ERROR)
    yield simulated(f"{title}: elsewhere", "10", outside, law.outside, 4 * ERROR)
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
        laws.append(noisy.outlier_overlap(radius, jnp.asarray(abs(value))))
    got, want = (jnp.mean(jnp.stack(x)) for x in (overlaps, laws))
    yield simulated("eigenvectors of memories in their planes", "10", got, want, ERROR)
