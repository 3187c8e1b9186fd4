"""A claim does not pass over what is lost: a run of NaN is not left out of it."""

import math

import numpy as np
import pytest
from xarray import DataArray, Dataset

from plasticity_jax.experiment import chosen
from plasticity_jax.systems.natural_gradient.experiments import (
    angles,
    coefficients,
    correlated,
    curves,
    geometry,
    layer,
    scale,
    single,
    skewed,
)
from plasticity_jax.systems.optimal_plasticity.experiments import (
    directions,
    drifting,
    errors,
    ratios,
)
from plasticity_jax.systems.optimal_plasticity.experiments import geometry as lengths
from plasticity_jax.systems.presynaptic_stochasticity.experiments import (
    energy,
    sparsity,
)
from plasticity_jax.systems.stable_memory.experiments import (
    compensation,
    restraints,
    retrieval,
    sparse,
    trajectories,
)
from plasticity_jax.systems.two_factor_consolidation.experiments import fluctuating


SEEDS = range(3)


def rows(**axes):
    """Positive numbers over axes that are named, by size or by their labels."""
    labels = {k: np.arange(x) if isinstance(x, int) else x for k, x in axes.items()}
    shape = [len(x) for x in labels.values()]
    values = np.random.default_rng(0).uniform(0.5, 1.5, shape)
    return DataArray(values, {k: list(x) for k, x in labels.items()}, tuple(labels))


def along(values, dim):
    return DataArray(values, dims=dim)


RATIO = {"ratio": [0.4, 0.7, 1.0, 1.3, 2.5]}
SWEPT = {"fluctuation_size": [0.01, 0.02]} | RATIO | {"seed": SEEDS}
SWEPT = {"corruption": [0.1, 20.0]} | SWEPT
HARDER = along([1.0, 20.0], "corruption") * along([1.0, 4.0], "fluctuation_size")
LOSS = rows(**RATIO) * HARDER * rows(seed=SEEDS)
LOSS = LOSS.assign_coords({k: SWEPT[k] for k in ("corruption", "fluctuation_size")})
RATIOS = Dataset({"loss": LOSS, "predicted_loss": 2 * LOSS, "mixed_loss": LOSS / 2})

RULES, MEMORIES = ["rate_control", "decorrelation"], ["real", "imaginary"]
SPARSE = {"memory": MEMORIES, "rule": RULES, "density": [0.2, 0.5, 1.0], "seed": SEEDS}
CLEAR = Dataset(
    {
        "amplitude": 5 * rows(**SPARSE),
        "radius": rows(rule=RULES, density=SPARSE["density"], seed=SEEDS),
        "left": rows(**SPARSE) * along([0.1, 1.0], "memory"),
        "predicted": ("density", [4.0, 5.0, 6.0]),
    }
)
PHASE = (
    CLEAR.isel(rule=0, drop=True)
    .drop_vars("predicted")
    .expand_dims(homeostasis_gain=[0.0, 1.0])
)
PAIRS = {(round(rate), round(time)) for rate, time in single.PRINTED_VARIANCE}
CONDITIONS = Dataset(
    {"relative": rows(condition=len(PAIRS), seed=SEEDS), "law": 1.0},
    {
        "rate": ("condition", [float(rate) for rate, _ in sorted(PAIRS)]),
        "synaptic_time": ("condition", [1e-3 * time for _, time in sorted(PAIRS)]),
        "variance": ("condition", np.linspace(0.1, 1.0, len(PAIRS))),
    },
)
FALLING = DataArray(np.geomspace(1e-3, 1e-6, 20), {"time": np.arange(20.0)}, "time")
LEARNED = Dataset(
    {
        "divergence": FALLING
        * rows(pattern=3, student=["euclidean", "natural"], seed=SEEDS)
    },
    {"high_rate": ("pattern", [50.0, 40.0, 20.0])},
).drop_vars("pattern")
COUNTS = {
    f"{kind}{name}": rows(**{dim: 8, "seed": SEEDS}).transpose("seed", dim)
    for name, dim in (("inputs_0", "neuron_1"), ("inputs_1", "neuron_2"))
    for kind in ("", "shuffled_")
}
OTHERS = {"rule": ["whole", "unitwise", "kfac"], "rate_factor": [0.5, 1.0]}
STEPS = {"step": 12, "seed": SEEDS}
RESTRAINTS = [f"c = {gain:g}" for gain in restraints.GAINS]

CASES = {  # by name: the measure, its data, and an axis of which an entry is lost
    "fig12_angles": (
        lambda data: angles.wrapping(data, wraps=True),
        Dataset(
            {
                "size": rows(table=angles.TABLES, cell=4),
                "voltage": ("cell", [-20.0, -18.0, -19.0, -17.0]),
            }
        ),
        "cell",
    ),
    "fig1": (
        geometry.opposite_in_sign,
        Dataset(
            {
                "terms": rows(term=["homosynaptic", "uniform"], bar=4, seed=SEEDS)
                * along([1.0, -1.0], "term")
            }
        ),
        "seed",
    ),
    "layer: below_approximations": (
        layer.below_approximations,
        Dataset({"loss": rows(**OTHERS, **STEPS)}),
        "rule",
    ),
    "layer: best_rate_inside": (
        layer.best_rate_inside,
        Dataset({"loss": rows(rule=["euclidean"], rate_factor=[0.5, 1.0], **STEPS)}),
        "seed",
    ),
    "fig10": (
        lambda data: scale.place_of_the_minimum(data, 1.0),
        Dataset({"scale": rows(variance=[1.0], mean=[6.0, 7.0, 8.0], seed=SEEDS)}),
        "mean",
    ),
    "table1": (curves.gain_shrinks, LEARNED, "pattern"),
    "fig5: inverse_second_moment": (
        lambda data: single.inverse_second_moment(data)[0],
        CONDITIONS,
        "condition",
    ),
    "fig5: spread": (lambda x: single.spread(x, 1.0), CONDITIONS, "condition"),
    "fig4": (single.published_places, Dataset({"published": rows(place=4)}), "place"),
    "fig11": (
        coefficients.g4_scatters,
        Dataset({"g4": rows(size=[100], rate=[5.0, 55.0], seed=SEEDS), "shown": 100}),
        "seed",
    ),
    "skewed": (
        skewed.corrected_is_closer,
        Dataset(
            {
                "metric_error": rows(
                    form=["skewed", "natural"],
                    weight_scale=[1.0, 5.0],
                    size=[5, 20],
                    seed=SEEDS,
                )
            }
        ),
        "seed",
    ),
    "correlated": (
        lambda data: correlated.crossing(data.curve.values),
        Dataset({"curve": ("time", np.geomspace(1.0, 1e-9, len(correlated.TIMES)))}),
        "time",
    ),
    "table2_error": (
        errors.less_steep,
        Dataset({"steepness": rows(state=["small", "rho = 20", "rho = 50"], seed=2)}),
        "state",
    ),
    "fig1: far_from_the_start": (
        drifting.far_from_the_start,
        Dataset({"departure": rows(seed=SEEDS)}),
        "seed",
    ),
    "learning": (
        directions.learning_asks_for_more,
        Dataset(
            {
                "loss": along(100.0 * 0.1 ** np.arange(12.0), "step") * rows(seed=2),
                "optimal": 2 + rows(**STEPS),
                "maintenance": rows(**STEPS),
            },
            {"step": np.arange(12)},
        ).isel(seed=slice(2)),
        "seed",
    ),
    "learning: they_meet": (
        lambda data: directions.they_meet(data)[0],
        Dataset({"equality": rows(seed=SEEDS)}),
        "seed",
    ),
    **{
        claim.name: (claim, Dataset({name: rows(seed=SEEDS)}), "seed")
        for claim, name in (
            (lengths.repair_is_smaller, "repair"),
            (lengths.tangent, "tangency"),
            (lengths.newton_retraces, "retrace"),
        )
    },
    "fig3: best_length": (
        lengths.best_length,
        Dataset(
            {
                "curve": rows(direction=["gradient"], place=5, seed=SEEDS)
                + abs(along(np.arange(5.0), "place") - 2)
            }
        ),
        "place",
    ),
    "fig5: least_error_rises": (ratios.least_error_rises, RATIOS, "ratio"),
    "fig5: corruption_costs": (ratios.corruption_costs, RATIOS, "ratio"),
    "fig5: overcompensation_costs": (ratios.overcompensation_costs, RATIOS, "ratio"),
    "fig5_iid: hessian_overpredicts": (ratios.hessian_overpredicts, RATIOS, "ratio"),
    "fig5_iid: mixed_over": (lambda x: ratios.mixed_over(x, 0.1), RATIOS, "ratio"),
    "supp1: off": (lambda x: sparse.off(x, x.predicted), CLEAR, "density"),
    "supp1: imaginary_outlasts": (
        lambda data: sparse.imaginary_outlasts(data, "rate_control"),
        CLEAR,
        "density",
    ),
    "phase": (sparse.activity_erases_real, PHASE, "density"),
    "fig3a: matched_moves_less": (
        trajectories.matched_moves_less,
        Dataset({"moved": rows(seed=SEEDS), "sorted_moved": rows(seed=SEEDS)}),
        "seed",
    ),
    "fig3a: rises_beyond_the_bulk": (
        trajectories.rises_beyond_the_bulk,
        Dataset(
            {
                "eigenvalue": rows(part=["imaginary"], time=2, mode=5, seed=SEEDS),
                "memory": 3 * rows(part=["imaginary"], time=2, seed=SEEDS),
            }
        ),
        "mode",
    ),
    "restraints": (
        restraints.longer_as_gains_equal,
        Dataset(
            {"left": rows(memory=MEMORIES, restraint=RESTRAINTS, plasticity=3, seed=2)}
        ),
        "plasticity",
    ),
    "fig4b, control": (
        lambda data: retrieval.over_one("least").control(data, data, 1.0),
        Dataset(
            {
                "least": rows(pattern=["binary"], seed=SEEDS),
                "predicted_least": rows(expansion=[1.0]),
            }
        ),
        "seed",
    ),
    "compensation": (
        lambda data: compensation.law(data, 1.0),
        Dataset({"predicted_ratio": rows(corruption=[1.0], seed=SEEDS)}),
        "seed",
    ),
    "fig1: best": (
        lambda data: float(energy.best(data).mean(skipna=False)),
        Dataset(
            {
                "information": rows(decay=4, model=2, seed=SEEDS),
                "energy": rows(decay=4, model=2, seed=SEEDS),
            }
        ),
        "decay",
    ),
    "fig3: inputs_of_hidden_neurons": (
        sparsity.inputs_of_hidden_neurons,
        Dataset(COUNTS),
        "neuron_2",
    ),
    "fig3: inputs_follow_outputs": (
        sparsity.inputs_follow_outputs,
        Dataset({"in_out": rows(hidden_layer=2, seed=SEEDS)}),
        "hidden_layer",
    ),
    "fig6_norms: held_norm": (
        fluctuating.held_norm,
        Dataset(
            {
                "variation": rows(
                    population=["per synapse"],
                    order=[1.0, 2.0],
                    exponent=[1.0, 1.1, 1.2],
                    seed=SEEDS,
                )
            }
        ),
        "exponent",
    ),
    "fig6_norms: imaged_norm": (
        lambda data: fluctuating.imaged_norm(data)[0],
        Dataset({"imaged": rows(imaged_draw=4, exponent=[1.0, 1.1, 1.2])}),
        "exponent",
    ),
    "fig6_norms, control": (
        lambda data: fluctuating.imaged_norm.control(data, data),
        Dataset({"resampled_least": rows(order=[1.0], draw=4, seed=SEEDS)}),
        "draw",
    ),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of NaN
def test_what_is_lost_is_not_left_out(case):
    measure, data, axis = CASES[case]
    whole = float(measure(data))
    assert math.isfinite(whole)
    assert whole != 0
    for i in range(data.sizes[axis]):
        here = DataArray(np.arange(data.sizes[axis]) == i, dims=axis)
        lost = data.map(lambda x, at=here: x.where(~at) if axis in x.dims else x)
        found = float(measure(lost))
        assert math.isnan(found) or found == 0  # a share of what is so


def test_a_mask_keeps_what_is_lost():
    x = DataArray([[1.0, 2.0], [3.0, 4.0]], dims=("seed", "time"))
    over = DataArray([False, True], dims="time")
    assert chosen(x, over).tolist() == [2.0, 4.0]
    assert np.isnan(chosen(x.where(x != 1), over)).tolist() == [True]
    assert np.isnan(chosen(x, x > 4)).tolist() == [True]  # and no error
