"""A day on which no temperature is known: handed back, or, where the site asks for it, kept at comfort by the calendar."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agent.config.load import load_site
from agent.daemon.comfort import HvacRuntime
from agent.domain import Mode, Quality, Reading, Snapshot
from agent.store.history import History

SITE = Path(__file__).resolve().parents[2] / "examples" / "hvac_only" / "site.toml"
NIGHT = datetime(2026, 2, 2, 1, 0, tzinfo=UTC)  # a Monday; people come at 06:00 Berlin, 05:00 UTC
MINUTE = timedelta(minutes=1)
LEDGER = "the ledger has no room: commands cannot be recorded"


class Rig:
    """Two halls whose devices take what is written; temperatures and answers come and go."""

    def __init__(self, fallback: str) -> None:
        site = load_site(SITE)
        # Thermostats that let the air slip by 0.3 K, and by 0.4 K more at full output.
        droop = {"heating_droop_k": 0.3, "heating_slope_k": 0.4}
        zones = {
            name: zone.model_copy(update={"model": zone.model.model_copy(update=droop)})
            for name, zone in site.hvac.zones.items()
        }
        hvac = site.hvac.model_copy(update={"zones": zones, "fallback": fallback})
        self.runtime = HvacRuntime(site.model_copy(update={"hvac": hvac}), frozenset(site.points))
        self.zones = zones
        self.set = {tag: 15.0 for zone in zones.values() for tag in (zone.heating_setpoint,)}
        self.set |= {zone.cooling_setpoint: 30.0 for zone in zones.values()}
        self.as_found = dict(self.set)
        self.handed_back: list[str] = []
        self.events: list = []
        self.at = NIGHT
        self.history = History(":memory:", 30)

    def tick(self, *, blind: tuple[str, ...] = (), silent: tuple[str, ...] = ()) -> None:
        values = {self.runtime._hvac.outdoor_temp: 3.0}
        for k, (name, zone) in enumerate(self.zones.items()):
            if name not in silent:
                values |= {tag: self.set[tag] for tag in (zone.heating_setpoint, zone.cooling_setpoint)}
            if name not in blind:
                values[zone.temp] = 17.0 + 0.01 * (int(self.at.timestamp() // 60) % 7) + k
        snapshot = Snapshot(self.at, {tag: Reading(v, Quality.GOOD, self.at) for tag, v in values.items()})
        for command in self.runtime.tick(snapshot, self.history, self.events):
            self.runtime.wrote(command.tag, command.value)
            if command.tag in self.set:
                self.set[command.tag] = self.as_found[command.tag] if command.value is None else command.value
                self.handed_back += [command.tag] if command.value is None else []
        self.at += MINUTE

    def run(self, until: datetime, **how: tuple[str, ...]) -> None:
        while self.at < until:
            self.tick(**how)

    def heating(self, name: str) -> float:
        return self.set[self.zones[name].heating_setpoint]


BOTH = ("hall", "packing")
WORK = NIGHT + timedelta(hours=7)


def test_a_site_that_sees_nothing_is_handed_back():
    rig = Rig("hand-back")
    rig.run(NIGHT + timedelta(hours=3))

    rig.run(WORK, blind=BOTH)

    assert rig.runtime.switch.mode is Mode.FALLBACK
    assert rig.set == rig.as_found


def test_a_site_that_asks_for_it_is_kept_at_comfort_inside_the_band_by_all_the_droop_there_may_be():
    rig = Rig("comfort")
    rig.run(NIGHT + timedelta(minutes=30))

    rig.run(NIGHT + timedelta(hours=1), blind=BOTH)
    at_night = {name: rig.heating(name) for name in BOTH}
    rig.run(WORK, blind=BOTH)

    # Whoever looks at mode, notes and events is told.
    assert rig.runtime.switch.mode is Mode.FALLBACK
    assert rig.runtime.readings(rig.at)["hvac.mode"].value == 3.0
    notes = [fields["text"] for kind, _, fields in rig.events if kind == "note"]
    assert "kept at comfort by the calendar: hall, packing" in notes
    assert at_night == {"hall": 15.0, "packing": 15.0}
    # 20 degC, told early by 0.3 and 0.4 K at full output, and by 0.2 K more where nobody sees.
    assert rig.heating("hall") == pytest.approx(20.9)
    assert rig.handed_back == []


def test_start_is_two_hours_ahead_of_people_where_nothing_is_known():
    rig = Rig("comfort")
    rig.run(NIGHT + timedelta(minutes=30))

    # 06:00 in Berlin is 05:00 UTC: from 03:00 on.
    rig.run(NIGHT + timedelta(hours=1, minutes=59), blind=BOTH)
    before = rig.heating("hall")
    rig.run(NIGHT + timedelta(hours=2, minutes=20), blind=BOTH)

    assert (before, rig.heating("hall")) == (15.0, pytest.approx(20.9))


def test_a_device_that_falls_silent_is_let_go_after_a_quarter_of_an_hour():
    rig = Rig("comfort")
    rig.run(WORK, blind=BOTH)
    assert rig.heating("hall") > 20.0

    rig.run(WORK + 14 * MINUTE, blind=BOTH, silent=("hall",))
    kept = rig.heating("hall")
    rig.run(WORK + 20 * MINUTE, blind=BOTH, silent=("hall",))

    assert kept > 20.0
    assert rig.heating("hall") == rig.as_found[rig.zones["hall"].heating_setpoint]
    assert rig.heating("packing") > 20.0


def test_one_zone_without_a_temperature_is_kept_and_the_other_is_planned():
    rig = Rig("comfort")

    rig.run(WORK, blind=("hall",))

    assert rig.runtime.switch.mode is Mode.CONTROL
    assert rig.heating("hall") == pytest.approx(20.9)
    assert rig.handed_back == []
    assert "packing" in rig.runtime.plan.expected_degc


def test_temperatures_that_come_back_are_controlled_by_again_without_letting_go_in_between():
    rig = Rig("comfort")
    rig.run(WORK, blind=BOTH)

    rig.run(WORK + 10 * MINUTE)

    assert rig.runtime.switch.mode is Mode.CONTROL
    assert rig.handed_back == []


def test_a_ledger_without_room_lets_go_of_what_was_kept():
    rig = Rig("comfort")
    rig.run(WORK, blind=BOTH)
    assert rig.runtime.switch.mode is Mode.FALLBACK

    rig.runtime.switch.fall_now(rig.at.timestamp(), LEDGER)
    rig.run(WORK + 5 * MINUTE, blind=BOTH)

    assert rig.set == rig.as_found
