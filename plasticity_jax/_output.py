"""What a run leaves on disk: all of it, or nothing.

A result is a folder of `data.zarr`, `control.zarr` (the same sweep with the mechanism
removed), `verdict.json`, `config.toml` and the figure. Both stores open with
`xarray.open_zarr`: Zarr's format 2, whose consolidated metadata and texts are standard.
"""

import json
import shutil
import tempfile
import warnings
from pathlib import Path
from typing import Any, TYPE_CHECKING

import numpy as np

from ._config import Plan, to_table
from ._experiment import Experiment
from .verdict import Verdict


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
    out: Path,
    x64: bool,
) -> tuple[Path, str]:
    """The folder, and why there is no figure, if there is none.

    All of it is written, or nothing: beside its place and then moved there; an older
    result gives way only then.
    """
    import tomli_w

    grid = {
        ",".join(k) if isinstance(k, tuple) else k: np.asarray(v).tolist()
        for k, v in plan.grid.items()
    }
    table = {**to_table(plan.config), "seeds": plan.seeds}
    if grid:
        table["grid"] = grid
    document = {"experiment": name, "x64": x64, "common": table}
    if plan.preset is not None:
        document["from_preset"] = plan.preset
    out.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{name}.", dir=out))
    result, old, final = work / "new", work / "old", out / name
    try:
        result.mkdir()
        for part, values in (("data", data), ("control", control)):
            storable(values).to_zarr(
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
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of NaN and of axes without a range
            figure = experiment.figure(data)
            figure.savefig(folder / "figure.png", dpi=160)
            figure.savefig(folder / "figure.pdf")
    except OSError:  # a full disk is no fault of the figure
        raise
    except Exception as error:  # told, and the data are kept
        for path in folder.glob("figure.*"):
            path.unlink()
        return " ".join(f"{type(error).__name__}: {error}".split())
    return ""
