"""Rules with free coefficients, to be fitted to what was seen (Mehta et al. 2024)."""

import itertools
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from .._arguments import real, require, whole
from .._interfaces import AbstractRule, Scalar


Matrix = Float[Array, "post pre"]
Terms = tuple[tuple[int, int, int, int], ...]
LETTERS = "xywr"
HIGHEST = 2


def monomials(pre: int = 2, post: int = 2, weight: int = 2, reward: int = 2) -> Terms:
    """All terms of a `PolynomialRule` up to these powers, at most 2: 81 of them.

    Raises `ValueError` for higher ones.

    >>> monomials(pre=1, post=1, weight=0, reward=0)
    ((0, 0, 0, 0), (0, 1, 0, 0), (1, 0, 0, 0), (1, 1, 0, 0))
    >>> len(monomials())
    81
    """
    most = {"pre": pre, "post": post, "weight": weight, "reward": reward}
    for name, power in most.items():
        if whole(name, power, 0) > HIGHEST:
            raise ValueError(f"`{name}` must be at most {HIGHEST}; got {power}.")
    return tuple(itertools.product(*(range(x + 1) for x in most.values())))  # pyright: ignore[reportReturnType]


def term_name(powers: tuple[int, ...]) -> str:
    """How a term reads: `x y`, `y^2 w`, or `1`.

    >>> term_name((1, 1, 0, 0)), term_name((0, 2, 1, 0)), term_name((0, 0, 0, 0))
    ('x y', 'y^2 w', '1')
    """
    written = {1: "", 2: "^2"}
    parts = [f"{x}{written[n]}" for x, n in zip(LETTERS, powers, strict=True) if n]
    return " ".join(parts) or "1"


def _row(x: Any) -> Array:
    return jnp.asarray(x, jnp.result_type(float))


class PolynomialRule(AbstractRule):
    r"""$\dot w = \eta\sum_k\theta_k\,x^{a_k}y^{b_k}w^{c_k}r^{d_k}$, powers 0 to 2.

    Mehta et al. 2024. `terms` are the powers $(a, b, c, d)$ of each of the
    `coefficients` $\theta$; what is not among them is 0. Raises `ValueError` for terms
    that are not four powers up to 2, that come twice, or that are not as many as the
    coefficients.
    Reads `pre`, `post`, `dt` and, if a term does, `reward`. Synapses (post, pre).

    >>> oja = PolynomialRule([1.0, -1.0], ((1, 1, 0, 0), (0, 2, 1, 0)), rate=0.5)
    >>> y = jnp.asarray([2.0])
    >>> seen = signals.LayerSignals(jnp.ones(()), jnp.ones(3), y, post=y, slope=y)
    >>> oja(jnp.ones((1, 3)), seen, jr.key(0)).tolist()  # (x y - y^2 w) / 2
    [[-1.0, -1.0, -1.0]]
    """

    coefficients: Float[Array, " term"] = eqx.field(converter=_row)
    terms: Terms = eqx.field(static=True)
    rate: Scalar = eqx.field(default=1.0, converter=real)

    def __check_init__(self) -> None:
        allowed = set(itertools.product(range(HIGHEST + 1), repeat=4))
        for term in self.terms:
            if term not in allowed:
                raise ValueError(
                    f"`terms` must be powers (x, y, w, r), each 0 to {HIGHEST}; got "
                    f"{term!r}."
                )
        if len(set(self.terms)) < len(self.terms):
            raise ValueError("`terms` must not come twice.")
        if self.coefficients.shape != (len(self.terms),):
            raise ValueError(
                f"`coefficients` must be one for each of {len(self.terms)} terms; got "
                f"the shape {self.coefficients.shape}."
            )
        require(self, rate=(-np.inf, np.inf))

    def __call__(self, synapses: Matrix, signals: Any, key: Key[Array, ""]) -> Matrix:
        scale = (signals.dt * self.rate).astype(synapses.dtype)
        theta = scale * self.coefficients.astype(synapses.dtype)
        x, y = _powers(signals.pre), _powers(signals.post)
        if max(self._powers_of(3)):
            earned = _powers(_one(signals.reward))
            theta = theta * jnp.stack([earned[term[3]] for term in self.terms])
        w = jnp.stack([synapses**n for n in range(1 + max(self._powers_of(2)))])
        place = np.zeros((len(self.terms), len(w), *(HIGHEST + 1,) * 2))
        for i, (a, b, c, _) in enumerate(self.terms):
            place[i, c, b, a] = 1
        table = jnp.tensordot(theta, jnp.asarray(place, theta.dtype), 1)
        return jnp.sum(w * (y.T[None] @ table @ x[None]), axis=0)

    def _powers_of(self, place: int) -> set[int]:
        return {0, *(term[place] for term in self.terms)}


class NeuralRule(AbstractRule):
    r"""$\dot w = \eta\,f(x, y, w, r)$, $f$ a small network, the same at every synapse.

    `network` takes a vector of four numbers, or of three without `reward`, and returns
    one. Raises `ValueError` where it returns more.
    Reads `pre`, `post`, `dt` and, with `reward`, that. Synapses (post, pre).

    >>> rule = NeuralRule(lambda xyw: xyw[0] * xyw[1], rate=0.5, reward=False)
    >>> y = jnp.asarray([2.0])
    >>> seen = signals.LayerSignals(jnp.ones(()), jnp.ones(3), y, post=y, slope=y)
    >>> rule(jnp.ones((1, 3)), seen, jr.key(0)).tolist()  # x y / 2
    [[1.0, 1.0, 1.0]]
    """

    network: Callable[[Any], Any]
    rate: Scalar = eqx.field(default=1.0, converter=real)
    reward: bool = eqx.field(default=True, static=True)

    def __check_init__(self) -> None:
        require(self, rate=(-np.inf, np.inf))

    def __call__(self, synapses: Matrix, signals: Any, key: Key[Array, ""]) -> Matrix:
        parts = [signals.pre[None], signals.post[:, None], synapses]
        parts += [_one(signals.reward)[None, None]] if self.reward else []
        read = jnp.stack([jnp.broadcast_to(x, synapses.shape) for x in parts], -1)
        found = jax.vmap(jax.vmap(self.network))(read)
        if found.size != synapses.size:
            raise ValueError(
                "`network` must return one number for a synapse; got the shape "
                f"{found.shape[2:]}."
            )
        return signals.dt * self.rate * found.reshape(synapses.shape)


def _powers(x: Array) -> Array:
    return jnp.stack([jnp.ones_like(x), x, x**2])


def _one(reward: Array) -> Array:
    if jnp.ndim(reward):
        raise ValueError(f"`reward` must be one number; got shape {jnp.shape(reward)}.")
    return reward
