r"""Natural-gradient learning for spiking neurons.

Kreutzer, Senn & Petrovici 2022, eLife 11:e66526. Every equation and figure of the
specification, the object that computes it, and the test that holds it to account (in
`tests/`, or a row of `plasticity-jax verify natural_gradient`):

Items of the specification: Eqs. 1-129; R1-R10; T1-T12; Figs. 1, 3B-F, 4, 5, 7, 8, 9A-D,
10, 11, 12A-F; Table 1.

| equation or figure | object | test |
| --- | --- | --- |
| kernel, its moments, exact propagation (Eqs. 26-31) | `circuits.SynapticKernel` | `test_spiking`, verify |
| inputs: Bernoulli, Poisson, recorded (Eq. 27) | `tasks.SpikeTrains`, `tasks.Recorded` | `test_spiking` |
| transfer functions, $F$ and its derivatives (Eqs. 24, 116) | `circuits.Sigmoid`, `circuits.RectifiedQuadratic`, any function | `test_transfer` |
| the neuron and its teachers (Eqs. 5-8, 25, 32, 33, 49, 50) | `circuits.SpikingNeuron` | `test_spiking` |
| cost per bin (Eqs. 9, 51) | `theory.divergence` | verify |
| R1 Euclidean, somatic (Eqs. 10, 57) | `rules.EuclideanGradient` | `test_rules`, verify |
| R2 Euclidean, dendritic (Eqs. 43, 44) | `rules.Reparametrised(euclidean=True)` | `test_rules`, experiment `fig1` |
| R3 natural (Eqs. 12, 13, 18, 38, 107-109) | `rules.NaturalGradient` | `test_rules`, verify |
| R4 natural, any parametrisation (Eqs. 4, 14, 16, 17, 45-48) | `rules.Reparametrised` | `test_rules`, verify |
| R5 approximate (Eqs. 15, 41, 42, 112-114) | `rules.ApproximateNaturalGradient` | `test_rules` |
| R6 quadratic (Eqs. 115-124) | `theory.quadratic_change` | verify |
| R7 three terms (Eqs. 19-23) | `rules.natural_terms` | `test_rules`, verify |
| R8 silent synapses | `circuits.input_moments` | `test_spiking`, experiment `fig7` |
| R9 dense and Monte-Carlo metrics at the present weights | `circuits.SpikingNeuron`, `curvature.sampled_glm_fisher`, `rules.DenseNaturalGradient` | `test_natural_gradient_metric` |
| R9 baselines and ablations | `rules.DenseNaturalGradient`, `rules.SkewedNaturalGradient`, `config.STUDENTS` | `test_rules`, experiment `ablations` |
| R10 published code: its table, segments from rest, held potential | `published.published_coefficients`, `published.segments`, `Config.segment_reset` | `test_natural_gradient_published` |
| burn-in (Pitfall 15) | `Config.burn_in`, `simulate(frozen=True)` | `test_natural_gradient_published`, `test_simulate` |
| R10 published code, runs | `published`, experiment `fig3f_published`, `fig4`, `fig5` | `test_natural_gradient_learning`, `test_natural_gradient_single` |
| T1 score and exact Fisher (Eqs. 53-67) | `theory.bernoulli_correction` | verify |
| T2 decomposition (Eqs. 34, 35, 68-83) | `curvature.glm_fisher`, `curvature.glm_coefficients` | `test_curvature_glm`, verify |
| T3 inverse (Eqs. 36, 37, 84-106) | `curvature.glm_fisher_inverse`, `theory.sherman_morrison_coefficients` | `test_curvature_glm`, verify |
| T4 many inputs (Eqs. 39, 40, 110, 111) | `theory.uniform_limit`, `rules.proportional_limit` | experiment `fig11` |
| T5 quadratic transfer | `circuits.RectifiedQuadratic` | verify |
| T6 exact Fisher for Poisson inputs | `shot_noise.shot_noise_fisher` | `test_natural_gradient_shot_noise`, verify |
| T7 skewness | `curvature.skewed_glm_fisher` | `test_natural_gradient_shot_noise`, verify |
| T8 invariance (Eqs. 1-3, 11) | `rules.Reparametrised`, experiment `fig1` | verify |
| T9 sampling error of the mean-field curves | `mean_field.divergence_error` | `test_natural_gradient_metric` |
| T9 mean-field learning curves | `mean_field` | verify, experiment `fig3f` |
| T10 variance law | `single_theory.variance_law` | `test_natural_gradient_single` |
| T11 homosynaptic and heterosynaptic change | `single_theory.heterosynaptic_ratio` | verify |
| T12 additivity (Eqs. 52, 61, 62, 125-129) | `curvature.Fisher` | verify |
| Figs. 1, 8 | experiment `fig1` | `test_experiments` |
| Fig. 3D-E under the exact metric of Poisson inputs (T6) | `shot_noise.shot_noise_fisher`, experiment `fig3de` | `test_experiments` |
| Fig. 3B-C, 3D-E, 3F | experiments `fig3bc`, `fig3de`, `fig3f` | `test_experiments` |
| Figs. 4, 5, 7 | experiments `fig4`, `fig5`, `fig7` | `test_experiments` |
| Fig. 9A-C, 9D | experiments `fig3f`, `fig9d` | `test_experiments` |
| Figs. 10, 11 | experiments `fig10`, `fig11` | `test_experiments` |
| Fig. 12A-B, 12C-F, Table 1 | experiments `fig12_angles`, `table1` | `test_experiments` |
| beyond: skewness in the rule | experiments `shot_noise`, `skewed` | `test_experiments` |
| beyond: $c_u$ as a function of $q$ | `rules.uniform_constant` | `test_natural_gradient_metric`, verify |
| beyond: best $c_u$, adaptive $c_w$ | experiments `uniform`, `ablations` | `test_experiments` |
| beyond: a layer, by backpropagation | `layer.unitwise_direction`, `layer.whole_direction`, `layer.kfac_direction`, experiments `layer_angles`, `layer` | `test_natural_gradient_layer`, verify |
| beyond: time to threshold, differentiated | `mean_field.time_to_threshold`, experiment `fig9d` | verify |
| beyond: time to threshold, through the simulation | `experiments.learning.simulated_time` | `test_natural_gradient_fluctuations` |
| beyond: correlated inputs | `curvature.correlated_glm_fisher`, `curvature.correlated_glm_fisher_inverse`, `mean_field.metric_divergence` | verify |
| beyond: what it costs to take them for independent | experiment `correlated` | `test_experiments` |
| beyond: moments that the neuron estimates | `rules.SelfEstimated`, experiment `online` | `test_natural_gradient_metric` |
| beyond: Fisher matrix as curvature of drift | `fluctuations.repaired_divergence` | `test_natural_gradient_fluctuations`, verify |
| beyond: Fisher matrix as importance for release | `fluctuations.release_importance`, `fluctuations.best_release` | `test_natural_gradient_fluctuations`, verify |
"""  # noqa: E501

from .config import build as build
from .config import Config as Config
from .mean_field import divergence_curve as divergence_curve
from .mean_field import divergence_error as divergence_error
from .mean_field import time_to_threshold as time_to_threshold
