"""What the zones' past teaches: their series on the planner's grid, models fitted anew each week."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np

from agent.config.hvac_models import (
    HvacModels,
    LearnedUnit,
    LearnedZone,
    PresentZone,
    read_models,
    with_models,
    write_models,
)
from agent.config.site import Hvac, Site, ZoneModel
from agent.domain import Mode
from agent.errors import DataError
from agent.log import get_logger
from agent.planner.hvac_identify import ZoneFit, identify, standing_score
from agent.planner.hvac_lumps import LeastDraw, least_draws
from agent.planner.hvac_model import FloatArray
from agent.planner.hvac_observer import ZoneEstimate, estimates
from agent.planner.hvac_past import LOOK_S, STEP_S, SitePast, UnitPast, unit_past
from agent.planner.hvac_present import SLOTS, IntArray, present_setpoints, usual_degc, week_slots
from agent.planner.hvac_reach import UnitReach, reaches
from agent.planner.hvac_schedule import SetPoints, occupancy_grid, stuck_contact
from agent.store.history import History
from agent.store.tags import MODE_CODES, WEATHER_WIND_TAG, mode_tag

log = get_logger(__name__)

LEARNED_DAYS = 28
OBSERVED_DAYS = 2
REFIT = timedelta(days=7)
RETRY = timedelta(days=1)  # while no zone has a model
_STUCK = {
    "people": "Kept comfortable day and night; models learn by the calendar.",
    "nobody": "The calendar is kept to.",
}
REACH_DAYS = 21  # of runs at full output, looked at anew each day


def site_past(
    site: Site,
    history: History,
    at: datetime,
    days: float,
    *,
    looks: bool = False,
    draws: bool = False,
    stuck: Collection[str] = (),
) -> SitePast:
    """The last `days` of all zones and units; occupancy by contact, by calendar where there is none or it is stuck.

    `looks`: the air within each step as well, for the thermostats' swing. `draws`: the units' power likewise.
    `stuck`: zones whose contact is known to be; others are found out where the days are enough.
    """
    hvac = site.hvac or Hvac()
    begin_at = at - timedelta(days=days)
    outdoor = history.series(hvac.outdoor_temp or "", begin_at, at, int(STEP_S))

    def series(tag: str | None) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        return history.series(tag or "", begin_at, at, int(STEP_S)).values

    steps = outdoor.values.size
    people, held = {}, {}
    closed = frozenset(site.site.closed_days)
    for name, zone in hvac.zones.items():
        due = occupancy_grid(zone, site.site.timezone, outdoor.start_at, steps, STEP_S, closed)
        contact = series(zone.occupied)
        if says := stuck_contact(contact, due, STEP_S):
            held[name] = says
        believed = np.isfinite(contact) & (name not in held and name not in stuck)
        people[name] = np.where(believed, contact, due.astype(np.float64))

    def fine(tag: str) -> FloatArray:
        # To the end of the last step, which `at` may lie within: every step has all its looks.
        end_at = outdoor.start_at + timedelta(seconds=steps * STEP_S)
        values = history.series(tag, outdoor.start_at, end_at, LOOK_S).values
        return values.reshape(steps, int(STEP_S) // LOOK_S)

    return SitePast(
        outdoor.values,
        series(hvac.solar),
        {name: series(zone.temp) for name, zone in hvac.zones.items()},
        {name: series(zone.heating_setpoint) for name, zone in hvac.zones.items()},
        {name: series(zone.cooling_setpoint) for name, zone in hvac.zones.items()},
        people,
        {name: series(unit.power) for name, unit in hvac.units.items() if unit.power is not None},
        {name: fine(zone.temp) for name, zone in hvac.zones.items()} if looks else {},
        _own_slots(site, series(mode_tag("hvac")), outdoor.start_at) if looks else None,
        {name: fine(unit.power) for name, unit in hvac.units.items() if unit.power is not None}
        if draws
        else {},
        _known(series(hvac.wind), series(WEATHER_WIND_TAG)),
        held,
    )


def _known(*series: FloatArray) -> FloatArray | None:
    """The one of which most is known, to a tenth: the site's own sensor first, else what the provider told."""
    best = max(series, key=lambda values: round(float(np.isfinite(values).mean()), 1))
    return best if np.isfinite(best).any() else None


def _own_slots(site: Site, mode: FloatArray, start_at: datetime) -> IntArray:
    """The slot of each quarter hour, -1 where set-points of the agent stood, and in the one after: they go back then.

    A mode that was not kept is a past without the agent.
    """
    slots = week_slots(site.site.timezone, start_at, mode.size, STEP_S)
    wrote = np.isfinite(mode) & (mode > MODE_CODES[Mode.ADVISE])
    wrote[1:] |= wrote[:-1].copy()
    slots[wrote] = -1
    return slots


def _present(zones: Iterable[str], past: SitePast, before: HvacModels | None) -> dict[str, PresentZone]:
    """The present schedule of each zone; what the past does not show any more is kept from `before`."""
    known = dict(before.present) if before is not None else {}
    if past.own_slots is None:
        return known
    own = past.own_slots >= 0
    for name in zones:
        standing = known.get(name)
        sides: list[list[float | None]] = []
        for seen, kept in (
            (past.heating_set_degc[name], standing.heating_degc if standing else [None] * SLOTS),
            (past.cooling_set_degc[name], standing.cooling_degc if standing else [None] * SLOTS),
        ):
            usual = usual_degc(seen[own], past.own_slots[own]).tolist()
            sides.append(
                [old if np.isnan(new) else round(new, 2) for new, old in zip(usual, kept, strict=True)]
            )
        if any(value is not None for side in sides for value in side):
            known[name] = PresentZone(heating_degc=sides[0], cooling_degc=sides[1])
    return known


def learned(site: Site, past: SitePast, before: HvacModels | None, at: datetime) -> HvacModels:
    """Models fitted anew; a zone's standing model stays where the new one does not win on the last days."""
    hvac = site.hvac or Hvac()
    fit = identify(hvac, past)
    standing = with_models(hvac, before)
    zones = dict(before.zones) if before is not None else {}
    for name, found in fit.zones.items():
        model = standing.zones[name].model
        unit = fit.units[hvac.zones[name].unit]
        if model is not None and _stays(hvac, name, past, unit, model, found):
            continue
        zones[name] = LearnedZone.model_validate(
            {
                "model": found.model,
                "rmse_k": dict(found.rmse_k),
                "alone_rmse_k": dict(found.alone_rmse_k),
                "naive_rmse_k": dict(found.naive_rmse_k),
                "days": found.days,
            }
        )
    units = {
        name: LearnedUnit(
            fan_kw=unit.fan_kw,
            standby_kw=unit.standby_kw,
            cooling_kw=unit.cooling_kw,
            heating_kw=unit.heating_kw,
        )
        for name, unit in fit.units.items()
    }
    return HvacModels(
        site=site.site.id,
        made_at=at,
        zones=zones,
        units=units,
        refused=dict(fit.refused),
        present=_present(hvac.zones, past, before),
    )


def _stays(hvac: Hvac, name: str, past: SitePast, unit: UnitPast, model: ZoneModel, found: ZoneFit) -> bool:
    """Whether a standing model misses the last days no more than one fitted anew.

    A floor that heats is scored by temperatures alone, another zone by its heat too: of two kinds the error a day
    ahead decides.
    """
    score, rmse_k = standing_score(hvac, name, past, unit, model)
    if (model.slab_share > 0) == (found.model.slab_share > 0):
        return score <= found.score
    return bool(rmse_k) and rmse_k["24h"] <= found.rmse_k["24h"]


class HvacMemory:
    """The models in force and when to fit them anew. `kept` is the file that carries them over a restart."""

    def __init__(self, site: Site, kept: Path | None = None) -> None:
        self._site = site
        self._kept = kept
        self.models = self._remembered()
        self._tried_at = None if self.models is None else self.models.made_at
        self._reach: dict[str, UnitReach] = {}
        self.least_draw: dict[str, LeastDraw] = {}
        self.stuck: Mapping[str, str] = {}  # zone: what its occupancy contact has said for weeks on end
        self._reached_on: date | None = None

    def _remembered(self) -> HvacModels | None:
        """The younger of the site's file and our own; one that cannot be used is said so and left out."""
        hvac = self._site.hvac or Hvac()
        found: list[HvacModels] = []
        for path in (hvac.models, self._kept):
            if path is None or (path == self._kept and not path.exists()):
                continue
            try:
                found.append(read_models(path, hvac))
            except DataError as error:
                log.warning("zone_models_unusable", what=error.what, where=error.where, fix=error.fix)
        return max(found, key=lambda models: models.made_at, default=None)

    @property
    def hvac(self) -> Hvac:
        """The site's zones and units as learned."""
        return with_models(self._site.hvac or Hvac(), self.models)

    @property
    def has_model(self) -> bool:
        return any(zone.model is not None for zone in self.hvac.zones.values())

    def doubts(self) -> dict[str, str]:
        """What somebody on site should hear of each zone's past, by subject; "" where there is nothing to say."""
        refused = self.models.refused if self.models is not None else {}
        out = {}
        for name, zone in self.hvac.zones.items():
            says = self.stuck.get(name, "")
            doubt = (
                f"has said {says} for a week or more whatever the hours: is it stuck? {_STUCK.get(says, '')}"
            )
            out[f"occupancy contact of {name}"] = doubt if says else ""
            why = refused.get(name, "") if zone.model is None else ""
            out[f"model of {name}"] = f"not learned yet: {why}" if why else ""
        return out

    @property
    def error_k(self) -> dict[str, dict[str, float]]:
        """What each learned model missed on days held back, by lead, [K]."""
        zones = self.models.zones if self.models is not None else {}
        return {name: {str(lead): k for lead, k in zone.rmse_k.items()} for name, zone in zones.items()}

    def present(self, at: datetime, steps: int, step_s: float) -> dict[str, SetPoints]:
        """The site's own set-points from `at` on, of the zones of which all are known."""
        known = self.models.present if self.models is not None else {}
        if not known:
            return {}
        hvac = self.hvac
        slots = week_slots(self._site.site.timezone, at, steps, step_s)
        out = {}
        for name, zone in known.items():
            settings = hvac.zones[name]
            heating = np.array(zone.heating_degc, dtype=np.float64)
            cooling = np.array(zone.cooling_degc, dtype=np.float64)
            found = present_setpoints(settings, hvac.units[settings.unit], heating, cooling, slots)
            if found is not None:
                out[name] = found
        return out

    @property
    def reach(self) -> dict[str, UnitReach]:
        """How much of its unit's capacity each zone with a model gets; what is likely where nothing was seen."""
        zones = self.hvac.zones
        return {
            name: self._reach.get(name, UnitReach()) for name, zone in zones.items() if zone.model is not None
        }

    def lesson(self, history: History, at: datetime) -> Callable[[], None] | None:
        """Fitting as a closed piece of work on values of now; None while none is due."""
        pause = REFIT if self.models is not None and self.models.zones else RETRY
        if self._tried_at is not None and at - self._tried_at < pause:
            return self._lesson_of_the_day(history, at)
        self._tried_at, self._reached_on = at, at.date()
        past = site_past(self._site, history, at, LEARNED_DAYS, looks=True, draws=True)

        def learn() -> None:
            self.models = learned(self._site, past, self.models, at)
            self._learn_units(past)
            if self._kept is not None:
                try:
                    write_models(self._kept, self.models)
                except OSError as error:
                    log.warning("zone_models_not_kept", where=str(self._kept), what=error.strerror)

        return learn

    def _lesson_of_the_day(self, history: History, at: datetime) -> Callable[[], None] | None:
        """What units gave of late when all was asked of them."""
        if self._reached_on == at.date() or not self.has_model:
            return None
        self._reached_on = at.date()

        def learn() -> None:
            # Read where it is learned: three weeks of fifty zones are seconds, for which no tick may wait.
            self._learn_units(site_past(self._site, history, at, REACH_DAYS, draws=True))

        return learn

    def _learn_units(self, past: SitePast) -> None:
        """What units give when all is asked of them, what they draw when little is, and which contacts are stuck."""
        self.stuck = past.stuck
        units = self._units(past)
        self._reach = reaches(self.hvac, past, units)
        self.least_draw = least_draws(self.hvac, past, units)

    def _units(self, past: SitePast) -> dict[str, UnitPast | None]:
        """What the units did, with the constant loads that were learned and as large as the plan takes them."""
        hvac = self.hvac
        known = self.models.units if self.models is not None else {}
        out: dict[str, UnitPast | None] = {}
        for name, unit in hvac.units.items():
            constants = (known[name].fan_kw, known[name].standby_kw) if name in known else None
            done = unit_past(hvac, name, past, constants)
            out[name] = done and replace(done, heating_kw=unit.heating_kw, cooling_kw=unit.cooling_kw)
        return out

    def estimates(self, past: SitePast) -> dict[str, ZoneEstimate]:
        """Mass and unexplained heat of each zone with a model, from its last two days."""
        hvac = self.hvac
        units = self._units(past)
        models = {name: zone.model for name, zone in hvac.zones.items()}
        return estimates(models, past, {n: units[z.unit] for n, z in hvac.zones.items()})
