"""Binary neurons: recall of stored patterns, and novelty of one that is shown.

Iatropoulos, Gerstner & Brea 2025, PNAS, doi 10.1073/pnas.2422602122.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from .._factors import AbstractFactors, Factored, Product
from .._interfaces import AbstractCircuit, real, require, Scalar
from .._signals import NoveltySignals


def retrieve(
    weights: Float[Array, "n n"],
    threshold: Float[Array, " n"],
    cues: Float[Array, "n cue"],
    steps: int = 50,
) -> Float[Array, "n cue"]:
    r"""$S \leftarrow \Theta(WS - I)$, all neurons at once, `steps` times from each cue.

    $\Theta(0) = 0$. States are 0 or 1, a column each.
    """

    def update(states: Float[Array, "n cue"], _: None) -> tuple[Array, None]:
        fields = weights @ states - threshold[:, None]
        return (fields > 0).astype(states.dtype), None

    return jax.lax.scan(update, cues, length=steps)[0]


class Novelty(AbstractCircuit):
    r"""A pattern is shown once, and common inhibition shifts until it fits.

    The stimulus is a pair (presynaptic, postsynaptic) of patterns, equal unless a
    sequence is stored. $H = W\xi - I$; the novelty is 0 if a share `coding_level` $f$
    of the neurons is active already, else the $(N - fN)$-th smallest field, $fN$
    rounded. Synapses are `Factored`, one row for each neuron.
    """

    coding_level: Scalar = eqx.field(converter=real)
    parametrisation: AbstractFactors = Product()
    pruned_below: Scalar = eqx.field(default=1e-10, converter=real)

    def __check_init__(self) -> None:
        require(self, coding_level=(1e-6, 1 - 1e-6), pruned_below=(0.0, np.inf))

    def __call__(
        self,
        activity: None,
        synapses: Factored,
        stimulus: tuple[Float[Array, " n"], Float[Array, " row"]],
        key: Key[Array, ""],
    ) -> tuple[None, NoveltySignals]:
        del activity, key
        presynaptic, postsynaptic = stimulus
        weights = self.parametrisation.weights(synapses.factors)
        fields = weights @ presynaptic - synapses.threshold
        n = len(fields)
        silent = n - jnp.round(self.coding_level * n).astype(jnp.int32)
        shift = jnp.sort(fields)[jnp.maximum(silent, 1) - 1]
        active = jnp.mean((fields > 0).astype(fields.dtype))
        familiar = jnp.isclose(active, self.coding_level)
        novelty = jnp.where(familiar, jnp.zeros((), shift.dtype), shift)
        return None, NoveltySignals(
            jnp.ones((), weights.dtype),
            presynaptic,
            postsynaptic,
            weights > self.pruned_below,
            novelty,
        )
