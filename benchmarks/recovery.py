"""Is a table of synapse sizes given back to the model that made it, at real size?

Each model as fitted to the shipped 1087 synapses at every fifth time (10 times) makes
tables like that one, from its first sizes; all models are fitted to each, four starts
from their guess, and the least AIC wins. Sizes of 0 or below, which a model with a
constant noise can make, are gaps, as `zeros="missing"` makes them. Kesten's model and
size-dependent diffusion differ by $2\\alpha\\beta w$ in the rate of the variance: they
are one class, noise linear in size.
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tables", type=int, default=20)
    tables = parser.parse_args().tables
    real = kaufman_2012().thinned(5)
    print(f"{'made by':16}" + "".join(f"{name:>16}" for name in MODELS), end="")
    print(f"{'class right':>13}{'AIC, next class':>17}{'gaps':>8}")
    for name, found in fitted(real).items():
        made = [drawn(found.params, real, key) for key in jr.split(jr.key(0), tables)]
        aic = [compare(fitted(table)).aic.to_series() for table in made]
        best = [each.idxmin() for each in aic]
        right = sum(CLASS[each] == CLASS[name] for each in best)
        others = [other for other in MODELS if CLASS[other] != CLASS[name]]
        behind = np.median([x[others].min() - x.drop(others).min() for x in aic])
        gaps = np.mean([jnp.isnan(table.sizes).mean() for table in made])
        print(f"{name:16}" + "".join(f"{best.count(x):16}" for x in MODELS), end="")
        print(f"{right:10}/{tables}{behind:17.1f}{gaps:8.2%}", flush=True)


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    main()
