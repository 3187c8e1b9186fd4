"""Does a rule of my own need less repair than the gradient does?

Sign descent moves every weight by the same amount against the sign of its gradient. The
sweep compares its U-shaped error curve with that of the normalised gradient.
"""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from plasticity_jax import AbstractRule, simulate, State, sweep, System
from plasticity_jax.circuits import LossCircuit
from plasticity_jax.measure import log_vertex
from plasticity_jax.rules import Descent, Normalised, Wiener
from plasticity_jax.systems.optimal_plasticity import build, Config, objective
from plasticity_jax.tasks import Constant


class SignDescent(AbstractRule):
    """Every weight one unit against the sign of its gradient."""

    def __call__(self, synapses, signals, key):
        del synapses, key
        return jax.tree.map(lambda g: -signals.dt * jnp.sign(g), signals.gradient)


def loss_before_the_step(state, signals, changes):
    """What to record at every step."""
    return signals.loss


def steady_error(config, key):
    """Error of both rules at one ratio of repair to noise, the same noise for both."""
    for_build, for_run = jr.split(key)
    loss, _ = objective(config, for_build)
    _, start = build(config, for_build)
    circuit = LossCircuit(lambda weights, stimulus: loss(weights))
    errors = {}
    for name, rule in {"gradient": Descent(), "sign": SignDescent()}.items():
        rules = {
            "repair": Normalised(rule, config.ratio * config.fluctuation),
            "noise": Normalised(Wiener(), config.fluctuation),
        }
        system = System(Constant(None), circuit, rules)
        state = State(None, start.synapses)
        _, losses = simulate(
            system, state, for_run, steps=config.steps, record=loss_before_the_step
        )
        errors[name] = jnp.mean(losses[-config.window :])
    return errors


if __name__ == "__main__":
    config = Config(sizes=(12, 10), steps=3000, window=2000)
    ratios = np.geomspace(0.2, 2.5, 12)
    data = sweep(steady_error, config, {"ratio": ratios}, jr.split(jr.key(0), 8))
    print(data[["gradient", "sign"]].mean("seed").to_dataframe().round(4))
    for name in ("gradient", "sign"):
        best = log_vertex(ratios, data[name].mean("seed").values)
        print(f"{name}: repair is best at {best:.2f} times the noise")
