"""Commands that run experiments, compute them again, and gather their results."""

import contextlib
import math
from collections.abc import Iterator
from concurrent.futures import Executor
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from .. import systems
from ._app import app, Cache, choose_precision, console, Flag, integer, keep, Texts


@app.command
def run(
    experiment: str,
    *,
    preset: str | None = None,
    set: Texts = (),
    grid: Texts = (),
    seeds: Annotated[int | None, Parameter(converter=integer)] = None,
    keys: str | None = None,
    x64: Flag = False,
    out: Path = Path("runs"),
    resume: Flag = False,
    dask: str | None = None,
    cache: Cache = True,
) -> int:
    """Run an experiment, write its data and figure, and judge its claims.

    Parameters
    ----------
    experiment
        Its name (see `list`), yours as `FILE.py:NAME`, or a TOML file with a line
        `experiment = "..."`.
    preset
        A table of the parameter file: `small` if it has one, else `[common]` alone.
    set
        `name=value`, repeatable: override a parameter.
    grid
        `name=start:stop:count` or `name=a,b,c`, repeatable: override an axis.
    seeds
        Number of seeds.
    keys
        The random generator: `default`, or `fast` (other numbers of the same law).
    x64
        Compute in double precision.
    out
        Folder under which the results are written.
    resume
        Go on with a run of the same parameters that was stopped.
    dask
        A Dask scheduler whose workers compute the batches: its address, or the file
        that its `--scheduler-file` wrote.
    """
    keep(cache)
    named, path, double = systems.find(experiment)
    from ..experiment import overridden, run_experiment

    choose_precision(x64 or double or named.experiment.float64)
    plan = _planned(named.experiment, path, preset)
    plan = overridden(plan, set, grid, seeds, keys)
    with _executor(dask) as executor:
        verdict, folder, undrawn = run_experiment(
            named.experiment,
            plan,
            out=out,
            name=named.name,
            address=named.address,
            resume=resume,
            executor=executor,
        )
    page = console()
    page.print(verdict.table())
    if undrawn:
        page.print(f"no figure: {undrawn}", markup=False)
    page.print(f"written to {folder}", markup=False)
    return 1 if undrawn or not verdict.holds else 0


def _planned(experiment: Any, path: Path | None, preset: str | None) -> Any:
    """The plan of a parameter file, of its preset `small` if there is one."""
    from ..experiment import load_plan, Plan, presets

    if path is None:
        if preset is not None:
            raise ValueError(f"--preset {preset}: there is no parameter file.")
        return Plan(experiment.config(), {}, 1)
    if preset is None and "small" in presets(path):
        preset = "small"
    return load_plan(experiment.config, path, preset)


@app.command
def recompute(folder: Path, *, cache: Cache = True) -> int:
    """Compute a stored run again from its own attributes, and compare.

    Parameters
    ----------
    folder
        A result of `run`: the folder that holds its `config.toml` and `data.zarr`.
    """
    keep(cache)
    named, _, x64 = systems.find(str(folder / "config.toml"))
    from ..experiment import load_plan
    from ..experiment import recompute as recomputed

    choose_precision(x64)
    plan = load_plan(named.experiment.config, folder / "config.toml", None)
    rows = list(recomputed(named.experiment, plan, folder))
    for row in rows:
        off = row.difference
        says = f"off by {off:.2g}" if off else "the same bits"
        if math.isnan(off):
            says = "another shape, kind, text or NaN"
        mark = "" if row.holds else f"  FAILS: at most {row.limit:g} is allowed"
        print(f"{row.name}: {says}{mark}")
    return 0 if all(row.holds for row in rows) else 1


@app.command
def report(folder: Path = Path("runs")) -> int:
    """One HTML page of the results under a folder.

    Parameters
    ----------
    folder
        Where `run` wrote them (its `--out`); the page is `report.html` in it.
    """
    from ..report import report as write

    print(f"written to {write(folder)}")
    return 0


@contextlib.contextmanager
def _executor(address: str | None) -> Iterator[Executor | None]:
    """An executor on the workers of a Dask scheduler; `None` if none is named."""
    if address is None:
        yield None
        return
    try:
        from distributed import Client  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise ValueError(
            '--dask needs the extra: python -m pip install "plasticity-jax[dask]"'
        ) from error
    try:
        place = Path(address).expanduser()
        file = str(place) if place.is_file() else None
        client = Client(None if file else address, scheduler_file=file, timeout=10)
    except (OSError, ValueError, TimeoutError) as error:
        raise ValueError(f"--dask {address}: no scheduler answers: {error}") from error
    with client:
        yield client.get_executor()
