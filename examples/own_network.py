"""How curved is my own network, and what does that say about repairing it?

Exact curvature of an Equinox classifier on handwritten digits: mean curvature,
curvature along the gradient, the spectrum, and the ratio of repair to noise that it
predicts.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import optax

from plasticity_jax import curvature
from plasticity_jax.data import load


digits = load("digits")
images = jnp.asarray(digits.train_images.reshape(-1, 64) / 16, jnp.float32)
labels = jnp.asarray(digits.train_labels)


def loss(model):
    """Mean cross-entropy of the training set."""
    logits = jax.vmap(model)(images)
    return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, labels))


@eqx.filter_jit
def trained(model, steps=300):
    """The model after Adam on the whole set."""
    weights, rest = eqx.partition(model, eqx.is_inexact_array)
    optimiser = optax.adam(0.01)

    def step(carry, _):
        weights, memory = carry
        gradient = jax.grad(lambda w: loss(eqx.combine(w, rest)))(weights)
        update, memory = optimiser.update(gradient, memory, weights)
        return (optax.apply_updates(weights, update), memory), None

    start = (weights, optimiser.init(weights))
    (weights, _), _ = jax.lax.scan(step, start, length=steps)
    return eqx.combine(weights, rest)


@eqx.filter_jit
def report(model):
    """Curvature without forming the Hessian."""
    weights = eqx.filter(model, eqx.is_inexact_array)
    operator = curvature.hessian_operator(loss, model)
    size = sum(leaf.size for leaf in jax.tree.leaves(weights))
    trace = curvature.trace(operator, method="hutch++", samples=60, key=jr.key(1))
    downhill = eqx.filter_grad(loss)(model)
    along = curvature.quadratic_form(loss, model, downhill)
    density = curvature.spectrum(operator, method="lanczos", probes=4, key=jr.key(2))
    return trace.value / size, trace.standard_error / size, along, density


if __name__ == "__main__":
    model = eqx.nn.MLP(64, 10, 16, 1, jax.nn.sigmoid, key=jr.key(0))
    model = trained(model)
    mean, error, along, density = report(model)
    print(f"loss {loss(model):.4f}")
    print(f"mean curvature {mean:.2e} ± {error:.1e} (Hutch++)")
    print(f"curvature along the gradient {along / mean:.0f} times the mean")
    print(f"largest eigenvalue {density.eigenvalues[-1]:.3f} (Lanczos)")
    spectrum = jnp.linalg.eigvalsh(curvature.hessian(loss, model))
    ratio = curvature.best_ratio(jnp.maximum(spectrum, 0.0), jnp.zeros(()))
    print(f"predicted: repair is best at {ratio:.2f} times the noise")
