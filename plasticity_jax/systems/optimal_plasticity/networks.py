"""The networks' curvature by hand: a linear one and one with a hidden layer.

Raman & O'Leary 2021, eLife 10:e62912, Methods.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..._arguments import check_symmetric, floating, whole


Matrix = Float[Array, "w w"]
Layers = Sequence[Any]  # two matrices (post, pre)
Inputs = Float[Array, "feature sample"]
Targets = Float[Array, "output sample"]


@floating
def linear_hessian(
    second_moment: Float[Array, "feature feature"], outputs: int
) -> Matrix:
    r"""Hessian of a linear network's error, $\frac{2}{n_{out}} I \otimes C$.

    >>> linear_hessian([[3.0]], outputs=2).tolist()
    [[3.0, 0.0], [0.0, 3.0]]
    """
    check_symmetric("second_moment", second_moment)
    outputs = whole("outputs", outputs, 1)
    eye = jnp.eye(outputs, dtype=second_moment.dtype)
    return 2 / outputs * jnp.kron(eye, second_moment)


@floating
def two_layer_gradient(
    weights: Layers, inputs: Inputs, targets: Targets
) -> tuple[Array, ...]:
    r"""Gradient of the 2-layer network's error by hand; samples along the last axis.

    $\nabla_{W_2} = c\,e h^\top$, $\nabla_{W_1} = c\,[(W_2^\top e) \odot h(1-h)]
    X^\top$, $c = 2/(n\,n_{out})$, $e = y - y^*$, $h = \sigma(W_1 X)$.

    >>> weights = jnp.zeros((1, 1)), jnp.full((1, 1), 2.0)  # output 2 / 2
    >>> first, second = two_layer_gradient(weights, [[1.0]], [[0.0]])
    >>> first.tolist(), second.tolist()
    ([[1.0]], [[1.0]])
    """
    first, second = weights
    _, second, hidden, error = _two_layers(first, second, inputs, targets)
    scale = 2 / error.size
    back = (second.T @ error) * hidden * (1 - hidden)
    return scale * back @ inputs.T, scale * error @ hidden.T


@floating
def two_layer_hessian(weights: Layers, inputs: Inputs, targets: Targets) -> Matrix:
    r"""Hessian of the 2-layer network's error by hand, over raveled $(W_1, W_2)$.

    $c\sum_u J_u^\top J_u + c\sum_u\sum_k e_k \nabla^2 y_k$, where the second
    derivatives that do not vanish are $W_{2,kj}\sigma''_j u_i u_{i'}$ and
    $\sigma'_j u_i$.

    >>> weights = jnp.zeros((1, 1)), jnp.full((1, 1), 2.0)  # output 2 / 2
    >>> two_layer_hessian(weights, [[1.0]], [[0.0]]).tolist()
    [[0.5, 1.0], [1.0, 0.5]]
    """
    first, second = weights
    first, second, hidden, error = _two_layers(first, second, inputs, targets)
    samples, output_size = inputs.shape[1], len(second)
    slope = hidden * (1 - hidden)
    bend = slope * (1 - 2 * hidden)
    eye = jnp.eye(output_size, dtype=first.dtype)
    to_first = jnp.einsum("kj,jn,in->nkji", second, slope, inputs)
    to_second = jnp.einsum("kl,jn->nklj", eye, hidden)
    parts = [x.reshape(samples, output_size, -1) for x in (to_first, to_second)]
    jacobian = jnp.concatenate(parts, axis=-1)
    gauss_newton = jnp.einsum("nka,nkb->ab", jacobian, jacobian)
    eye_hidden = jnp.eye(len(first), dtype=first.dtype)
    curved = jnp.einsum("kn,kj,jn,in,mn->jim", error, second, bend, inputs, inputs)
    within = jnp.einsum("jim,jh->jihm", curved, eye_hidden)
    across = jnp.einsum("kn,jn,in,jh->jikh", error, slope, inputs, eye_hidden)
    across = across.reshape(first.size, second.size)
    within = within.reshape(first.size, first.size)
    nothing = jnp.zeros((second.size, second.size), first.dtype)
    curvature = jnp.block([[within, across], [across.T, nothing]])
    return 2 / (samples * output_size) * (gauss_newton + curvature)


@floating
def _two_layers(
    first: Float[Array, "hidden feature"],
    second: Float[Array, "output hidden"],
    inputs: Inputs,
    targets: Targets,
) -> tuple[Array, Array, Array, Array]:
    """Both matrices, hidden activities and errors of the outputs."""
    hidden = jax.nn.sigmoid(first @ inputs)
    return first, second, hidden, second @ hidden - targets
