"""Experiments: a sweep, what must come out of it, its picture, its control."""

from ._claims import always as always
from ._claims import Check as Check
from ._claims import Claim as Claim
from ._claims import exact as exact
from ._claims import expectation as expectation
from ._claims import simulated as simulated
from ._experiment import Experiment as Experiment
from ._experiment import labelled as labelled
from ._experiment import perform as perform
from ._panels import panels as panels
from ._panels import SHADES as SHADES
from ._panels import THEORY as THEORY
from ._plan import load_plan as load_plan
from ._plan import overridden as overridden
from ._plan import Plan as Plan
from ._plan import presets as presets
from ._plan import read_tables as read_tables
from ._recompute import recompute as recompute
from ._results import write_results as write_results
from ._run import Finished as Finished
from ._run import run_experiment as run_experiment
from ._verdict import check_json as check_json
from ._verdict import check_table as check_table
from ._verdict import judge as judge
from ._verdict import Verdict as Verdict
