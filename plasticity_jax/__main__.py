"""`python -m plasticity_jax`."""

from .cli import main


main()
