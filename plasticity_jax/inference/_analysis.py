"""A table of synapse sizes from end to end: models, laws of noise, checks, synapses."""

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TYPE_CHECKING

import jax.random as jr
from jaxtyping import Array, Key

from .._arguments import nearest, one_of
from ._estimates import Fit
from ._imaging import fit_sizes, MODELS
from ._oddities import oddities
from ._predictive import predictive_checks
from ._smoothing import window_of
from ._summary import compare
from ._table import Table
from ._varied import Varied


if TYPE_CHECKING:
    import xarray

OWN = "own"
LAWS: Mapping[str, float | None] = {OWN: None, "0": 0.0, "1/2": 0.5, "1": 1.0}
Progress = Callable[[str], None]


class Analysis(NamedTuple):
    """What a table says: fits by model, and of the best one what else there is.

    `law` is that of the measurement noise under which models were compared, `laws` are
    fits of the best one under each: its s.d. the size to the power 0, 1/2 or 1, or
    constant in the model's own coordinate. `varied` lets synapses differ in how much
    they fluctuate.

    >>> table = kaufman_2012().of(range(20)).thinned(5)
    >>> found = analyse(table, ["additive", "lognormal"], window=1, brief=True)
    >>> found.law, found.fits[found.best].space.names
    ('own', ('mean', 'time_constant', 'diffusion', 'noise'))
    """

    table: Table
    notes: tuple[str, ...]
    window: int
    law: str
    fits: dict[str, Fit]
    best: str
    comparison: "xarray.Dataset"
    laws: dict[str, Fit]
    varied: Fit | None
    checks: "xarray.Dataset | None"


def analyse(
    table: Table,
    models: Sequence[str] = tuple(MODELS),
    *,
    window: int | None = None,
    law: str = OWN,
    brief: bool = False,
    key: Key[Array, ""] | None = None,
    progress: Progress | None = None,
) -> Analysis:
    """Published models fitted to a table, compared, and the best one looked into.

    `window` is the number of samples that sizes are running means over; found from
    their correlations unless given (`window_of`). `law` is that of the noise, its s.d.
    by the size to a power, "0", "1/2" or "1"; or constant in each model's "own"
    coordinate. `brief` leaves it at the comparison.
    Starts of the searches and the data of `checks` are drawn by `key`, without it by
    `jax.random.key(0)`. `progress` is told of every part that is done. Likelihoods are
    conditional on each synapse's first size. Use float64. Raises `ValueError` for a
    model or law that is none of those published.

    >>> table = kaufman_2012().of(range(20)).thinned(5)
    >>> found = analyse(table, ["additive", "lognormal"], window=1, brief=True)
    >>> found.best, found.comparison.apart.values.tolist()
    ('lognormal', [False, True])
    """
    if not models:
        raise ValueError(f"`models` must name one at least of {', '.join(MODELS)}.")
    for name in models:
        if name not in MODELS:
            raise ValueError(f"unknown model '{name}'.{nearest(name, MODELS)}")
    one_of("law", law, tuple(LAWS))
    tell = progress or (lambda words: None)
    seen = window_of(table) if window is None else window
    key = jr.key(0) if key is None else key

    def fitted(words: str, start: Any, starts: int = 4) -> Fit:
        found = fit_sizes(table, start, starts=starts, key=key)
        tell(f"fitted {words}: log-likelihood {found.height:.1f}")
        return found

    def guess(name: str, law: str) -> Any:
        return MODELS[name].guess(table, window=seen, noise_power=LAWS[law])

    fits = _together(
        {name: lambda name=name: fitted(name, guess(name, law)) for name in models}
    )
    comparison = compare(fits)
    best = str(comparison.model.values[0])
    laws, varied, checks = {}, None, None
    if not brief:
        begin = fits[best].params
        tasks: dict[str, Callable[[], Any]] = {
            other: lambda other=other: fitted(
                f"{best}, noise law {other}", guess(best, other)
            )
            for other in LAWS
            if other != law
        }
        varied_start = Varied(begin, 0.3)
        tasks["varied"] = lambda: fitted(f"{best}, synapses varied", varied_start, 1)
        tasks["checks"] = lambda: predictive_checks(begin, table, jr.fold_in(key, 1))
        done = _together(tasks)
        varied, checks = done.pop("varied"), done.pop("checks")
        laws = {law: fits[best], **done}
    said = oddities(table)
    return Analysis(
        table, said, seen, law, fits, best, comparison, laws, varied, checks
    )


def _together(tasks: Mapping[str, Callable[[], Any]]) -> dict[str, Any]:
    """All of them, as many at once as there are cores: compilation takes longest."""
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        waiting = {name: pool.submit(task) for name, task in tasks.items()}
        return {name: each.result() for name, each in waiting.items()}
