"""Release probabilities as importance: energy, information, lifelong learning.

Schug, Benzing & Steger 2021, eLife 10:e69884. Every equation and figure of the
specification, the object that computes it, and the test that holds it to account (in
`tests/`, or a row of `plasticity-jax verify presynaptic_stochasticity`):

Items of the specification: Eqs. 1-12; R1-R5; T1-T10; Figs. 1-4, 5a-c; Appendix
1-figures 1a-d, 2-4; Appendix 1-table 1.

| equation or figure | object | test |
| --- | --- | --- |
| state ln(1 - p): neither clamp nor stall (pitfall 9) | `synapses.Stochastic`, `synapses.log_failure_of` | `test_release` (against 50 digits), `test_parts_trust` |
| synapse that releases (Eqs. 1, 2), given masks and noise | `synapses.Stochastic`, `synapses.Release`, `circuits.StochasticNetwork` | `test_release`, verify |
| networks; any Equinox network | `networks.Perceptron`, `networks.Convolutional`, `synapses.split_weights` | `test_release`, `test_presynaptic_lifelong` |
| predictions of drawn networks | `networks.predict` | `test_presynaptic_lifelong` |
| R1, R4 strength, modulation, decay, hard freeze (Eqs. 3, 5, 6) | `rules.StrengthDescent` | `test_release` |
| R2, R4 release probability, freezing (Eqs. 4, 7), either threshold | `rules.ReleasePlasticity`, `synapses.ReleaseBounds` | `test_release`, verify |
| R3 explicit strength (Eq. 8) | `theory.explicit_step` | verify |
| R5 sign neuron, its controls | `sign_neuron.SignNeuron`, `sign_neuron.teach` | `test_sign_neuron`, experiment `fig5_perceptron` |
| ghost, fixed release, no normalisation, unscaled | `synapses.Release`, `Config.fixed_release`, `Config.normalised`, `Config.scaled` | `test_release`, experiment `ablations` |
| elastic weight consolidation, per task and online, exact or empirical Fisher | `rules.ElasticPenalty`, `training.remember` | `test_release`, `test_presynaptic_lifelong` |
| Bayesian gradient descent | `circuits.PosteriorNetwork`, `rules.BayesianDescent` | `test_release`, verify |
| split, class-incremental, permuted, continuous, joint and mixed streams; groups of any size | `training.stream_of`, `tasks.ImageBatches`, `tasks.split_by_class`, `tasks.task_shares` | `test_release`, `test_presynaptic_lifelong` |
| accuracy matrix, forgetting, epochs, early stop | `training.learn`, `measure.mean_accuracy`, `measure.forgetting`, `measure.learning_accuracy` | `test_presynaptic_lifelong` |
| information (Box 1), energies | `measure.mutual_information`, `trained.energy`, `trained.neuronal_energy` | `test_release`, `test_presynaptic_energy` |
| sparsity over neurons, rank correlation | `measure.important_counts`, `measure.kolmogorov_smirnov`, `measure.rank_correlation`, `measure.shuffled_counts` | `test_presynaptic_energy` |
| T1 moments, implicit regulariser | `theory.over_masks`, `theory.release_variance`, `theory.expected_square_loss`, `theory.square_loss_slopes` | verify |
| T2, T3 chain rule, unbiased gradient | `theory.explicit_step`, `theory.over_masks` | verify |
| T4 Fisher information (Eqs. 9, 10) | `theory.layer_fisher`, `theory.batch_square`, `curvature.Fisher` | verify |
| T5 probability of an up step (Eqs. 11, 12) | `theory.up_probability`, `theory.up_slope`, `theory.turning_deviation`, `theory.up_probability_laplace`, `theory.up_probability_sparse` | verify |
| T6 one synapse as a chain; added steps, no normalisation | `chain.law_after`, `chain.frozen_shares`, `chain.freezing_time`, `chain.phase_diagram` | verify |
| T7, T8 shortest freezing time, plasticity floor | `theory.fewest_steps`, `theory.plasticity_range`, `theory.plasticity_after` | verify |
| T9 Bayesian descent on a quadratic | `theory.bayesian_deviation`, `theory.bayesian_precision`, `theory.gaussian_posterior` | verify |
| T10 the Fisher information as a precision: its rank correlation with $1 - p$ | `measure.rank_correlation`, experiment `fig2` | `test_experiments` |
| energy accounting | `theory.energy`, `theory.energy_variance`, `theory.energy_after` | verify |
| Figure 1, Appendix 1-figure 1a-c | experiments `fig1`, `fig1_steps`, `fixed_release` | `test_experiments` |
| Figure 2, Appendix 1-figure 1d | experiments `fig2`, `random_start` | `test_experiments` |
| Figure 3, Appendix 1-figure 2 | experiment `fig3` | `test_experiments` |
| Figure 4, Appendix 1-table 1, Appendix 1-figure 3 | experiments `split`, `permuted`, `continuous`; baselines tuned by `tuning` | `test_experiments` |
| Figure 5a | experiment `ablations` | `test_experiments` |
| Figures 5b, 5c | experiments `fig5_perceptron`, `fig5_load` | `test_experiments` |
| Appendix 1-figure 4 | `recordings.stability` | `test_sign_neuron` |
| beyond: binomial release of n sites | `synapses.Release` | `test_release` |
| beyond: release set by Fisher information; where the plastic rule rests (T5, T6) | `rules.FisherRelease`, `resting.RestingCode`, `resting.resting_release`, `resting.release_roots` | verify, `test_presynaptic_theory` |
| beyond: least energy at an accuracy, random search; a warning where decay has not settled | experiment `energy_search`, `experiments.energy.images_settled` | `test_experiments`, `test_presynaptic_energy` |
| beyond: mean field of release, strengths and energy | `mean_field.course`, `mean_field.after_step`, `mean_field.observed` | verify |
| beyond: drift and noise of strengths in proportion to $1 - p$ | `rules.Unreliable`, `drift.retained`, `drift.drift_variance` | verify |
| beyond: any network, by an Optax optimiser that carries $p$ | `rules.released`, `rules.released_weights` | `test_released`; `examples/releasing_transformer.py` |
| beyond: metaplasticity searched and transferred | experiment `metaplasticity` | `test_experiments` |
| beyond: release under an energy budget | experiment `budget` | `test_experiments` |
| beyond: does release follow curvature? | experiment `curvature` | `test_experiments` |
"""  # noqa: E501

from .config import build as build
from .config import Config as Config
from .config import images_of as images_of
from .config import Source as Source
from .config import source_of as source_of
from .networks import Convolutional as Convolutional
from .networks import CrossEntropy as CrossEntropy
from .networks import Perceptron as Perceptron
from .networks import predict as predict
from .training import learn as learn
from .training import Learned as Learned
