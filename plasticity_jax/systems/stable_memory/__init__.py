"""Memories that outlive their synapses (Susman, Brenner & Barak 2019)."""
