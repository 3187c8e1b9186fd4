"""The application that commands join, and what they share."""

import sys
from collections.abc import Sequence
from typing import Annotated, Any

import cyclopts
from cyclopts import Parameter

from .._kept import keep_programs
from .._version import __version__


app = cyclopts.App(
    name="plasticity-jax",
    help="Differentiable models of synaptic plasticity: run, verify and look.",
    version=__version__,
    help_flags=["--help", "-h"],
    suppress_keyboard_interrupt=False,
)
Flag = Annotated[bool, Parameter(negative="")]
AsJson = Annotated[bool, Parameter("--json", negative="")]
Cache = Annotated[
    bool,
    Parameter(
        "--cache",
        negative="--no-cache",
        help="Take compiled programs from the last calls, and keep them for the next.",
    ),
]
Texts = Annotated[tuple[str, ...], Parameter(negative="")]
PAGE_WIDTH = 132


def integer(_: Any, tokens: Sequence[cyclopts.Token]) -> int:
    """As it is written: Cyclopts' own reading rounds 1.5 to 2."""
    return int(tokens[0].value)


def keep(cache: bool) -> None:
    """Before JAX is loaded."""
    if cache:
        keep_programs()


def choose_precision(double: bool) -> None:
    """Before anything is made: all that is computed is of one precision."""
    if double:
        import jax

        jax.config.update("jax_enable_x64", True)


def console() -> Any:
    """The terminal, or a page wide enough for the tables where there is none."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else PAGE_WIDTH)
