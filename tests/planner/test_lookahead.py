"""Sets of machines and the half hour ahead, by hand-worked costs."""

import numpy as np
import pytest

from agent.config.site import Machine, Station
from agent.planner.lookahead import Lookahead, LookaheadSettings
from agent.planner.sets import SpreadSettings, build_sets

A, B = 1, 2


def machine(device: str, flow: float, power: float, idle: float) -> Machine:
    return Machine(
        device=device, full_flow_m3_min=flow, full_power_kw=power, unloaded_power_kw=idle, blowdown_s=0
    )


def station(**machines: Machine) -> Station:
    return Station(
        pressure="h.p", pressure_min_bar_g=6, pressure_max_bar_g=8, receiver_m3=10, machines=machines
    )


@pytest.fixture
def two() -> Station:
    return station(a=machine("a", 10, 60, 12), b=machine("b", 5, 35, 8))


def table_of(site: Station, spread: float = 0.0, points: int = 316):
    # 15 m3/min and 5 % over 315 intervals: a grid of 0.05 m3/min.
    return build_sets(site, SpreadSettings(spread, 20.0), band_bar=0.2, grid_points=points)


def power(table, mask: int, demand: float) -> float:
    return float(table.power_kw[table.index_of[mask], table.column(demand)])


def test_power_of_each_set_is_the_cheapest_way_to_deliver(two):
    table = table_of(two)

    # Nothing runs: nothing is used. One machine at half load: half full, half idle.
    assert power(table, 0, 0.0) == 0.0
    assert power(table, A, 5.0) == pytest.approx(0.5 * 60 + 0.5 * 12)
    # Both run for 5 m3/min: b full and a idle (47) beats a at half load and b idle (44)? 36 + 8 = 44 wins.
    assert power(table, A | B, 5.0) == pytest.approx(44.0)
    # 12 m3/min: a full, b at 2 of 5: 60 + 0.4 x 35 + 0.6 x 8.
    assert power(table, A | B, 12.0) == pytest.approx(60 + 14 + 4.8)
    assert table.loading(A | B, 12.0) == (A, 1)


def test_need_beyond_a_set_loads_all_of_it(two):
    assert table_of(two).loading(A, 14.0) == (A, -1)


def test_set_outside_the_table_loads_from_the_largest_down_until_the_need_is_covered():
    # Nine machines of 5 to 13 m3/min: above eight only some sets are in the table, m0 + m1 + m3 + m5 is not.
    site = station(**{f"m{i}": machine(f"m{i}", 5 + i, 30 + 6 * i, 6 + i) for i in range(9)})
    table = build_sets(site, SpreadSettings(), band_bar=0.2)
    odd = 1 << 0 | 1 << 1 | 1 << 3 | 1 << 5

    assert odd not in table.index_of
    # Flows 5, 6, 8, 10. 6: the 6 alone. 13: the 10, and 3 are left for the smallest. 29 and more: all.
    assert table.loading(odd, 6.0) == (1 << 1, -1)
    assert table.loading(odd, 13.0) == (1 << 5, 0)
    assert table.loading(odd, 40.0) == (odd, -1)


def test_spread_prices_the_air_that_a_set_could_lack(two):
    sharp, spread = table_of(two), table_of(two, spread=0.1)
    row, edge = sharp.index_of[A], sharp.column(10.0)

    # At full load a third of the demands lies above the capacity of a alone.
    assert spread.spread_kw[row, edge] > sharp.spread_kw[row, edge]
    assert np.all(np.diff(sharp.power_kw[row, : edge + 1]) >= -1e-9)


def look(site: Station, **settings) -> Lookahead:
    chosen = LookaheadSettings(margin=0.0, **settings)
    return Lookahead(table_of(site), [m.full_power_kw for m in site.machines.values()], chosen)


def test_machine_is_kept_through_a_short_lull_when_its_restart_costs_more(two):
    # Five minutes without need of a cost 12 kW / 12 = 1 kWh idle; b alone for 4 m3/min costs less by
    # (44 - 29.6) / 12 = 0.9 kWh than with a idle. A start of a costs 3 min x 60 kW = 3 kWh.
    lull = [4.0, 14.0, 14.0, 14.0]

    assert look(two, start_min=3.0).choose(A | B, lull).mask == A | B
    assert look(two, start_min=0.1).choose(A | B, lull).mask == B


def test_what_was_needed_minutes_ago_is_not_stopped_to_be_started_again(two):
    # b alone carries 4 m3/min for 2 h, but 12 were drawn a moment ago: stopping a would cost its restart,
    # 8 min x 60 kW = 8 kWh; running it idle 0.9 kWh in the first five minutes.
    steady = [4.0] * 2

    assert look(two).choose(A | B, steady).mask == B
    assert look(two).choose(A | B, steady, lately_m3_min=12.0).mask == A | B


def test_machine_that_the_wandering_demand_will_want_is_kept_where_starts_are_dear(two):
    # b alone (6 m3/min) carries the 4 expected. To stop a saves 0.9 kWh in five minutes; with a peak of 12 +- 1 in the
    # hour another is wanted within them with a chance of a quarter at least, and a start costs 5 x 8 minutes of full power.
    steady, near, far = [4.0] * 2, (12.0, 1.0), (4.0, 0.5)

    assert look(two).choose(A | B, steady, start_factor=5.0, peak=near).mask == A | B
    assert look(two).choose(A | B, steady, start_factor=5.0, peak=far).mask == B
    # At the usual price it is not reckoned with.
    assert look(two).choose(A | B, steady, peak=near).mask == B


def test_ramp_is_met_by_a_start_before_it(two):
    # 200 kW a missing m3/min outweigh everything: both must run when the ramp is there, not before.
    steps = look(two).choose(A, [4.0, 14.0, 14.0])
    now = look(two).choose(A, [14.0, 14.0, 14.0])

    assert steps.mask in (A, B)
    assert now.mask == A | B


def test_barred_machines_never_run_and_held_ones_always(two):
    choice = look(two)

    assert choice.choose(0, [14.0] * 3, barred=A).mask == B
    assert choice.choose(0, [0.0] * 3, held=A).mask & A
    assert choice.choose(A, [4.0] * 3, barred=A, held=A).reason.startswith("no set")


def test_day_plans_machines_at_the_end_are_worth_the_start_they_save(two):
    free = look(two, start_min=3.0).choose(A | B, [4.0])
    planned = look(two, start_min=3.0, plan_weight=1.0).choose(A | B, [4.0], end_running=A | B)

    assert free.mask == B
    assert planned.mask == A | B


def test_ten_machines_are_planned_over_fewer_sets_and_still_cover_the_demand():
    site = station(**{f"m{i}": machine(f"m{i}", 5 + i, 30 + 6 * i, 6 + i) for i in range(10)})
    table = build_sets(site, SpreadSettings(), band_bar=0.2)
    ahead = Lookahead(table, [m.full_power_kw for m in site.machines.values()], LookaheadSettings())

    choice = ahead.choose(0, [60.0] * 6)

    capacity = sum(5 + i for i in range(10) if (choice.mask >> i) & 1)
    assert len(table.masks) < 600
    assert capacity >= 60.0


def test_machine_that_delivers_after_five_minutes_is_chosen_five_minutes_before_the_ramp(two):
    # a carries 9 m3/min now, 14 are taken in five minutes: b started then would deliver when ten have passed.
    machines = list(two.machines.values())
    powers, idle = [m.full_power_kw for m in machines], [m.unloaded_power_kw for m in machines]
    settings = LookaheadSettings(steps_s=(300.0, 300.0, 300.0))

    def chosen(start_s: float, demand: list[float]) -> int:
        slow = Lookahead(table_of(two), powers, settings, start_s=[start_s, start_s], unloaded_power_kw=idle)
        return slow.choose(A, demand).mask

    assert chosen(300.0, [9.0, 14.0, 14.0]) == A | B
    # Ten minutes ahead there is time, and a machine of 15 s is started when the ramp is there.
    assert chosen(300.0, [9.0, 9.0, 14.0]) == A
    assert chosen(15.0, [9.0, 14.0, 14.0]) == A


def test_slow_start_counts_the_air_that_the_set_before_it_lacks_meanwhile(two):
    # From b alone at 5 to a and b at 14: b carries the first 300 s, 9 m3/min are lacking at 200 kW each and 20 kW of
    # the spread, b draws 35 kW and a its 12 kW unloaded while it starts; then both: 60 + 0.8 x 35 + 0.2 x 8 kW.
    slow = Lookahead(
        table_of(two),
        [60.0, 35.0],
        LookaheadSettings(start_min=0.0),
        start_s=[300.0, 300.0],
        unloaded_power_kw=[12.0, 8.0],
    )

    choice = slow.choose(B, [14.0, 14.0])

    assert choice.mask == A | B
    assert choice.cost_kwh == pytest.approx((9 * 220 + 35 + 12 + 89.6) / 12)
