"""Figures 1 and 8: one step of learning in different coordinates, and its terms."""

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from xarray import DataArray, Dataset

from ....experiment import changed, chosen, claim, Experiment, panels, SHADES, THEORY
from ....rules import NaturalTerms
from .coordinates import (
    BAR_WEIGHTS,
    Coordinates,
    INVERSE_ATTENUATIONS,
    PARAMETRISATIONS,
    steps_in_coordinates,
)
from .learning import COLOURS, NATURAL
from .two_afferents import contours, ends, GRID, START, SYNAPSES, TEACHER


BARS = ("stimulated weak", "stimulated strong", "silent weak", "silent strong")
RULE = {"rule": ("euclidean", "natural")}
PATH = {"place": lambda config: np.arange(config.steps + 1), "synapse": SYNAPSES}
HALVINGS = {"halving": lambda config: np.arange(config.halvings)}
AXES = {
    "ratio": RULE | {"attenuation": 1 / np.asarray(INVERSE_ATTENUATIONS)},
    "path": RULE | {"parametrisation": PARAMETRISATIONS} | PATH,
    "divergence": {"high": GRID, "low": GRID},
    "linear_gap": HALVINGS,
    "gap": HALVINGS,
    "terms": {"draw": None, "term": NaturalTerms._fields, "bar": BARS},
}


# --- Figure 1: natural steps do not depend on the coordinates, Euclidean ones do ------


@claim("Fig. 1, Eqs. 3, 44", low=0.0, high=1e-12, control=None)
def attenuation_squared(data: Dataset) -> float:
    """Somatic effect of a dendritic Euclidean step is the attenuation squared (largest
    relative error).
    """
    ratio = data.ratio.sel(rule="euclidean") / data.attenuation**2
    return float(abs(ratio - 1).max(skipna=False))


@claim("Fig. 1, Eqs. 14, 17", low=0.0, high=1e-12)
def same_at_any_attenuation(data: Dataset) -> float:
    """That of a dendritic natural step does not depend on the attenuation (largest
    relative error).
    """
    return float(abs(data.ratio.sel(rule="natural") - 1).max(skipna=False))


def apart(data: Dataset, rule: str) -> float:
    """Distance of the paths in attenuated and somatic coordinates over their length."""
    path = data.path.sel(rule=rule)
    way = path.sel(parametrisation="attenuated") - path.sel(parametrisation="somatic")
    distance = (way**2).sum("synapse", skipna=False) ** 0.5
    largest = float(distance.max("place", skipna=False).mean(skipna=False))
    return largest / math.dist(START, TEACHER)


@claim("Fig. 1", low=0.05, control=None)
def euclidean_paths_differ(data: Dataset) -> float:
    """Euclidean paths differ between coordinates (distance / length)."""
    return apart(data, "euclidean")


@claim("Fig. 1, theory T8", low=0.0, high=1e-12)
def natural_paths_do_not(data: Dataset) -> float:
    """Natural paths do not (distance / length, linear attenuation)."""
    return apart(data, "natural")


@claim("theory T8", low=0.0, high=1e-14)
def nor_from_spikes(data: Dataset) -> float:
    """Nor does natural learning from spikes (largest distance of weights)."""
    return float(data.linear_gap.max(skipna=False))


@claim("theory T8: 4 to first order", low=3.8, high=4.2)
def saturating_part(data: Dataset) -> float:
    """With saturating synapses they part by the square of the learning rate (distance
    ratio when the rate doubles).
    """
    gap = data.gap.mean("seed", skipna=False).values
    return float((gap[0] / gap[-1]) ** (1 / (len(gap) - 1)))


# --- Figure 8: signs and shapes of the three terms ------------------------------------


@claim("Fig. 8, Eqs. 20-23", low=0.0, high=0.0, control=None)
def zero_at_silent_synapses(data: Dataset) -> float:
    """For a positive error the homosynaptic term is zero at silent synapses
    (largest).
    """
    own = data.terms.sel(term="homosynaptic", bar=["silent weak", "silent strong"])
    return float(abs(own).max(skipna=False))


@claim("Fig. 8, Eqs. 20-23", low=1.0, high=1.0)
def opposite_in_sign(data: Dataset) -> float:
    """The uniform term is opposite in sign to it (share of stimulated synapses)."""
    own, uniform = (data.terms.sel(term=k) for k in ("homosynaptic", "uniform"))
    return float((chosen(uniform, own > 0) < 0).mean())


def uneven(terms: DataArray) -> float:
    """Largest difference between synapses over the largest entry."""
    difference = abs(terms - terms.isel(bar=0)).max(skipna=False)
    return float(difference / abs(terms).max(skipna=False))


@claim("Fig. 8, Eqs. 20-23", low=0.0, high=1e-12, control=None)
def uniform(data: Dataset) -> float:
    """And the same at all synapses (largest difference / largest)."""
    return uneven(data.terms.sel(term="uniform"))


@claim("Fig. 8, Eqs. 20-23", low=0.0, high=1e-12, control=None)
def proportional(data: Dataset) -> float:
    """The third term is proportional to the weight (the same, over the weight)."""
    weights = DataArray(np.asarray(BAR_WEIGHTS), dims="bar")
    return uneven(data.terms.sel(term="proportional") / weights)


STYLES = {
    "somatic": ("in somatic coordinates", "-"),
    "attenuated": ("one synapse attenuated", "--"),
    "saturating": ("saturating synapses", ":"),
}


def draw_coordinates(data: Dataset) -> Figure:
    """Somatic effects, paths in three parametrisations, their gap, terms of a step."""
    figure, axes = panels(1, 5, 3.1, 2.9)
    effects, *paths, gaps, bars = axes[0]
    inverse = 1 / data.attenuation.values
    law = inverse**-2
    effects.loglog(inverse, law, "--", color=THEORY, label="attenuation squared")
    for panel, rule in zip(paths, data.rule.values, strict=True):
        here, color = data.isel(seed=0).sel(rule=rule), COLOURS[rule]
        label = "Euclidean" if rule == "euclidean" else rule
        effects.loglog(inverse, here.ratio, "o", ms=4, color=color, label=label)
        _paths(panel, here)
        ends(panel, f"{rule.capitalize()} descent")
    effects.set(
        xlabel="1 / attenuation",
        ylabel="effect of a dendritic step\n/ effect of a somatic one",
    )
    effects.legend(frameon=False, fontsize="small", loc="lower left")
    paths[0].legend(frameon=False, fontsize="small", loc="lower left")
    halved = 2.0**-data.halving.values
    gap, linear = data.gap.mean("seed").values, data.linear_gap.mean("seed").values
    gaps.semilogy(halved, gap, "o", ms=4, color=NATURAL, label="saturating")
    gaps.plot(halved, gap[0] * halved**2, "--", color=THEORY, label="square law")
    gaps.plot(halved, linear, "s", ms=4, color=SHADES[1], label="one attenuated")
    gaps.set(xlabel="learning rate / largest", ylabel="distance to somatic learning")
    gaps.set(title="Natural learning", xlim=(0.0, 1.1))
    gaps.legend(frameon=False, fontsize="small", loc="center right")
    _bars(bars, data.terms.mean(("seed", "draw")))
    return figure


def _paths(panel: Axes, data: Dataset) -> None:
    """Paths of the somatic amplitudes over contours of the divergence."""
    contours(panel, data["divergence"])
    for k, name in enumerate(data.parametrisation.values):
        label, style = STYLES[name]
        path = 2 * data.path.sel(parametrisation=name).values
        panel.plot(*path.T, style, color=SHADES[k], lw=2.4 - 0.5 * k, label=label)


def _bars(panel: Axes, terms: DataArray) -> None:
    """The three terms side by side at each of four synapses."""
    places = np.arange(terms.sizes["bar"])
    for k, name in enumerate(terms.term.values):
        row = terms.sel(term=name)
        panel.bar(places + 0.27 * (k - 1), row, 0.25, color=SHADES[k], label=name)
    panel.axhline(0.0, color="black", lw=0.8)
    panel.set_xticks(places, [bar.split()[1] for bar in terms.bar.values])
    panel.set(xlabel="two stimulated, two silent", ylabel="change (1/mV)")
    panel.legend(frameon=False, fontsize="small", loc="upper right")


FIG1 = Experiment(
    name="fig1",
    source="Figs. 1, 8",
    shows="a natural step is the same in somatic and dendritic coordinates; its terms",
    config=Coordinates,
    run=steps_in_coordinates,
    claims=(
        attenuation_squared,
        same_at_any_attenuation,
        euclidean_paths_differ,
        natural_paths_do_not,
        nor_from_spikes,
        saturating_part,
        zero_at_silent_synapses,
        opposite_in_sign,
        uniform,
        proportional,
    ),
    figure=draw_coordinates,
    control=changed(metric=False),
    axes=AXES,
    float64=True,
)
