"""Is a table of synapse sizes given back to the model that made it, at real size?

Each model as fitted to the shipped 1087 synapses at every fifth time (10 times) makes
tables like that one, from its first sizes; all models are fitted to each, four starts
from their guess, and the least AIC wins. `misled` counts tables where a wrong class
wins and Vuong's statistic tells it apart, `AIC ahead` is the median lead over wrong
classes, `1/z` what factors find. Sizes of 0 or below, which a model with a constant
noise can make, are gaps, as `zeros="missing"` makes them. Kesten's model and
size-dependent diffusion differ by $2\\alpha\\beta w$ in the rate of the variance: they
are one class, noise linear in size. Factors hold additive and lognormal (1/z of 1, 0):
by AIC they win in 16 % of tables that these made.
`OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 python benchmarks/recovery.py --tables 20`.
"""

import argparse
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Key

from plasticity_jax.inference import (
    compare,
    Fit,
    fit_sizes,
    kaufman_2012,
    MODELS,
    Table,
)


CLASS = {name: name for name in MODELS} | dict.fromkeys(
    ("kesten", "size-dependent"), "linear noise"
)


def drawn(model: Any, table: Table, key: Key[Array, ""]) -> Table:
    """A table like this one, made by a model."""
    times, first = table.times, table.sizes[:, 0]
    sizes = model.simulate(times, len(first), key, first=first)
    return Table(jnp.where(sizes > 0, sizes, jnp.nan), times)


def fitted(table: Table) -> dict[str, Fit]:
    return {name: fit_sizes(table, own.guess(table)) for name, own in MODELS.items()}


def judged(truth: str, fits: dict[str, Fit]) -> dict[str, Any]:
    """Which model is best, by how much the true class is behind, and what 1/z is."""
    found = compare(fits)
    best = str(found.model.values[0])
    right = [name for name in MODELS if CLASS[name] == CLASS[truth]]
    others = [name for name in MODELS if CLASS[name] != CLASS[truth]]
    aic = found.aic.to_series()
    return {
        "best": best,
        "right": best in right,
        "misled": best not in right and bool(found.apart.sel(model=right).all()),
        "ahead": aic[others].min() - aic[right].min(),
        "1/z": float(fits["factors"].params.inverse_factors),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", type=int, default=20)
    tables = parser.parse_args().tables
    real = kaufman_2012().thinned(5)
    heads = "right", "misled", "AIC ahead", "1/z", "s.d.", "gaps"
    print("".join(f"{head:>15}" for head in ("made by", *MODELS, *heads)))
    for name, found in fitted(real).items():
        made = [drawn(found.params, real, key) for key in jr.split(jr.key(0), tables)]
        rows = [judged(name, fitted(table)) for table in made]
        of = {key: [row[key] for row in rows] for key in rows[0]}
        counts = [of["best"].count(model) for model in MODELS]
        gaps = np.mean([jnp.isnan(table.sizes).mean() for table in made])
        ahead, power = np.median(of["ahead"]), np.asarray(of["1/z"])
        print(f"{name:>15}" + "".join(f"{count:15}" for count in counts), end="")
        print(f"{sum(of['right']):15}{sum(of['misled']):15}{ahead:15.1f}", end="")
        print(f"{power.mean():15.3f}{power.std():15.3f}{gaps:15.2%}", flush=True)


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    main()
