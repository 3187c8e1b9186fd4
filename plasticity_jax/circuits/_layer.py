"""One layer of neurons without memory of their own."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Key

from .._arguments import one_of, real, require
from .._interfaces import AbstractCircuit, Scalar, Synapses
from .._random import single
from ..numerics import normal
from ..signals import LayerSignals
from ..synapses._reading import weights


Vector = Float[Array, " n"]
Matrix = Float[Array, "post pre"]


def linear(field: Vector) -> Vector:
    """The field itself.

    >>> linear(jnp.array([1.0, -2.0])).tolist()
    [1.0, -2.0]
    """
    return field


class _AbstractLayer(AbstractCircuit):
    transfer: Callable[[Vector], Vector] = linear
    dt: Scalar = eqx.field(default=1.0, converter=real)

    def __check_init__(self) -> None:
        require(self, dt=(1e-9, np.inf))


class Layer(_AbstractLayer):
    r"""$y = f(Wx)$, anew at every step of `dt`.

    Synapses are $W$ (post, pre). The stimulus is $x$ (pre,), or a dictionary of `pre`
    and of what is shown besides: a `target` (post,), a `reward`, whatever a rule reads.
    `transfer` is $f$, applied entry by entry; linear unless given. A square $W$ with a
    pattern as $x$ is a network of attractors that is being taught. Raises `ValueError`
    for a stimulus without `pre`, or parts that do not fit in shape.

    Offers `LayerSignals`. It keeps no activity.

    >>> task = tasks.Constant({"pre": jnp.ones(3), "target": jnp.array([1.0, 2.0])})
    >>> system = System(task, Layer(), {"delta": rules.Delta(0.1)})
    >>> start = system.start(jnp.zeros((2, 3)), jr.key(0))
    >>> state, _ = simulate(system, start, jr.key(0), steps=100)
    >>> print(np.array(state.synapses @ jnp.ones(3)).round(3))
    [1. 2.]
    """

    def __call__(
        self, activity: None, synapses: Synapses, stimulus: Any, key: Key[Array, ""]
    ) -> tuple[None, LayerSignals]:
        return None, read(self, weights(synapses, key), stimulus)


def read(
    layer: Any, synapses: Matrix, stimulus: Any, drive: Vector | None = None
) -> LayerSignals:
    """What a layer does; `drive` is what its neurons receive besides."""
    said = {*LayerSignals.__dataclass_fields__, *getattr(layer, "offers", ())}
    pre, shown = parts(stimulus, said, synapses.dtype)
    if synapses.ndim != 2 or pre.shape != synapses.shape[1:]:
        raise ValueError(
            f"`synapses` (post, pre) and the input (pre,) must fit; got shapes "
            f"{synapses.shape} and {pre.shape}."
        )
    field = synapses @ pre
    field = field if drive is None else field + drive
    post, slope = transferred(layer.transfer, field)
    check_target(shown, post)
    return LayerSignals(layer.dt, pre, field, post, slope, shown)


def parts(
    stimulus: Any, said: Iterable[str], dtype: Any
) -> tuple[Array, dict[str, Array]]:
    """The input, and what is shown besides, by name.

    Raises `ValueError` without an input, or for names of what the layer itself has
    `said`.
    """
    shown = dict(stimulus) if isinstance(stimulus, Mapping) else {"pre": stimulus}
    if "pre" not in shown:
        raise ValueError(
            f"the stimulus must hold `pre`, the layer's input; got {list(shown)}."
        )
    pre = jnp.asarray(shown.pop("pre"), dtype)
    if taken := sorted(shown.keys() & set(said)):
        raise ValueError(f"the layer says {taken} itself; show it by another name.")
    return pre, {name: jnp.asarray(x, dtype) for name, x in shown.items()}


def transferred(transfer: Callable, field: Vector) -> tuple[Vector, Vector]:
    """The rates and their slopes; `ValueError` unless there is one for each neuron."""
    post, slope = jax.jvp(transfer, (field,), (jnp.ones_like(field),))
    if post.shape != field.shape:
        raise ValueError(
            f"`transfer` must return a rate for each of {len(field)} neurons; got "
            f"the shape {post.shape}."
        )
    return post, slope


def check_target(shown: Mapping[str, Array], post: Vector) -> None:
    """Raise `ValueError` unless a target, or an error, has an entry for each neuron."""
    if "target" in shown and "error" in shown:
        raise ValueError("show a `target` or an `error`, not both.")
    for name in {"target", "error"} & shown.keys():
        if shown[name].shape != post.shape:
            raise ValueError(
                f"`{name}` must have an entry for each of {len(post)} neurons; got the "
                f"shape {shown[name].shape}."
            )


class BernoulliLayer(_AbstractLayer):
    r"""Units that are 1 with probability $p = f(Wx)$, else 0, drawn at every step.

    Synapses, stimulus and errors as in `Layer`; `transfer` is a sigmoid unless given;
    where it is no probability the unit is NaN. What is earned, `reward(post, signals)`,
    is one number of what the units did, the mean of it unless given; `ValueError` for
    more.

    Offers `LayerSignals`: `post` are the draws, `rate` is $p$, `reward` what they
    earned.

    >>> w, key = jnp.array([[0.0, 0.0, 0.0], [99.0, 0.0, 0.0]]), jr.key(0)
    >>> _, seen = BernoulliLayer()(None, w, jnp.ones(3), key)
    >>> seen.rate.tolist(), float(seen.post[1])
    ([0.5, 1.0], 1.0)
    """

    transfer: Callable[[Vector], Vector] = jax.nn.sigmoid
    reward: Callable[[Vector, Any], Any] = lambda post, signals: jnp.mean(post)

    offers: ClassVar = ("rate", "reward")

    def __call__(
        self, activity: None, synapses: Synapses, stimulus: Any, key: Key[Array, ""]
    ) -> tuple[None, LayerSignals]:
        seen = read(self, weights(synapses, key), stimulus)
        chance = (seen.post >= 0) & (seen.post <= 1)
        drawn = jr.bernoulli(key, single(seen.post)).astype(seen.post.dtype)
        post = jnp.where(chance, drawn, jnp.nan)  # of no probability nothing is drawn
        reward = jnp.asarray(self.reward(post, seen), post.dtype)
        if reward.shape:
            raise ValueError(f"`reward` must be one number; got shape {reward.shape}.")
        shown = {**seen.shown, "rate": seen.post, "reward": reward}
        return None, dataclasses.replace(seen, post=post, shown=shown)


def squared_error(post: Vector, signals: LayerSignals) -> Scalar:
    """Half of the squared distance from the `target`.

    >>> w, target = jnp.ones((2, 3)), jnp.array([4.0, 5.0])
    >>> _, seen = Layer()(None, w, {"pre": jnp.ones(3), "target": target}, jr.key(0))
    >>> float(squared_error(seen.post, seen))  # rates of 3: half of 1 and 4
    2.5
    """
    return jnp.sum((signals.target - post) ** 2) / 2


class NoisyLayer(_AbstractLayer):
    r"""$y = f(Wx + \sigma\xi)$: noise on the summed inputs, drawn at every step.

    `spread` is $\sigma$, $\xi$ are independent and, by `law`, `gaussian` or `signs`.
    Synapses, stimulus and errors as in `Layer`. What is paid, `cost(post, signals)`, is
    one number of what the neurons did, of the signals without noise: half of the
    squared distance from the `target` unless given; `ValueError` for more. Below the
    square root of the precision, 3e-4 of float32 and 1e-8 of float64, the rounding of
    costs outweighs what a smaller $\sigma$ gains.

    Offers `LayerSignals`: `post` with the noise, `noise` is $\xi$, `spread` $\sigma$;
    `cost` with the noise, `quiet_cost` without, `opposite_cost` with its negative.

    >>> w, target = jnp.ones((2, 3)), jnp.array([4.0, 5.0])
    >>> layer, shown = NoisyLayer(law="signs"), {"pre": jnp.ones(3), "target": target}
    >>> _, seen = layer(None, w, shown, jr.key(0))
    >>> float(seen.quiet_cost)  # rates of 3: half of 1 and 4
    2.5
    """

    cost: Callable[[Vector, Any], Any] = squared_error
    spread: Scalar = eqx.field(default=0.1, converter=real)
    law: str = eqx.field(default="gaussian", static=True)

    offers: ClassVar = ("noise", "spread", "cost", "quiet_cost", "opposite_cost")

    def __check_init__(self) -> None:
        require(self, spread=(1e-12, np.inf))
        one_of("law", self.law, ("gaussian", "signs"))

    def __call__(
        self, activity: None, synapses: Synapses, stimulus: Any, key: Key[Array, ""]
    ) -> tuple[None, LayerSignals]:
        plastic = weights(synapses, key)
        draw = normal if self.law == "gaussian" else jr.rademacher
        noise = draw(key, plastic.shape[:1], plastic.dtype)
        return None, self.signals(plastic, stimulus, noise)

    def signals(self, plastic: Matrix, stimulus: Any, noise: Vector) -> LayerSignals:
        """What the layer offers with these weights at a given noise."""
        seen = read(self, plastic, stimulus)
        spread = self.spread.astype(plastic.dtype)
        ahead, behind = (
            self.transfer(seen.field + sign * spread * noise) for sign in (1, -1)
        )
        costs = {
            name: jnp.asarray(self.cost(post, seen), post.dtype)
            for name, post in (
                ("cost", ahead),
                ("quiet_cost", seen.post),
                ("opposite_cost", behind),
            )
        }
        if shape := costs["cost"].shape:
            raise ValueError(f"`cost` must be one number; got shape {shape}.")
        shown = {**seen.shown, **costs, "noise": noise, "spread": spread}
        return dataclasses.replace(seen, post=ahead, shown=shown)
