"""An experiment from its plan to a folder of results."""

import shutil
from concurrent.futures import Executor
from pathlib import Path
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from .._arguments import folder
from .._sweep._store import emptied, locked
from ._experiment import Experiment, perform
from ._plan import Plan
from ._results import check_writable, write_results
from ._verdict import judge, Verdict


class Finished(NamedTuple):
    """A verdict, where its results are, and why there is no figure, if so.

    >>> run = lambda config, key: {"rate": config(10.0)}
    >>> parts = circuits.Sigmoid, run, [], lambda data: panels(1, 1, 3.0, 2.0)[0]
    >>> mine = Experiment("fig1", "Eq. 24", "a rate", *parts, changed(maximum=20.0))
    >>> with np.testing.tempdir() as out:
    ...     run_experiment(mine, Plan(mine.config(), {}, 1), out=out).folder.name
    'fig1'
    """

    verdict: Verdict
    folder: Path
    undrawn: str


def run_experiment(
    experiment: Experiment,
    plan: Plan,
    *,
    out: str | Path = "runs",
    name: str | None = None,
    address: str | None = None,
    resume: bool = False,
    executor: Executor | None = None,
) -> Finished:
    """Compute an experiment and its control, judge it, write all to `out/name`.

    Finished batches are kept beside it until all is written: with `resume` a run of the
    same plan that was stopped goes on. An older result gives way only to a whole one.
    `name` is the experiment's own unless it is given; `address` is where `recompute`
    finds it again: a name in the catalogue, or `file.py:NAME`. Raises `ValueError` as
    `sweep` does, where nothing can be written, and where another process is at it.

    >>> run = lambda config, key: {"rate": config(10.0)}
    >>> parts = circuits.Sigmoid, run, [], lambda data: panels(1, 1, 3.0, 2.0)[0]
    >>> mine = Experiment("fig1", "Eq. 24", "a rate", *parts, changed(maximum=20.0))
    >>> with np.testing.tempdir() as out:
    ...     run_experiment(mine, Plan(mine.config(), {}, 1), out=out).verdict.holds
    True
    """
    out, name = folder(out), name or experiment.name
    check_writable(out)
    store, is_new = out / f".{name}.store", not out.exists()
    with locked(store):
        if not resume:
            emptied(store)
        try:
            data, control = perform(experiment, plan, store=store, executor=executor)
            verdict = judge(name, experiment, data, control)
            x64 = jnp.result_type(float) == np.float64
            place, undrawn = write_results(
                name, experiment, plan, data, control, verdict, out, x64, address
            )
            emptied(store)
        finally:
            if not any(store.rglob("batch-*")):  # nothing to go on from
                shutil.rmtree(store, ignore_errors=True)
                if is_new and not any(out.iterdir()):
                    out.rmdir()
    return Finished(verdict, place, undrawn)
