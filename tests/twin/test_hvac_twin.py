"""The simulated zones and units: physics by hand, the unit's own controller, and the loop closed by a plan."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from agent.config.site import Site
from agent.domain import HvacPlan
from agent.planner.hvac import HvacState, WeatherForecast, baseline_hvac, occupancy_grid, plan_hvac
from agent.planner.hvac_model import next_mass_degc
from twin.hvac import HvacTwin
from twin.weather import Conditions, Weather

START = datetime(2026, 3, 2, tzinfo=UTC)  # a Monday
STEP_S = 900.0
STEPS = 96


class SteadyWeather(Weather):
    """The same outdoors at all times."""

    def __init__(self, temp_degc: float, sun_w_m2: float = 0.0) -> None:
        self._conditions = Conditions(temp_degc, sun_w_m2)

    def at(self, at: datetime) -> Conditions:
        return self._conditions


def hall_site(**unit_changes) -> Site:
    points = {
        name: {"register": "holding", "address": 2 * n, "type": "float32", "writable": True}
        for n, name in enumerate(
            ["temp", "heat_set", "cool_set", "power", "enable", "beat", "outdoor", "sun", "people"]
        )
    }
    unit = {
        "device": "rtu",
        "power": "rtu.power",
        "enable": "rtu.enable",
        "heartbeat": "rtu.beat",
        "dead_man_s": 120.0,
        "cooling_kw": 60.0,
        "heating_kw": 60.0,
        "heating_cop": 1.0,
        "fan_kw": 2.0,
    }
    zone = {
        "unit": "u",
        "temp": "rtu.temp",
        "heating_setpoint": "rtu.heat_set",
        "cooling_setpoint": "rtu.cool_set",
        "occupied": "rtu.people",
        "occupancy": [{"days": "mon-fri", "from": "06:00", "to": "18:00"}],
        "model": {
            "air_kwh_per_k": 4.0,
            "mass_kwh_per_k": 40.0,
            "ua_kw_per_k": 1.5,
            "mass_ua_kw_per_k": 5.0,
            "sun_kw_per_w_m2": 0.015,
            "gain_occupied_kw": 8.0,
        },
    }
    return Site.model_validate(
        {
            "site": {"id": "s"},
            "devices": {"rtu": {"driver": "lines", "points": points}},
            "hvac": {
                "outdoor_temp": "rtu.outdoor",
                "solar": "rtu.sun",
                "units": {"u": unit | unit_changes},
                "zones": {"hall": zone},
            },
        }
    )


def twin_at(temp_degc: float, *, sun_w_m2: float = 0.0, start: datetime = START, **unit) -> HvacTwin:
    weather = SteadyWeather(temp_degc, sun_w_m2)
    return HvacTwin(hall_site(**unit), start_at=start, seed=3, weather=weather, model_error=0.0)


def beat_through(twin: HvacTwin, start: datetime, minutes: int) -> None:
    """Live on with a heartbeat each minute."""
    for minute in range(minutes):
        twin.write("rtu.beat", float(minute % 1000 + 1))
        twin.advance_to(start + timedelta(minutes=minute + 1))


def test_a_steady_night_costs_what_the_walls_lose():
    # Set-back 15 degC over a long cold week-end, 0 degC outside: 1.5 kW/K x 15 K = 22.5 kW of heat, electric
    # at COP 1 plus the fan; 12 % lost at least output, 0 at full: share 22.5/60 gives 12 % x 0.625 = 7.5 %.
    twin = twin_at(0.0, start=START - timedelta(days=1))  # Sunday: nobody in
    twin.open_books()

    twin.advance_to(START)

    expected_kw = 22.5 / (1 - 0.075) + 2.0
    assert twin.energy_kwh / 24.0 == pytest.approx(expected_kw, rel=0.06)


def test_people_and_sun_warm_a_zone_and_nobody_counts_discomfort_at_night():
    dark, bright = twin_at(10.0), twin_at(10.0, sun_w_m2=600.0)

    for twin in (dark, bright):
        twin.advance_to(START + timedelta(hours=5))

    assert bright.read("rtu.temp") > dark.read("rtu.temp") + 2.0
    assert dark.discomfort_kh == 0.0
    assert dark.read("rtu.people") == 0.0
    dark.advance_to(START + timedelta(hours=7))
    assert dark.read("rtu.people") == 1.0


def test_without_a_heartbeat_the_unit_keeps_its_own_programme():
    twin = twin_at(0.0)

    twin.write("rtu.heat_set", 22.0)
    twin.advance_to(START + timedelta(hours=2))

    assert twin.remote("u") is False
    assert twin.read("rtu.heat_set") == 15.0
    assert twin.read("rtu.temp") == pytest.approx(15.0, abs=0.6)


def test_with_a_heartbeat_the_written_set_point_holds_and_after_the_dead_man_the_programme_returns():
    twin = twin_at(0.0)

    assert twin.write("rtu.heat_set", 19.0)
    beat_through(twin, START, 180)
    held = twin.read("rtu.temp")
    twin.advance_to(START + timedelta(minutes=180, seconds=30))
    still = twin.remote("u")
    twin.advance_to(START + timedelta(minutes=183))

    assert held == pytest.approx(19.0, abs=0.5)
    assert still is True
    assert twin.remote("u") is False
    assert twin.read("rtu.heat_set") == 15.0


def test_a_heartbeat_that_stands_still_is_none():
    twin = twin_at(0.0)

    for minute in range(5):
        twin.write("rtu.beat", 7.0)
        twin.advance_to(START + timedelta(minutes=minute + 1))

    assert twin.remote("u") is False


def test_a_unit_switched_off_warms_nothing_until_the_dead_man_switches_it_on():
    twin = twin_at(0.0, start=START + timedelta(hours=8))  # with people
    start = START + timedelta(hours=8)

    assert twin.write("rtu.enable", 0.0)
    beat_through(twin, start, 60)
    off_kw, off_degc = twin.read("rtu.power"), twin.read("rtu.temp")
    twin.advance_to(start + timedelta(minutes=90))

    assert off_kw == 0.0
    assert off_degc < 18.5
    assert twin.read("rtu.enable") == 1.0
    assert twin.read("rtu.power") > 10.0


@pytest.mark.parametrize(
    ("tag", "value"), [("rtu.heat_set", 50.0), ("rtu.heat_set", 29.8), ("rtu.enable", 3.0)]
)
def test_what_the_controller_cannot_take_is_refused(tag, value):
    twin = twin_at(10.0)
    before = twin.read(tag)

    taken = twin.write(tag, value)

    assert taken is False
    assert twin.read(tag) == before


def test_measured_points_are_not_written():
    twin = twin_at(10.0)

    assert twin.write("rtu.temp", 20.0) is False
    assert twin.write("rtu.power", 20.0) is False


def test_the_compressor_keeps_its_least_run_and_stop_times():
    twin = twin_at(11.0, min_run_s=1800.0, min_stop_s=2400.0)
    unit = twin.units["u"]
    changes, mode = [], unit.mode

    for minute in range(12 * 60):
        twin.advance_to(START + timedelta(minutes=minute + 1))
        if unit.mode != mode:
            mode = unit.mode
            changes.append((minute, mode))

    runs = [b - a for (a, on), (b, _) in zip(changes, changes[1:], strict=False) if on]
    stops = [b - a for (a, on), (b, _) in zip(changes, changes[1:], strict=False) if not on]
    assert len(runs) >= 2
    assert min(runs) >= 30
    assert min(stops) >= 40


def test_the_same_seed_gives_the_same_day_whoever_asks_in_between():
    site = hall_site()
    once, often = (HvacTwin(site, start_at=START, seed=5) for _ in range(2))

    once.advance_to(START + timedelta(hours=6))
    for second in range(0, 6 * 3600 + 1, 7):
        often.advance_to(START + timedelta(seconds=second))
    often.advance_to(START + timedelta(hours=6))

    assert often.read("rtu.temp") == once.read("rtu.temp")
    assert often.energy_kwh == once.energy_kwh
    assert HvacTwin(site, start_at=START, seed=6).read("rtu.temp") != once.read("rtu.temp")


def test_weather_has_days_seasons_and_a_sun_that_sets():
    summer, winter = (
        Weather(start_at=datetime(2026, month, 1, tzinfo=UTC), seed=1, timezone="Europe/Berlin")
        for month in (7, 1)
    )

    hot = [summer.at(datetime(2026, 7, 1, tzinfo=UTC) + timedelta(hours=h)) for h in range(24 * 20)]
    cold = [winter.at(datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=h)) for h in range(24 * 20)]

    assert np.mean([c.temp_degc for c in hot]) > np.mean([c.temp_degc for c in cold]) + 12.0
    assert np.mean([c.temp_degc for c in hot[13::24]]) > np.mean([c.temp_degc for c in hot[3::24]]) + 4.0
    assert max(c.sun_w_m2 for c in hot[0::24]) == 0.0  # 01:00 local
    assert 400.0 < max(c.sun_w_m2 for c in hot) < 1100.0
    assert max(c.sun_w_m2 for c in cold) < 450.0


def closed_loop(planner, start: datetime, *, price: np.ndarray | None = None) -> tuple[HvacTwin, float]:
    """A day under a planner called each quarter hour; the twin afterwards and the day's cost.

    The planner knows site.toml's model, which is not quite the twin's, and yesterday's weather.
    """
    site = hall_site(heating_cop=3.0)
    hvac = site.hvac
    zone = hvac.zones["hall"]
    twin = HvacTwin(site, start_at=start, seed=11)
    day_price = np.full(STEPS, 0.15) if price is None else price
    mass, cost = twin.read("rtu.temp"), 0.0
    for k in range(STEPS):
        at = start + timedelta(seconds=k * STEP_S)
        seen = [
            twin.weather.at(at + timedelta(seconds=(i + 0.5) * STEP_S) - timedelta(days=1))
            for i in range(STEPS)
        ]
        weather = WeatherForecast(np.array([c.temp_degc for c in seen]), np.array([c.sun_w_m2 for c in seen]))
        occupied = {"hall": occupancy_grid(zone, "UTC", at, STEPS, STEP_S)}
        state = HvacState({"hall": twin.read("rtu.temp")}, {"hall": mass})
        plan: HvacPlan = planner(hvac, site.tariff, state, weather, occupied, np.roll(day_price, -k), at)
        step = plan.step_at("hall", at)
        twin.write("rtu.cool_set", 40.0)
        assert twin.write("rtu.heat_set", step.heating_setpoint_degc)
        assert twin.write("rtu.cool_set", step.cooling_setpoint_degc)
        assert twin.write("rtu.enable", float(step.enable))
        before = twin.energy_kwh
        for minute in range(15):
            twin.write("rtu.beat", float(k * 15 + minute + 1))
            twin.advance_to(at + timedelta(minutes=minute + 1))
        cost += (twin.energy_kwh - before) * day_price[k]
        mass = next_mass_degc(zone.model, mass, twin.read("rtu.temp"), STEP_S)
    return twin, cost


def plain(hvac, tariff, state, weather, occupied, price, at):
    return baseline_hvac(hvac, occupied, at)


@pytest.mark.parametrize("start", [datetime(2026, 7, 14, tzinfo=UTC), datetime(2026, 1, 13, tzinfo=UTC)])
def test_a_planned_day_is_more_comfortable_than_the_plain_schedule_and_costs_little_more(start, capsys):
    by_plan, _ = closed_loop(plan_hvac, start)
    by_clock, _ = closed_loop(plain, start)

    with capsys.disabled():
        print(
            f"\n{start:%d %b}: plan {by_plan.energy_kwh:.0f} kWh, {by_plan.discomfort_kh:.2f} K h; "
            f"plain {by_clock.energy_kwh:.0f} kWh, {by_clock.discomfort_kh:.2f} K h"
        )
    assert by_plan.discomfort_kh < by_clock.discomfort_kh
    assert by_plan.energy_kwh < 1.12 * by_clock.energy_kwh
    assert by_plan.starts <= by_clock.starts + 4


def test_with_a_dear_afternoon_the_planned_day_costs_less_than_the_plain_schedule():
    price = np.full(STEPS, 0.10)
    price[52:76] = 0.60  # 13:00 to 19:00
    start = datetime(2026, 7, 14, tzinfo=UTC)

    by_plan, plan_cost = closed_loop(plan_hvac, start, price=price)
    by_clock, clock_cost = closed_loop(plain, start, price=price)

    assert plan_cost < 0.95 * clock_cost
    assert by_plan.discomfort_kh <= by_clock.discomfort_kh + 0.1
