"""What several experiments share: the orders, stacked results, how figures look."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import PyTree
from xarray import DataArray

from ....experiment import over_seeds, SHADES, standard_error, THEORY


T = TypeVar("T", bound=PyTree)
LAW = {"color": THEORY}  # how what theory says is drawn
TINY = {"frameon": False, "fontsize": "x-small"}  # legends
ROW = {"row": None}
WHEN = {"when": ("before", "after")}


def stacked(each: Iterable[T]) -> T:
    """Results of the same kind as one, along a new first axis."""
    return jax.tree.map(lambda *x: jnp.stack(x), *each)


def mean_and_error(x: DataArray) -> tuple[float, float]:
    """Mean over seeds, and its standard error."""
    return float(over_seeds(x)), float(standard_error(x))


def middles(edges: Sequence[float]) -> list[float]:
    """Of the bins between these edges."""
    return [(low + high) / 2 for low, high in itertools.pairwise(edges)]


def shaded(values: Iterable[Any]) -> Iterator[tuple[Any, str]]:
    """Each value and its color."""
    return zip(values, SHADES, strict=False)


def legends(panels: Iterable[Any], **style: Any) -> None:
    """A legend in each of these axes."""
    for panel in panels:
        panel.legend(**TINY | style)
