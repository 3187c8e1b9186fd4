"""Rules that change another rule a little."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Key

from .._interfaces import AbstractRule, real, Scalar, stream, Synapses
from .._signals import SharedSignals
from .._trees import tree_scale, tree_unit


class Scaled(AbstractRule):
    """`rule` times `scale`."""

    rule: AbstractRule
    scale: Scalar = eqx.field(converter=real)

    def __call__(self, synapses: Any, signals: Any, key: Key[Array, ""]) -> Any:
        return tree_scale(self.scale, self.rule(synapses, signals, key))


class Normalised(AbstractRule):
    """`rule`, its whole change (all leaves together) rescaled to length `norm`.

    A change of zero stays zero.
    """

    rule: AbstractRule
    norm: Scalar = eqx.field(converter=real)

    def __call__(self, synapses: Any, signals: Any, key: Key[Array, ""]) -> Any:
        return tree_scale(self.norm, tree_unit(self.rule(synapses, signals, key)))


class Intermittent(AbstractRule):
    r"""`rule` at every `every`-th step only, for the time of `every` steps.

    The rule reads a `dt` that is `every` times as long: noise keeps its diffusion (the
    amplitude grows by $\sqrt{k}$, exact in law for the noise alone), a drift keeps its
    mean. The first change comes with step `every`; signals must count the `step`.
    """

    rule: AbstractRule
    every: int = eqx.field(static=True)

    def __check_init__(self) -> None:
        if self.every < 1:
            raise ValueError(f"`every` must be at least 1; got {self.every}.")

    def __call__(self, synapses: Any, signals: Any, key: Key[Array, ""]) -> Any:
        if self.every == 1:
            return self.rule(synapses, signals, key)
        whole = dataclasses.replace(signals, dt=signals.dt * self.every)
        return jax.lax.cond(
            (signals.step + 1) % self.every == 0,
            lambda: self.rule(synapses, whole, key),
            lambda: jax.tree.map(jnp.zeros_like, synapses),
        )


class Masked(AbstractRule):
    """`rule` where `mask` (shaped like the synapses) is one, nothing where it is 0."""

    rule: AbstractRule
    mask: Synapses

    def __call__(self, synapses: Any, signals: Any, key: Key[Array, ""]) -> Any:
        change = self.rule(synapses, signals, key)
        return jax.tree.map(lambda m, d: m * d, self.mask, change)


class Projected(AbstractRule):
    """`rule`, its flattened change multiplied by the matrix `projector`."""

    rule: AbstractRule
    projector: Float[Array, "w w"] = eqx.field(converter=real)

    def __call__(self, synapses: Any, signals: Any, key: Key[Array, ""]) -> Any:
        flat, unravel = ravel_pytree(self.rule(synapses, signals, key))
        return unravel(self.projector @ flat)


class Reparametrised(AbstractRule):
    r"""`rule` for somatic amplitudes $w = f(u)$, carried to the synapses $u$.

    A natural change keeps its effect on the amplitudes, $\Delta u = \Delta w / f'(u)$;
    a `euclidean` gradient is multiplied by $f'(u)$ instead, so its effect depends on
    the parametrisation (Kreutzer et al. 2022, Eqs. 14 and 44). `attenuation` is $f$,
    applied entry by entry; its slope must not vanish.
    """

    rule: AbstractRule
    attenuation: Callable[[Any], Any]
    euclidean: bool = eqx.field(default=False, static=True)

    def __call__(self, synapses: Any, signals: Any, key: Key[Array, ""]) -> Any:
        ones = jax.tree.map(jnp.ones_like, synapses)
        weights, slope = jax.jvp(self.attenuation, (synapses,), (ones,))
        change = self.rule(weights, signals, key)
        if self.euclidean:
            return jax.tree.map(jnp.multiply, slope, change)
        return jax.tree.map(jnp.divide, change, slope)


class Separate(AbstractRule):
    """Several students side by side: each entry of the synapses has its own rule.

    Reads the signals of the student of that name (`SharedSignals`).
    """

    rules: Mapping[str, AbstractRule]

    def __call__(
        self, synapses: Mapping[str, Any], signals: SharedSignals, key: Key[Array, ""]
    ) -> dict[str, Any]:
        if set(self.rules) != set(synapses):
            raise ValueError(
                f"`Separate` needs one rule for each of {sorted(synapses)}; got "
                f"{sorted(self.rules)}."
            )
        return {
            name: rule(
                synapses[name], signals.students[name], jr.fold_in(key, stream(name))
            )
            for name, rule in self.rules.items()
        }
