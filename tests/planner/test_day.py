"""The day's plan: prices over a clock change, machines that are missing, air that is short."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from agent.config.load import load_site
from agent.config.site import Machine, Station, Tariff
from agent.domain import Plan, PlanStatus, PlanStep
from agent.planner.budget import Budget
from agent.planner.day import Beside, DayAsk, DemandOutlook, MachineNow, plan_day, plan_days, start_cost
from agent.planner.prices import price_grid

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
BERLIN = "Europe/Berlin"
STANDING = MachineNow(running=False, in_state_s=7200.0, starts_ago_s=(), available=True)
RUNNING = MachineNow(running=True, in_state_s=7200.0, starts_ago_s=(), available=True)
MONDAY = datetime(2026, 3, 2, 6, 0, tzinfo=UTC)


def machine(device: str, flow: float, power: float, idle: float, **more) -> Machine:
    return Machine(device=device, full_flow_m3_min=flow, full_power_kw=power, unloaded_power_kw=idle, **more)


def station(**changes) -> Station:
    """20 m3/min at 120 kW and 5 m3/min at 32 kW."""
    machines = {"big": machine("big", 20, 120, 25), "small": machine("small", 5, 32, 7)}
    for name, change in changes.items():
        machines[name] = machines[name].model_copy(update=change)
    return Station(
        pressure="h.p", pressure_min_bar_g=6, pressure_max_bar_g=8, receiver_m3=10, machines=machines
    )


def tariff(**more) -> Tariff:
    return Tariff(**{"energy_price_per_kwh": 0.10, **more})


def plan(demand, site=None, now=None, at=MONDAY, reserve=0.0, **more):
    median = np.array(demand, dtype=float)
    budget = more.pop("budget", None)
    ask = DayAsk(
        "air",
        site or station(),
        more.pop("prices", tariff()),
        BERLIN,
        now or {"big": STANDING, "small": RUNNING},
        DemandOutlook(at, 900, median, np.full(len(median), reserve)),
        pressure_bar_g=6.3,
        band_floor_bar=0.1,
        band_width_bar=0.3,
        at=at,
        **more,
    )
    return plan_day(ask, budget=budget)


def test_small_machine_carries_the_night_and_the_big_one_the_shift():
    result = plan([4.0] * 8 + [18.0] * 8 + [4.0] * 8)

    assert result.status is PlanStatus.OPTIMISED
    assert all(step.running == {"small"} for step in result.steps[1:7])
    # 18 m3/min: big alone at 90 % costs 0.9 x 120 + 0.1 x 25 = 110.5 kW; with small running idle 117.5 kW;
    # small full and big at 13 of 20: 32 + 0.65 x 120 + 0.35 x 25 = 118.75 kW.
    assert all(step.running == {"big"} for step in result.steps[10:15])
    assert all(step.running == {"small"} for step in result.steps[18:])


def test_steps_stand_on_the_outlooks_grid_and_the_plan_ends_after_an_hour():
    result = plan([4.0] * 8)

    assert [step.at for step in result.steps] == [MONDAY + timedelta(minutes=15 * i) for i in range(8)]
    assert result.not_after == MONDAY + timedelta(hours=1)
    assert result.step_at(MONDAY + timedelta(minutes=59)) == result.steps[3]
    assert result.step_at(MONDAY + timedelta(minutes=60)) is None


def test_planned_flows_cover_the_demand_of_every_step():
    demand = [4.0, 4.5, 9.0, 18.0, 22.0, 12.0, 4.0, 3.0]

    result = plan(demand)

    # What is not delivered comes out of 10 m3 x 0.3 bar / 1.013: at most 2.96 m3 over the whole plan.
    delivered = sum(sum(step.flow_m3_min.values()) * 15 for step in result.steps)
    assert delivered >= 15 * sum(demand) - 2.97
    assert all(set(step.flow_m3_min) == set(step.running) for step in result.steps)


def test_locked_out_machine_is_never_planned():
    result = plan([4.0] * 8, site=station(small={"locked_out": True}))

    assert all("small" not in step.running for step in result.steps)
    assert result.status is PlanStatus.OPTIMISED


def test_start_of_seconds_does_not_close_the_first_quarter_hour_but_one_of_ten_minutes_does():
    quick = plan([18.0] * 4, site=station(big={"start_s": 15.0}))
    slow = plan([18.0] * 4, site=station(big={"start_s": 600.0}))

    # Small alone delivers 5 of 18 m3/min.
    assert quick.status is PlanStatus.OPTIMISED
    assert "big" in quick.steps[0].running
    assert slow.status is PlanStatus.BEST_EFFORT
    assert slow.steps[0].running == {"small"}


def test_machine_that_cannot_run_now_is_expected_back_after_two_hours():
    tripped = MachineNow(running=False, in_state_s=60.0, starts_ago_s=(), available=False)

    result = plan([4.0] * 24, now={"big": RUNNING, "small": tripped})

    # Two hours are eight steps of a quarter hour.
    assert all("small" not in step.running for step in result.steps[:8])
    assert all(step.running == {"small"} for step in result.steps[10:])


def test_demand_beyond_all_machines_gives_a_best_effort_that_runs_them_all_and_says_so():
    # 30 m3/min of 25 for two hours; the receiver holds less than 3 m3 in its band.
    result = plan([4.0] * 4 + [30.0] * 8 + [4.0] * 4)

    assert result.status is PlanStatus.BEST_EFFORT
    assert all(step.running == {"big", "small"} for step in result.steps[5:12])
    assert result.reasons


def test_no_machine_at_all_is_a_best_effort_and_not_an_error():
    gone = MachineNow(running=False, in_state_s=60.0, starts_ago_s=(), available=False)

    result = plan([4.0] * 4, now={"big": gone, "small": gone})

    assert result.status is PlanStatus.BEST_EFFORT
    assert all(step.running == frozenset() for step in result.steps)


def test_reserve_is_kept_running_when_the_forecast_is_unsure():
    sure = plan([4.0] * 16)
    unsure = plan([4.0] * 16, reserve=10.0)

    # 4 + 10 m3/min is more than small's 5.
    assert all(step.running == {"small"} for step in sure.steps[2:])
    assert any("big" in step.running for step in unsure.steps)


def test_plan_in_force_decides_between_two_machines_of_equal_cost():
    site = station(small={"full_flow_m3_min": 20.0, "full_power_kw": 120.0, "unloaded_power_kw": 25.0})
    now = {"big": STANDING, "small": STANDING}

    def before(name: str) -> Plan:
        steps = tuple(
            PlanStep(MONDAY + timedelta(minutes=15 * i), 900.0, frozenset({name}), {}, 15.0) for i in range(8)
        )
        return Plan("p", "air", MONDAY, MONDAY + timedelta(hours=1), PlanStatus.OPTIMISED, steps)

    kept = {
        name: [step.running for step in plan([15.0] * 8, site=site, now=now, before=before(name)).steps]
        for name in ("big", "small")
    }

    assert kept == {name: [frozenset({name})] * 8 for name in ("big", "small")}


def test_cost_is_energy_times_price_plus_starts():
    # Both steps: small at 4 of 5 m3/min: 0.8 x 32 + 0.2 x 7 = 27 kW for half an hour at 0.10: 1.35.
    cheap = plan([4.0] * 2)
    dear = plan([4.0] * 2, prices=tariff(energy_price_per_kwh=0.20))

    assert cheap.cost == pytest.approx(1.35, rel=0.05)
    assert dear.cost == pytest.approx(2 * cheap.cost, rel=0.01)


def test_start_costs_two_minutes_of_full_power_unless_the_site_names_its_wear():
    # 120 kW x 2 min at 0.10 per kWh: 4 kWh.
    assert start_cost(machine("a", 20, 120, 25), 0.10) == pytest.approx(0.40)
    assert start_cost(machine("a", 20, 120, 25, start_cost=1.5), 0.10) == 1.5


@pytest.mark.parametrize(
    ("first_at", "begin"),
    [
        # Sunday 29 March 2026, 01:00 UTC: 02:00 becomes 03:00. 04:00 local is 02:00 UTC, not 03:00.
        (datetime(2026, 3, 29, 0, 0, tzinfo=UTC), 2),
        # Sunday 25 October 2026, 01:00 UTC: 03:00 becomes 02:00. 04:00 local is 03:00 UTC, not 02:00.
        (datetime(2026, 10, 25, 0, 0, tzinfo=UTC), 3),
    ],
)
def test_prices_follow_the_sites_clock_over_a_clock_change(first_at, begin):
    early = {"days": "sun", "from": "04:00", "to": "05:00", "energy_price_per_kwh": 0.30}

    price = price_grid(tariff(periods=(early,)), BERLIN, first_at, 24, 900.0)

    hours = [set(price[4 * hour : 4 * hour + 4]) for hour in range(6)]
    assert hours == [{0.30} if hour == begin else {0.10} for hour in range(6)]


def test_day_of_25_hours_is_planned_without_a_gap():
    # 24 October 22:00 UTC is midnight in Berlin; the day ends at 23:00 UTC.
    at = datetime(2026, 10, 24, 22, 0, tzinfo=UTC)

    result = plan([4.0] * 100, at=at)

    assert len(result.steps) == 100
    assert result.steps[-1].at == datetime(2026, 10, 25, 22, 45, tzinfo=UTC)
    assert result.status is PlanStatus.OPTIMISED


def ask(name: str, demand: list[float], **more) -> DayAsk:
    median = np.array(demand)
    return DayAsk(
        name,
        station(),
        more.pop("prices", tariff()),
        BERLIN,
        {"big": STANDING, "small": RUNNING},
        DemandOutlook(more.pop("first_at", MONDAY), 900, median, np.zeros(len(median))),
        pressure_bar_g=6.3,
        band_floor_bar=0.1,
        band_width_bar=0.3,
        at=MONDAY,
        **more,
    )


def running(plan) -> list[frozenset[str]]:
    return [step.running for step in plan.steps]


def test_station_alone_is_planned_as_ever():
    one = ask("air", [4.0] * 8 + [18.0] * 8)

    assert plan_days([one])[0] == plan_day(one)


def test_stations_behind_one_meter_see_each_other_as_other_load():
    prices = tariff(demand_charge_per_kw=10.0)
    asks = [
        ask("north", [4.0] * 4 + [18.0] * 8, prices=prices),
        ask("south", [18.0] * 8 + [4.0] * 4, prices=prices),
    ]

    north, south = plan_days(asks)

    # 18 m3/min are at least 110.5 kW and 4 m3/min at least 25 kW for the other.
    for mine, other in ((north, south), (south, north)):
        load = mine.case["other_load_kw"]
        assert len(load) == 12
        assert [kw > 100.0 for kw in load] == [step.demand_m3_min > 10.0 for step in other.steps]
    assert {plan.station for plan in (north, south)} == {"north", "south"}


def test_outlooks_that_begin_apart_are_planned_where_they_overlap():
    prices = tariff(site_limit_kw=400.0)
    later = MONDAY + timedelta(minutes=15)
    asks = [ask("north", [4.0] * 12, prices=prices), ask("south", [5.0] * 12, prices=prices, first_at=later)]

    north, south = plan_days(asks)

    assert [len(running(plan)) for plan in (north, south)] == [11, 11]
    assert north.steps[0].at == south.steps[0].at == later


def test_what_the_rest_of_the_site_draws_and_has_drawn_is_in_the_case():
    prices = tariff(demand_charge_per_kw=10.0, peak_so_far_kw=80.0)
    beside = Beside(np.array([50.0] * 4 + [10.0] * 6), 200.0)

    result = plan([4.0] * 12, prices=prices, beside=beside)

    # The zones' course is shorter than the day: its last value is held. The measured peak is above the tariff's.
    assert result.case["other_load_kw"] == [50.0] * 4 + [10.0] * 8
    assert result.case["demand_charge"]["peak_so_far_kw"] == 200.0


def test_peak_of_the_zones_is_not_paid_twice():
    prices = tariff(demand_charge_per_kw=10.0)
    zones = [100.0] * 4 + [0.0] * 8

    alone = plan([4.0] * 12, prices=prices)
    beside = plan([4.0] * 12, prices=prices, beside=Beside(np.array(zones), 0.0))

    # About 26 kW of air all day: beside the zones the site's peak is some 100 kW higher, at 10 a kW.
    assert 900.0 < beside.cost - alone.cost < 1100.0


def test_stations_and_zones_behind_one_meter_all_count():
    prices = tariff(demand_charge_per_kw=10.0)
    beside = Beside(np.full(12, 40.0), 0.0)
    asks = [ask(name, [4.0] * 12, prices=prices)._replace(beside=beside) for name in ("north", "south")]

    north, _ = plan_days(asks)

    # 40 kW of the zones and the other station's 26 kW or so.
    assert all(60.0 < kw < 75.0 for kw in north.case["other_load_kw"])


@pytest.mark.parametrize("name", ["station_7bar", "carplant_12bar"])
def test_before_a_month_has_a_peak_the_first_programme_over_sets_gains_already(name):
    site = load_site(EXAMPLES / name / "site.toml")
    air = next(iter(site.stations.values()))
    full = sum(m.full_flow_m3_min for m in air.machines.values())
    hour = np.arange(96) / 4.0
    day = full * (0.35 + 0.4 * np.exp(-(((hour - 12.0) / 4.0) ** 2)))
    now = dict.fromkeys(air.machines, STANDING)
    one_programme = replace(Budget.quick(), lps=2, sweeps=1)

    greedy, first = (
        plan(day, air, now, prices=site.tariff, reserve=0.02 * full, budget=budget)
        for budget in (Budget.greedy_only(), one_programme)
    )

    # A target of 0 kW, which is what had been paid, made air that is missing cheaper than the charge.
    assert site.tariff.demand_charge_per_kw > 0.0
    assert first.cost < 0.99 * greedy.cost
