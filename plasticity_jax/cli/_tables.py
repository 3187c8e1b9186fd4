"""The command that fits models to a table of synapse sizes."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from ._app import app, AsJson, Cache, choose_precision, Flag, integer, keep, Texts


@app.command
def fit(
    table: Path,
    *,
    interval: str | None = None,
    model: Texts = (),
    window: Annotated[int | None, Parameter(converter=integer)] = None,
    thin: Annotated[int, Parameter(converter=integer)] = 1,
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
    keep(cache)
    choose_precision(True)
    import warnings

    from .. import inference

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
    if as_json:
        print(json.dumps(inference.record(done), indent=2))
    else:
        print(inference.report_of(done))
    if out is not None:
        where = inference.write_analysis(done, out, table.name)
        print(f"written to {where}", file=sys.stderr if as_json else sys.stdout)
    return 0
