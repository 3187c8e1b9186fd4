r"""Optimal plasticity for memory maintenance during ongoing synaptic change.

Raman & O'Leary 2021, eLife 10:e62912. Every equation and figure of the specification,
the object that computes it, and the test that holds it to account (in `tests/`, or a
row of `plasticity-jax verify optimal_plasticity`):

Items of the specification: Eqs. 1, 2, 3a-c, 4-14; A1-A8; rules 1-10; Tables 1, 2; Box
2; Figs. 1-5, 5-S1.

| equation or figure | object | test |
| --- | --- | --- |
| networks, inputs, task error | `config.build`, `config.objective` | `test_optimal_plasticity_model` |
| linear sufficient statistics $F, g, H$ from $C$ | `circuits.SecondMomentError`, `networks.linear_hessian` | verify |
| 2-layer adjoint and Hessian by hand | `networks.two_layer_gradient`, `networks.two_layer_hessian` | verify |
| rule 1, exact norm, rule 2 | `rules.NoisyGradient`, `rules.Normalised(Descent)` | `test_rules`, verify |
| rule 3 beeline, rule 4 Newton (damped, saddle-free) | `rules.Beeline`, `rules.Newton` | `test_rules`, verify |
| rules 5, 6 weight perturbation | `rules.WeightPerturbation` | `test_rules`, verify |
| one-sided probes; rule 7 accept-only, realised ratio | `rules.AcceptOnly`, `theory.one_sided_loss`, `theory.accept_only_state`, experiment `probes` | `test_rules`, `test_optimal_plasticity_runs`, `test_optimal_plasticity_theory` |
| rule 8 optimal magnitude | `rules.OptimalMagnitude`, `theory.optimal_length` | `test_rules`, verify |
| rule 8 against the best fixed ratio | experiment `greedy` | `test_experiments` |
| rule 9 controls | `config.RULES`: none, noise, descent | `test_optimal_plasticity_runs` |
| rule 10 restricted fluctuations | `rules.Projected`, `rules.Masked`, `Config.fluctuating_share` | `test_rules`, `test_optimal_plasticity_runs`, experiment `restricted` |
| Eqs. 1, 5: both changes are of the same weights, over one step | `advance` | `test_contracts` |
| Eqs. 2, 7 | `theory.second_order_change` | verify |
| Eqs. 3a, 3b; 4 and Box 2 | `theory.expected_change` | verify |
| Eq. 3c, which rules descend | `rules.NoisyGradient`, `rules.WeightPerturbation`, `rules.AcceptOnly`, `rules.Newton` | verify |
| Eq. 6, also on a nonlinear loss; Fig. 4a | `theory.optimal_length` | verify |
| Eq. 8 | `theory.expected_change` | verify |
| Eq. 9; A1 | `theory.optimal_ratio`, `theory.slope_per_length` | verify |
| Eq. 10 | `theory.learning_excess`, experiment `learning` | verify, `test_experiments` |
| Eq. 11 | claims of `fig5`, `fig5s1` | `test_experiments` |
| Eq. 12 and its variance | `theory.mean_curvature`, `theory.curvature_variance` | verify |
| Eqs. 13, 14, A2 | `theory.gradient_curvature` | verify |
| A3, A4 | `theory.gradient_is_steep`, `theory.gradient_power_ascends` | verify |
| A5 and its premise | `theory.path_steepness` | verify |
| Table 2, also at rho = 50 and Figure 1's step | experiments `table2`, `table2_error` | `test_experiments` |
| A6, also for equal terms | `theory.newton_curvature` | verify |
| condition of equal second moments | `theory.mean_curvature` | verify |
| A7, A8 exact and as printed | `theory.mixture_curvature`, `theory.mixture_curvature_without_overlap` | verify |
| positivity | `theory.step_slope` | verify |
| path Hessian | `theory.path_hessian` | verify |
| stationary balance | `curvature.stationary_balance` | verify |
| isotropic law; laws of one and of $K$ probes | `curvature.isotropic_loss`, `theory.probe_loss`, `theory.probe_alignment` | verify, `test_optimal_plasticity_theory` |
| mean-field law, undriven-direction limit | `curvature.steady_state` | verify, `test_optimal_plasticity_theory` |
| best fixed ratio, greedy Eq. 9 | `curvature.best_ratio`, `curvature.greedy_ratio` | `test_optimal_plasticity_theory` |
| late and rare repair, coloured noise (beyond) | `curvature.lagged_loss`, `curvature.lagged_ratio`, experiment `lags` | `test_curvature_lagged`, `test_experiments` |
| multiplicative and release noise; best release (beyond) | `rules.Multiplicative`, `rules.ReleaseNoise`, `theory.best_release`, experiment `noises` | `test_rules`, `test_optimal_plasticity_theory`, `test_experiments` |
| natural-gradient repair (beyond) | `curvature.preconditioned_loss`, experiment `natural` | `test_curvature_lagged`, `test_experiments` |
| the law from a Lanczos spectrum (beyond) | `curvature.steady_state(weights=)`, experiment `scale` | `test_optimal_plasticity_theory`, `test_experiments` |
| magnitudes per layer and per synapse (beyond) | experiment `magnitudes` | `test_experiments` |
| relaxation | `curvature.relaxation_rate` | `test_optimal_plasticity_theory` |
| $dF/dr$ by reverse mode | `simulate`, `curvature.steady_state` | verify, `test_gradients` |
| stationarity flag | `measure.drift` | `test_measure` |
| Table 1, fluctuation share | `published.REPORTED_SHARES`, `theory.fluctuation_share` | `test_optimal_plasticity_theory` |
| Figs. 1, 2, 3, 4, 5, 5-S1 | experiments `fig1`, `fig1_sigmoid`, `fig2`, `fig3`, `fig4`, `fig5`, `fig5_iid`, `fig5s1`, `fig5s1_iid` | `test_experiments` |
| restricted fluctuations (Discussion) | experiment `restricted` | `test_experiments` |
"""  # noqa: E501

from .config import build as build
from .config import Config as Config
from .config import objective as objective
from .theory import optimal_length as optimal_length
