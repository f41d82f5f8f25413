"""What the schema cannot see: values of a site that contradict each other, the nameplate or the mode."""

from __future__ import annotations

from agent.config.doubts import doubts
from agent.config.fault import Fault
from agent.config.rules_air import air_faults
from agent.config.rules_devices import device_faults
from agent.config.rules_hvac import hvac_faults
from agent.config.rules_site import site_faults
from agent.config.rules_tags import role_faults, tag_faults
from agent.config.site import Site
from agent.errors import ConfigError


def contradictions(site: Site) -> tuple[ConfigError, ...]:
    """Every contradiction of the site; () for a site that may run."""
    return tuple(fault.error() for fault in faults_of(site))


def warnings(site: Site) -> tuple[ConfigError, ...]:
    """What may be meant but is worth a look; none of it stops the agent."""
    return tuple(doubt.error() for doubt in doubts(site))


def faults_of(site: Site) -> list[Fault]:
    """The contradictions with their places: site, devices, stations, zones, references."""
    return [
        *site_faults(site),
        *device_faults(site),
        *role_faults(site),
        *air_faults(site),
        *hvac_faults(site),
        *tag_faults(site),
    ]
