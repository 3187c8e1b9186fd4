r"""Limit cycles of one stored plane: exact reductions to two dimensions.

$W = \alpha(uu^\top + vv^\top) + \rho(uv^\top - vu^\top)$ with `expansion` $\alpha$ and
`rotation` $\rho$. The paper has $\alpha = 0$ (Eq. 7), where there is no limit cycle;
all closures here but `printed_rates` are derived. A reduced state has two components
that turn counter-clockwise:

$\dot s = -s + \alpha q(s) + \rho(-q_2, q_1)(s)$

with a closure $q$: `gaussian_rates` for $s = (p_v, p_u)$ and Gaussian patterns of many
neurons, `balanced_rates` for $s = (p_u + p_v, p_u - p_v)$ and signs of which all four
pairs are equally frequent (exact at any size), `printed_rates` for $s = (p_v, p_u)$ and
the paper's approximation for a step.

A closed form of a cycle where there is none raises `ValueError`, and is NaN where its
arguments are traced.
"""

from ._circles import Circle as Circle
from ._circles import error_function_circle as error_function_circle
from ._circles import euler_radius as euler_radius
from ._circles import euler_threshold as euler_threshold
from ._circles import gaussian_cycle as gaussian_cycle
from ._circles import step_circle as step_circle
from ._held import critical_rotation as critical_rotation
from ._held import held_rotations as held_rotations
from ._held import HeldRotations as HeldRotations
from ._quarter_turns import balanced_cycle as balanced_cycle
from ._quarter_turns import balanced_step_cycle as balanced_step_cycle
from ._quarter_turns import Cycle as Cycle
from ._quarter_turns import quarter_turn as quarter_turn
from ._quarter_turns import QuarterTurn as QuarterTurn
from ._quarter_turns import reduced_cycle as reduced_cycle
from ._quarter_turns import step_quarter_turn as step_quarter_turn
from ._rates import balanced_rates as balanced_rates
from ._rates import gaussian_gain as gaussian_gain
from ._rates import gaussian_rates as gaussian_rates
from ._rates import orthant_rates as orthant_rates
from ._rates import printed_rates as printed_rates
from ._rates import reduced_slope as reduced_slope
