"""What a system's experiments are made of: claims, checks and the sweep behind them."""

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Any, NamedTuple, TYPE_CHECKING

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from .._sweep._sweep import sweep
from ._claims import Claim
from ._plan import Plan, seed_count


if TYPE_CHECKING:
    import xarray
    from matplotlib.figure import Figure


class Experiment(NamedTuple):
    """A figure of a paper: its sweep, what must come out of it, and its picture.

    `control(plan)` is the plan with the mechanism removed; `claims(data, control)`
    compares both; `predict(plan, keys)` is theory on the same grid, merged into the
    data. `float64` marks what has no meaning in single precision. Where the runs share
    data, `data(config)` loads them and `run(data, config, key)` reads them.
    """

    name: str
    source: str
    shows: str
    config: type[eqx.Module]
    run: Callable[..., Any]
    claims: "Callable[[xarray.Dataset, xarray.Dataset], Sequence[Claim]]"
    figure: "Callable[[xarray.Dataset], Figure]"
    control: Callable[[Plan], Plan]
    dims: dict[str, tuple[str, ...]] = {}  # noqa: RUF012
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
    """
    if experiment.float64 and jnp.result_type(float) != np.float64:
        raise ValueError(
            f"{experiment.name} has no meaning in single precision; switch on double: "
            'jax.config.update("jax_enable_x64", True).'
        )
    keys = jr.split(jr.key(seed), seed_count(experiment.name, plan.seeds))
    data = sweep(
        experiment.runs_of(plan.config),
        plan.config,
        plan.grid,
        keys,
        dims=experiment.dims,
        batch_size=batch_size,
        executor=executor,
        store=store,
        progress=progress,
    )
    if experiment.predict is not None:
        law = experiment.predict(plan, keys)
        data = data.merge(law, join="exact", compat="no_conflicts")
    return data.sortby([dim for dim in data.dims if dim in data.indexes])


def perform(
    experiment: Experiment, plan: Plan, *, store: Path | None = None, **options: Any
) -> "tuple[xarray.Dataset, xarray.Dataset]":
    """The data of an experiment and of its control, each with its part of a `store`.

    Options are those of `labelled`.
    """
    part = lambda name: None if store is None else store / name
    return (
        labelled(experiment, plan, store=part("data"), **options),
        labelled(
            experiment, experiment.control(plan), store=part("control"), **options
        ),
    )
