"""Claims: a measure of the data, the interval that it must lie in, and a control."""

import inspect
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TYPE_CHECKING

import numpy as np


if TYPE_CHECKING:
    import xarray


class Judged(NamedTuple):
    """A claim on its data: the number, and the interval in which it must lie.

    `control` is the number with the mechanism removed: it must lie outside, or the
    claim proves nothing.

    >>> judged = Judged("law", "It holds", "Eq. 1", value=0.01, high=0.02, control=0.5)
    >>> judged.holds, judged.control_fails
    (True, True)
    """

    name: str
    says: str
    source: str
    value: float
    low: float = -math.inf
    high: float = math.inf
    standard_error: float = math.nan
    control: float | None = None

    @property
    def holds(self) -> bool:
        """Whether the value is a finite number that lies in the interval."""
        return bool(self.low <= self.value <= self.high and math.isfinite(self.value))

    @property
    def control_fails(self) -> bool:
        """Whether the negative control lies outside, as a number; True without one."""
        if self.control is None:
            return True
        return math.isfinite(self.control) and not self.low <= self.control <= self.high


def stands(claim: Judged) -> bool:
    """Whether the claim holds and its negative control, if it has one, does not."""
    return claim.holds and claim.control_fails


class Claim(NamedTuple):
    """A statement of a paper: a measure of data, and the interval it must lie in.

    Made by `claim`, which says what each field may be.

    >>> import xarray
    >>> law = Claim("law", "The error is small", "Eq. 1", lambda x: x.error, high=0.02)
    >>> data = xarray.Dataset({"error": 0.01})
    >>> [(judged.value, judged.holds) for judged in law.judge(data, data)]
    [(0.01, True)]
    """

    name: str
    says: str
    source: str
    measure: Callable[..., Any]
    low: Any = -math.inf
    high: Any = math.inf
    control: Callable[..., Any] | None = None
    each: Mapping[str, Sequence[Any]] | str | tuple[str, ...] = ()
    when: Callable[..., bool] | None = None
    both: bool = False

    def __call__(self, *given: Any) -> Any:
        """The measure itself."""
        return self.measure(*given)

    def judge(
        self, data: "xarray.Dataset", control: "xarray.Dataset"
    ) -> Iterator[Judged]:
        """The claim on an experiment's data and on its control's, once for each case.

        What cannot be computed (on a grid without the points that the claim is about)
        is NaN, which never holds, and says why.
        """
        try:
            cases = list(self._cases(data))
        except Exception as error:  # of whatever kind: it is told, and the claim fails
            yield self._failed(error, {})
            return
        for case in cases:
            try:
                judged = self._judged(data, control, case)
            except Exception as error:
                judged = self._failed(error, case)
            yield judged

    def _failed(self, error: Exception, case: dict[str, Any]) -> Judged:
        why = " ".join(f"{type(error).__name__}: {error}".split())
        name, says, source = self._texts(case)
        says = f"{says}: needs the axes of the preset's grid ({why})"
        return Judged(name, says, source, math.nan)

    def _texts(self, case: dict[str, Any]) -> tuple[str, str, str]:
        """Name, statement and source of a case."""
        if not case:
            return self.name, self.says, self.source
        shown = (f"{k}={v:g}" if _real(v) else f"{k}={v}" for k, v in case.items())
        name = f"{self.name}[{', '.join(shown)}]"
        return name, self.says.format(**case), self.source.format(**case)

    def _cases(self, data: "xarray.Dataset") -> Iterator[dict[str, Any]]:
        each = (self.each,) if isinstance(self.each, str) else self.each
        if not isinstance(each, Mapping):
            each = {name: data[name].values for name in each}
        for values in itertools.product(*each.values()):
            if self.when is None or self.when(data, *values):
                yield dict(zip(each, values, strict=True))

    def _judged(self, data: Any, control: Any, case: dict[str, Any]) -> Judged:
        at = tuple(case.values())

        def bound(x: Any) -> float:
            found: Any = x(data, control, *at) if callable(x) else x
            return float(found)

        given = (data, control) if self.both else (data,)
        found: Any = self.measure(*given, *at)
        pair: Any = found if isinstance(found, tuple) else (found, math.nan)
        beside: Any = None if self.control is None else self.control(data, control, *at)
        beside = beside[0] if isinstance(beside, tuple) else beside
        within = bound(self.low), bound(self.high)
        last = None if beside is None else float(beside)
        value, error = float(pair[0]), float(pair[1])
        return Judged(*self._texts(case), value, *within, error, last)


def _real(x: Any) -> bool:
    return isinstance(x, float) or getattr(getattr(x, "dtype", None), "kind", "") == "f"


def claim(
    source: str,
    *,
    low: Any = -math.inf,
    high: Any = math.inf,
    control: Callable[..., Any] | str | None = "same",
    each: Mapping[str, Sequence[Any]] | str | tuple[str, ...] = (),
    when: Callable[..., bool] | None = None,
    both: bool = False,
) -> Callable[[Callable[..., Any]], Claim]:
    """Make a measure a claim: its number lies in `[low, high]`, its control's outside.

    The function's name is the claim's, its docstring's first paragraph what it says; it
    maps the data to a number, or to a number and its standard error. The control is the
    same measure of the control's data; else a function of the data and of the control's
    data, or None. `low` and `high` are numbers or such functions.

    With `each`, the name of an axis (or several), the claim is made at each label of
    it; or at each value of a dict's keywords. All functions take these values after
    their other arguments, and the texts name them in braces. It is made only `when`
    that function of the data (and of these values) is true. With `both` the measure
    too takes the control's data after the data (for its control, twice those). Raises
    `ValueError` for a measure without a name or a docstring.

        @claim("Eq. 3", high=0.02, each="load")
        def law_holds(data: xarray.Dataset, load: float) -> float:
            'Relative distance from the law, load {load:g}.'
            return abs(data.error.sel(load=load).mean() / law(load) - 1)

    >>> @claim("Fig. 5", low=0.25, high=0.55)
    ... def repair_is_smaller_than_noise(data):
    ...     "The best ratio of repair to noise."
    ...     return data["ratio"]
    >>> repair_is_smaller_than_noise.says, repair_is_smaller_than_noise({"ratio": 0.4})
    ('The best ratio of repair to noise', 0.4)
    """

    def made(measure: Callable[..., Any]) -> Claim:
        name = getattr(measure, "__name__", "")
        says = " ".join((inspect.getdoc(measure) or "").partition("\n\n")[0].split())
        if not name.isidentifier() or not says:
            raise ValueError(f"a claim needs a name and a docstring; got {measure!r}.")
        if control is None or callable(control):
            beside = control
        elif control == "same":
            beside = lambda data, control, *case: measure(
                *((control, control) if both else (control,)), *case
            )
        else:
            raise ValueError(
                f"`control` must be a function of data and control, or None; got "
                f"{control!r}."
            )
        says = says.removesuffix(".")
        return Claim(name, says, source, measure, low, high, beside, each, when, both)

    return made


def over_seeds(x: Any) -> Any:
    """Mean over seeds; a run that diverged makes it NaN.

    >>> import xarray
    >>> x = xarray.DataArray([[1.0, 3.0], [1.0, np.nan]], dims=("rate", "seed"))
    >>> print(over_seeds(x).values)
    [ 2. nan]
    """
    return x.mean("seed", skipna=False)


def chosen(values: "xarray.DataArray", where: "xarray.DataArray") -> np.ndarray:
    """The values where a mask is true, in a row; NaN alone if any is NaN, or none is.

    Values and mask are of any named axes. A mask of a measure (`x.where(x > 1)`) drops
    the NaN of a run that diverged.

    >>> import xarray
    >>> x = xarray.DataArray([1.0, 3.0, 5.0], dims="seed")
    >>> print(chosen(x, x > 2).min(), chosen(x.where(x < 4), x > 2).min())
    3.0 nan
    """
    import xarray

    values, where = xarray.broadcast(values, where)
    if values.isnull().any() or not where.any():
        return np.full(1, np.nan)
    return values.values[where.values]


def standard_error(x: "xarray.DataArray") -> "xarray.DataArray":
    """Standard error of the mean over seeds; NaN of a single one.

    >>> import xarray
    >>> print(f"{standard_error(xarray.DataArray([1.0, 3.0], dims='seed')).item():.2f}")
    1.00
    """
    return x.std("seed", ddof=1).astype(float) / math.sqrt(x.sizes["seed"])
