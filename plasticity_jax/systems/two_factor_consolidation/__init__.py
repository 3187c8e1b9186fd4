"""Synapses as products of factors, consolidated by replay and homeostatic scaling."""

from .config import build as build
from .config import Config as Config
from .config import fall_asleep as fall_asleep
from .config import sleep as sleep
from .config import wake as wake
