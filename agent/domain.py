"""The words of the house: what is read, decided, refused and written.

Plain values without behaviour. What the site is made of (Machine, Station, Zone, Site) stands in
agent/config/site.py, beside its ranges and units.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum, StrEnum
from typing import NamedTuple


class Quality(IntEnum):
    """How far a reading may be trusted; only GOOD and UNCERTAIN carry a value for control."""

    BAD = 0
    STALE = 1
    UNCERTAIN = 2
    GOOD = 3


class Reading(NamedTuple):
    """One value in its canonical unit, and the instant at which it was true. None is unknown."""

    value: float | None
    quality: Quality
    at: datetime


# What a reading needs to carry a value for control: looked up at every one, so not as a member of the class.
USABLE = Quality.UNCERTAIN


def unknown(at: datetime) -> Reading:
    """The reading of a tag of which nothing is known."""
    return Reading(None, Quality.BAD, at)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What was known at one tick. Every step of that tick sees the same values."""

    at: datetime
    readings: Mapping[str, Reading]

    def value(self, tag: str | None) -> float | None:
        """The tag's value where it may be used for control, else None."""
        reading = None if tag is None else self.readings.get(tag)
        return None if reading is None or reading.quality < USABLE else reading.value


class Mode(StrEnum):
    """What the agent may do to a station, from least to most; FALLBACK is left by itself."""

    OBSERVE = "observe"
    ADVISE = "advise"
    CONTROL = "control"
    FALLBACK = "fallback"


class Command(NamedTuple):
    """A value for one tag. None hands the point back to the machine's own control."""

    tag: str
    value: float | None
    not_after: datetime
    reason: str
    plan_id: str = ""


class WriteResult(NamedTuple):
    """What became of a command. `read_back` is what stood in the device afterwards."""

    tag: str
    value: float | None
    ok: bool
    read_back: float | None = None
    error: str = ""


class Refusal(NamedTuple):
    """A wish that the guard did not let out, and the rule that held it."""

    subject: str
    wish: str
    rule: str
    until: datetime | None = None


class PlanStatus(StrEnum):
    """The rung of the ladder that a plan stands on."""

    OPTIMISED = "optimised"
    GREEDY = "greedy"
    BEST_EFFORT = "best_effort"
    HOLD = "hold"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class PlanStep:
    """One step of a station's plan: who runs, what each is expected to deliver."""

    at: datetime
    duration_s: float
    running: frozenset[str]
    flow_m3_min: Mapping[str, float]
    demand_m3_min: float


@dataclass(frozen=True, slots=True)
class Plan:
    """A station's plan. It may add machines or release them; it never starves the band."""

    plan_id: str
    station: str
    made_at: datetime
    not_after: datetime
    status: PlanStatus
    steps: tuple[PlanStep, ...]
    reasons: tuple[str, ...] = ()
    cost: float | None = None
    # What it was made of, as plain data: the problem (docs/planner.md) and the work it was allowed.
    case: Mapping[str, object] | None = None
    budget: Mapping[str, int] | None = None

    def step_at(self, at: datetime) -> PlanStep | None:
        """The step in force at `at`; None before, after, or once the plan has expired."""
        if at >= self.not_after:
            return None
        current = None
        for step in self.steps:
            if step.at > at:
                break
            current = step
        if current is None or (at - current.at).total_seconds() >= current.duration_s:
            return None
        return current


@dataclass(frozen=True, slots=True)
class ZoneStep:
    """Set-points of one zone from `at` on."""

    at: datetime
    heating_setpoint_degc: float
    cooling_setpoint_degc: float
    enable: bool
    reason: str


@dataclass(frozen=True, slots=True)
class HvacPlan:
    """The schedule of all zones of a site."""

    plan_id: str
    made_at: datetime
    not_after: datetime
    status: PlanStatus
    zones: Mapping[str, tuple[ZoneStep, ...]]
    reasons: tuple[str, ...] = ()
    cost: float | None = None
    notes: Mapping[str, str] = field(default_factory=dict)
    # Air expected at the end of each quarter hour, [degC], of the zones with a model.
    expected_degc: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    # Every schedule that was costed, by name: money and kelvin hours out of the band; and the one that is sent.
    schedules: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    sent: str = ""
    # The highest quarter hour of the site's power that this plan expects, [kW]; None where it cannot tell.
    peak_kw: float | None = None

    def step_at(self, zone: str, at: datetime) -> ZoneStep | None:
        """The zone's step in force at `at`, None once the plan has expired."""
        if at >= self.not_after:
            return None
        current = None
        for step in self.zones.get(zone, ()):
            if step.at > at:
                break
            current = step
        return current
