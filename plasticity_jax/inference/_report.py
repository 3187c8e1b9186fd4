"""What an analysis of a table says: in words, as HTML, and as data for programs."""

import html
import math
from collections.abc import Sequence
from typing import Any, NamedTuple, TYPE_CHECKING

import numpy as np

from ._analysis import Analysis
from ._estimates import Fit
from ._summary import compare, dataset, estimate_rows, in_columns, statements


if TYPE_CHECKING:
    import pandas
    import xarray

Rows = Sequence[tuple[str, ...]]


class Section(NamedTuple):
    """A part of a report: sentences after a table, whose first row is its head."""

    title: str
    sentences: Sequence[str]
    rows: Rows = ()

    def lines(self) -> list[str]:
        """As text."""
        table = in_columns(self.rows) if self.rows else []
        return [f"== {self.title}", *table, *self.sentences]

    def page(self) -> str:
        """As HTML; texts stay text."""
        cells = lambda row, kind: "".join(
            f"<{kind}>{html.escape(x)}</{kind}>" for x in row
        )
        head, *body = [*self.rows] or [()]
        lines = "".join(f"<tr>{cells(row, 'td')}</tr>" for row in body)
        table = f"<table><tr>{cells(head, 'th')}</tr>{lines}</table>" if head else ""
        said = "".join(f"<p>{html.escape(each)}</p>" for each in self.sentences)
        return f"<h2>{html.escape(self.title)}</h2>{table}{said}\n"


def report_of(found: Analysis) -> str:
    """All of an analysis in words: what to know first, then numbers.

    Times in hours, sizes in the table's unit.

    >>> table = kaufman_2012().of(range(20)).thinned(5)
    >>> found = analyse(table, ["additive"], window=1, brief=True)
    >>> report_of(found).splitlines()[1]
    '20 synapses, 10 times over 22.5 h, 100% of sizes seen.'
    """
    return "\n\n".join("\n".join(section.lines()) for section in sections(found))


def sections(found: Analysis) -> list[Section]:
    """The parts of a report, what to know first."""
    models = [str(name) for name in found.comparison.model.values]
    parts = [
        Section("the table", _table(found)),
        Section("models", [verdict(found)], _compared(found.comparison)),
        *(_fitted(name, found.fits[name]) for name in models),
    ]
    if found.laws:
        title = f"{found.best} under other laws of the noise"
        rows = _compared(compare(found.laws))
        parts.append(Section(title, _by_law(found), rows))
    if found.varied is not None:
        part = _fitted(f"{found.best}, synapses varied", found.varied)
        differ = _differ(found, found.varied)
        parts.append(part._replace(sentences=[*part.sentences, differ]))
    if found.checks is not None:
        rows = _misses(found.checks)
        none = [] if rows else ["nothing."]
        parts.append(Section("what the model does not reproduce", none, rows))
    return parts


def record(found: Analysis) -> dict[str, Any]:
    """All of an analysis as lists and dictionaries, None for what is not finite.

    `estimates` has a row for each parameter of each model, `models` for each model,
    `checks` for each statistic. Times in hours, sizes in the table's `unit`.

    >>> table = kaufman_2012().of(range(20)).thinned(5)
    >>> told = record(analyse(table, ["additive", "lognormal"], window=1, brief=True))
    >>> told["synapses"], told["hours"], told["verdict"]
    (20, 22.5, 'lognormal is best, and told apart from all others.')
    """
    times, sizes = found.table.times, found.table.sizes
    checks = [] if found.checks is None else _records(found.checks.to_dataframe())
    return {
        "synapses": len(sizes),
        "times": len(times),
        "hours": float(times[-1] - times[0]),
        "unit": found.table.unit,
        "window": found.window,
        "law": found.law,
        "notes": list(found.notes),
        "best": found.best,
        "verdict": verdict(found),
        "models": _records(found.comparison.to_dataframe().reset_index()),
        "estimates": _records(estimates(found)),
        "about": {name: statements(fit) for name, fit in every_fit(found).items()},
        "checks": checks,
    }


def _records(table: "pandas.DataFrame") -> list[dict[str, Any]]:
    known = lambda x: None if isinstance(x, float) and not math.isfinite(x) else x
    rows = table.to_dict("records")
    return [{str(name): known(x) for name, x in row.items()} for row in rows]


def every_fit(found: Analysis) -> dict[str, Fit]:
    """The fits of an analysis by what they are called in its tables."""
    laws = {k: fit for k, fit in found.laws.items() if k != found.law}
    every = {
        **found.fits,
        **{f"{found.best}, noise law {k}": v for k, v in laws.items()},
    }
    if found.varied is not None:
        every[f"{found.best}, synapses varied"] = found.varied
    return every


def estimates(found: Analysis) -> "pandas.DataFrame":
    """A row for each parameter of each model, with errors and intervals."""
    import pandas

    tables = []
    for name, fit in every_fit(found).items():
        data = dataset(fit)
        kept = [k for k in data if data[k].dims == ("parameter",)]
        table = data[kept].to_dataframe().reset_index()
        table.insert(0, "model", name)
        tables.append(table)
    return pandas.concat(tables, ignore_index=True)


def verdict(found: Analysis) -> str:
    """Which model is best, and from which it is not told apart (Vuong's |z| < 2)."""
    table = found.comparison
    others = zip(table.model.values[1:], table.apart.values[1:], strict=True)
    ties = [str(name) for name, apart in others if not apart]
    if len(table.model) == 1:
        return f"{found.best} was the only model."
    if ties:
        return f"{found.best} has the least AIC; not told apart from {', '.join(ties)}."
    return f"{found.best} is best, and told apart from all others."


def _table(found: Analysis) -> list[str]:
    sizes, times = np.asarray(found.table.sizes), found.table.times
    said = [
        f"{len(sizes)} synapses, {len(times)} times over "
        f"{float(times[-1] - times[0]):g} h, {np.mean(~np.isnan(sizes)):.0%} of sizes "
        "seen.",
        *(f"note: {each}" for each in found.notes),
    ]
    if found.window > 1:
        said.append(f"fitted as running means over {found.window} samples.")
    return said


def _fitted(title: str, fit: Fit) -> Section:
    return Section(title, statements(fit), estimate_rows(fit))


def _compared(table: "xarray.Dataset") -> Rows:
    rows = [("", "log-likelihood", "AIC - best", "weight", "Vuong")]
    for name in table.model.values:
        row = table.sel(model=name)
        numbers = f"{float(row.log_likelihood):.1f}", f"{float(row.aic):.1f}"
        weight, vuong = f"{float(row.weight):.1%}", f"{float(row.vuong):.1f}"
        rows.append((str(name), *numbers, weight, vuong))
    return rows


def _by_law(found: Analysis) -> list[str]:
    """How far the parameters hang on the law of the noise."""
    every = [dataset(each) for each in found.laws.values()]
    said = []
    for name in found.fits[found.best].space.names:
        values, low, high = (
            [float(data[column].sel(parameter=name)) for data in every]
            for column in ("estimate", "low_sandwich", "high_sandwich")
        )
        said.append(
            f"{name}: {min(values):.4g} to {max(values):.4g} by the law of the noise, "
            f"{min(low):.4g} to {max(high):.4g} with the intervals of the sandwich."
        )
    return said[:-1]  # the noise has another unit under each


def _differ(found: Analysis, varied: Fit) -> str:
    gain = float(varied.height - found.fits[found.best].height)
    if gain < 2:
        return "synapses do not differ in how much they fluctuate, as far as seen."
    return (
        "synapses differ: their fluctuations vary by a factor of "
        f"{np.exp(float(varied.params.spread)):.2f} (one s.d.), {gain:.1f} log units "
        "better."
    )


def _misses(checks: "xarray.Dataset") -> Rows:
    """Statistics whose p is below 1 %."""
    rows = checks.to_dataframe()
    told = [
        (
            str(row.statistic),
            str(row["at"]),
            f"{row.observed:.4g}",
            f"{row.low:.4g} to {row.high:.4g}",
        )
        for _, row in rows[rows.p < 0.01].iterrows()
    ]
    head = ("p below 1 %", "at", "observed", "95 % of the model's tables")
    return [head, *told] if told else ()
