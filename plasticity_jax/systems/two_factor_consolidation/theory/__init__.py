r"""Closed forms of factors under replay: gradients, invariants, optima, noise, scaling.

Iatropoulos, Gerstner & Brea 2025, PNAS, doi 10.1073/pnas.2422602122, and the
specification (T1 to T11; derived, where no other source is named). $w = \prod_ku_k$
with $z$ factors, the `order`; $\sigma^\mu = \pm1$ are targets, $I$ thresholds, $H^\mu =
w\cdot\xi^\mu - I$ fields. Storage at many inputs (T7) is in `capacity`. All functions
of arrays are differentiable.

NaN stays NaN. What is concrete and outside the domain of a law, or does not fit the
other arguments, raises `ValueError`; what is traced and outside is NaN.
"""

from ._factors import change_exponent as change_exponent
from ._factors import factor_penalty as factor_penalty
from ._factors import factors_after as factors_after
from ._factors import imbalance_decay as imbalance_decay
from ._factors import order_of_metric as order_of_metric
from ._factors import penalised_hessian as penalised_hessian
from ._factors import penalised_slope as penalised_slope
from ._factors import preconditioner as preconditioner
from ._factors import soft_threshold as soft_threshold
from ._factors import weights_after as weights_after
from ._homeostasis import retargeted_weights as retargeted_weights
from ._homeostasis import scaled_weights as scaled_weights
from ._homeostasis import threshold_pull as threshold_pull
from ._noise import flipped_field as flipped_field
from ._noise import neural_noise_ratio as neural_noise_ratio
from ._noise import synaptic_noise_ratio as synaptic_noise_ratio
from ._noise import volatile_field_variance as volatile_field_variance
from ._optimum import decay_rates as decay_rates
from ._optimum import margin_slope as margin_slope
from ._optimum import mean_drive as mean_drive
from ._optimum import rate_for_share as rate_for_share
from ._optimum import Residuals as Residuals
from ._optimum import residuals as residuals
from ._optimum import soft_bias as soft_bias
from ._optimum import soft_margin as soft_margin
from ._optimum import stationary_gap as stationary_gap
from ._optimum import stationary_gap_single as stationary_gap_single
