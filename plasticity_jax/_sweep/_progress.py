"""Progress of a sweep: a bar on a terminal, plain lines elsewhere, or nothing."""

import sys
import threading
import time
from typing import Any


INTERVAL = 5.0  # seconds between plain lines


class Progress:
    """Counts finished runs; safe to advance from several threads."""

    def __init__(self, total: int, *, shown: bool) -> None:
        self.total, self.done, self.diverged, self.known = total, 0, 0, 0
        self._lock = threading.Lock()
        self._shown, self._bar, self._task = shown, None, None
        self._start = self._last = time.perf_counter()

    def __enter__(self) -> "Progress":
        if self._shown and sys.stderr.isatty():
            import rich.progress as columns
            from rich.console import Console

            self._bar = columns.Progress(
                columns.BarColumn(),
                columns.MofNCompleteColumn(),
                columns.TextColumn("runs {task.fields[rate]} {task.fields[diverged]}"),
                columns.TimeElapsedColumn(),
                columns.TextColumn("left"),
                columns.TimeRemainingColumn(),
                console=Console(stderr=True),
            ).__enter__()
            self._task = self._bar.add_task("", total=self.total, rate="", diverged="")
        return self

    def __exit__(self, *error: Any) -> None:
        if self._bar is not None:
            self._bar.__exit__(*error)

    def advance(self, runs: int, diverged: int = 0, *, known: bool = False) -> None:
        """Count `runs` more, of which `diverged` hold a NaN or an infinity.

        Those that were `known` already, from a store, do not count for the rate.
        """
        with self._lock:
            self.done += runs
            self.diverged += diverged
            self.known += runs if known else 0
            if not self._shown:
                return
            now = time.perf_counter()
            rate = (self.done - self.known) / (now - self._start)
            lost = f"({self.diverged} diverged)" if self.diverged else ""
            if self._bar is not None and self._task is not None:
                says: dict[str, Any] = {"rate": f"{rate:.1f}/s", "diverged": lost}
                self._bar.update(self._task, completed=self.done, **says)
            elif now - self._last > INTERVAL or self.done == self.total:
                self._last = now
                line = f"{self.done}/{self.total} runs, {rate:.1f}/s"
                if rate:
                    line += f", {(self.total - self.done) / rate:.0f} s left"
                print(line, lost, file=sys.stderr, flush=True)
