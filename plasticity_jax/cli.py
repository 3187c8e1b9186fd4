"""The command line: `plasticity-jax`, also `python -m plasticity_jax`."""

import contextlib
import io
import json
import math
import sys
import traceback
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Annotated, Any

import cyclopts
from cyclopts import Parameter

from . import systems
from ._catalogue import rules
from ._kept import keep_programs
from ._version import __version__


app = cyclopts.App(
    name="plasticity-jax",
    help="Differentiable models of synaptic plasticity: run, verify and look.",
    version=__version__,
    help_flags=["--help", "-h"],
    suppress_keyboard_interrupt=False,
)
Flag = Annotated[bool, Parameter(negative="")]
AsJson = Annotated[bool, Parameter("--json", negative="")]
Cache = Annotated[
    bool,
    Parameter(
        "--cache",
        negative="--no-cache",
        help="Take compiled programs from the last calls, and keep them for the next.",
    ),
]
Texts = Annotated[tuple[str, ...], Parameter(negative="")]
DEBUG = "--debug"
PAGE_WIDTH = 132


def _integer(_: Any, tokens: Sequence[cyclopts.Token]) -> int:
    """As it is written: Cyclopts' own reading rounds 1.5 to 2."""
    return int(tokens[0].value)


def main() -> None:
    """Entry point: exit code 0 if all holds, 1 if a claim fails, 2 on bad input."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # what a terminal lacks becomes `?`
            stream.reconfigure(errors="replace")
    tokens = sys.argv[1:]
    debug = DEBUG in tokens
    try:
        code = app(
            [token for token in tokens if token != DEBUG],
            exit_on_error=False,
            print_error=False,
            result_action="return_value",
        )
    except Exception as error:
        if debug:
            traceback.print_exc()
        why = f"unexpected {type(error).__name__}: {error} ({DEBUG} shows where)"
        if isinstance(error, ValueError | OSError | cyclopts.CycloptsError):  # no bug
            why = str(error)
        print("error:", " ".join(why.split()), file=sys.stderr)
        code = 2
    except KeyboardInterrupt:
        says = "interrupted; a run keeps its finished batches: --resume goes on."
        print(says, file=sys.stderr)
        code = 130
    sys.exit(code if isinstance(code, int) else 0)


@app.command(name="list")
def list_(what: str | None = None, *, as_json: AsJson = False) -> int:
    """Systems, experiments and presets, and what each shows; or `list rules`."""
    if what not in (None, "rules"):
        raise ValueError(f"list: there is nothing but `rules`; got '{what}'.")
    if what == "rules":
        rows = rules()
        if as_json:
            print(json.dumps(rows, indent=2))
        else:
            _console().print(_rules_table(rows))
        return 0
    rows = []
    for entry in systems.listed():
        costs = systems.costs(entry.path)
        row = {"name": entry.name, "system": entry.name.partition(".")[0]}
        row |= {"source": entry.source, "shows": entry.shows}
        rows.append({**row, "presets": list(costs), "cost": costs})
    if as_json:
        print(json.dumps(rows, indent=2))
        return 0
    from rich.table import Column, Table

    names = ("experiment", "source", "shows", "presets")
    table = Table(*(Column(name, overflow="fold") for name in names))
    for row in rows:
        costs = "\n".join(f"{k}: {v}" if v else k for k, v in row["cost"].items())
        table.add_row(row["name"], row["source"], row["shows"], costs)
    _console().print(table)
    return 0


def _rules_table(rows: list[dict[str, str]]) -> Any:
    from rich.table import Column, Table

    names = ("rule", "reads", "source")
    table = Table(*(Column(name, overflow="fold") for name in names))
    for row in rows:
        table.add_row(*(row[name] for name in names))
    return table


@app.command
def run(
    experiment: str,
    *,
    preset: str | None = None,
    set: Texts = (),
    grid: Texts = (),
    seeds: Annotated[int | None, Parameter(converter=_integer)] = None,
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
        Its name (see `list`), or a TOML file with a line `experiment = "..."`.
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
    _keep(cache)
    named, path, double = systems.find(experiment)
    from .experiment import overridden, run_experiment

    _choose_precision(x64 or double or named.experiment.float64)
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
    console = _console()
    console.print(verdict.table())
    if undrawn:
        console.print(f"no figure: {undrawn}", markup=False)
    console.print(f"written to {folder}", markup=False)
    return 1 if undrawn or not verdict.holds else 0


def _keep(cache: bool) -> None:
    """Before JAX is loaded."""
    if cache:
        keep_programs()


def _choose_precision(double: bool) -> None:
    """Before anything is made: all that is computed is of one precision."""
    if double:
        import jax

        jax.config.update("jax_enable_x64", True)


def _planned(experiment: Any, path: Path | None, preset: str | None) -> Any:
    """The plan of a parameter file, of its preset `small` if there is one."""
    from .experiment import load_plan, Plan, presets

    if path is None:
        if preset is not None:
            raise ValueError(f"--preset {preset}: there is no parameter file.")
        return Plan(experiment.config(), {}, 1)
    if preset is None and "small" in presets(path):
        preset = "small"
    return load_plan(experiment.config, path, preset)


def _checks_of(name: str) -> Any:
    if name == "rules":
        from .textbook import checks

        return checks()
    if name == "gradients":
        return _gradients()
    return systems.part_of(name, "checks").checks()


def _gradients() -> Iterator[Any]:
    """Draws that can be listed, then what each system is about, differentiated."""
    from .inference import discrete_rows

    yield from discrete_rows()
    for name in systems.names():
        for check in systems.part_of(name, "checks").gradient_checks():
            yield check._replace(quantity=f"{name}: {check.quantity}")


@app.command
def verify(
    system: str | None = None, *, as_json: AsJson = False, cache: Cache = True
) -> int:
    """Every closed form of a system (default: all) against autodiff and simulation.

    Or of textbook `rules`; or `gradients`: derivatives of what the systems are about.
    """
    _keep(cache)
    names = (*systems.names(), "rules", "gradients")
    if system is not None and system not in names:
        from ._arguments import nearest

        raise ValueError(f"unknown system '{system}'.{nearest(system, names)}")
    _choose_precision(True)
    from .experiment import check_json, check_table

    found = {name: tuple(_checks_of(name)) for name in ([system] if system else names)}
    every = [(name, check) for name, checks in found.items() for check in checks]
    if as_json:
        print(json.dumps([check_json(*row) for row in every], indent=2))
    else:
        for name, checks in found.items():
            _console().print(check_table(name, checks))
            print(f"{name}: {sum(x.holds for x in checks)} of {len(checks)} hold")
    return 0 if all(check.holds for _, check in every) else 1


@app.command
def fit(
    table: Path,
    *,
    interval: str | None = None,
    model: Texts = (),
    window: Annotated[int | None, Parameter(converter=_integer)] = None,
    thin: Annotated[int, Parameter(converter=_integer)] = 1,
    zeros: str = "refuse",
    decimal: str | None = None,
    header: bool | None = None,
    transpose: Flag = False,
    law: str = "own",
    brief: Flag = False,
    out: Path | None = None,
    as_json: AsJson = False,
    cache: Cache = True,
) -> int:
    """Fit models of synapse size to a table, and say what it supports.

    Parameters
    ----------
    table
        Sizes of synapses over time: CSV, TSV, Parquet, Excel or NWB; or `kaufman_2012`.
    interval
        Time between columns, with its unit (0.5h, 30min), if their names do not say.
    model
        Only this one, repeatable: additive, lognormal, kesten, size-dependent, factors.
    window
        Samples that sizes are running means over; found from the sizes unless given.
    thin
        Take every so many samples only.
    zeros
        `missing` takes sizes of 0 or below as not seen; `refuse` refuses them.
    decimal
        The decimal sign, where it does not show: `.` or `,`.
    header
        Whether the first row names columns, where it does not show.
    transpose
        Rows are times, columns synapses.
    law
        Of the noise: its s.d. by the size to the power `0`, `1/2` or `1`; or `own`,
        constant in each model's own coordinate.
    brief
        Compare models, no more.
    out
        Folder for a page, a figure and tables.
    as_json
        Print all of it for programs.
    """
    _keep(cache)
    _choose_precision(True)
    import warnings

    from . import inference

    if str(table) == "kaufman_2012":
        found = inference.kaufman_2012()
    else:
        with warnings.catch_warnings():  # the report says them
            warnings.simplefilter("ignore", UserWarning)
            shape: dict[str, Any] = {"header": header, "transpose": transpose}
            shape |= {"interval": interval, "zeros": zeros, "decimal": decimal}
            found = inference.read_table(table, **shape)
    if thin != 1:
        found = found.thinned(thin)
    tell = lambda words: print(words, file=sys.stderr, flush=True)
    options: dict[str, Any] = {"window": window, "law": law, "brief": brief}
    options |= {"models": model} if model else {}
    done = inference.analyse(found, progress=tell, **options)
    print(
        json.dumps(inference.record(done), indent=2)
        if as_json
        else inference.report_of(done)
    )
    if out is not None:
        tell(f"written to {inference.write_analysis(done, out, table.name)}")
    return 0


@app.command
def data(
    name: str | None = None, *, dir: Path | None = None, as_json: AsJson = False
) -> int:
    """Which data sets are here, where they were looked for, how to get them."""
    from .data import status, where

    records = [where(name, dir)] if name else status(dir)
    if as_json:
        print(json.dumps([record._asdict() for record in records], indent=2))
        return 0
    for record in records:
        print(f"{record.name}: {record.location if record.found else 'not here'}")
        if not record.found:
            for place in record.looked_in:
                print(f"  looked in {place}")
            print(f"  {record.how_to_get}")
    return 0


@app.command
def recompute(folder: Path, *, cache: Cache = True) -> int:
    """Compute a stored run again from its own attributes, and compare.

    Parameters
    ----------
    folder
        A result of `run`: the folder that holds its `config.toml` and `data.zarr`.
    """
    _keep(cache)
    named, _, x64 = systems.find(str(folder / "config.toml"))
    from .experiment import load_plan
    from .experiment import recompute as recomputed

    _choose_precision(x64)
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
    from .report import report as write

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


def _console() -> Any:
    """The terminal, or a page wide enough for the tables where there is none."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else PAGE_WIDTH)
