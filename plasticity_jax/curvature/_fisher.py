r"""The Fisher information of a probabilistic model, averaged over inputs.

$G = \frac1N \sum_x \sum_y p_y\, s_{xy} s_{xy}^\top$ with scores
$s_{xy} = \nabla \log p(y \mid x)$ (Martens 2020). Three matrices go by the name:

- `"exact"`: $p_y = p(y \mid x)$ and $y$ runs over `outcomes`, which must list all of
  the finitely many outcomes along the leading axis; one of probability 0 counts
  nothing, or makes it NaN where its score is not finite;
- `"empirical"`: $y$ is the observed target of `targets`, one for each input, and
  $p_y = 1$. Not an estimate of the exact one (Kunstner et al. 2019);
- `"sampled"`: $y$ is drawn from the model, `samples` times for each input, among
  `outcomes` or by `sample(params, x, key)`. An unbiased estimate of the exact one;
  the draws are held fixed under differentiation.
"""

import math
from collections.abc import Callable
from typing import Any, SupportsIndex

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import lineax as lx
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, Key, PyTree

from .._arguments import check_lengths, check_takes, concrete, one_of, PLAIN, whole
from .._interfaces import Scalar
from ..numerics import tree_vdot
from ._flat import arrays_of, Matrix, structure_of, Vector


LogProb = Callable[[Any, Any, Any], Scalar]
LogProbs = Callable[[Any, Any, PyTree], Array]
Sample = Callable[[Any, Any, Key[Array, ""]], PyTree]

KINDS = ("exact", "empirical", "sampled")
CHECKED = 64  # inputs at which probabilities are summed
BLOCK_ENTRIES = 2**20  # scores held at once: 4 MiB in float32 stay in cache


class Fisher(eqx.Module):
    """The Fisher information of a model at `params`, over the raveled parameters.

    `log_prob(params, x, y)` takes one input and one outcome; every leaf of `inputs`
    has the samples along its leading axis. The kinds: `exact` sums over all of
    `outcomes`, such as `jnp.arange(10)`; `empirical` takes the observed `targets`;
    `sampled` draws from the model, `samples` times for each input, among `outcomes` or
    by `sample(params, x, key)`, once, here. Raises `ValueError` where a kind lacks what
    it needs, or targets do not match the inputs.

    >>> log_prob, w = lambda w, x, y: jax.nn.log_sigmoid(y * w * x), jnp.array(0.0)
    >>> inputs, outcomes = jnp.array([1.0, 3.0]), jnp.array([-1.0, 1.0])
    >>> found = Fisher(log_prob, w, inputs, outcomes=outcomes)
    >>> print(f"{found.matrix()[0, 0]:.2f} {found.operator().mv(jnp.array(2.0)):.2f}")
    1.25 2.50
    """

    params: PyTree
    inputs: PyTree
    ys: PyTree  # every leaf: input, outcome, ...
    log_probs: Callable[[Any, Any, PyTree], Float[Array, " outcome"]]
    # Roots of the outcomes' weights: their gradient stays finite where p vanishes.
    root_weights: Callable[[Array], Array]

    def __init__(
        self,
        log_prob: LogProb,
        params: PyTree,
        inputs: PyTree,
        *,
        kind: str = "exact",
        outcomes: PyTree = None,
        targets: PyTree = None,
        sample: Sample | None = None,
        key: Key[Array, ""] | None = None,
        samples: SupportsIndex = 1,
    ) -> None:
        one_of("kind", kind, KINDS)
        check_takes("log_prob", log_prob, "params", "x", "y")
        count = check_lengths("inputs", inputs)
        given = (inputs, outcomes, targets)
        inputs, outcomes, targets = jax.tree.map(jnp.asarray, given)
        log_probs = jax.vmap(_scalar(log_prob), in_axes=(None, None, 0))
        root_weights = jnp.ones_like
        if kind == "exact":
            _need(kind, outcomes=outcomes)
            _check_outcomes(log_probs, params, inputs, outcomes)
            repeat = lambda y: jnp.broadcast_to(y, (count, *y.shape))
            ys = jax.tree.map(repeat, outcomes)
            root_weights = lambda log_p: jnp.exp(log_p / 2)
        elif kind == "empirical":
            _need(kind, targets=targets)
            if (length := check_lengths("targets", targets)) != count:
                raise ValueError(
                    f"`targets` must match the {count} inputs; got {length}."
                )
            ys = jax.tree.map(lambda y: y[:, None], targets)
        else:
            if key is None:
                raise ValueError("`kind='sampled'` needs `key`; got None.")
            draws = whole("samples", samples, 1)
            if (outcomes is None) == (sample is None):
                raise ValueError(
                    "`kind='sampled'` needs either `outcomes` or `sample`."
                )
            keys = jr.split(key, (count, draws))
            if sample is None:
                _check_outcomes(log_probs, params, inputs, outcomes)
                sample = _drawing(log_probs, outcomes)
            draw = jax.vmap(jax.vmap(sample, (None, None, 0)), (None, 0, 0))
            ys = jax.lax.stop_gradient(draw(params, inputs, keys))
            root_weights = lambda log_p: jnp.full_like(log_p, draws**-0.5)
        self.params, self.inputs, self.ys = params, inputs, ys
        self.log_probs, self.root_weights = log_probs, root_weights

    def matrix(self) -> Matrix:
        """The dense matrix.

        All scores of an input come from one vector-Jacobian product per outcome, then
        one matrix product per block of inputs.
        """
        return self._sum(lambda scores: scores.T @ scores)

    def diagonal(self) -> Vector:
        """The exact diagonal, without the matrix."""
        return self._sum(lambda scores: jnp.sum(scores**2, axis=0))

    def operator(self) -> lx.FunctionLinearOperator:
        """A positive semidefinite operator on pytrees shaped like `params`.

        A product costs a forward and a backward pass. Build it inside the function that
        you `jit`, as `hessian_operator`.
        """
        everywhere = jax.vmap(self.log_probs, (None, 0, 0))
        arrays, function = arrays_of(
            lambda params: everywhere(params, self.inputs, self.ys), self.params
        )
        log_probs, push = jax.linearize(function, arrays)
        pull = jax.linear_transpose(push, arrays)
        weights = self.root_weights(log_probs) ** 2 / len(log_probs)
        product = lambda direction: pull(weights * push(direction))[0]
        tag = lx.positive_semidefinite_tag
        return lx.FunctionLinearOperator(product, structure_of(arrays), tag)

    def _sum(self, add: Callable[[Float[Array, "term w"]], Array]) -> Array:
        """The mean over inputs of `add(weighted scores)`, summed a block at a time."""
        arrays, _ = arrays_of(lambda params: params, self.params)
        flat, unravel = ravel_pytree(arrays)
        count, outcomes = jax.tree.leaves(self.ys)[0].shape[:2]
        blocks = math.ceil(count * outcomes * flat.size / BLOCK_ENTRIES)
        size = math.ceil(count / min(blocks, count))

        def scores(x: Any, y: Any, present: Array) -> Float[Array, "outcome w"]:
            _, function = arrays_of(lambda p: self.log_probs(p, x, y), self.params)
            log_p, pull = jax.vjp(lambda flat: function(unravel(flat)), flat)
            jacobian = jax.vmap(pull)(jnp.eye(outcomes, dtype=log_p.dtype))[0]
            root = jnp.where(present, self.root_weights(log_p), 0)
            return root[:, None] * jacobian

        def block(total: Array, start: Array) -> tuple[Array, None]:
            index = start + jnp.arange(size)  # the last repeats inputs, weighted zero
            x, y = jax.tree.map(lambda a: a[index % count], (self.inputs, self.ys))
            rows = jax.vmap(scores)(x, y, index < count)
            return total + add(rows.reshape(-1, flat.size)), None

        empty = jax.eval_shape(add, jax.ShapeDtypeStruct((size, flat.size), flat.dtype))
        starts = jnp.arange(0, count, size)
        total, _ = jax.lax.scan(block, jnp.zeros(empty.shape, empty.dtype), starts)
        return total / count


def sensitivity(
    predict: Callable[[Any, Any], PyTree], params: PyTree, inputs: PyTree
) -> Vector:
    r"""How much outputs hang on each parameter: $\frac1N\sum_x|\partial_i\|F(x)\|^2|$.

    The importance of memory-aware synapses (Aljundi et al. 2018), over the raveled
    parameters: it takes inputs only, no target. `predict(params, x)` is $F$ of one
    input; every leaf of `inputs` has the samples along its leading axis. Their loss
    $\lambda\sum\Omega(w - \tilde w)^2$ is pulled down by `rules.ElasticPenalty` with
    `precision` $2\Omega$ and `moment` $2\Omega\tilde w$.

    >>> print(sensitivity(lambda w, x: w * x, jnp.array([1.0, 2.0]), jnp.ones((3, 2))))
    [2. 4.]
    """

    def square(params: Any, x: Any, _: Any) -> Scalar:
        outputs = predict(params, x)
        return tree_vdot(outputs, outputs)

    none = jnp.zeros(check_lengths("inputs", inputs))
    slopes = Fisher(square, params, inputs, kind="empirical", targets=none)
    return slopes._sum(lambda each: jnp.sum(jnp.abs(each), axis=0))


def _drawing(log_probs: LogProbs, outcomes: PyTree) -> Sample:
    """Draws one of the outcomes."""

    def sample(params: Any, x: Any, key: Key[Array, ""]) -> PyTree:
        drawn = jr.categorical(key, log_probs(params, x, outcomes))
        return jax.tree.map(lambda y: y[drawn], outcomes)

    return sample


def _scalar(log_prob: LogProb) -> LogProb:
    """`log_prob`; `ValueError` unless it returns one number."""

    def checked(params: Any, x: Any, y: Any) -> Scalar:
        log_p = log_prob(params, x, y)
        if jnp.shape(log_p):
            raise ValueError(
                "`log_prob` must return one number for one input and one outcome; got "
                f"shape {jnp.shape(log_p)}."
            )
        return log_p

    return checked


def _check_outcomes(
    log_probs: LogProbs, params: PyTree, inputs: PyTree, outcomes: PyTree
) -> None:
    """Raise `ValueError` unless the outcomes have probability 1 together.

    At the first inputs, where values are concrete. One that is NaN passes.
    """
    check_lengths("outcomes", outcomes)
    first = jax.tree.map(lambda x: x[:CHECKED], inputs)
    if not concrete(params, first, outcomes):
        return
    log_p = jax.vmap(log_probs, (None, 0, None))(params, first, outcomes)
    if not concrete(log_p):
        return
    total = np.sum(np.exp(np.asarray(log_p, float)), axis=1)
    wrong = total[np.abs(total - 1) > max(PLAIN, 8 * float(jnp.finfo(log_p.dtype).eps))]
    if wrong.size:
        raise ValueError(
            "`outcomes` must list all outcomes, and `log_prob` be the logarithm of a "
            f"probability; the probabilities of one input sum to {wrong[0]:.4g}."
        )


def _need(kind: str, **arguments: Any) -> None:
    for name, value in arguments.items():
        if value is None:
            raise ValueError(f"`kind={kind!r}` needs `{name}`; got None.")
