"""Is the closed-form Fisher inverse right for my neuron?

Edit the transfer function, the input rates and the weights below. The closed form is
exact for independent Gaussian synaptic potentials; here it meets a dense inverse, the
curvature of the KL divergence by autodiff, and potentials of real Poisson spikes.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr

from plasticity_jax import curvature, simulate, System
from plasticity_jax.circuits import SpikingNeuron
from plasticity_jax.rules import EuclideanGradient
from plasticity_jax.tasks import SpikeTrains


SIZE = 20
DT = 5e-4  # s
RATES = jnp.where(jnp.arange(SIZE) < SIZE // 2, 10.0, 50.0)  # Hz
WEIGHTS = jr.uniform(jr.key(0), (SIZE,), minval=-1.0, maxval=1.0) / SIZE
SAMPLES = 100_000  # Gaussian potentials
TRAINS, SECONDS, GAP = 512, 8.0, 0.02  # a potential of each train every 20 ms


def transfer(voltage):
    """My neuron: a soft threshold at 8 mV; its gain adapts to what it fires (Hz)."""
    drive = 40 * jax.nn.softplus((voltage - 8.0) / 4.0)
    return drive / (1 + drive / 150)


def recorded(state, signals, changes):
    """What to record."""
    return signals.potentials


@eqx.filter_jit
def poisson_potentials(neuron, key):
    """Synaptic potentials of Poisson spikes in mV (sample, input)."""
    still = {"none": EuclideanGradient(0.0)}
    system = System(SpikeTrains(RATES, DT), neuron, still)
    state = system.start(WEIGHTS, key)
    steps, every = round(SECONDS / DT), round(GAP / DT)

    def train(key):
        _, seen = simulate(
            system, state, key, steps=steps, every=every, record=recorded
        )
        return seen[10:]  # the first 200 ms are a start from silence

    return jax.vmap(train)(jr.split(key, TRAINS)).reshape(-1, SIZE)


@jax.jit
def fisher(potentials):
    """The Fisher matrix per second as a plain mean over potentials."""
    score = jax.vmap(jax.grad(lambda v: 2 * jnp.sqrt(transfer(v))))
    scores = score(potentials @ WEIGHTS)[:, None] * potentials
    return scores.T @ scores / len(potentials)


@jax.jit
def divergence_curvature(potentials):
    """Hessian of the KL divergence from the neuron itself, nat/s."""
    rates = transfer(potentials @ WEIGHTS)

    def divergence(weights):
        others = transfer(potentials @ weights)
        return jnp.mean(rates * jnp.log(rates / others) - rates + others)

    return jax.hessian(divergence)(WEIGHTS)


def error(inverse, matrix):
    """Largest relative error of an inverse, along any direction."""
    root = jnp.linalg.cholesky(matrix)
    return jnp.linalg.norm(root.T @ inverse @ root - jnp.eye(SIZE), 2)


if __name__ == "__main__":
    neuron = SpikingNeuron(RATES, DT, teacher=WEIGHTS, transfer=transfer, refresh=0)
    print("transfer function: positive and smooth, a closed form exists")
    moments = neuron.moments
    law = (transfer, WEIGHTS, moments.mean, moments.variance)
    closed = curvature.glm_fisher_inverse(*law).as_matrix()

    noise = jr.normal(jr.key(1), (2, SAMPLES, SIZE))
    first, second = moments.mean + jnp.sqrt(moments.variance) * noise
    sampled = fisher(first)
    gaussian = error(closed, sampled)
    chance = error(jnp.linalg.inv(fisher(second)), sampled)
    print(f"Gaussian inputs: error {gaussian:.3f}, of a dense inverse {chance:.3f}")
    bent = divergence_curvature(first)
    gap = jnp.max(jnp.abs(bent - sampled)) / jnp.max(jnp.abs(bent))
    print(f"curvature of the KL divergence: differs from that matrix by {gap:.0e}")

    half = jnp.split(poisson_potentials(neuron, jr.key(2)), 2)
    spiking = fisher(jnp.concatenate(half))
    off = error(closed, spiking)
    least = error(jnp.linalg.inv(fisher(half[0])), fisher(half[1]))
    skewed = curvature.skewed_glm_fisher(*law, moments.third).inverse().as_matrix()
    print(f"Poisson inputs: error {off:.3f}, of a dense inverse {least:.3f}")
    print(f"with their skewness (skewed_glm_fisher): {error(skewed, spiking):.3f}")

    exact = "yes" if gaussian < chance else "no"
    print(f"Is it right? For Gaussian inputs: {exact}.", end=" ")
    print(f"For {SIZE} Poisson inputs it is off by up to {100 * off:.0f} %", end=" ")
    print(f"along some direction (sampling alone: {100 * least:.0f} %).")
