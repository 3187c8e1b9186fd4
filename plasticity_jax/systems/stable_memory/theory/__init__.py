r"""Closed forms of memories under homeostasis: spectra, noise, energy, learning.

Susman, Brenner & Barak 2019, Nature Communications 10:4441, and the specification
(derived, where no equation of the paper is named). $\dot x = -x + W\phi(x)$ with time
in units of the neural time constant; memories are $W = a\,uu^\top$ (real) or
$a(uv^\top - vu^\top)$ (imaginary). What belongs to rules is a function of `Config`.

Each law refuses, with a `ValueError`, shapes that do not fit and what is outside of its
domain: times before 0, states of rest that nothing leads to. There it is NaN where the
arguments are traced.
"""

from ..config import Config  # noqa: F401, which examples name
from ._energy import energy as energy
from ._energy import energy_bounds as energy_bounds
from ._energy import energy_slope as energy_slope
from ._energy import tanh_energy as tanh_energy
from ._learning import controlled_is_complex as controlled_is_complex
from ._learning import controlled_state as controlled_state
from ._learning import decorrelated_eigenvalue as decorrelated_eigenvalue
from ._learning import driven_rotation as driven_rotation
from ._learning import erasure_rate as erasure_rate
from ._learning import free_eigenvalue as free_eigenvalue
from ._learning import learned_rotation as learned_rotation
from ._learning import learning_speed as learning_speed
from ._learning import PlaneState as PlaneState
from ._learning import quadrature as quadrature
from ._noise import bulk_radius as bulk_radius
from ._noise import decay_factor as decay_factor
from ._noise import filter_gain as filter_gain
from ._noise import mean_decay as mean_decay
from ._noise import rotation_diffusion as rotation_diffusion
from ._noise import stationary_variance as stationary_variance
from ._noise import weight_diffusion as weight_diffusion
from ._random import random_drive as random_drive
from ._random import random_drive_slope as random_drive_slope
from ._random import random_power as random_power
from ._rest import lawful_growth as lawful_growth
from ._rest import resting_rotation as resting_rotation
from ._spectra import low_rank_eigenvalues as low_rank_eigenvalues
from ._spectra import origin_jacobian as origin_jacobian
from ._spectra import plane_frequency as plane_frequency
