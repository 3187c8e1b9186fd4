"""Claims and checks as tables and JSON."""

import math
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ._checks import Check as Check
from ._claims import Judged as Judged
from ._claims import stands
from ._experiment import Experiment as Experiment
from ._experiment import perform as perform


class Verdict(NamedTuple):
    """The claims of one experiment, judged.

    >>> law = Judged("law", "It holds", "Eq. 1", value=0.01, high=0.02, control=0.5)
    >>> vague = law._replace(control=0.015)
    >>> Verdict("fig1", (law,)).holds, Verdict("fig1", (law, vague)).holds
    (True, False)
    """

    experiment: str
    claims: tuple[Judged, ...]

    @property
    def holds(self) -> bool:
        """Whether every claim holds and every negative control fails."""
        return all(map(stands, self.claims))

    def to_json(self) -> list[dict[str, Any]]:
        """One object per claim; `control` is the same object for the control."""
        return [_claim_json(claim) for claim in self.claims]

    def table(self) -> Any:
        """The claims as a `rich` table."""
        from rich.markup import escape

        names = ("claim", "source", "value", "interval", "control", "")
        table = _table(escape(self.experiment), *names)
        for claim in self.claims:
            error = claim.standard_error
            fails = "control holds too" if claim.holds else "FAILS"
            table.add_row(
                escape(claim.says) + f"\n[dim]{escape(claim.name)}[/]",
                escape(claim.source),
                _number(claim.value) + ("" if math.isnan(error) else f" ± {error:.2g}"),
                escape(f"[{_number(claim.low)}, {_number(claim.high)}]"),
                "" if claim.control is None else _number(claim.control),
                "[green]holds[/]" if stands(claim) else f"[red]{fails}[/]",
            )
        return table


def judge(name: str, experiment: Experiment, data: Any, control: Any) -> Verdict:
    """The experiment's claims on its data, and that none of its runs diverged.

    A claim that cannot be computed (on a grid without the axes or points that it is
    about) fails and says why: the data are not lost. Raises `ValueError` where two
    claims have one name.

    >>> law = Claim("law", "it is half", "Eq. 24", lambda x: x.rate.mean(), 49, 51)
    >>> run = lambda config, key: {"rate": config(10.0)}
    >>> parts = circuits.Sigmoid, run, [law], lambda data: panels(1, 1, 3.0, 2.0)[0]
    >>> mine = Experiment("fig1", "Eq. 24", "a rate", *parts, changed(maximum=20.0))
    >>> judge("mine", mine, *perform(mine, Plan(mine.config(), {}, seeds=1))).holds
    True
    """
    names = [claim.name for claim in experiment.claims]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{name}: each claim needs a name of its own: '{twice}'.")
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of NaN
        rows = [row for x in experiment.claims for row in x.judge(data, control)]
    lost = float(data.diverged.mean())
    says = "no run diverged (share of runs)"
    last = Judged("none_diverged", says, "all runs", lost, 0.0, 0.0)
    return Verdict(name, (*rows, last))


def check_json(system: str, check: Check) -> dict[str, Any]:
    """One row of `verify --json`.

    >>> row = check_json("mine", simulated("a rate", "Eq. 2", 1.0, 0.0, 0.05))
    >>> print(row["system"], row["error"], row["holds"])
    mine None False
    """
    row = {"system": system, **check._asdict(), "holds": check.holds}
    return {name: _finite(value) for name, value in row.items()}


def check_table(system: str, checks: Sequence[Check]) -> Any:
    """The checks of a system as a `rich` table.

    >>> table = check_table("mine", [exact("counts", "Eq. 1", [1, 2], [1, 2])])
    >>> print(table.title, table.row_count)
    mine 1
    """
    from rich.markup import escape

    names = ("quantity", "source", "kind", "value", "reference", "error", "of", "")
    table = _table(system, *names)
    for check in checks:
        numbers = (check.value, check.reference, check.error, check.tolerance)
        mark = "[green]holds[/]" if check.holds else "[red]FAILS[/]"
        table.add_row(*map(escape, check[:3]), *map(_number, numbers), mark)
    return table


def _table(title: str, *names: str) -> Any:
    from rich.table import Column, Table

    columns = (Column(name, overflow="fold") for name in names)
    return Table(*columns, title=title, title_justify="left")


def _claim_json(claim: Judged) -> dict[str, Any]:
    row = {name: _finite(value) for name, value in claim._asdict().items()}
    del row["control"]
    row |= {"holds": claim.holds, "control": None}  # these two last
    if (control := claim.control) is not None:
        bare = claim._replace(value=control, standard_error=math.nan, control=None)
        row["control"] = _claim_json(bare)
    return row


def _finite(value: Any) -> Any:
    """JSON has no infinity and no NaN: an open end or an unknown error is null."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _number(value: float) -> str:
    return f"{value:.4g}"
