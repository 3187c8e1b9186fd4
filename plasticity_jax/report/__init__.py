"""One self-contained page of results: every claim, then the evidence for each."""

import os
from pathlib import Path

from .._arguments import folder as expanded
from ..experiment._results import results
from ._page import page


def report(folder: str | Path) -> Path:
    """Write `folder/report.html` from the results under `folder`; its path.

    The page is one file, works from a `file:` address and asks for nothing else; text
    from the results stays text. The same results give the same bytes. Raises
    `ValueError` without results and on a damaged one, named.

    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     pathlib.Path(folder, "mine.fig1").mkdir()
    ...     _ = pathlib.Path(folder, "mine.fig1", "verdict.json").write_text("[]")
    ...     print("0 of 0 claims hold" in report(folder).read_text("utf-8"))
    True
    """
    folder = expanded(folder)
    found, left_out = results(folder)
    text = page(found, left_out)
    final = folder / "report.html"
    work = folder / f".report.{os.getpid()}.html"
    try:
        work.write_text(text, encoding="utf-8", errors="replace", newline="\n")
        work.replace(final)
    finally:
        work.unlink(missing_ok=True)
    return final
