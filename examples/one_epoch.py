"""One epoch with plastic release on real images, and what the probabilities then tell.

`python examples/one_epoch.py mnist fashion_mnist` names the data sets, which must then
be here (`plasticity-jax data` says where they are looked for); without a name, those
that are here are taken.
"""

import sys
import time

import jax
import jax.numpy as jnp
import jax.random as jr

from plasticity_jax import data
from plasticity_jax.systems.presynaptic_stochasticity import Config, images_of, learn


def one_epoch(name):
    """Train for one epoch, test on all test images with 10 drawn networks."""
    sizes = {"hidden": (48, 40), "batch": 20, "epochs": 40, "rate": 0.05}
    if name != "digits":
        sizes = {"hidden": (200, 200), "batch": 100, "epochs": 1, "rate": 0.05}
    config = Config(data=name, protocol="single", **sizes)
    images = images_of(config)

    @jax.jit
    def run(images, key):
        learned = learn(config, images, key)
        every = jnp.concatenate(
            [p.ravel() for p in jax.tree.leaves(learned.state.synapses.probability)]
        )
        return learned.accuracy[0, 0], jnp.mean(every), jnp.mean(every >= 0.9)

    begun = time.perf_counter()
    accuracy, mean, reliable = run(images, jr.key(0))
    print(
        f"{name:14} {len(images.train_labels):6} images: accuracy "
        f"{float(accuracy):.3f}, mean release probability {float(mean):.3f}, "
        f"{float(reliable):.1%} of the synapses reliable "
        f"({time.perf_counter() - begun:.1f} s, compilation included)"
    )
    assert accuracy > 0.7


if __name__ == "__main__":
    named = sys.argv[1:] or [x.name for x in data.status() if x.found]
    for name in named:
        one_epoch(name)
