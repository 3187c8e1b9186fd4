"""The command line: `plasticity-jax`, also `python -m plasticity_jax`."""

import gc
import io
import sys
import traceback

import cyclopts

from . import _looks as _looks
from . import _runs as _runs
from . import _tables as _tables
from ._app import app


DEBUG = "--debug"


def main() -> None:
    """Entry point: exit code 0 if all holds, 1 if a claim fails, 2 on bad input."""
    gc.set_threshold(50_000)  # tracing makes many objects and few circles
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # what a terminal lacks becomes `?`
            stream.reconfigure(errors="replace")
    tokens = sys.argv[1:]
    debug = DEBUG in tokens
    try:
        code = app(
            [token for token in tokens if token != DEBUG],
            exit_on_error=False,
            print_error=False,
            result_action="return_value",
        )
    except Exception as error:
        if debug:
            traceback.print_exc()
        why = f"unexpected {type(error).__name__}: {error} ({DEBUG} shows where)"
        if isinstance(error, ValueError | OSError | cyclopts.CycloptsError):  # no bug
            why = str(error)
        print("error:", " ".join(why.split()), file=sys.stderr)
        code = 2
    except KeyboardInterrupt:
        says = "interrupted; a run keeps its finished batches: --resume goes on."
        print(says, file=sys.stderr)
        code = 130
    sys.exit(code if isinstance(code, int) else 0)
