"""Do release probabilities learn which weights of a transformer matter?

One block of attention learns to say a sequence backwards, by Adam: with weights that
always transmit, with release whose probabilities follow the size of gradients, and,
as a control, with the same release without plasticity. Networks are tested at their
mean weights and as they are drawn; then half of the weights are taken away, those of
least probability or at random. If release tells which weights matter, the first half
is missed less, and less than without plasticity; and what is drawn is as good as the
mean.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import optax
from jax.flatten_util import ravel_pytree

from plasticity_jax.rules import released, released_weights, ReleasePlasticity
from plasticity_jax.synapses import ReleaseBounds, split_weights


SYMBOLS, LENGTH, WIDTH, BATCH, STEPS = 8, 8, 32, 64, 1500
RATE, LOW, THRESHOLD = 3e-3, 0.5, 1e-3


class Transformer(eqx.Module):
    """One block; everything that is trained is a matrix."""

    symbols: eqx.nn.Embedding
    places: eqx.nn.Embedding
    attention: eqx.nn.MultiheadAttention
    into: eqx.nn.Linear
    out: eqx.nn.Linear
    readout: eqx.nn.Linear
    norm: eqx.nn.LayerNorm

    def __init__(self, key):
        keys = jr.split(key, 6)
        linear = lambda a, b, key: eqx.nn.Linear(a, b, use_bias=False, key=key)
        self.symbols = eqx.nn.Embedding(SYMBOLS, WIDTH, key=keys[0])
        self.places = eqx.nn.Embedding(LENGTH, WIDTH, key=keys[1])
        self.attention = eqx.nn.MultiheadAttention(2, WIDTH, key=keys[2])
        self.into = linear(WIDTH, 2 * WIDTH, keys[3])
        self.out = linear(2 * WIDTH, WIDTH, keys[4])
        self.readout = linear(WIDTH, SYMBOLS, keys[5])
        self.norm = eqx.nn.LayerNorm(WIDTH, use_weight=False, use_bias=False)

    def __call__(self, sequence):
        x = jax.vmap(self.symbols)(sequence)
        x = x + jax.vmap(self.places)(jnp.arange(LENGTH))
        seen = jax.vmap(self.norm)(x)
        x = x + self.attention(seen, seen, seen)
        seen = jax.vmap(self.norm)(x)
        x = x + jax.vmap(self.out)(jax.nn.gelu(jax.vmap(self.into)(seen)))
        return jax.vmap(self.readout)(jax.vmap(self.norm)(x))


def loss(network, sequences):
    """Mean cross-entropy of what comes back."""
    logits = jax.vmap(network)(sequences)
    right = sequences[:, ::-1]
    return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, right))


def accuracy(network, sequences):
    """Share of symbols that come back right."""
    said = jnp.argmax(jax.vmap(network)(sequences), axis=-1)
    return jnp.mean(said == sequences[:, ::-1])


def draw(key, count=BATCH):
    """Sequences of random symbols."""
    return jr.randint(key, (count, LENGTH), 0, SYMBOLS)


def learned(weights, rest, optimiser, key, releases=True):
    """Weights and the optimiser's state after learning."""

    def step(carry, key):
        weights, state = carry
        for_batch, for_release = jr.split(key)
        batch = draw(for_batch)

        def at(w):
            sent = released_weights(w, state, for_release) if releases else w
            return loss(eqx.combine(sent, rest), batch)

        value, gradient = jax.value_and_grad(at)(weights)
        change, state = optimiser.update(gradient, state, weights)
        return (optax.apply_updates(weights, change), state), value

    start = (weights, optimiser.init(weights))
    return jax.lax.scan(step, start, jr.split(key, STEPS))


def halved(network, importance):
    """The network without the half of its weights that is least important."""
    flat, shape = ravel_pytree(network)
    kept = jnp.argsort(jnp.argsort(importance)) >= flat.size // 2
    return shape(jnp.where(kept, flat, 0))


if __name__ == "__main__":
    for_weights, for_run, for_test, for_order = jr.split(jr.key(0), 4)
    weights, rest = split_weights(Transformer(for_weights))
    tests = draw(for_test, 500)
    right = jax.jit(lambda w: accuracy(eqx.combine(w, rest), tests))
    chance = jr.uniform(for_order, ravel_pytree(weights)[0].shape)
    adam, bounds = optax.adam(RATE), ReleaseBounds(LOW)
    plain = jax.jit(lambda: learned(weights, rest, adam, for_run, False))
    (ended, _), _ = plain()
    print(f"plain Adam: right {right(ended):.3f}", end="; ")
    print(f"a random half gone {right(halved(ended, chance)):.3f}")
    for name, step in {"plastic release": 0.05, "frozen release": 0.0}.items():
        rule = ReleasePlasticity(THRESHOLD, step, step)
        optimiser = released(adam, rule, bounds)
        run = jax.jit(lambda x=optimiser: learned(weights, rest, x, for_run))
        (ended, state), _ = run()
        p = -jnp.expm1(ravel_pytree(state.log_failure)[0])
        draws = [released_weights(ended, state, key) for key in jr.split(for_test, 10)]
        each = jnp.stack([right(sent) for sent in draws])
        print(
            f"{name}: right {right(ended):.3f}, as drawn {jnp.mean(each):.3f}", end=""
        )
        print(f"; p at least 0.9 of {jnp.mean(p >= 0.9):.2f}", end="; ")
        order = p + 1e-6 * chance  # ties at random
        print(f"gone: the half of least p {right(halved(ended, order)):.3f}", end=", ")
        print(f"a random half {right(halved(ended, chance)):.3f}")
