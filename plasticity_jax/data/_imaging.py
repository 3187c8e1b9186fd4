"""Synapses followed over time, from published imaging."""

from importlib import resources

import numpy as np
from jaxtyping import Float
from numpy import ndarray


def kaufman_2012() -> Float[ndarray, "synapse sample"]:
    """Fluorescence of PSD-95:EGFP at 1087 cortical synapses, 49 samples 0.5 h apart.

    Arbitrary units, a proxy of strength (mean 1). Measured by Kaufman, Corner & Ziv
    2012, PLoS ONE, doi 10.1371/journal.pone.0040980; published by Statman et al. 2014,
    PLoS Comput Biol, doi 10.1371/journal.pcbi.1003846, under CC-BY-4.0.

    >>> sizes = kaufman_2012()
    >>> print(sizes.shape, f"{sizes.mean():.2f}")
    (1087, 49) 1.00
    """
    file = resources.files("plasticity_jax.data") / "kaufman_2012.csv"
    with file.open(encoding="utf-8") as lines:
        return np.loadtxt(lines, delimiter=",")
