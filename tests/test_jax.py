"""What JAX itself must do; versions that do not are excluded in pyproject.toml."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import pytest


SOLVES = """
import jax
import jax.numpy as jnp
some = jnp.eye(30) + jax.random.uniform(jax.random.key(0), (6, 64, 30, 30)) / 60
solve = lambda x: jnp.linalg.solve(x, x[..., :1])
at_once = jax.jit(lambda *x: [solve(y) for y in x])
for _ in range(20):
    jax.block_until_ready(at_once(*some))
"""


def test_batched_solves_at_once_end():
    """In 0.10.0 to 0.11.0 those on all of a CPU's threads wait for each other."""
    subprocess.run([sys.executable, "-c", SOLVES], timeout=100, check=True)


@pytest.mark.parametrize("double", [False, True])
def test_the_installed_jax_computes_every_lane(double):
    """JAX 0.10.2 gave rows of a vmapped product others' results (jax#39103)."""
    with jax.enable_x64(double):
        rows = jnp.arange(40_000.0)[:, None] * jnp.asarray([[1.0, 0.0, 0.0]])
        turn = jnp.eye(3)
        lengths = jax.vmap(lambda row: jnp.sum((turn @ row) ** 2))
        assert jnp.allclose(jax.jit(lengths)(rows), rows[:, 0] ** 2)
