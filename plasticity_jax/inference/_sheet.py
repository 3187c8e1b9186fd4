"""An analysis of a table on disk: a page, a figure, tables. All of it, or nothing."""

import base64
import html
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any, TYPE_CHECKING

import numpy as np

from .._arguments import folder
from ..experiment import panels, SHADES
from ._analysis import Analysis
from ._predictive import LAGS
from ._report import estimates, record, sections


if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure

PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title><style>
:root {{ color-scheme: light dark; }}
body {{ font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 62rem;
  padding: 0 1rem; }}
table {{ display: block; overflow-x: auto; border-spacing: 0; margin: 1rem 0; }}
th, td {{ padding: .2rem .8rem .2rem 0; text-align: left; white-space: nowrap; }}
th {{ border-bottom: 1px solid; font-weight: 600; }}
td {{ font-variant-numeric: tabular-nums; }}
p {{ margin: .3rem 0; }}
img {{ max-width: 100%; height: auto; background: white; }}
</style></head><body><h1>{title}</h1>
{image}{text}</body></html>
"""
IMAGE = '<img alt="{alt}" src="data:image/png;base64,{data}">'
ALT = "Observed statistics of the table beside the band of what the best model makes."


def write_analysis(
    found: Analysis, out: str | os.PathLike[str], title: str = "Synapse sizes"
) -> Path:
    """Write an analysis to the folder `out`: a page and what it shows.

    `report.html` opens without network; `analysis.json` is all of it for programs;
    `figure.png` and `figure.pdf`; `estimates.csv` (a row for each parameter of each
    model), `models.csv`, `checks.csv` and, where synapses were varied, `synapses.csv`.
    An older analysis there gives way only when all of it is written.

    >>> import os, tempfile
    >>> table = kaufman_2012().of(range(20)).thinned(5)
    >>> found = analyse(table, ["additive"], window=1, brief=True)
    >>> with tempfile.TemporaryDirectory() as place:
    ...     print(*sorted(os.listdir(write_analysis(found, f"{place}/sizes"))))
    analysis.json estimates.csv models.csv report.html
    """
    out = folder(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        new, old = work / "new", work / "old"
        new.mkdir()
        estimates(found).to_csv(new / "estimates.csv", index=False)
        found.comparison.to_dataframe().to_csv(new / "models.csv")
        image = ""
        if found.checks is not None:
            found.checks.to_dataframe().to_csv(new / "checks.csv", index=False)
            drawn = figure(found)
            drawn.savefig(new / "figure.png", dpi=130)
            drawn.savefig(new / "figure.pdf")
            png = (new / "figure.png").read_bytes()
            image = IMAGE.format(alt=ALT, data=base64.b64encode(png).decode())
        if found.varied is not None:
            synapses(found).to_csv(new / "synapses.csv", index=False)
        text = "".join(section.page() for section in sections(found))
        page = PAGE.format(title=html.escape(title), image=image, text=text)
        (new / "report.html").write_text(page, encoding="utf-8")
        (new / "analysis.json").write_text(json.dumps(record(found), indent=2))
        if out.exists():
            out.rename(old)
        new.rename(out)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return out


def synapses(found: Analysis) -> "pandas.DataFrame":
    """How much each synapse fluctuates: log of its factor, with its standard error."""
    import pandas

    assert found.varied is not None
    mean, deviation = found.varied.params.factors(found.table)
    columns = {"log_factor": np.asarray(mean), "standard_error": np.asarray(deviation)}
    return pandas.DataFrame({"synapse": found.table.names, **columns})


def figure(found: Analysis) -> "Figure":
    """Every statistic as observed, on the band of the best model's tables."""
    checks = found.checks
    assert checks is not None
    drawn, axes = panels(2, 4, 3.0, 2.6)
    interval = float(np.median(np.diff(np.asarray(found.table.times))))
    unit = found.table.unit
    told = {
        "change_mean": ("mean change", "fifth of size"),
        "change_sd": ("s.d. of change", "fifth of size"),
        "change_correlation": ("correlation of changes", "lag (samples)"),
        "change_variance": ("variance of change / lag", "lag (h)"),
        "autocorrelation": ("correlation of sizes", "lag (h)"),
        "rank_correlation": ("rank correlation with start", "lag (h)"),
        "quantile": (f"size ({unit})", "quantile (%)"),
    }
    for panel, (name, (what, along)) in zip(axes.ravel(), told.items(), strict=False):
        part = checks.isel(check=checks.statistic.values == name)
        x: Any = np.arange(1, part.sizes["check"] + 1)
        if along == "lag (h)":
            x = interval * np.asarray(LAGS[: len(x)])
            panel.set_xscale("log", base=2)
            panel.set_xticks(x, [f"{each:g}" for each in x])
        if name == "quantile":
            panel.set_xticks(x, [str(each).split()[0] for each in part["at"].values])
        panel.fill_between(x, part.low, part.high, color=SHADES[0], alpha=0.25, lw=0)
        panel.plot(x, part.observed, "o-", color=SHADES[4], ms=3, lw=1)
        panel.set(xlabel=along, ylabel=what)
    last = axes.ravel()[-1]
    last.axis("off")
    last.fill_between([], [], color=SHADES[0], alpha=0.25, label=f"{found.best} (95 %)")
    last.plot([], [], "o-", color=SHADES[4], ms=3, label="observed")
    last.legend(loc="center", frameon=False)
    return drawn
