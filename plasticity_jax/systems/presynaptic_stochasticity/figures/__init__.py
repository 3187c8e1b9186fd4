"""Figures, a module for each group of experiments."""
