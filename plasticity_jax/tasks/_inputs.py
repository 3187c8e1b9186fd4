"""Random weights and inputs."""

from itertools import pairwise

import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Array, Float, Key

from .._arguments import whole


def glorot_uniform(
    sizes: tuple[int, ...], key: Key[Array, ""]
) -> tuple[Float[Array, "post pre"], ...]:
    r"""Weight matrices between layers of `sizes`, uniform in $\pm\sqrt{6/(n+m)}$.

    Raises `ValueError` unless there are two layers of a unit at least.
    """
    if len(sizes) < 2:
        raise ValueError(f"`sizes` must name two layers at least; got {sizes}.")
    sizes = tuple(whole("sizes", size, 1) for size in sizes)
    pairs = list(pairwise(sizes))
    keys = jr.split(key, len(pairs))
    bounds = [(6 / (pre + post)) ** 0.5 for pre, post in pairs]
    return tuple(
        jr.uniform(k, (post, pre), minval=-bound, maxval=bound)
        for k, (pre, post), bound in zip(keys, pairs, bounds, strict=True)
    )


def mixed_normal(
    features: int, samples: int, key: Key[Array, ""]
) -> Float[Array, "feature sample"]:
    r"""Inputs $u = Az$, $z \sim N(0, I)$, with one square $A$ of standard normals.

    Their second moment $AA^\top$ is strongly anisotropic. Raises `ValueError` unless
    there is a feature and a sample.
    """
    features, samples = whole("features", features, 1), whole("samples", samples, 1)
    for_mixing, for_sources = jr.split(key)
    mixing = jr.normal(for_mixing, (features, features))
    return jnp.matmul(mixing, jr.normal(for_sources, (features, samples)))
