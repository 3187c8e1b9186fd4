"""Textbook rules against their theory: what `plasticity-jax verify rules` prints."""

from collections.abc import Iterator

from ..experiment import Check
from ._attractor import attractor_checks
from ._consolidation import consolidation_checks
from ._correlation import correlation_checks
from ._density import density_checks
from ._eprop import eprop_checks
from ._error import error_checks
from ._feedback import feedback_checks
from ._homeostasis import homeostasis_checks
from ._memory import memory_checks
from ._perturbation import perturbation_checks
from ._settling import settling_checks
from ._short_term import short_term_checks
from ._timing import timing_checks
from ._triplet import triplet_checks
from ._voltage import voltage_checks


def checks() -> Iterator[Check]:
    """All checks of the rules; run them in double precision."""
    yield from correlation_checks()
    yield from attractor_checks()
    yield from error_checks()
    yield from eprop_checks()
    yield from perturbation_checks()
    yield from feedback_checks()
    yield from settling_checks()
    yield from timing_checks()
    yield from density_checks()
    yield from triplet_checks()
    yield from voltage_checks()
    yield from short_term_checks()
    yield from homeostasis_checks()
    yield from consolidation_checks()
    yield from memory_checks()
