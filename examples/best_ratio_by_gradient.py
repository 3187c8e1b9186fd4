"""Which ratio of repair to noise is best? Let gradient descent through plasticity say.

The steady-state error is differentiated with respect to the ratio through the whole
run, and the ratio follows its gradient; the mean-field law says where it must end.
"""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import optax

from plasticity_jax import simulate
from plasticity_jax.curvature import best_ratio
from plasticity_jax.systems.optimal_plasticity import build, Config


def loss_before_the_step(state, signals, changes):
    """What to record at every step."""
    return signals.loss


@eqx.filter_value_and_grad
def log_error(log_ratio, config, keys):
    """Log of the steady-state error, averaged over keys, and its derivative."""
    config = dataclasses.replace(config, ratio=jnp.exp(log_ratio))

    def run(key):
        for_build, for_run = jr.split(key)
        system, state = build(config, for_build)
        _, losses = simulate(
            system, state, for_run, steps=config.steps, record=loss_before_the_step
        )
        return jnp.mean(losses[-config.window :])

    return jnp.log(jnp.mean(jax.vmap(run)(keys)))


@eqx.filter_jit
def descend(log_ratio, memory, config, keys):
    """One step of Adam on the logarithm of the ratio."""
    value, slope = log_error(log_ratio, config, keys)
    update, memory = optimiser.update(slope, memory)
    return log_ratio + update, memory, value


STEPS = 60
optimiser = optax.adam(optax.cosine_decay_schedule(0.15, STEPS))

if __name__ == "__main__":
    moment = np.diag(np.geomspace(0.2, 5.0, 12))
    config = Config(
        sizes=(12, 10), second_moment=moment, corruption=0.0, steps=1500, window=1000
    )
    log_ratio = jnp.log(jnp.asarray(2.0))
    memory = optimiser.init(log_ratio)
    for epoch in range(STEPS):
        keys = jr.split(jr.fold_in(jr.key(0), epoch), 8)
        log_ratio, memory, value = descend(log_ratio, memory, config, keys)
        if epoch % 15 == 14:
            ratio = jnp.exp(log_ratio)
            print(f"step {epoch + 1}: ratio {ratio:.3f}, log error {value:.3f}")
    spectrum = jnp.repeat(jnp.diag(jnp.asarray(moment)), 10) / 5
    law = best_ratio(spectrum, jnp.zeros(()))
    print(f"found {jnp.exp(log_ratio):.3f}; the mean-field law says {law:.3f}")
