r"""Beyond the paper: metaplasticity learned on one stream, used on others.

A random search over the five numbers of the rule, $(g_{lim}, p_{up}, p_{down},
p_{freeze}, \eta_0)$, for the mean accuracy on Split digits, all candidates at once. The
best of n is then used, without another search, on fresh runs of that stream, on a
different split of the classes and on permuted pixels, against the published setting and
against deterministic networks whose rate was searched as long.
"""

import dataclasses
import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Array, Float, Int, Key
from matplotlib.figure import Figure
from xarray import DataArray, Dataset

from .... import AbstractConfig, Scalar
from ...._arguments import real, require, whole
from ....data import load
from ....experiment import (
    changed,
    claim,
    Experiment,
    over_seeds,
    panels,
    SHADES,
    standard_error,
    THEORY,
)
from ....measure import forgetting, mean_accuracy, rank_correlation
from ..config import Config, Source, source_of
from ..training import learn
from .energy import errors


STREAMS = ("same split", "other split", "permuted pixels")
RULES = ("published", "one candidate", "searched", "deterministic")
RANGES = {  # of the search; those of the paper for the last three
    "threshold": (1e-4, 1e-2),  # logarithmic
    "rate": (3e-3, 3e-2),  # logarithmic
    "up": (0.01, 0.1),
    "down": (0.01, 0.1),
    "freeze": (0.9, 0.96),
}
RELABELLED = (3, 0, 7, 4, 1, 8, 5, 2, 9, 6)  # new class of every class


def splits(config: "MetaConfig") -> Source:
    """Images of the named data set, with their classes paired in two ways.

    Labels and pairs have a leading axis for the two; pairs are cut to one length.
    """
    data = load(config.data)
    names = np.asarray(RELABELLED, np.int32)
    renamed = data._replace(
        train_labels=names[np.asarray(data.train_labels)],
        test_labels=names[np.asarray(data.test_labels)],
    )
    sources = source_of(data), source_of(renamed)
    count = min(len(pair) for source in sources for pair in source.pairs)
    cut = lambda source: jax.tree.map(lambda pair: pair[:count], source.pairs)
    parts = [pairing(source._replace(pairs=cut(source))) for source in sources]
    return sources[0]._replace(**jax.tree.map(lambda *x: jnp.stack(x), *parts))


def pairing(data: Source) -> dict[str, Any]:
    """What depends on how classes are paired."""
    return {
        name: getattr(data, name) for name in ("train_labels", "test_labels", "pairs")
    }


def paired(data: Source, which: Int[Array, ""]) -> Source:
    """The images with the first pairing of classes, or the other one."""
    return data._replace(**jax.tree.map(lambda x: x[which], pairing(data)))


class MetaConfig(AbstractConfig):
    """A search of `candidates` settings, each tried on `trials` runs of the stream.

    `spread` scales the logarithmic ranges of the search around the published values;
    0 searches nothing.
    """

    spread: Scalar = eqx.field(default=1.0, converter=real)
    data: str = eqx.field(default="digits", static=True)
    hidden: tuple[int, ...] = eqx.field(default=(48, 40), static=True)
    batch: int = eqx.field(default=20, static=True)
    epochs: int = eqx.field(default=40, static=True)  # per task of a split
    permuted_epochs: int = eqx.field(default=10, static=True)
    permuted_tasks: int = eqx.field(default=5, static=True)
    candidates: int = eqx.field(default=32, static=True)
    trials: int = eqx.field(default=2, static=True)
    tests: int = eqx.field(default=2, static=True)  # runs per stream afterwards

    def __check_init__(self) -> None:
        require(self, spread=(0.0, 1.0))
        for name in ("candidates", "trials", "tests"):
            whole(name, getattr(self, name), 1)
        self.network()

    def network(self, **changes: Any) -> Config:
        """The network that learns, with the published rule."""
        shape = {"data": self.data, "hidden": self.hidden, "batch": self.batch}
        return Config(**{**shape, "epochs": self.epochs, **changes})


Settings = dict[str, Float[Array, " candidate"]]


def drawn(config: MetaConfig, key: Key[Array, ""]) -> Settings:
    """The published setting, then random ones within `RANGES`.

    Their distance from the published one is scaled by `spread`.
    """
    published = config.network()
    found = {}
    for index, (name, (low, high)) in enumerate(RANGES.items()):
        chance = jr.uniform(jr.fold_in(key, index), (config.candidates,))
        logarithmic = name in ("threshold", "rate")
        there, back = (jnp.log, jnp.exp) if logarithmic else (real, real)
        start, end = there(real(low)), there(real(high))
        centre = there(real(getattr(published, name)))
        value = centre + config.spread * (start + chance * (end - start) - centre)
        found[name] = back(jnp.concatenate([centre[None], value]))
    return found


def outcomes(
    config: Config,
    data: Source,
    settings: Settings,
    which: Int[Array, " run"],
    keys: Key[Array, " run"],
) -> dict[str, Float[Array, "candidate run"]]:
    """Accuracy and forgetting of every setting in the same runs.

    `which` names the pairing of classes of every run.
    """

    def one(
        setting: dict[str, Scalar], which: Int[Array, ""], key: Key[Array, ""]
    ) -> dict[str, Scalar]:
        here = dataclasses.replace(config, **setting)
        learned = learn(here, paired(data, which), key).accuracy
        return {"accuracy": mean_accuracy(learned), "forgetting": forgetting(learned)}

    return jax.vmap(jax.vmap(one, (None, 0, 0)), (0, None, None))(settings, which, keys)


def searched(data: Source, config: MetaConfig, key: Key[Array, ""]) -> dict[str, Array]:
    """One search, and what it found on every stream.

    `accuracy`, `forgetting` (stream, rule): of the published setting, of the first
    candidate, of the best one, and of deterministic networks with the best rate of as
    many. `tried` (stage, candidate) are accuracies in the search and then on every
    stream, the published setting first; `found` (setting,) is the best candidate,
    `setting_tried` (setting, candidate) are all.
    """
    for_settings, for_split, for_pixels = jr.split(key, 3)
    settings = drawn(config, for_settings)
    trials, tests = config.trials, config.tests
    which = jnp.asarray([0] * (trials + tests) + [1] * tests, jnp.int32)
    keys = jr.split(for_split, len(which))
    pixel_keys, same = jr.split(for_pixels, tests), jnp.zeros(tests, jnp.int32)
    permuted = {
        "protocol": "permuted",
        "epochs": config.permuted_epochs,
        "tasks": config.permuted_tasks,
    }

    def stages(values: Array, more: Array) -> Float[Array, "stage candidate"]:
        edges = (trials, trials + tests)
        parts = (*jnp.split(values, edges, axis=1), more)
        return jnp.stack([jnp.mean(part, axis=1) for part in parts])

    def everywhere(method: str, settings: Settings) -> dict[str, Array]:
        base = config.network(method=method)
        split = outcomes(base, data, settings, which, keys)
        pixels = dataclasses.replace(base, **permuted)
        more = outcomes(pixels, data, settings, same, pixel_keys)
        return jax.tree.map(stages, split, more)

    release = everywhere("presynaptic", settings)
    plain = everywhere("deterministic", {"rate": settings["rate"]})
    best = 1 + jnp.argmax(release["accuracy"][0, 1:])
    rate = jnp.argmax(plain["accuracy"][0])

    def table(of: Array, deterministic: Array) -> Float[Array, "stream rule"]:
        columns = (of[1:, 0], of[1:, 1], of[1:, best], deterministic[1:, rate])
        return jnp.stack(columns, axis=1)

    return {
        **jax.tree.map(table, release, plain),
        "tried": release["accuracy"],
        "found": jnp.stack([values[best] for values in settings.values()]),
        "setting_tried": jnp.stack(list(settings.values())),
    }


def gain(data: Dataset, stream: str) -> tuple[DataArray, DataArray]:
    """Accuracy of the searched rule less that of the mean candidate, and its error."""
    candidates = data.tried.sel(stage=stream).isel(candidate=slice(1, None))
    best = data.accuracy.sel(stream=stream, rule="searched")
    less = best - candidates.mean("candidate", skipna=False)
    return over_seeds(less), standard_error(less)


@claim(
    "same split: definition of the search; other split: transfer",
    low=1e-4,
    each={"stream": STREAMS[:2]},
)
def searched_is_better(data: Dataset, stream: str) -> tuple[DataArray, DataArray]:
    """{stream}: mean accuracy of the searched rule over that of a mean candidate;
    control: nothing to search.
    """
    return gain(data, stream)


def agreement(data: Dataset, shift: int = 0) -> Any:
    r"""Rank correlation over candidates, of the search with the other split.

    The mean over seeds, in standard deviations of unrelated orders, $1/\sqrt{n - 1}$
    for n candidates and one seed.
    """
    tried = data.tried.isel(candidate=slice(1, None))
    tried = tried.transpose("stage", "seed", "candidate")
    search, other = (jnp.asarray(tried.sel(stage=x)) for x in ("search", "other split"))
    pairs = zip(search, jnp.roll(other, shift, axis=1), strict=True)
    found = np.mean([rank_correlation(a, b) for a, b in pairs])
    return found * math.sqrt((data.sizes["candidate"] - 2) * data.sizes["seed"])


@claim(
    "transfer: the same rules are good; beyond 95 % of unrelated orders",
    low=1.645,
    control=lambda data, control: agreement(data, (data.sizes["candidate"] - 1) // 2),
)
def ranks_transfer(data: Dataset) -> Any:
    """Other split: rank correlation of the candidates' accuracies with those in the
    search, in standard deviations of unrelated orders; control: candidates shifted by
    half.
    """
    return agreement(data)


@claim(
    "specification: at most .7",
    high=0.7,
    control=None,
    each={"stream": STREAMS[:2]},  # permuted pixels are hardly learned
)
def forgets_less(data: Dataset, stream: str) -> DataArray:
    """{stream}: forgetting of the searched rule over that of deterministic networks
    with a searched rate.
    """
    lost = over_seeds(data.forgetting).sel(stream=stream)
    return lost.sel(rule="searched") / lost.sel(rule="deterministic")


def draw_metaplasticity(data: Dataset) -> Figure:
    """Accuracy and forgetting of every rule on every stream; what was searched."""
    figure, ((left, middle, right),) = panels(1, 3, 3.7, 3.3)
    colors = (SHADES[2], SHADES[4], SHADES[0], SHADES[5])
    streams = data.stream.values
    places = np.arange(len(streams))
    for panel, values in ((left, data.accuracy), (middle, data.forgetting)):
        mean, error = errors(values)
        for i, (rule, color) in enumerate(zip(data.rule.values, colors, strict=True)):
            style = {"color": color, "label": rule, "yerr": error.sel(rule=rule)}
            panel.bar(places + 0.2 * (i - 1.5), mean.sel(rule=rule), 0.19, **style)
        panel.set_xticks(places, [stream.replace(" ", "\n") for stream in streams])
    left.set(ylim=(0.0, 1.1), ylabel="mean accuracy, all tasks")
    left.legend(frameon=False, fontsize=7, ncols=2, loc="upper left")
    middle.set_ylabel("forgetting")
    middle.axhline(0, color=THEORY, lw=0.6)
    rate, threshold = (data.setting_tried.sel(setting=x) for x in ("rate", "threshold"))
    accuracy = data.tried.sel(stage="search").transpose(*rate.dims)
    color = np.log10(threshold.values.ravel())
    dots = right.scatter(rate.values.ravel(), accuracy.values.ravel(), s=12, c=color)
    figure.colorbar(dots, ax=right).set_label(r"$\log_{10}$ threshold")
    right.axvline(float(Config().rate), color=THEORY, lw=0.8)
    right.set(xscale="log", xlabel="base rate", ylabel="accuracy in the search")
    right.set_xticks([0.003, 0.01, 0.03], ["0.003", "0.01", "0.03"])
    right.minorticks_off()
    return figure


OUTCOME, SETTING = {"stream": STREAMS, "rule": RULES}, {"setting": tuple(RANGES)}
CANDIDATE = {"candidate": None}  # the published setting, then random ones
METAPLASTICITY = Experiment(
    name="metaplasticity",
    source="beyond the paper",
    shows="a rule searched on one stream of tasks is used on others",
    config=MetaConfig,
    run=searched,
    claims=(searched_is_better, ranks_transfer, forgets_less),
    figure=draw_metaplasticity,
    control=changed(spread=0.0),  # all candidates are the published setting
    axes={
        **dict.fromkeys(("accuracy", "forgetting"), OUTCOME),
        "found": SETTING,
        "setting_tried": SETTING | CANDIDATE,
        "tried": {"stage": ("search", *STREAMS), **CANDIDATE},
    },
    data=splits,
)
