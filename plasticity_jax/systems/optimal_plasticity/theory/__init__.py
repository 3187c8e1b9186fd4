"""Closed forms of one step: what a compensation and a fluctuation do to a loss.

Raman & O'Leary 2021, eLife 10:e62912 (main text Eqs. 1-14, appendix Eqs. A1-A8), with
the corrections of its misprints. `loss` is any scalar function of a pytree of weights;
`Q_w[v]` is `curvature.quadratic_form`. The laws of the long run are in `curvature`
(`steady_state` and its neighbours).

Each law refuses, with a `ValueError`, shapes that do not fit and what is outside of its
domain, such as a length or a curvature that must be positive; there it is NaN where its
arguments are traced.
"""

from ._directions import curvature_variance as curvature_variance
from ._directions import gradient_curvature as gradient_curvature
from ._directions import gradient_is_steep as gradient_is_steep
from ._directions import gradient_power_ascends as gradient_power_ascends
from ._directions import mean_curvature as mean_curvature
from ._directions import mixture_curvature as mixture_curvature
from ._directions import (
    mixture_curvature_without_overlap as mixture_curvature_without_overlap,
)
from ._directions import newton_curvature as newton_curvature
from ._directions import path_hessian as path_hessian
from ._directions import path_steepness as path_steepness
from ._probes import accept_only_state as accept_only_state
from ._probes import length_variance as length_variance
from ._probes import one_sided_loss as one_sided_loss
from ._probes import probe_alignment as probe_alignment
from ._probes import probe_loss as probe_loss
from ._release import best_release as best_release
from ._step import expected_change as expected_change
from ._step import fluctuation_share as fluctuation_share
from ._step import learning_excess as learning_excess
from ._step import optimal_length as optimal_length
from ._step import optimal_ratio as optimal_ratio
from ._step import second_order_change as second_order_change
from ._step import slope_per_length as slope_per_length
from ._step import step_slope as step_slope
