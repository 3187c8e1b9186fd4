"""Differentiable modelling of synaptic plasticity and memory in JAX."""

__version__ = "0.1.0"
