"""Statistics of runs: steady states, optima, growth, planes and spectra of weights."""

from ._planes import check_finite as check_finite
from ._planes import expansion as expansion
from ._planes import is_complex as is_complex
from ._planes import plane_activity as plane_activity
from ._planes import plane_basis as plane_basis
from ._planes import PlaneActivity as PlaneActivity
from ._planes import rotation as rotation
from ._shares import change_shares as change_shares
from ._shares import integrated_changes as integrated_changes
from ._shares import Shares as Shares
from ._spectra import Eigenpair as Eigenpair
from ._spectra import leading_overlaps as leading_overlaps
from ._spectra import memory_eigenvalue as memory_eigenvalue
from ._spectra import track_eigenvalues as track_eigenvalues
from ._steady import drift as drift
from ._steady import log_slope as log_slope
from ._steady import log_vertex as log_vertex
from ._steady import STATIONARY as STATIONARY
from ._times import autocorrelation_time as autocorrelation_time
