"""How long must 200 spines be imaged to tell one factor of synaptic strength from two?

The expected Fisher information of a product of z factors, by the length of the record
and the interval between sessions, as standard errors of 1/z: 1 for one factor, 1/2 for
two. Its derivative by the times says where one more session would tell most.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr

from plasticity_jax.inference import (
    expected_information,
    Factors,
    size_log_likelihood,
    standard_errors,
    Table,
)


SPINES, DRAWS = 200, 8
TRUTH = Factors(0.0, 70.0, 0.065, 0.5, 0.03)  # hours; two factors
PLACE = 3  # of 1/z among the parameters


@eqx.filter_jit
def error(times, key):
    """Standard error of 1/z that this many spines give, imaged at these times."""
    sizes = lambda model, key: model.simulate(times, SPINES, key, first=1.0)
    draw = lambda model, key: Table(sizes(model, key), times)
    domain = TRUTH.domain()
    found = expected_information(
        size_log_likelihood, TRUTH, draw, key, domain=domain, draws=DRAWS
    )
    logit = standard_errors(found)[PLACE]
    low, high = -0.5, 1.5  # its domain
    part = (TRUTH.inverse_factors - low) / (high - low)
    return logit * (high - low) * part * (1 - part)


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    TRUTH = jax.tree.map(lambda x: jnp.asarray(x, float), TRUTH)
    key = jr.key(0)
    print("hours  sessions  s.e. of 1/z  one and two apart by")
    for hours in (6.0, 12.0, 24.0, 48.0, 96.0):
        times = jnp.linspace(0.0, hours, 9)
        found = error(times, key)
        print(f"{hours:5.0f}  {9:8d}  {found:11.3f}  {0.5 / found:17.1f} s.e.")
    times = jnp.linspace(0.0, 24.0, 9)
    slope = jax.grad(error)(times, key)[-1]
    print(f"the last session an hour later changes the error by {slope:.5f}")
