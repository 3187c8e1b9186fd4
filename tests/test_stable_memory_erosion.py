"""Erosion of memories: exact laws, the asymmetry, bounded records, claims that fail."""

import dataclasses
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
import xarray

import plasticity_jax
from plasticity_jax import simulate
from plasticity_jax.experiment._experiment import _labels
from plasticity_jax.experiment._plan import load_plan, Plan
from plasticity_jax.systems.stable_memory.config import build, Config, embed
from plasticity_jax.systems.stable_memory.experiments import (
    erosion,
    filters,
    fluctuations,
    lifetime,
    restraints,
    retention,
    sequence,
    sparse,
    variants,
)


EXPERIMENTS = (
    erosion.FIG2,
    fluctuations.FIG1B,
    fluctuations.TURNOVER,
    fluctuations.SILENT,
    retention.RETENTION,
    variants.VARIANTS,
    filters.FILTERED,
    filters.EULER,
    sparse.SUPP1,
    sparse.PHASE,
    restraints.RESTRAINTS,
    sequence.SEQUENCE,
    lifetime.LIFETIME_LAW,
)
CONFIGS = Path(plasticity_jax.__file__).parent.parent / "configs" / "stable_memory"


def test_dissipation_takes_the_same_exact_share_of_either_memory():
    config = Config(
        homeostasis="dissipation",
        noise=0.0,
        initial_gain=0.0,
        size=8,
        spin_up=1.0,
        follow=200.0,
        record_every=50.0,
    )
    seen = eqx.filter_jit(erosion.eroded)(config, jr.key(0))
    times = erosion.times_of(config)
    assert seen["coefficient"].shape == (2, len(times))
    assert jnp.all(seen["before"] == 0)
    share = seen["coefficient"] / seen["coefficient"][:, :1]
    law = (1 - 0.01 * 0.1 * 0.1) ** np.round(times / 0.1)
    assert jnp.allclose(share, law[None], rtol=1e-11)
    predicted = erosion.predict(Plan(config, {}, 1), None).predicted
    assert np.allclose(predicted, law, rtol=1e-4)
    first = np.asarray(seen["coefficient"])[:, 0]
    real, imaginary = np.asarray(seen["eigenvalue"])[:, 1]
    assert np.allclose(real, np.array([first[0], 0.0]), atol=1e-8)
    assert np.allclose(imaginary, np.array([0.0, first[1]]), atol=1e-8)


@pytest.mark.parametrize("step", [0.1, 0.05])
def test_noise_against_dissipation_has_the_variance_and_radius_of_theory(step):
    config = Config(
        homeostasis="dissipation",
        plasticity=1.0,
        initial_gain=0.0,
        step=step,
        noise_every=1,
        spin_up=40.0,
    )
    weights = eqx.filter_jit(erosion.spun_up)(config, jr.key(1))[1].synapses
    factor = 1 - config.dissipation * step
    variance = step * 0.1 / (128 * (1 - factor**2))
    assert jnp.abs(jnp.var(weights) / variance - 1) < 4 * (2 / 128**2) ** 0.5
    radius = jnp.max(jnp.abs(jnp.linalg.eigvals(weights)))
    assert jnp.abs(radius / (0.1 / 0.2) ** 0.5 - 1) < 0.05


SMALL = Config(
    homeostasis="decorrelation",
    plasticity=0.05,
    size=32,
    initial_gain=0.0,
    orthonormal=True,
    gain=1.0,
    strength=4.5,
    spin_up=60.0,
    follow=100.0,
)
fate = eqx.filter_jit(sparse.survival)


def test_homeostasis_erases_the_real_memory_and_cannot_touch_the_imaginary_one():
    seen, stronger, free, uneven = (
        fate(dataclasses.replace(SMALL, **changes), jr.key(2))
        for changes in (
            {},
            {"homeostasis_gain": 2.0},
            {"homeostasis_gain": 0.0},
            {"gain": 0.5},
        )
    )
    assert jnp.allclose(seen["amplitude"], 4.5, rtol=1e-9)
    for other in (stronger, free):
        assert jnp.allclose(seen["left"][1], other["left"][1], rtol=1e-9)
    assert jnp.abs(uneven["left"][1] - free["left"][1]) > 1e-2
    assert seen["left"][0] < 0.5 < 0.95 < free["left"][0]


def test_a_mask_leaves_its_density_of_a_memory():
    config = dataclasses.replace(SMALL, sparse=True, density=0.5, size=128)

    @jax.jit
    def left():
        system, state = build(config, jr.key(3))
        frame, patterns = erosion.memories(config, jr.key(4))
        held = [embed(config, system, state, x, jr.key(5)).synapses for x in patterns]
        return [erosion.coefficients(x, frame)[k] for k, x in enumerate(held)]

    own = np.asarray(left())
    assert np.allclose(own, 0.5 * 4.5, rtol=0.1)
    assert not np.allclose(own, 0.5 * 4.5, rtol=1e-6)


def test_a_low_pass_lets_the_spectrum_escape_at_eta_b():
    config = Config(
        homeostasis="decorrelation_lowpass", size=16, initial_gain=0.0, spin_up=400.0
    )

    def run(key):
        system, state = erosion.spun_up(config, key)
        end, _ = simulate(system, state, key, steps=4000, every=4000)
        return jnp.stack([filters.spectral_edge(x) for x in (state, end)])

    edge = jax.jit(run)(jr.key(4))
    assert jnp.abs((edge[1] - edge[0]) / (0.01 * 0.5 * 400) - 1) < 0.1


def test_weights_that_are_lost_leave_a_finite_record():
    frame = jnp.eye(2, 4)
    for lost in (jnp.nan, jnp.inf, 1e9):
        own, norm = jax.jit(variants.bounded)(jnp.full((4, 4), lost), frame)
        assert jnp.all(own == 0)
        assert norm == variants.FAR
    kept = jr.normal(jr.key(5), (4, 4))
    own, norm = variants.bounded(kept, frame)
    assert jnp.allclose(own, erosion.coefficients(kept, frame))
    assert jnp.allclose(norm, jnp.linalg.norm(kept))


def test_the_half_life_of_known_curves():
    times = np.arange(0.0, 101.0)
    course = lambda rate: xarray.DataArray(
        np.exp(-rate * times)[None] * np.ones((3, 1)), {"time": times}, ("seed", "time")
    )
    assert np.isclose(erosion.half_life(course(0.05)), np.log(2) / 0.05, rtol=1e-3)
    assert erosion.half_life(course(1e-4)) == 100.0
    assert np.isnan(erosion.half_life(course(0.05) * np.nan))


def test_turnover_correlates_synapses_without_self_connections():
    a, b = jr.normal(jr.key(6), (2, 9, 9))
    b = a + b
    off = ~np.eye(9, dtype=bool)
    want = np.corrcoef(np.asarray(a)[off], np.asarray(b)[off])[0, 1]
    mask = 1 - jnp.eye(9)
    got = fluctuations.correlation(a, b + 100 * jnp.eye(9), mask)
    assert jnp.allclose(got, want, rtol=1e-12)


@pytest.mark.parametrize("experiment", EXPERIMENTS, ids=lambda e: e.name)
def test_claims_fail_on_data_that_hold_no_number(experiment):
    plan = load_plan(experiment.config, CONFIGS / f"{experiment.name}.toml", "smoke")
    shapes = eqx.filter_eval_shape(experiment.run, plan.config, jr.key(0))
    assert set(experiment.axes) <= set(shapes)
    outer = {**{k: len(v) for k, v in plan.grid.items()}, "seed": plan.seeds}
    names = {k: tuple(experiment.axes.get(k, ())) for k in shapes}
    data = xarray.Dataset(
        {
            k: ((*outer, *names[k]), np.full((*outer.values(), *x.shape), np.nan))
            for k, x in shapes.items()
        },
        {**plan.grid, "seed": np.arange(plan.seeds)},
    )
    data = data.assign_coords(_labels(experiment, plan.config, data.sizes))
    if experiment.predict is not None:
        keys = jr.split(jr.key(0), plan.seeds)
        data = data.merge(experiment.predict(plan, keys), join="exact")
    claims = [row for claim in experiment.claims for row in claim.judge(data, data)]
    assert claims
    assert not [claim.says for claim in claims if claim.holds]
    assert not [claim.says for claim in claims if "needs the axes" in claim.says]
