"""The law of the ratio experiments at every label; what a verdict asks of a claim."""

import math

import jax.random as jr
import numpy as np
import pytest

from plasticity_jax.experiment import Judged
from plasticity_jax.experiment._plan import load_plan
from plasticity_jax.experiment._verdict import Verdict
from plasticity_jax.systems import configs
from plasticity_jax.systems.optimal_plasticity.experiments import EXPERIMENTS
from plasticity_jax.systems.optimal_plasticity.experiments.steady import predict


FOLDER = configs() / "optimal_plasticity"


@pytest.mark.dear
def test_the_law_is_evaluated_at_every_label():
    experiment = next(e for e in EXPERIMENTS if e.name == "fig5s1")
    path = FOLDER / "fig5s1.toml"
    plan = load_plan(experiment.config, path, "smoke")
    law = predict(plan, jr.split(jr.key(0), 2))
    assert law.predicted_loss.dims == (
        "seed",
        "corruption",
        "fluctuation_size",
        "ratio",
    )
    double = law.predicted_loss.sel(fluctuation_size=0.02)
    assert np.allclose(double, 4 * law.predicted_loss.sel(fluctuation_size=0.01))
    assert law.greedy_ratio.dims == ("seed", "corruption")


@pytest.mark.parametrize(
    ("value", "control", "holds"),
    [
        (0.5, None, True),
        (0.5, 2.0, True),
        (0.5, 0.6, False),  # the control holds too: the claim proves nothing
        (0.5, math.nan, False),
        (math.nan, 2.0, False),
        (2.0, 2.0, False),
    ],
)
def test_a_verdict_needs_claims_that_hold_and_controls_that_fail(value, control, holds):
    claim = Judged("x", "x", "y", value, 0.0, 1.0, control=control)
    assert Verdict("z", (claim,)).holds is holds
