"""Networks built from a config: what they store, how they sleep, and their day awake.

Iatropoulos, Gerstner & Brea 2025, PNAS, doi 10.1073/pnas.2422602122.
"""

from ..config import Config  # noqa: F401, which examples name
from ._days import build as build
from ._days import fall_asleep as fall_asleep
from ._days import memories as memories
from ._days import regrown as regrown
from ._days import sleep as sleep
from ._days import start as start
from ._days import wake as wake
from ._parts import onset as onset
from ._parts import parametrisation_of as parametrisation_of
from ._parts import policy_of as policy_of
from ._parts import projections_of as projections_of
from ._parts import scaling_of as scaling_of
from ._parts import schedule_of as schedule_of
from ._parts import Stages as Stages
from ._states import after as after
from ._states import fields_and_weights as fields_and_weights
from ._states import margins_and_weights as margins_and_weights
from ._states import stored_in as stored_in
from ._states import valid_rows as valid_rows
