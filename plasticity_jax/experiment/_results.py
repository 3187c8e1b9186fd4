"""What a run leaves on disk: all of it, or nothing.

A result is a folder of `data.zarr`, `control.zarr` (the same sweep with the mechanism
removed), `verdict.json`, `config.toml` and the figure. Both stores open with
`xarray.open_zarr`: Zarr's format 2, whose consolidated metadata and texts are standard.
"""

import json
import math
import re
import shutil
import tempfile
import tomllib
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, TYPE_CHECKING

import jax
import numpy as np

from .._arguments import folder as expanded
from .._random import KINDS
from .._sweep._config import to_table
from ._claims import Judged, stands
from ._experiment import Experiment
from ._plan import Plan
from ._verdict import Verdict


if TYPE_CHECKING:
    import xarray


def check_writable(out: Path) -> None:
    """Raise before anything is computed if nothing can be written under `out`."""
    try:
        existing = next(p for p in (out, *out.absolute().parents) if p.exists())
        tempfile.TemporaryFile(dir=existing).close()
    except OSError as error:
        why = error.strerror or error
        raise ValueError(f"--out {out}: cannot write there ({why}).") from error


def write_results(
    name: str,
    experiment: Experiment,
    plan: Plan,
    data: Any,
    control: Any,
    verdict: Verdict,
    out: str | Path,
    x64: bool,
    address: str | None = None,
) -> tuple[Path, str]:
    """The folder, and why there is no figure, if there is none.

    All of it is written, or nothing: beside its place and then moved there; an older
    result gives way only then. `address` is what `recompute` finds the experiment by.

    >>> run, plan = lambda c, k: {"rate": c(10.0)}, Plan(circuits.Sigmoid(), {}, 1)
    >>> parts = circuits.Sigmoid, run, [], lambda data: panels(1, 1, 3.0, 2.0)[0]
    >>> mine = Experiment("fig1", "Eq. 24", "a rate", *parts, changed(maximum=20.0))
    >>> given = "fig1", mine, plan, *perform(mine, plan), Verdict("fig1", ())
    >>> with np.testing.tempdir() as out: print(write_results(*given, out, False))
    (...Path('...fig1'), '')
    """
    import tomli_w

    out = expanded(out)
    table = {**to_table(plan.config), "seeds": plan.seeds}
    if plan.keys != KINDS[0]:
        table["keys"] = plan.keys
    if plan.grid:
        table["grid"] = jax.tree.map(lambda x: np.asarray(x).tolist(), plan.grid)
    document = {"experiment": address or name, "x64": bool(x64), "common": table}
    about = {"shows": experiment.shows, "source": experiment.source}
    if plan.preset is not None:
        document["from_preset"] = plan.preset
    out.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{name}.", dir=out))
    result, old, final = work / "new", work / "old", out / name
    try:
        result.mkdir()
        for part, values in (("data", data), ("control", control)):
            storable(values).assign_attrs(about).to_zarr(
                result / f"{part}.zarr", mode="w", zarr_format=2, consolidated=True
            )
        rows = json.dumps(verdict.to_json(), indent=2)
        (result / "verdict.json").write_text(rows, encoding="utf-8")
        (result / "config.toml").write_bytes(tomli_w.dumps(document).encode())
        missing = _draw(experiment, data, result)
        if final.exists():
            final.rename(old)
        result.rename(final)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return final, missing


def storable(data: "xarray.Dataset") -> "xarray.Dataset":
    """`data` as Zarr knows them: floats of machine learning (bfloat16) as float32."""
    odd = [name for name, x in data.variables.items() if x.dtype.kind == "V"]
    return data.assign({name: data[name].astype(np.float32) for name in odd})


def _draw(experiment: Experiment, data: Any, folder: Path) -> str:
    """Draw the figure; the error if the data lack the axes that it shows, or so."""
    from ._ticks import plain_ticks  # as figures, it is read where one is drawn

    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of NaN and of axes without a range
            figure = experiment.figure(data)
            plain_ticks(figure)
            figure.savefig(folder / "figure.png", dpi=160)
            figure.set_layout_engine(None)  # where the panels stand is known now
            figure.savefig(folder / "figure.pdf")
    except OSError:  # a full disk is no fault of the figure
        raise
    except Exception as error:  # told, and the data are kept
        for path in folder.glob("figure.*"):
            path.unlink()
        why = " ".join(f"{type(error).__name__}: {error}".split())
        (folder / "figure.txt").write_text(why, encoding="utf-8")
        return why
    return ""


PARTS = ("verdict.json", "config.toml", "data.zarr", "control.zarr")
PNG_START, PNG_END = b"\x89PNG\r\n\x1a\n", b"IEND"


class Result(NamedTuple):
    """One experiment's folder; None for a file that is not there.

    `figure` is the picture, or a sentence that says why there is none.
    """

    name: str
    claims: tuple[Judged, ...]
    parameters: dict[str, Any] | None
    environment: dict[str, Any] | None
    figure: bytes | str

    @property
    def system(self) -> str:
        return self.name.partition(".")[0]

    @property
    def short(self) -> str:
        return self.name.partition(".")[2]

    def told(self, name: str) -> str:
        """An attribute of the data that is a text, else an empty one."""
        value = (self.environment or {}).get(name)
        return value if isinstance(value, str) else ""

    @property
    def failing(self) -> int:
        return sum(not stands(claim) for claim in self.claims)


def results(folder: Path) -> tuple[list[Result], list[str]]:
    """The results under `folder` by system and name, and names of what is none.

    A result has a verdict and a name as `run` gives it (`system.experiment`); others
    are runs not finished or renamed. Raises `ValueError` if there is no result, and
    on a file that is not what `run` writes.
    """
    if not folder.is_dir():
        raise ValueError(f"no such folder: {folder}")
    if (folder / "verdict.json").is_file():
        raise ValueError(f"{folder} is one result: name the folder that it lies in.")
    runs = [p for p in folder.iterdir() if any((p / part).exists() for part in PARTS)]
    good = sorted((run for run in runs if _is_result(run)), key=_natural)
    if not good:
        raise ValueError(
            f"no results in {folder}: no <system>.<experiment>/verdict.json in it."
        )
    bad = sorted(run.name for run in runs if run not in good and run.name[0] != ".")
    return [_result(run) for run in good], bad


def _is_result(run: Path) -> bool:
    """Names become addresses within the page: letters, digits, `_`, `-` and dots."""
    named = re.fullmatch(r"[\w-]+(\.[\w-]+)+", run.name, re.ASCII)
    return named is not None and (run / "verdict.json").is_file()


def _natural(run: Path) -> list[Any]:
    """Systems together; `fig5` before `fig10`."""
    system, _, rest = run.name.partition(".")
    return [system, *(int(x) if x.isdigit() else x for x in re.split(r"(\d+)", rest))]


def _result(run: Path) -> Result:
    verdict, store = run / "verdict.json", run / "data.zarr" / ".zattrs"
    try:
        claims = tuple(_claim(row) for row in _parsed(verdict, json.loads, list))
    except (LookupError, OverflowError, TypeError) as error:
        why = " ".join(f"{type(error).__name__}: {error}".split())
        raise ValueError(f"{verdict} is damaged ({why}).") from error
    attributes = _parsed(store, json.loads, dict)
    older = store.with_name("zarr.json")  # as version 0.1.0 wrote it: Zarr's format 3
    if older.is_file():
        attributes = _parsed(older, json.loads, dict).get("attributes", {})
        if not isinstance(attributes, dict):
            raise ValueError(f"{older} is damaged: `attributes` must be a table.")
    parameters = _parsed(run / "config.toml", tomllib.loads, dict)
    return Result(run.name, claims, parameters, attributes, _figure(run / "figure.png"))


def _parsed(path: Path, parse: Callable[[str], Any], kind: type) -> Any:
    """The content of a file, or None if it is not there."""
    if not path.is_file():
        return None
    try:
        content = parse(path.read_bytes().decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        why = " ".join(str(error).split())
        raise ValueError(f"{path} is damaged ({why}).") from error
    if not isinstance(content, kind):
        raise ValueError(f"{path} is damaged: at its top must be a {kind.__name__}.")
    return content


def _claim(row: dict[str, Any]) -> Judged:
    """A claim as `Verdict.to_json` wrote it: null is an open end or no number."""
    control = row["control"]
    claim = Judged(
        _text(row.get("name", "")),  # older verdicts have none
        _text(row["says"]),
        _text(row["source"]),
        _number(row["value"], math.nan),
        _number(row["low"], -math.inf),
        _number(row["high"], math.inf),
        _number(row["standard_error"], math.nan),
        None if control is None else _number(control["value"], math.nan),
    )
    if math.isfinite(claim.value) and row["holds"] is not claim.holds:
        raise TypeError("`holds` contradicts the value and its interval")
    return claim


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"text expected; got {type(value).__name__}")
    return value


def _number(value: Any, missing: float) -> float:
    if value is None:
        return missing
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"number expected; got {type(value).__name__}")
    return float(value)


def _figure(path: Path) -> bytes | str:
    if not path.is_file():
        why = path.with_suffix(".txt")  # what `run` met as it drew
        return f"No figure: {why.read_text('utf-8') if why.is_file() else 'no file.'}"
    picture = path.read_bytes()
    if not (picture.startswith(PNG_START) and picture[-8:-4] == PNG_END):
        return "No figure: its file is damaged."
    return picture
