"""Binary neurons: recall of stored patterns, and novelty of one that is shown.

Iatropoulos, Gerstner & Brea 2025, PNAS, doi 10.1073/pnas.2422602122.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from .._arguments import check_binary, concrete, floating, real, require, whole
from .._interfaces import AbstractCircuit, Scalar
from ..signals import NoveltySignals
from ..synapses._factors import AbstractFactors, Factored, Product


@floating
def retrieve(
    weights: Float[Array, "n n"],
    threshold: Float[Array, " n"],
    cues: Float[Array, "n cue"],
    steps: int = 50,
) -> Float[Array, "n cue"]:
    r"""$S \leftarrow \Theta(WS - I)$, all neurons at once, `steps` times from each cue.

    $\Theta(0) = 0$. States are 0 or 1, a column each, and NaN where a field is. Raises
    `ValueError` unless the shapes fit and cues are 0 or 1.

    >>> w = jnp.kron(jnp.eye(2), jnp.ones((2, 2)))  # two patterns of two neurons each
    >>> retrieve(w, jnp.full(4, 0.5), jnp.eye(4)[:, :1], steps=3)[:, 0].tolist()
    [1.0, 1.0, 0.0, 0.0]
    """
    steps = whole("steps", steps, 0)
    check_binary("cues", cues)

    def update(states: Float[Array, "n cue"], _: None) -> tuple[Array, None]:
        fields = weights @ states - threshold[:, None]
        active = jnp.where(jnp.isnan(fields), jnp.nan, jnp.where(fields > 0, 1.0, 0.0))
        return active.astype(states.dtype), None

    return jax.lax.scan(update, cues, length=steps)[0]


class Novelty(AbstractCircuit):
    r"""A pattern is shown once, and common inhibition shifts until it fits.

    The stimulus is a pair (presynaptic, postsynaptic) of patterns, equal unless a
    sequence is stored. $H = W\xi - I$; the novelty is 0 if $fN$ neurons are active
    already, $f$ the `coding_level` and $fN$ rounded, else the $(N - fN)$-th smallest
    field. Synapses are `Factored`, one row for each neuron. Raises `ValueError` where
    patterns do not fit them, or where $fN$ rounds to no neuron or to all; where that is
    traced the novelty is NaN, as where a field is.

    Offers `NoveltySignals`. The activity is `None`.

    >>> x, w = jnp.array([1.0, 1.0, 0.0, 0.0]), jnp.ones((2, 4, 4))
    >>> w = synapses.Factored(w, threshold=jnp.zeros(4))  # all fields are 2
    >>> _, seen = Novelty(0.5)(None, w, (x, x), jr.key(0))
    >>> float(seen.novelty)
    2.0
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
        presynaptic, postsynaptic = stimulus
        weights = self.parametrisation.weights(synapses.factors)
        shapes = jnp.shape(postsynaptic), jnp.shape(presynaptic)
        if shapes != (weights.shape[:1], weights.shape[1:]):
            raise ValueError(
                "the patterns (presynaptic, postsynaptic) must fit the synapses "
                f"{weights.shape} (row, n); got {shapes[1]} and {shapes[0]}."
            )
        fields = weights @ presynaptic - synapses.threshold
        n = len(fields)
        wanted = jnp.round(self.coding_level * n).astype(jnp.int32)
        possible = (wanted >= 1) & (wanted < n)
        if concrete(possible) and not possible:
            raise ValueError(
                f"`coding_level` = {self.coding_level} of {n} neurons rounds to "
                f"{wanted}: at least 1 and at most {n - 1} must be active."
            )
        shift = jnp.sort(fields)[jnp.maximum(n - wanted, 1) - 1]
        active = jnp.sum(fields > 0, dtype=jnp.int32)
        novelty = jnp.where(active == wanted, jnp.zeros((), shift.dtype), shift)
        known = possible & ~jnp.any(jnp.isnan(fields))
        novelty = jnp.where(known, novelty, jnp.nan)
        dt = jnp.ones((), weights.dtype)
        alive = ~(weights <= self.pruned_below)  # also where it is NaN
        return None, NoveltySignals(dt, presynaptic, postsynaptic, alive, novelty)
