"""Parameters of plasticity from data, with error bars; gradients of runs."""

from ._coverage import coverage as coverage
from ._design import expected_information as expected_information
from ._design import normal_information as normal_information
from ._design import standard_errors as standard_errors
from ._domain import Interval as Interval
from ._domain import POSITIVE as POSITIVE
from ._domain import REAL as REAL
from ._domain import Space as Space
from ._fit import Fit as Fit
from ._fit import fit as fit
from ._fit import Objective as Objective
from ._fit import Trials as Trials
from ._intervals import Intervals as Intervals
from ._intervals import intervals as intervals
from ._least_squares import least_squares as least_squares
from ._summary import compare as compare
from ._summary import dataset as dataset
from ._summary import Directions as Directions
from ._summary import directions as directions
from ._summary import notes as notes
from ._summary import summary as summary
