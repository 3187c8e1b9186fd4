import jax.numpy as jnp, jax.random as jr
from ..._simulate import simulate
from ...measure import drift
from .config import build

def loss_of(state, signals, changes):
    del state, changes
    return signals.loss

def steady_state(config, key):
    for_build, for_run = jr.split(key)
    system, state = build(config, for_build)
    _, losses = simulate(system, state, for_run, steps=config.steps, record=loss_of)
    return {"loss": jnp.mean(losses[-config.window:]), "drift": drift(losses)}
