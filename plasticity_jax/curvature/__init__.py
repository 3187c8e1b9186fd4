"""Hessian, Gauss-Newton and Fisher matrices of any model: dense, matrix-free, spectra.

Every function takes a plain function of the parameters (a loss, a prediction or a log
probability) and a pytree of parameters; the rows of dense matrices follow
`jax.flatten_util.ravel_pytree`. Leaves that are not inexact arrays (an activation
function in an `equinox.Module`) are held fixed and are `None` in what comes back.
"""

from ..signals import Coefficients as Coefficients
from ._compensation import best_ratio as best_ratio
from ._compensation import gradient_parts as gradient_parts
from ._compensation import greedy_ratio as greedy_ratio
from ._compensation import isotropic_loss as isotropic_loss
from ._compensation import relaxation_rate as relaxation_rate
from ._compensation import stationary_balance as stationary_balance
from ._compensation import steady_state as steady_state
from ._compensation import SteadyState as SteadyState
from ._correlated import correlated_glm_fisher as correlated_glm_fisher
from ._correlated import correlated_glm_fisher_inverse as correlated_glm_fisher_inverse
from ._fisher import Fisher as Fisher
from ._fisher import sensitivity as sensitivity
from ._flat import arrays_of as arrays_of
from ._gauss_newton import gauss_newton as gauss_newton
from ._gauss_newton import gauss_newton_diagonal as gauss_newton_diagonal
from ._gauss_newton import gauss_newton_operator as gauss_newton_operator
from ._glm import glm_coefficients as glm_coefficients
from ._glm import glm_fisher as glm_fisher
from ._glm import glm_fisher_inverse as glm_fisher_inverse
from ._glm import sampled_glm_fisher as sampled_glm_fisher
from ._glm import skewed_glm_fisher as skewed_glm_fisher
from ._glm import SkewedFisher as SkewedFisher
from ._glm import voltage_moments as voltage_moments
from ._hessian import hessian as hessian
from ._hessian import hessian_diagonal as hessian_diagonal
from ._hessian import hessian_operator as hessian_operator
from ._hessian import hvp as hvp
from ._hessian import quadratic_form as quadratic_form
from ._lagged import coloured_variance as coloured_variance
from ._lagged import delayed_variance as delayed_variance
from ._lagged import lagged_loss as lagged_loss
from ._lagged import lagged_ratio as lagged_ratio
from ._low_rank import diagonal_plus_low_rank as diagonal_plus_low_rank
from ._low_rank import inverse_diagonal_plus_low_rank as inverse_diagonal_plus_low_rank
from ._preconditioned import preconditioned_loss as preconditioned_loss
from ._quadrature import enough_nodes as enough_nodes
from ._quadrature import mean_density as mean_density
from ._quadrature import quadrature_error as quadrature_error
from ._quadrature import REACH as REACH
from ._solve import natural_gradient as natural_gradient
from ._solve import natural_gradient_transform as natural_gradient_transform
from ._solve import newton_direction as newton_direction
from ._spectrum import Spectrum as Spectrum
from ._spectrum import spectrum as spectrum
from ._spectrum import top_eigenpairs as top_eigenpairs
from ._trace import Estimate as Estimate
from ._trace import trace as trace
from ._transfer import fisher_density as fisher_density
