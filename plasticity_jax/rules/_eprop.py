"""Eligibility propagation: gradients through time, without going back in time."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from .._arguments import optional
from .._interfaces import AbstractTrace
from ..signals import ReadoutSignals
from ._correlation import _RateRule


Matrix = Float[Array, "output neuron"]


class _Eligibility(AbstractTrace):
    r"""What a spike owes to each synapse, by the neuron's own dynamics.

    `potential` $\epsilon^v \leftarrow \alpha\epsilon^v$ + pre, for each presynaptic
    neuron; `threshold` $\epsilon^a \leftarrow \rho\epsilon^a + e$, for each synapse;
    `spike` $e = h(\epsilon^v - \beta\epsilon^a)$; `output` $\bar e \leftarrow
    \kappa\bar e + e$; `post` the spikes, smoothed as the output is.
    """

    @property
    def moves_first(self) -> bool:
        return True

    def start(self, synapses: Any, signals: ReadoutSignals) -> dict[str, Array]:
        pre = jnp.zeros_like(jnp.concatenate([signals.pre, signals.before]))
        post = jnp.zeros_like(signals.post)
        none = jnp.outer(post, pre)
        synaptic = dict.fromkeys(("threshold", "spike", "output"), none)
        return {"potential": pre, "post": post, **synaptic}

    def __call__(
        self, trace: dict[str, Array], synapses: Any, signals: Any, change: Any
    ) -> dict[str, Array]:
        pre = jnp.concatenate([signals.pre, signals.before])
        potential = signals.kept * trace["potential"] + pre
        threshold = signals.recovered * trace["threshold"] + trace["spike"]
        apart = potential[None] - signals.adaptation[:, None] * threshold
        owed = signals.slope[:, None] * apart
        return {
            "potential": potential,
            "threshold": threshold,
            "spike": owed,
            "output": signals.smoothed * trace["output"] + owed,
            "post": signals.smoothed * trace["post"] + signals.post,
        }


class EProp(_RateRule):
    r"""$\Delta W = \eta\,L_t\,\bar e_t$, $L = W_{out}^\top (y^* - y)$.

    Bellec et al. 2020 (doi 10.1038/s41467-020-17236-y). $\bar e$ is the derivative of
    the neuron's smoothed spikes by a synapse without the detour over other neurons. At
    synapses that stand still the sum over a trial is minus $\eta$ times the gradient of
    $\frac12\sum|y - y^*|^2$ through time, exactly so for the readout, and for all where
    no recurrent weight is. With `feedback` $B$ (output, neuron) in the place of
    $W_{out}$ no weight is transported (random e-prop); `ValueError` unless it is shaped
    like it. No self-connection arises.

    A change for each step, whatever `dt`. Reads `error`, `pre`, `before`, `post`,
    `slope` and the network's constants (an `LSNN`), by a trace. Synapses `input`
    (neuron, pre), `recurrent` (neuron, neuron), `readout` (output, neuron).

    >>> w = {"input": jnp.eye(1), "recurrent": jnp.zeros((1, 1)), "readout": jnp.eye(1)}
    >>> task = tasks.Constant({"pre": jnp.ones(1), "target": jnp.array([3.0])})
    >>> system = System(task, circuits.LSNN(), {"eprop": EProp(0.5)})
    >>> state, _ = simulate(system, system.start(w, jr.key(0)), jr.key(0), steps=1)
    >>> print(f"{state.synapses['input'][0, 0]:.4f}")  # slope 1/6, error 2
    1.1667
    """

    feedback: Matrix | None = eqx.field(default=None, converter=optional)

    def traces(self) -> dict[str, AbstractTrace]:
        return {"owed": _Eligibility()}

    def __call__(
        self, synapses: dict[str, Array], signals: ReadoutSignals, key: Key[Array, ""]
    ) -> dict[str, Array]:
        readout, owed = synapses["readout"], signals.traces["owed"]
        back = readout if self.feedback is None else self.feedback
        if back.shape != readout.shape:
            raise ValueError(
                f"`feedback` must be shaped like the readout, {readout.shape}; got "
                f"{back.shape}."
            )
        told = self.rate * signals.error
        moved = (told @ back)[:, None] * owed["output"]
        size = len(signals.pre)
        alone = jnp.eye(len(signals.post), dtype=bool)
        return {
            "input": moved[:, :size],
            "recurrent": jnp.where(alone, 0, moved[:, size:]),
            "readout": jnp.outer(told, owed["post"]),
        }
