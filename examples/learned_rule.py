"""By which rule did these animals learn? Their choices say, with error bars.

A neuron accepts one of two odours or not, and learns by the reward that it earns over
what it expects, with decay: 0.2 x r - 0.03 w. The rule is read from the choices alone.
Inputs are on or off, so x and x^2 are one and the same: only the sum of their
coefficients can be known, and the Fisher matrix says so.
"""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from plasticity_jax.inference import (
    behave,
    choice_fisher,
    choice_log_likelihood,
    estimable,
    fit,
    monomials,
    PolynomialRule,
    predicted_fields,
    term_name,
)


TERMS = monomials(pre=2, post=0, weight=1, reward=1)
NAMES = [term_name(term) for term in TERMS]
TRIALS, UNITS = 240, 10
CHANCES = ((0.2, 0.8), (0.9, 0.1), (0.2, 0.8))  # of reward, by block and odour


def rule(theta):
    """The rule with these coefficients."""
    return PolynomialRule(theta, TERMS)


def animals(theta, start, count, key):
    """Choices and rewards of animals that learn by the true rule."""
    for_odours, for_rewards, for_choices = jr.split(key, 3)
    odour = jr.bernoulli(for_odours, 0.5, (count, TRIALS)).astype(int)
    inputs = jnp.asarray(np.kron(np.eye(2), np.ones(UNITS // 2)))[odour]
    block = jnp.arange(TRIALS) * len(CHANCES) // TRIALS
    chance = jnp.asarray(CHANCES)[block[None], odour]
    earned = jr.bernoulli(for_rewards, chance).astype(float)
    return behave(rule(theta), start, inputs, earned, for_choices)


def log_likelihood(theta, seen):
    """Of the choices of each animal."""
    start, data = seen
    return choice_log_likelihood(rule(theta), start, data)


@jax.jit
def information(theta, seen):
    """The Fisher matrix of the choices."""
    start, data = seen

    def fields(theta):
        return predicted_fields(rule(theta), start, data, jax.nn.sigmoid)

    return choice_fisher(fields, theta)


@jax.jit
def explained(theta, start, data):
    """Deviance explained, over weights that stay."""
    learned = choice_log_likelihood(rule(theta), start, data)
    still = choice_log_likelihood(rule(jnp.zeros_like(theta)), start, data)
    return 1 - jnp.sum(learned) / jnp.sum(still)


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    truth = jnp.asarray([{"x r": 0.2, "w": -0.03}.get(name, 0.0) for name in NAMES])
    start = 0.3 * jr.normal(jr.key(1), (1, UNITS))
    for_data, for_test = jr.split(jr.key(0))
    others = animals(truth, start, 20, for_test)
    for count in (3, 30):
        seen = start, animals(truth, start, count, for_data)
        theta = fit(log_likelihood, jnp.zeros(len(TERMS)), seen, starts=1).params
        known = estimable(information(theta, seen), NAMES)
        errors = np.sqrt(np.diagonal(known.covariance))
        print(f"{count} animals:")
        for name, row, error in zip(
            known.names, known.combinations, errors, strict=True
        ):
            found = f"{row @ theta:8.4f} +- {error:.4f}"
            print(f"  {name:22} {found}   truth {row @ truth:.4f}")
        share, best = (explained(x, start, others) for x in (theta, truth))
        print(f"  deviance explained in others: {share:.1%}; by the truth {best:.1%}")
    print("cannot be known:", "; ".join(known.hidden))
