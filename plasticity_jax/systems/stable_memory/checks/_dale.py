"""Memories that neurons of one sign each can hold, for `verify`."""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import jax.random as jr

from ....experiment import always, Check, exact, expectation, together
from ....measure import rotation
from ....synapses import Dale
from ..patterns import draw_planes, imaginary_memory, lawful_share


SIZE, DRAWS = 16, 400


@together
def dale_checks() -> Iterator[Check]:
    """Section 10, Dale's law; run them in double precision."""
    for_planes, for_loops, for_signs = jr.split(jr.key(0), 3)
    signs = jr.rademacher(for_signs, (SIZE,), dtype=float)
    draw = lambda key: draw_planes("gaussian", 1, SIZE, key, orthonormal=True)[0]
    planes = jax.vmap(draw)(jr.split(for_planes, DRAWS))
    keep = Dale(signs)
    of = lambda u, v: rotation(keep(imaginary_memory(u, v, 5.0)), u, v) / 5
    got = jax.vmap(of)(planes[:, 0], planes[:, 1])
    share = lambda u, v: lawful_share(u, v, signs)
    want = jax.vmap(share)(planes[:, 0], planes[:, 1])
    yield exact("share of any plane that Dale's law holds", "10.4", got, want)
    yield expectation("half of it, over random planes", "10.4", got, 0.5)
    half = SIZE // 2
    excite = jr.uniform(for_loops, (half, half))  # of inhibitory neurons
    none = jnp.zeros((half, half))
    loops = jnp.block([[none, -excite.T], [excite, none]])
    sorted_signs = jnp.repeat(jnp.asarray([1.0, -1.0]), half)
    yield always(
        "loops have lawful signs", "10.4", jnp.all(Dale(sorted_signs)(loops) == loops)
    )
    turns = jnp.sort(jnp.imag(jnp.linalg.eigvals(loops)))[half:]
    want = jnp.sort(jnp.linalg.svd(excite, compute_uv=False))
    yield exact("they turn at the singular values of excitation", "10.4", turns, want)
