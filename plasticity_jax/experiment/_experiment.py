"""What a system's experiments are made of: claims, checks and the sweep behind them."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Any, NamedTuple, TYPE_CHECKING

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from .._random import key_of
from .._sweep._sweep import sweep
from ._claims import Claim
from ._plan import Plan, seed_count


if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure


class Experiment(NamedTuple):
    """A figure of a paper: its sweep, what must come out of it, and its picture.

    `axes`: for each observable of `run` its own dimensions and the names of their
    entries: a sequence, a function of the config, or None where the entries have none
    (draws, neurons). `claims` are judged on the data and on those of `control(plan)`,
    the plan with the mechanism removed. `predict(plan, keys)` is theory on the same
    grid, merged into the data. `float64` marks what has no meaning in single precision.
    Where the runs share data, `data(config)` loads them and `run(data, config, key)`
    reads them.

    >>> run = lambda config, key: {"rate": config(10.0)}
    >>> parts = circuits.Sigmoid, run, [], lambda data: panels(1, 1, 3.0, 2.0)[0]
    >>> mine = Experiment("fig1", "Eq. 24", "a rate", *parts, changed(maximum=20.0))
    >>> mine.control(Plan(mine.config(), {}, seeds=1)).config.maximum.item()
    20.0
    """

    name: str
    source: str
    shows: str
    config: type[eqx.Module]
    run: Callable[..., Any]
    claims: Sequence[Claim]
    figure: "Callable[[xarray.Dataset], Figure]"
    control: Callable[[Plan], Plan]
    axes: Mapping[str, Mapping[str, Any]] = {}
    predict: "Callable[[Plan, Any], xarray.Dataset] | None" = None
    float64: bool = False
    data: Callable[[Any], Any] | None = None

    def runs_of(self, config: eqx.Module) -> Callable[..., Any]:
        """What a sweep runs: `run`, with its data if the runs share some."""
        if self.data is None:
            return self.run
        return jax.tree_util.Partial(self.run, self.data(config))


def labelled(
    experiment: Experiment,
    plan: Plan,
    *,
    seed: int = 0,
    batch_size: int | None = None,
    executor: Executor | None = None,
    store: Path | None = None,
    progress: bool = True,
) -> "xarray.Dataset":
    """The labelled data of an experiment, theory included; options as in `sweep`.

    Raises `ValueError` for an experiment that has no meaning in single precision while
    JAX computes in it.

    >>> run = lambda config, key: {"rate": config(10.0)}
    >>> parts = circuits.Sigmoid, run, [], lambda data: panels(1, 1, 3.0, 2.0)[0]
    >>> mine = Experiment("fig1", "Eq. 24", "a rate", *parts, changed(maximum=20.0))
    >>> data = labelled(mine, Plan(mine.config(), {"threshold": [10.0, 0.0]}, seeds=2))
    >>> print(data.rate.dims, data.threshold.values, data.rate[1].values.round(1))
    ('threshold', 'seed') [ 0. 10.] [50. 50.]
    """
    if experiment.float64 and jnp.result_type(float) != np.float64:
        raise ValueError(
            f"{experiment.name} has no meaning in single precision; switch on double: "
            'jax.config.update("jax_enable_x64", True).'
        )
    count = seed_count(experiment.name, plan.seeds)
    keys = jr.split(key_of(plan.keys, seed), count)
    data = sweep(
        experiment.runs_of(plan.config),
        plan.config,
        plan.grid,
        keys,
        dims={name: tuple(own) for name, own in experiment.axes.items()},
        batch_size=batch_size,
        executor=executor,
        store=store,
        progress=progress,
    )
    swept = [dim for dim in data.dims if dim in data.indexes]
    data = data.assign_coords(_labels(experiment, plan.config, data.sizes))
    if experiment.predict is not None:
        law = experiment.predict(plan, keys)
        data = data.merge(law, join="exact", compat="no_conflicts")
    return data.sortby(swept)


def _labels(
    experiment: Experiment, config: Any, sizes: Mapping[Any, int]
) -> dict[str, np.ndarray]:
    """Names of the entries of every dimension that has some."""
    found: dict[str, np.ndarray] = {}
    for name, own in experiment.axes.items():
        for dim, entries in own.items():
            if entries is None:
                continue
            labels = np.asarray(entries(config) if callable(entries) else entries)
            where = f"{experiment.name}: axes: '{dim}'"
            if labels.shape != (sizes[dim],):
                raise ValueError(
                    f"{where} of '{name}' has {sizes[dim]} entries; got labels of "
                    f"shape {labels.shape}."
                )
            if dim in found and not np.array_equal(found[dim], labels):
                raise ValueError(f"{where} has other labels in '{name}'.")
            found[dim] = labels
    return found


def perform(
    experiment: Experiment, plan: Plan, *, store: Path | None = None, **options: Any
) -> "tuple[xarray.Dataset, xarray.Dataset]":
    """The data of an experiment and of its control, each with its part of a `store`.

    Options are those of `labelled`.

    >>> run = lambda config, key: {"rate": config(10.0)}
    >>> parts = circuits.Sigmoid, run, [], lambda data: panels(1, 1, 3.0, 2.0)[0]
    >>> mine = Experiment("fig1", "Eq. 24", "a rate", *parts, changed(maximum=20.0))
    >>> data, control = perform(mine, Plan(mine.config(), {}, seeds=1), progress=False)
    >>> print(data.rate.values, control.rate.values)
    [50.] [10.]
    """

    def part(name: str, plan: Plan) -> "xarray.Dataset":
        return labelled(experiment, plan, store=store and store / name, **options)

    return part("data", plan), part("control", experiment.control(plan))
