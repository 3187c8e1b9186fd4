r"""A layer of spiking GLM neurons, and natural gradients of it at a cost linear in $n$.

Inputs $x$ (synaptic potentials, mV) drive $m$ hidden units with rates $\phi(u)$, $u =
Wx$; outputs spike at rates $\phi(o)$, $o = V\phi(u)$. The hidden weights $W$ learn by
backpropagation from the spikes that the outputs should have fired. A hidden unit acts
through its rate: it stands for many neurons alike, so that the potential which it
evokes is the mean one, $\epsilon_0$ times its rate (Kreutzer et al. 2022, Eq. 29).

The Fisher matrix of the outputs' law is $G = E[B \otimes xx^\top]$ per second, $B =
J^\top \mathrm{diag}(F(o))\, J$ with the outputs' density $F = \phi'^2/\phi$ and $J =
\partial o/\partial u$. What makes a closed form of it, or nearly:

- `whole_direction`: nothing is left out. For Gaussian inputs Eq. 34 generalises to a
  Kronecker product plus a matrix of low rank;
- `unitwise_direction`: no coupling between units; each has its own inverse by Eq. 37;
- `kfac_direction`: no dependence of $B$ on $x$, so $E[B] \otimes E[xx^\top]$ (Martens &
  Grosse 2015): $c_1$ of Eq. 34 without $c_2$ and $c_3$, but with the coupling.

`damping` adds $\lambda\, \mathrm{tr}E[B]/m$ to the diagonal of $B$ in all of them: a
price on moving the potentials of the units, without which one that has fallen silent
takes steps without bound. Derived; not in the paper.
"""

from ._directions import Affine as Affine
from ._directions import exact_direction as exact_direction
from ._directions import kfac_direction as kfac_direction
from ._directions import QuarterSquare as QuarterSquare
from ._directions import unitwise_direction as unitwise_direction
from ._directions import whole_direction as whole_direction
from ._inputs import gaussian_inputs as gaussian_inputs
from ._inputs import poisson_inputs as poisson_inputs
from ._network import coupling as coupling
from ._network import layer_fisher as layer_fisher
from ._network import layer_loss as layer_loss
from ._network import SpikingLayer as SpikingLayer
