"""Claims and checks as tables and JSON."""

import math
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ._claims import Check as Check
from ._claims import Claim as Claim
from ._experiment import Experiment as Experiment
from ._experiment import perform as perform


class Verdict(NamedTuple):
    """The claims of one experiment."""

    experiment: str
    claims: tuple[Claim, ...]

    @property
    def holds(self) -> bool:
        """Whether every claim holds and every negative control fails."""
        return all(claim.holds and claim.control_fails for claim in self.claims)

    def to_json(self) -> list[dict[str, Any]]:
        """One object per claim; `control` is the same object for the control."""
        return [_claim_json(claim) for claim in self.claims]

    def table(self) -> Any:
        """The claims as a `rich` table."""
        from rich.markup import escape
        from rich.table import Table

        table = Table(title=escape(self.experiment), title_justify="left", expand=False)
        for name in ("claim", "source", "value", "interval", "control", ""):
            table.add_column(name, overflow="fold")
        for claim in self.claims:
            table.add_row(
                escape(claim.says),
                escape(claim.source),
                _number(claim.value) + _error(claim.standard_error),
                escape(f"[{_number(claim.low)}, {_number(claim.high)}]"),
                "" if claim.control is None else _number(claim.control),
                _mark(claim),
            )
        return table


def judge(name: str, experiment: Experiment, data: Any, control: Any) -> Verdict:
    """The experiment's claims on its data, and that none of its runs diverged.

    Claims that cannot be computed (on a grid without the axes or points that they are
    about) make one claim that fails and says why: the data are not lost.
    """
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # of NaN
            claims = tuple(_plain(claim) for claim in experiment.claims(data, control))
    except Exception as error:  # of whatever kind: it is told, and the claim fails
        why = " ".join(f"{type(error).__name__}: {error}".split())
        says = f"the claims need the axes of the preset's grid ({why})"
        claims = (Claim(says, experiment.source, math.nan),)
    lost = float(data.diverged.mean())
    calm = Claim("no run diverged (share of runs)", "all runs", lost, 0.0, 0.0)
    return Verdict(name, (*claims, calm))


def _plain(claim: Claim) -> Claim:
    """Its numbers as Python's; `ValueError` with its words where one is none."""
    try:
        return claim._replace(
            value=float(claim.value),
            low=float(claim.low),
            high=float(claim.high),
            standard_error=float(claim.standard_error),
            control=None if claim.control is None else float(claim.control),
        )
    except (TypeError, ValueError) as error:
        raise ValueError(f"'{claim.says}' is no number: {error}") from error


def check_json(system: str, check: Check) -> dict[str, Any]:
    """One row of `verify --json`."""
    row = {"system": system, **check._asdict(), "holds": check.holds}
    return {name: _finite(value) for name, value in row.items()}


def check_table(system: str, checks: Sequence[Check]) -> Any:
    """The checks of a system as a `rich` table."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=system, title_justify="left")
    for name in ("quantity", "source", "kind", "value", "reference", "error", "of", ""):
        table.add_column(name, overflow="fold")
    for check in checks:
        numbers = (check.value, check.reference, check.error, check.tolerance)
        mark = "[green]holds[/]" if check.holds else "[red]FAILS[/]"
        table.add_row(*map(escape, check[:3]), *map(_number, numbers), mark)
    return table


def _claim_json(claim: Claim) -> dict[str, Any]:
    fields = claim._asdict()
    control = fields.pop("control")
    row = {name: _finite(value) for name, value in fields.items()}
    row["holds"] = claim.holds
    row["control"] = None
    if control is not None:
        bare = claim._replace(value=control, standard_error=math.nan, control=None)
        row["control"] = _claim_json(bare)
    return row


def _finite(value: Any) -> Any:
    """JSON has no infinity and no NaN: an open end or an unknown error is null."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _number(value: float) -> str:
    return f"{value:.4g}"


def _error(error: float) -> str:
    return "" if math.isnan(error) else f" ± {error:.2g}"


def _mark(claim: Claim) -> str:
    if not claim.holds:
        return "[red]FAILS[/]"
    if not claim.control_fails:
        return "[red]control holds too[/]"
    return "[green]holds[/]"
