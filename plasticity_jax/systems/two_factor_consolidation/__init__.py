r"""Synapses as products of factors, consolidated by replay and homeostatic scaling.

Iatropoulos, Gerstner & Brea 2025, PNAS, doi 10.1073/pnas.2422602122. Every equation and
figure of the specification, the object that computes it, and the test that holds it to
account (in `tests/`, or a row of `plasticity-jax verify two_factor_consolidation`):

Items of the specification: Eq. 3; P0-P8; T1-T11; E1-E19; Figs. 2-6.

| equation or figure | object | test |
| --- | --- | --- |
| factors, weights; signed and tied variants (P7) | `synapses.Factored`, `synapses.Product`, `synapses.Power`, `synapses.SignedPower` | `test_replay`, verify, experiment `variants` |
| patterns, Bernoulli and exact | `tasks.draw_patterns` | `test_replay` |
| retrieval, recall; cue and synaptic noise | `circuits.retrieve`, `measure.recalled`, `recall.recall_rate`, `recall.flip_balanced`, `recall.flip_isotropic`, `recall.flip_exactly`, `recall.jitter`, `recall.observed`, `recall.recall_curve`, `recall.tolerance` | `test_replay`, `test_two_factor_robustness`, `test_optimum` |
| P0 initial threshold (Eq. 3) | `synapses.RandomPatternThreshold` | `test_replay` |
| P1 weakest pattern | `circuits.Replay`, `circuits.WeakestReplay`, `rules.FactorAscent`, `rules.Pruning` | `test_replay`, verify |
| P2 soft replay, and the switch to it | `circuits.SoftReplay`, `circuits.TaughtReplay` | `test_replay`, verify, experiment `soft` |
| published rates, stopping rules (P1, P2, P5, P8) | `protocol.published`, `protocol.published_night`, `protocol.Settled`, `protocol.RobustEnough`, `protocol.consolidate` | `test_two_factor_protocol`, experiment `fig2_published` |
| P3 inhibition | `rules.FactorAscent`, `synapses.MidpointThreshold`, `synapses.RandomPatternThreshold` | `test_replay`, experiment `variants` |
| P4 wake, one-shot; sequences | `circuits.Novelty`, `rules.NoveltyHebb`, `tasks.Epochs`, `wake` | `test_replay`, `test_two_factor_sleep`, experiment `fig3_wake` |
| P5 sleep of Figure 3 | `fall_asleep`, `rules.Scheduled` | `test_two_factor_sleep`, `test_replay`, experiment `fig3_sleep` |
| own patterns, chosen rows, order of presentation, any schedule | `circuits.memories_of`, `build`, `memories`, `start`, `sleep`, `wake` | `test_two_factor_own` |
| P6 scaling | `synapses.HomeostaticScaling`, `synapses.Floored` | `test_replay`, experiment `variants` |
| minover of Krauth & Mezard, free signs (P1 limits) | `synapses.Free`, `measure.largest_l2_margin` | `test_two_factor_signs`, experiment `signs` |
| P8 margin perceptron | `circuits.Replay` (enough) | `test_replay`, experiment `variants` |
| margins, signal-to-noise ratios, density, sparseness | `measure.margins`, `measure.noise_ratio`, `measure.volatile_noise_ratio`, `measure.memory_ratios`, `measure.density`, `measure.lifetime_sparseness` | `test_optimum`, `test_two_factor_theory` |
| exact optima, dual variables | `measure.largest_l1_margin`, `measure.largest_l2_margin` | `test_optimum`, verify |
| T1 the rule is a gradient | `theory.soft_margin` | verify |
| T2 Hoff equivalence | `theory.factor_penalty`, `theory.soft_threshold`, `theory.penalised_slope`, `theory.penalised_hessian` | verify |
| T3 invariants | `theory.imbalance_decay`, `theory.factors_after` | verify |
| T4 effective geometry | `theory.preconditioner`, `theory.change_exponent` | verify |
| T5 replay is the dual variable | `theory.mean_drive`, `theory.residuals`, `theory.margin_slope` | verify, `test_two_factor_theory`, `test_two_factor_trust` |
| T6 stationary gap, speed | `theory.stationary_gap`, `theory.stationary_gap_single`, `theory.rate_for_share`, `theory.decay_rates`, `theory.soft_bias` | verify, `test_two_factor_theory` |
| T7 storage capacity | `capacity` | verify, `test_two_factor_theory` |
| T8, T9 neural and synaptic noise | `theory.flipped_field`, `theory.neural_noise_ratio`, `theory.volatile_field_variance`, `theory.synaptic_noise_ratio` | verify |
| T10 homeostasis | `theory.scaled_weights`, `theory.retargeted_weights` | verify |
| T11 stability of soft replay | `theory.threshold_pull` | verify |
| intrinsic fluctuations | `rules.VolatileFactor` | `test_two_factor_fluctuations` |
| increments, norms over time | `fluctuations` | `test_two_factor_fluctuations` |
| imaging data | `data.kaufman_2012` | `test_two_factor_fluctuations` |
| Figure 2 (E1, E2, E5; E3, E4; E6) | experiments `fig2`, `fig2_recall`, `fig2_weights` | `test_experiments` |
| Figure 2, controls (E3, E4: isotropic and exact flips, jitter of all factors and of dead synapses) | experiment `fig2_noises` | `test_experiments` |
| Figure 3 (E7; E8, E11, E12; E9, E10, E13, E14) | experiments `fig3_wake`, `fig3_sleep`, `fig3_after` | `test_experiments` |
| Figure 4 (E15, E16) | experiments `fig4_scaling`, `fig4_development` | `test_experiments` |
| Figure 5 (E17, E18) | experiments `fig5_increments`, `fig5_imaging` | `test_experiments` |
| Figure 6 (E19) | experiment `fig6_norms` | `test_experiments` |
| every control and variant | experiment `variants` | `test_experiments` |
| beyond: replay policies | experiments `policies`, `soft` | `test_experiments` |
| beyond: a real number of factors, differentiated; fitted to imaging data | experiments `continuous`, `volatile_order` | `test_experiments` |
| beyond: metrics between those of one and of two factors | `rules.PowerMetric`, `theory.order_of_metric`, `theory.weights_after` | verify, `test_rules` |
| beyond: lasting fluctuations, best replay | experiment `volatility` | `test_experiments` |
| beyond: inhibitory inputs | `synapses.SignedProduct`, `measure.largest_l1_margin`, experiment `signs` | `test_two_factor_signs`, `test_experiments` |
| beyond: prioritised replay; a learned schedule, by gradients in rates, sharpness and patterns | `circuits.PrioritisedReplay`, `theory.margin_slope`, experiment `learned` | `test_replay`, `test_two_factor_learned`, `test_two_factor_theory`, `test_experiments` |
| beyond: further days, regrowth | `regrown`, `wake` | `test_two_factor_own` |
| beyond: many neurons, in blocks of rows over workers and devices | `consolidate_rows` | `test_two_factor_blocks` |
| beyond: release probability as a factor | experiment `release` | `test_experiments` |
| beyond: energy of synapses at a given margin, and what it buys | `measure.metabolic_cost`, experiment `energy` | `test_optimum`, `test_experiments` |
"""  # noqa: E501

from .blocks import consolidate_rows as consolidate_rows
from .config import Config as Config
from .networks import build as build
from .networks import fall_asleep as fall_asleep
from .networks import memories as memories
from .networks import regrown as regrown
from .networks import sleep as sleep
from .networks import start as start
from .networks import wake as wake
