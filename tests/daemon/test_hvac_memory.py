"""A site that never saw the agent: what it learns from its past, and that it only advises until then."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from agent.config.load import load_site
from agent.daemon.comfort import HvacRuntime
from agent.daemon.hvac_memory import HvacMemory, site_past
from agent.domain import Mode, Quality, Reading, Snapshot
from agent.planner.hvac_model import next_temps, zone_step_model
from agent.planner.hvac_schedule import is_occupied
from agent.store.history import History
from agent.store.tags import MODE_CODES, mode_tag

SITE = Path(__file__).resolve().parents[2] / "examples" / "hvac_only" / "site.toml"
NOW = datetime(2026, 2, 2, 0, 0, tzinfo=UTC)
DAYS = 14


def bare_site():
    """The example's two halls without any model."""
    site = load_site(SITE)
    zones = {name: zone.model_copy(update={"model": None}) for name, zone in site.hvac.zones.items()}
    return site, site.model_copy(update={"hvac": site.hvac.model_copy(update={"zones": zones})})


def past_of(site, *, swing_k: float = 0.0) -> History:
    """Two cold weeks of both halls by the example's own models: 20.5 degC with people, 16 without.

    `swing_k`: how far a thermostat that switches lets the air swing about that, within a quarter hour.
    """
    history, rows = History(":memory:", 60), []
    rng = np.random.default_rng(1)
    for zone in site.hvac.zones.values():
        unit, step = site.hvac.units[zone.unit], zone_step_model(zone.model, 900.0)
        air = mass = 18.0
        for k in range(DAYS * 96):
            at = NOW - timedelta(days=DAYS) + timedelta(minutes=15 * k)
            outdoor = 2.0 + 5.0 * np.sin(k / 96 * 2 * np.pi) + 3.0 * np.sin(k / 300)
            people = is_occupied(zone, site.site.timezone, at)
            gain = zone.model.gain_always_kw + people * zone.model.gain_occupied_kw
            wanted = 20.5 if people else 16.0
            free, _ = next_temps(step, air, mass, outdoor, gain)
            heat = float(np.clip((wanted - free) / step.air_of_kw, 0.0, unit.heating_kw))
            air, mass = next_temps(step, air, mass, outdoor, gain + heat)
            # Rated at 7 degC, 2.5 % a kelvin (agent/planner/hvac_model.py).
            cop = unit.heating_cop * float(np.clip(1.0 + 0.025 * (outdoor - 7.0), 0.4, 1.3))
            power = (
                heat * (1.0 / cop + (0 if people else unit.fan_kw / unit.heating_kw)) + people * unit.fan_kw
            )
            end = at + timedelta(minutes=0)
            rows += [
                *(
                    (
                        end + timedelta(minutes=5 * i),
                        zone.temp,
                        air + (i - 1) * swing_k + 0.02 * float(rng.normal()),
                    )
                    for i in range(3)
                ),
                (end, zone.heating_setpoint, wanted),
                (end, zone.cooling_setpoint, 26.0),
                (end, zone.occupied, float(people)),
                (end, unit.power, power),
                (end, site.hvac.outdoor_temp, outdoor),
            ]
    history.load(rows)
    return history


def test_zones_are_learned_from_their_past_and_predict_a_day_that_was_held_back():
    site, bare = bare_site()
    memory = HvacMemory(bare)

    memory.lesson(past_of(site), NOW)()

    for name, zone in site.hvac.zones.items():
        found = memory.models.zones[name]
        assert found.rmse_k["1h"] < 0.3
        assert found.rmse_k["24h"] < 0.5
        # What heats it by a kelvin, within a third of the truth.
        assert 0.67 < found.model.ua_kw_per_k / zone.model.ua_kw_per_k < 1.5


def test_a_thermostat_that_swings_within_a_quarter_hour_is_told_that_much_earlier():
    site, bare = bare_site()
    droops = {}
    for swing_k in (0.0, 0.4):
        memory = HvacMemory(bare)
        memory.lesson(past_of(site, swing_k=swing_k), NOW)()
        droops[swing_k] = memory.hvac.zones["hall"].model.heating_droop_k

    # A third of the looks lies 0.4 K below the set-point: nine tenths of them are no further beyond it. The mean of
    # each quarter hour is the same in both.
    assert abs(droops[0.0]) < 0.1
    assert 0.35 < droops[0.4] < 0.5


@pytest.mark.parametrize(("value", "says"), [(0.0, "nobody"), (1.0, "people")])
def test_an_occupancy_contact_that_never_moves_is_told_and_models_learn_by_the_calendar(value, says):
    site, bare = bare_site()
    history, stuck = past_of(site), past_of(site)
    hall = site.hvac.zones["hall"]
    stuck.load(
        [
            (NOW - timedelta(days=DAYS) + timedelta(minutes=15 * k), hall.occupied, value)
            for k in range(DAYS * 96)
        ]
    )
    good, doubted = HvacMemory(bare), HvacMemory(bare)
    good.lesson(history, NOW)()
    doubted.lesson(stuck, NOW)()

    assert doubted.stuck == {"hall": says}
    assert good.stuck == {}
    assert doubted.hvac.zones["hall"].model == good.hvac.zones["hall"].model
    assert (site_past(bare, stuck, NOW, 2, stuck=doubted.stuck).occupied["hall"] == value).mean() < 0.9

    runtime, events = HvacRuntime(site, frozenset()), []
    readings = {hall.temp: 20.0, hall.occupied: value, site.hvac.outdoor_temp: 2.0}
    for minutes in range(5):
        at = NOW + timedelta(minutes=minutes)
        told = Snapshot(at, {tag: Reading(v, Quality.GOOD, at) for tag, v in readings.items()})
        runtime.tick(told, stuck, events)
    texts = [fields["text"] for kind, _, fields in events if kind == "note"]
    assert sum("is it stuck?" in text and says in text for text in texts) == 1


def test_a_past_of_three_days_is_refused_with_its_reason():
    site, bare = bare_site()
    memory = HvacMemory(bare)

    memory.lesson(past_of(site), NOW - timedelta(days=DAYS - 3))()

    assert not memory.has_model
    assert "3.0 days" in memory.models.refused["hall"]


def test_a_site_without_models_advises_until_its_past_has_taught_it_some():
    site, bare = bare_site()
    runtime = HvacRuntime(bare, frozenset())
    history = past_of(site)
    reading = Reading(19.0, Quality.GOOD, NOW)
    tags = [zone.temp for zone in site.hvac.zones.values()] + [site.hvac.outdoor_temp]

    first = runtime.switch.mode
    for minute in (0, 1):
        at = NOW + timedelta(minutes=minute)
        runtime.tick(Snapshot(at, dict.fromkeys(tags, reading)), history, [])

    assert first is Mode.ADVISE
    assert runtime.switch.mode is Mode.CONTROL


def test_a_young_site_says_of_each_hall_why_it_has_no_model_yet_and_is_silent_once_it_has():
    _, bare = bare_site()
    young, old = HvacMemory(bare), HvacMemory(bare)
    young.lesson(History(":memory:", 60), NOW)()
    old.lesson(past_of(load_site(SITE)), NOW)()
    runtime, events = HvacRuntime(bare, frozenset()), []
    for minutes in range(3):
        at = NOW + timedelta(minutes=minutes)
        runtime.tick(Snapshot(at, {}), History(":memory:", 60), events)

    assert all(young.doubts()[f"model of {name}"].startswith("not learned yet: ") for name in bare.hvac.zones)
    assert not any(old.doubts().values())
    told = [fields["text"] for kind, _, fields in events if kind == "note"]
    assert len([text for text in told if text.startswith("model of hall: not learned yet")]) == 1


def test_whoever_wished_for_less_than_control_in_the_meantime_keeps_it():
    site, bare = bare_site()
    runtime = HvacRuntime(bare, frozenset())
    reading = Reading(19.0, Quality.GOOD, NOW)
    tags = [zone.temp for zone in site.hvac.zones.values()] + [site.hvac.outdoor_temp]

    runtime.switch.wish(Mode.ADVISE, "maintenance of the roof units")
    for minute in (0, 1):
        at = NOW + timedelta(minutes=minute)
        runtime.tick(Snapshot(at, dict.fromkeys(tags, reading)), past_of(site), [])

    assert runtime.switch.mode is Mode.ADVISE


def test_a_site_whose_toml_has_models_may_control_at_once():
    site, _ = bare_site()

    assert HvacRuntime(site, frozenset()).switch.mode is Mode.CONTROL


def test_the_sites_own_set_points_are_learned_remembered_and_not_taken_from_what_the_agent_wrote(tmp_path):
    _, bare = bare_site()
    kept = tmp_path / "hvac-models.json"
    memory = HvacMemory(bare, kept)
    memory.lesson(past_of(bare_site()[0]), NOW)()
    first = memory.present(NOW, 96, 900.0)

    # Weeks of the agent's own writing follow; it restarts with its file, and learns again.
    history, later = History(":memory:", 60), NOW + timedelta(days=14)
    rows = []
    for k in range(14 * 96):
        at = NOW + timedelta(minutes=15 * k)
        rows += [(at, zone.heating_setpoint, 18.0) for zone in bare.hvac.zones.values()]
        rows += [(at, mode_tag("hvac"), MODE_CODES[Mode.CONTROL]), (at, bare.hvac.outdoor_temp, 5.0)]
    history.load(rows)
    again = HvacMemory(bare, kept)
    again.lesson(history, later)()
    second = again.present(NOW, 96, 900.0)

    assert set(first["hall"].heating_degc) == {16.0, 20.5}
    assert np.array_equal(first["hall"].heating_degc, second["hall"].heating_degc)

    # The same set-points without the agent's hand in them are the site's new schedule.
    history = History(":memory:", 60)
    history.load([row for row in rows if row[1] != mode_tag("hvac")])
    changed = HvacMemory(bare, kept)
    changed.lesson(history, later + timedelta(days=7))()
    assert set(changed.present(NOW, 96, 900.0)["hall"].heating_degc) == {18.0}


def test_mornings_of_the_past_are_learned_with_the_models_and_each_day():
    # Units of half the size: it takes them more than three quarters of an hour.
    site, bare = (
        made.model_copy(
            update={
                "hvac": made.hvac.model_copy(
                    update={
                        "units": {
                            name: unit.model_copy(update={"heating_kw": 0.5 * unit.heating_kw})
                            for name, unit in made.hvac.units.items()
                        }
                    }
                )
            }
        )
        for made in bare_site()
    )
    memory, history = HvacMemory(bare), past_of(site, swing_k=0.4)
    before = memory.reach

    memory.lesson(history, NOW)()
    with_models = memory.reach["hall"].heating
    again = memory.lesson(history, NOW + timedelta(hours=1))
    memory.lesson(history, NOW + timedelta(days=1))()

    assert before == {}
    # The past's units give what their figures say each morning; a day later the oldest look is gone or older.
    assert with_models.runs >= 3
    assert 0.85 < with_models.share < 1.15
    assert again is None
    assert memory.reach["hall"].heating != with_models


def test_the_winds_past_is_the_sensors_and_the_providers_where_that_knows_more():
    site = load_site(SITE)
    site = site.model_copy(update={"hvac": site.hvac.model_copy(update={"wind": "w.wind"})})
    history = History(":memory:", 60)
    quarters = [NOW - timedelta(minutes=15 * k) for k in range(1, 96 * 2 + 1)]

    assert site_past(site, history, NOW, 2).wind_m_s is None
    history.load((at, "hvac.weather_wind_m_s", 6.0) for at in quarters)
    history.load((at, "w.wind", 3.0) for at in quarters[:48])
    provider = site_past(site, history, NOW, 2).wind_m_s
    history.load((at, "w.wind", 3.0) for at in quarters)
    sensor = site_past(site, history, NOW, 2).wind_m_s

    assert provider == pytest.approx([6.0] * 192)
    assert sensor == pytest.approx([3.0] * 192)
