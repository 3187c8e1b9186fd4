r"""Memories that outlive their synapses.

Susman, Brenner & Barak 2019, Nature Communications 10:4441. Every equation and figure of
the specification, the object that computes it, and the test that holds it to account (in
`tests/`, or a row of `plasticity-jax verify stable_memory`):

Items of the specification: Eqs. 1-5, 7, 8; 3.1, 4.1-4.6, 5.1-5.8; Figs. 1b, 2c-e, 3,
3a, 4a, 4b, 5; Supp. Figs. 1-4; Notes 1, 2.

| equation or figure | object | test |
| --- | --- | --- |
| network, step order (Eq. 1; 3) | `circuits.RateNetwork` | `test_rate_network` |
| nonlinearities | `jnp.tanh`, `circuits.error_function`, `circuits.logistic`, `jnp.sign`, softplus, any function | `test_rate_network` |
| stimuli: rotating, wandering (OU), cue (3.1) | `tasks.Drive`, `tasks.turning`, `tasks.wandering`, `tasks.cue` | `test_rate_network` |
| the same, by a config's amplitude, frequency, decay, duration | `stimuli.rotating`, `stimuli.wandering`, `stimuli.cued` | `test_stable_memory_learning` |
| start of the traces (2), activity floor (3, step 8) | `Config.trace_spread`, `Config.floor` | `test_stable_memory_theory` |
| noise, at intervals (4.1) | `rules.Wiener`, `rules.Intermittent` | `test_rate_rules` |
| dissipation (Eq. 2; 4.2) | `rules.Dissipation` | `test_rate_rules`, verify |
| rate control (Eq. 3; 4.3) and as printed | `rules.RateControl`, `rules.ElementwiseRateControl` | `test_rate_rules`, experiment `variants` |
| rules of the code's history (4.3) | `rules.UnweightedRateControl`, `rules.AverageScaling`, `rules.AdditiveRateControl` | `test_rate_rules`, experiment `variants` |
| decorrelation (Eq. 4; 4.4), its filters | `rules.Decorrelation`, `rules.FilteredDecorrelation` | `test_rate_rules`, verify, experiment `filters` |
| learning (Eq. 5; 4.5), both windows | `rules.AntisymmetricHebb`, `rules.PairSTDP` | `test_rate_rules`, verify, experiment `timing` |
| sparse connectivity (4.6) | `synapses.Connected`, `synapses.random_mask` | `test_rate_network`, experiment `supp1` |
| patterns and memories (2; Eq. 8) | `patterns.draw_planes`, `patterns.real_memory`, `patterns.imaginary_memory`, `patterns.low_rank` | verify, `test_stable_memory_theory` |
| overlaps, in-plane coefficients (2) | `measure.rotation`, `measure.expansion`, `measure.is_complex`, `measure.plane_activity` | `test_planes` |
| eigenvalues: of a memory, tracked; overlaps (6) | `measure.memory_eigenvalue`, `measure.track_eigenvalues`, `measure.leading_overlaps` | `test_planes` |
| shares of change (Fig. 5) | `measure.change_shares`, `measure.integrated_changes` | `test_stable_memory_learning` |
| 5.1 spectra of low-rank memories | `theory.low_rank_eigenvalues`, `theory.plane_frequency`, `theory.origin_jacobian` | verify |
| 5.2 decay, stationary spread | `theory.mean_decay`, `theory.stationary_variance`, `theory.bulk_radius` | verify |
| 5.3 anti-symmetric connectivity does no work | `theory.energy`, `theory.energy_slope`, `theory.energy_bounds` | verify |
| 5.4 random walks of weights and memories | `theory.weight_diffusion`, `theory.rotation_diffusion` | verify |
| 5.5a-c limit cycles (Eq. 7) | `cycles.gaussian_cycle`, `cycles.balanced_cycle`, `cycles.critical_rotation` | `test_stable_memory_retrieval`, verify |
| 5.5b fixed points below, divergence of the period above | `fixed_points.fixed_points`, `fixed_points.slowing` | verify |
| 5.5c the arctan with its prefactor | `cycles.orthant_rates` | verify |
| 5.5e invariance of Gaussian patterns | `mean_field.overlap_slope`, `mean_field.unitary` | verify |
| 5.5d what Euler shows instead | `circuits.amplification`, `cycles.euler_threshold`, `cycles.euler_radius` | verify, experiment `supp3` |
| 5.5 retrieval with fixed synapses | `retrieval.recall` | `test_stable_memory_retrieval` |
| 5.6 learning from clamped activity | `theory.learned_rotation`, `theory.decorrelated_eigenvalue`, `theory.controlled_state` | verify |
| 5.3, 5.4 what driven activity erases: order, in the plane | `theory.erasure_rate`, `theory.driven_rotation` | verify, `test_stable_memory_theory` |
| 5.7 drive and activity of a random stimulus | `theory.random_drive`, `theory.random_power` | verify |
| 5.8 capacity of the synchronous map | `capacity.settled`, `capacity.first_step_error` | verify, experiment `supp4` |
| Fig. 1b; 2c-e | experiments `fig1b`; `fig2`, `euler`, `turnover` | `test_experiments` |
| scaled preset and its table; turnover under rate control (6) | experiments `retention`, `turnover_rate` | `test_experiments` |
| Figs. 3, 3a, Supp. Fig. 2 | experiments `fig3a`, `fig3`, `fig3_published`, `supp2` | `test_experiments` |
| nine settings of slow stimuli (6) | experiment `supp2_slow` | `test_experiments` |
| Figs. 4a, 4b | experiments `fig4a`, `fig4b` | `test_experiments` |
| Fig. 5: the life of a memory | experiment `fig5` | `test_experiments` |
| Supp. Figs. 1, 3, 4; Notes 1, 2 | experiments `supp1`, `supp3`, `supp4` | `test_experiments` |
| beyond: phase diagram of retention; by gains, filters, rates | experiments `phase`, `restraints` | `test_experiments` |
| beyond: imperfect spike timing | experiment `timing` | `test_experiments` |
| beyond: lifetime, differentiated; its law by 1 - c | experiments `lifetime`, `lifetime_law` | `test_experiments` |
| beyond: low rank plus noise | `noisy.outlier_overlap`, `noisy.linear_response` | verify, `test_stable_memory_theory` |
| beyond: stimuli designed by gradient | experiment `designed` | `test_experiments` |
| beyond: memories in sequence over a life | experiment `sequence` | `test_experiments` |
| beyond: memories of excitatory and inhibitory neurons | `patterns.lawful_share`, experiment `dale` | verify, `test_experiments` |
| beyond: the same with non-negative rates | `theory.resting_rotation`, `theory.lawful_growth`, experiment `positive_rates` | verify, `test_stable_memory_theory` |
| beyond: best repair of recall | experiment `compensation` | `test_experiments` |
"""  # noqa: E501

from .config import build as build
from .config import Config as Config
from .config import embed as embed
from .patterns import draw_planes as draw_planes
from .patterns import imaginary_memory as imaginary_memory
from .patterns import low_rank as low_rank
from .patterns import real_memory as real_memory
