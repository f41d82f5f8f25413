"""What users of other systems have suffered, each as a test by name; docs/hvac.md lists them with their tests."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from agent.clock import SimClock
from agent.config.command import check_command
from agent.config.load import read_site
from agent.config.site import Hvac, Site, Tariff
from agent.daemon.loop import Daemon
from agent.domain import HvacPlan, PlanStatus
from agent.drivers.build import build_driver
from agent.planner.hvac import HvacState, WeatherForecast, plan_hvac
from agent.planner.hvac_case import HvacCase, simulate, unit_case, zone_case
from agent.planner.hvac_model import next_temps, zone_step_model
from agent.planner.hvac_schedule import SetPoints, is_occupied, occupancy_grid
from agent.store.history import History
from agent.store.ledger import Ledger
from tests.twin.wire_plant import free_port
from twin.hvac import HvacTwin
from twin.plant import TwinPlant
from twin.servers import TwinServers
from twin.weather import Conditions, Weather

MONDAY = datetime(2026, 3, 2, tzinfo=UTC)
MODEL = {
    "air_kwh_per_k": 3.0,
    "mass_kwh_per_k": 30.0,
    "ua_kw_per_k": 1.0,
    "mass_ua_kw_per_k": 4.0,
    "gain_occupied_kw": 4.0,
}
ZONE = {
    "unit": "u",
    "temp": "u.temp",
    "occupancy": [{"days": "mon-fri", "from": "06:00", "to": "18:00"}],
    "model": MODEL,
}
UNIT = {"device": "u", "enable": "u.on", "cooling_kw": 40.0, "heating_kw": 40.0, "fan_kw": 1.0}


def hall(**unit) -> Hvac:
    return Hvac.model_validate({"units": {"u": UNIT | unit}, "zones": {"hall": ZONE}})


def planned(
    hvac: Hvac, *, temp: float, outdoor: float | np.ndarray = 0.0, at=MONDAY, steps=96, step_s=900.0, tz="UTC"
) -> HvacPlan:
    people = {name: occupancy_grid(zone, tz, at, steps, step_s) for name, zone in hvac.zones.items()}
    weather = WeatherForecast(np.broadcast_to(outdoor, steps).astype(float), np.zeros(steps))
    price = np.full(steps, 0.15)
    return plan_hvac(hvac, Tariff(), HvacState({"hall": temp}), weather, people, price, at, step_s)


# ---- starting outside the band ----------------------------------------------------------------------------


@pytest.mark.parametrize("temp", [-5.0, 3.0, 12.0, 38.0])
def test_a_room_far_outside_its_band_after_a_failure_gets_a_plan_that_leads_it_back(temp):
    at = MONDAY + timedelta(hours=8)  # with people in

    plan = planned(hall(), temp=temp, outdoor=temp, at=at)

    first = plan.step_at("hall", at)
    assert plan.status in (PlanStatus.OPTIMISED, PlanStatus.GREEDY, PlanStatus.BEST_EFFORT)
    assert first.enable
    assert first.heating_setpoint_degc >= 20.0 if temp < 20.0 else first.cooling_setpoint_degc <= 25.0


def test_bounds_inside_the_lag_of_the_heating_do_not_make_the_plan_impossible():
    # People come in a quarter of an hour; the hall needs hours at full heat.
    at = MONDAY + timedelta(hours=5, minutes=45)

    plan = planned(hall(heating_kw=25.0), temp=9.0, outdoor=-10.0, at=at)

    assert plan.status is PlanStatus.BEST_EFFORT
    assert plan.step_at("hall", at).heating_setpoint_degc >= 20.0
    assert any("comfort cannot be held" in reason for reason in plan.reasons)


def test_a_heater_of_two_kilowatts_is_never_planned_at_twenty():
    hvac = hall(heating_kw=2.0, heating_cop=1.0, fan_kw=0.0)
    steps, zone = 96, hvac.zones["hall"]
    outdoor, everywhere = np.full(steps, -10.0), np.ones(steps, dtype=bool)
    case_of_zone = zone_case(
        "hall",
        zone,
        air_degc=5.0,
        mass_degc=5.0,
        outdoor_degc=outdoor,
        sun_w_m2=np.zeros(steps),
        occupied=everywhere,
        wanted=everywhere,
        band=SetPoints(np.full(steps, 20.0), np.full(steps, 25.0)),
        step_s=900.0,
    )
    unit = unit_case("u", hvac.units["u"], [case_of_zone], everywhere, outdoor)
    case = HvacCase((unit,), outdoor, np.full(steps, 0.15), np.zeros(steps), 0.25, 0.0, 0.0, None)

    course = simulate(case, {"hall": SetPoints(np.full(steps, 20.0), np.full(steps, 25.0))})

    assert float(course.units["u"].heat_kw["hall"].max()) <= 2.0 + 1e-6
    assert float(np.max(course.units["u"].power_kw)) <= 2.0 + 1e-6


# ---- steps, horizons, clocks ------------------------------------------------------------------------------


def test_a_hall_cools_alike_whatever_the_length_of_the_step():
    zone = hall().zones["hall"]
    ends = []
    for step_s in (300.0, 900.0, 1800.0, 3600.0):
        step, air, mass = zone_step_model(zone.model, step_s), 20.0, 20.0
        for _ in range(round(6 * 3600 / step_s)):
            air, mass = next_temps(step, air, mass, 0.0, 0.0)
        ends.append(air)

    assert max(ends) - min(ends) < 0.25
    # The air falls to 4/5 of the mass at once, the mass by 0.8 kW/K over 30 kWh/K: 20 x 0.8 x exp(-6 x 0.8 / 33) = 13.8.
    assert ends[0] == pytest.approx(14.0, abs=0.4)


def test_a_day_costs_the_same_in_steps_of_a_half_hour_as_in_quarter_hours():
    costs = [planned(hall(), temp=15.0, steps=round(86400 / h), step_s=h).cost for h in (900.0, 1800.0)]

    assert costs[1] == pytest.approx(costs[0], rel=0.1)


def test_a_horizon_of_two_days_is_planned_like_one_of_one():
    plan = planned(hall(), temp=15.0, outdoor=0.0, steps=192)

    assert plan.status in (PlanStatus.OPTIMISED, PlanStatus.GREEDY)
    assert plan.zones["hall"][-1].at > MONDAY + timedelta(hours=36)


@pytest.mark.parametrize("monday", ["2026-03-30", "2026-10-26"])
def test_the_morning_after_the_clock_changes_is_warm_when_people_come(monday):
    six = datetime.fromisoformat(f"{monday}T06:00").replace(tzinfo=ZoneInfo("Europe/Berlin")).astimezone(UTC)
    at = six - timedelta(hours=12)

    plan = planned(hall(), temp=16.0, outdoor=0.0, at=at, tz="Europe/Berlin")

    # The plan goes out for two hours only; its whole day is looked at here.
    due = [step for step in plan.zones["hall"] if step.at <= six][-1]
    night = [step for step in plan.zones["hall"] if step.at <= six - timedelta(hours=6)][-1]
    assert due.heating_setpoint_degc >= 19.9
    assert night.heating_setpoint_degc < 19.0


def test_people_and_prices_are_in_the_sites_time_and_not_in_that_of_the_machine():
    zone = hall().zones["hall"]

    # 06:00 in Berlin is 05:00 UTC in March and 04:00 UTC in July.
    assert is_occupied(zone, "Europe/Berlin", datetime(2026, 3, 2, 5, 0, tzinfo=UTC))
    assert not is_occupied(zone, "Europe/Berlin", datetime(2026, 3, 2, 4, 59, tzinfo=UTC))
    assert is_occupied(zone, "Europe/Berlin", datetime(2026, 7, 6, 4, 0, tzinfo=UTC))


def test_cooling_is_not_forgotten_on_a_day_that_also_needs_heat():
    morning_cold = -2.0 + 36.0 * np.clip((np.arange(96) - 24) / 36.0, 0.0, 1.0)  # -2 at 06:00, 34 at 15:00

    plan = planned(hall(), temp=15.0, outdoor=morning_cold)

    at_work = [s for s in plan.zones["hall"] if 6 <= s.at.hour < 18]
    assert all(s.heating_setpoint_degc >= 19.9 for s in at_work)
    assert all(s.cooling_setpoint_degc <= 25.1 for s in at_work)
    assert all(s.cooling_setpoint_degc - s.heating_setpoint_degc >= 2.0 for s in plan.zones["hall"])


@pytest.mark.parametrize("dear", [0.15, 0.30])
def test_a_new_plan_does_not_reshuffle_the_old_one(dear):
    """A quarter hour later, a few hundredths of a kelvin cooler: nine in ten set-points stand within 0.3 K."""
    hvac = hall(heating_cop=3.0)
    price = np.where((np.arange(96) >= 28) & (np.arange(96) < 80), dear, 0.15 if dear == 0.15 else 0.10)
    plans = []
    for k, temp in ((0, 17.0), (1, 16.93)):
        at = MONDAY + timedelta(minutes=15 * k)
        people = {"hall": occupancy_grid(hvac.zones["hall"], "UTC", at, 96, 900.0)}
        outdoor = 2.0 + 5.0 * np.sin((np.arange(96) + k) / 96 * 2 * np.pi)
        weather = WeatherForecast(outdoor, np.zeros(96))
        plans.append(
            plan_hvac(hvac, Tariff(), HvacState({"hall": temp}), weather, people, np.roll(price, -k), at)
        )

    def heating(plan: HvacPlan, at: datetime) -> float:
        return [step.heating_setpoint_degc for step in plan.zones["hall"] if step.at <= at][-1]

    moved = [
        abs(heating(plans[0], at) - heating(plans[1], at)) > 0.3
        for at in (MONDAY + timedelta(minutes=15 * k) for k in range(1, 95))
    ]
    assert sum(moved) <= 0.1 * len(moved)


# ---- configuration ----------------------------------------------------------------------------------------


def test_a_misspelt_key_is_refused_and_the_right_one_named(tmp_path, capsys):
    text = (Path(__file__).parents[2] / "examples" / "hvac_only" / "site.toml").read_text()
    (tmp_path / "site.toml").write_text(text.replace("heating_setpoint =", "heating_setpiont ="))

    assert check_command([str(tmp_path / "site.toml")]) == 2
    assert "write 'heating_setpoint'" in capsys.readouterr().out


# ---- on the wire ------------------------------------------------------------------------------------------

SITE = """
tick_s = 60.0
allow_writes = ["rtu.*"]
[site]
id = "hall"
timezone = "Europe/Berlin"
[devices.rtu]
driver = "modbus-tcp"
host = "127.0.0.1"
port = {port}
profile = "trimload-rooftop-modbus"
stale_after_s = 120
timeout_s = 0.3
[hvac]
mode = "control"
[hvac.units.u]
device = "rtu"
power = "rtu.power_kw"
enable = "rtu.enable"
heartbeat = "rtu.heartbeat"
dead_man_s = 300
cooling_kw = 40
heating_kw = 40
heating_cop = 1.0
fan_kw = 1
[hvac.zones.hall]
unit = "u"
temp = "rtu.zone_temp"
heating_setpoint = "rtu.heating_setpoint"
cooling_setpoint = "rtu.cooling_setpoint"
occupied = "rtu.occupied"
occupancy = [{{ days = "mon-fri", from = "06:00", to = "18:00" }}]
[hvac.zones.hall.model]
air_kwh_per_k = 3.0
mass_kwh_per_k = 30.0
ua_kw_per_k = 1.0
mass_ua_kw_per_k = 4.0
gain_occupied_kw = 4.0
"""


class Cold(Weather):
    """Nine degrees at all times: the unit comes and goes."""

    def __init__(self) -> None:
        pass

    def at(self, at: datetime) -> Conditions:
        return Conditions(9.0, 0.0)


class Wire:
    """The agent and one rooftop unit over real Modbus TCP, moved together minute by minute."""

    def __init__(self, start: datetime) -> None:
        self.site: Site = read_site(SITE.format(port=free_port()), Path())
        self.hvac = HvacTwin(self.site, start_at=start, seed=1, weather=Cold())
        self.plant = TwinPlant(self.site, demand={}, start_at=start, hvac=self.hvac)
        self.servers = TwinServers(self.site, self.plant)
        self.at, self.clock, self.ledger = start, SimClock(start), Ledger(":memory:")
        drivers = {n: build_driver(n, d, self.clock) for n, d in self.site.devices.items()}
        history = History(":memory:", 30)
        self.daemon = Daemon(self.site, self.clock, drivers, history=history, ledger=self.ledger)

    async def run(self, minutes: int, *, every: int = 1, plugged: bool = True) -> None:
        for _ in range(minutes // every):
            self.at += timedelta(minutes=every)
            self.clock.advance_to(self.at)
            if plugged:
                await self.servers.advance_to(self.at)
            else:
                self.plant.advance_to(self.at)
            await self.daemon.tick()

    def written(self) -> list[tuple[str, float | None, float | None]]:
        rows = [row.values() for row in self.ledger.since(MONDAY, "command_written")]
        return [(row["tag"], row["value"], row["before"]) for row in rows]


@pytest.fixture
async def wire():
    made = Wire(datetime(2026, 3, 2, 3, tzinfo=UTC))  # 04:00 on site, nobody in
    await made.servers.start()
    await made.daemon.start()
    yield made
    await made.daemon.stop("test over")
    await made.servers.stop()


async def test_a_lost_link_leaves_the_unit_to_its_own_programme_and_is_taken_up_again(wire: Wire):
    await wire.run(150)  # 06:30: comfort set-points stand
    assert wire.hvac.read("rtu.heating_setpoint") >= 20.0
    await wire.servers.stop()
    await wire.run(8, plugged=False)  # its dead-man is five minutes

    assert not wire.hvac.remote("u")
    own = wire.hvac.read("rtu.heating_setpoint")
    await wire.servers.start()
    # The driver's way back is in real time, half a second at first.
    deadline = time.monotonic() + 60.0
    while not wire.hvac.remote("u"):
        assert time.monotonic() < deadline, "the driver did not come back"
        await asyncio.sleep(0.1)
        await wire.run(1)
    await wire.run(3)

    assert own == 20.0  # the unit's own day programme
    assert wire.hvac.remote("u")
    assert [row for row in wire.ledger.since(MONDAY) if "moved the set-point" in row.fields] == []


class Day(NamedTuple):
    """A working day on the wire: what was written, and when the unit started."""

    written: list[tuple[str, float | None, float | None]]
    starts: list[datetime]
    most_starts: int


_DAY: list[Day] = []  # lived once for all tests that look at it


@pytest.fixture
async def day(wire: Wire) -> Day:
    if not _DAY:
        starts: list[datetime] = []
        last = wire.hvac.units["u"].starts
        for _ in range(8 * 60):
            await wire.run(2, every=2)
            now = wire.hvac.units["u"].starts
            starts += [wire.at] * (now - last)
            last = now
        written = [row for row in wire.written() if row[0] != "rtu.heartbeat"]
        _DAY.append(Day(written, starts, wire.site.hvac.units["u"].max_starts_per_hour))
    return _DAY[0]


async def test_only_set_points_and_enable_are_written_and_no_power_valve_or_alarm(day: Day):
    assert {tag for tag, _, _ in day.written} <= {
        "rtu.heating_setpoint",
        "rtu.cooling_setpoint",
        "rtu.enable",
    }


async def test_units_that_know_on_and_off_get_nothing_in_between(day: Day):
    assert all(value in {0.0, 1.0, None} for tag, value, _ in day.written if tag == "rtu.enable")


async def test_memory_that_wears_is_spared_by_writing_on_change_alone(day: Day):
    assert all(v is None or before is None or abs(v - before) >= 0.05 for _, v, before in day.written)
    # A working day with warm-up and set-back: far fewer than one write of each point a quarter hour.
    assert 2 <= len(day.written) <= 30


async def test_runs_are_not_chopped_and_no_hour_has_more_starts_than_the_unit_allows(day: Day):
    hour = timedelta(hours=1)

    assert day.starts
    assert all(sum(s <= t < s + hour for t in day.starts) <= day.most_starts for s in day.starts)
    switched = [tag for tag, _, _ in day.written if tag == "rtu.enable"]
    assert len(switched) <= 4


async def test_what_stood_before_is_given_back_on_stop(wire: Wire):
    before = (wire.hvac.read("rtu.heating_setpoint"), wire.hvac.read("rtu.cooling_setpoint"))
    await wire.run(150)
    assert (wire.hvac.read("rtu.heating_setpoint"), wire.hvac.read("rtu.cooling_setpoint")) != before

    await wire.daemon.stop("test")

    assert (wire.hvac.read("rtu.heating_setpoint"), wire.hvac.read("rtu.cooling_setpoint")) == before
