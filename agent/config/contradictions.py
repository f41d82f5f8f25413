"""What the schema cannot see: values of a site that contradict each other, the nameplate or the mode."""

from __future__ import annotations

from agent.config.fault import Fault
from agent.config.site import Site
from agent.errors import ConfigError


def contradictions(site: Site) -> tuple[ConfigError, ...]:
    """Every contradiction of the site; () for a site that may run."""
    return tuple(fault.error() for fault in faults_of(site))


def faults_of(site: Site) -> list[Fault]:
    """The contradictions with their places, in the order of the file's tables."""
    return []
