"""What a run leaves on disk: all of it, or nothing."""

import json
import shutil
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from ._config import Plan, to_table
from ._experiment import Experiment
from .verdict import Verdict


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
) -> tuple[Path, bool]:
    """The folder, and whether there is a figure. All of it is written, or nothing.

    Written beside its place and then moved there; an older result gives way only then.
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
        store = result / "data.zarr"
        data.to_zarr(store, mode="w", consolidated=False)
        control.to_zarr(store, group="control", mode="w", consolidated=False)
        (result / "verdict.json").write_text(json.dumps(verdict.to_json(), indent=2))
        (result / "config.toml").write_text(tomli_w.dumps(document))
        drawn = _draw(experiment, data, result)
        if final.exists():
            final.rename(old)
        result.rename(final)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return final, drawn


def _draw(experiment: Experiment, data: Any, folder: Path) -> bool:
    """The figure, if the data have the axes that it shows."""
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of NaN and of axes without a range
            figure = experiment.figure(data)
            figure.savefig(folder / "figure.png", dpi=160)
            figure.savefig(folder / "figure.pdf")
    except (LookupError, TypeError, ValueError):
        for path in folder.glob("figure.*"):
            path.unlink()
        return False
    return True
