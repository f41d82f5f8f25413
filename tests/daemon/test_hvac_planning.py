"""When zones are planned anew, and what the plan is told of the site's power."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from agent.config.load import load_site
from agent.config.site import Tariff
from agent.daemon.comfort import HvacRuntime
from agent.daemon.site_power import SitePower, beside_stations
from agent.domain import Quality, Reading, Snapshot
from agent.store.history import History

SITE = Path(__file__).resolve().parents[2] / "examples" / "hvac_only" / "site.toml"
NOW = datetime(2026, 2, 2, 4, 0, tzinfo=UTC)


def snapshot(at: datetime, temps: dict[str, float], **more: float) -> Snapshot:
    hvac = load_site(SITE).hvac
    values = {hvac.outdoor_temp: 3.0, hvac.solar: 0.0}
    values |= {hvac.zones[name].temp: degc for name, degc in temps.items()}
    values |= {tag.replace("__", "."): value for tag, value in more.items()}
    return Snapshot(at, {tag: Reading(value, Quality.GOOD, at) for tag, value in values.items()})


def plans(runtime: HvacRuntime, steps: int, *, off_k: float = 0.0, **more: float) -> list[datetime]:
    """When the plans in force were made, with zones that do what was expected but for `off_k`."""
    history, made = History(":memory:", 30), []
    temps = {"hall": 16.0, "packing": 16.5}
    # The first plan's lesson finds no past to learn from, and whatever was learned is planned with at once.
    runtime.tick(snapshot(NOW - timedelta(minutes=15), temps), history, [])
    for k in range(steps):
        late = more if k == 1 else {}
        runtime.tick(snapshot(NOW + timedelta(minutes=15 * k), temps, **late), history, [])
        passed = int((NOW + timedelta(minutes=15 * k) - runtime.plan.made_at) / timedelta(minutes=15))
        temps = {n: v[passed] + off_k for n, v in runtime.plan.expected_degc.items()}
        made.append(runtime.plan.made_at)
    return made


def test_plan_goes_on_for_an_hour_while_the_zones_are_where_it_expected_them():
    made = plans(HvacRuntime(load_site(SITE), frozenset()), 5)

    assert made[:4] == [NOW] * 4
    assert made[4] == NOW + timedelta(hours=1)


def test_zone_that_surprises_is_planned_anew_a_quarter_hour_later():
    made = plans(HvacRuntime(load_site(SITE), frozenset()), 2, off_k=0.4)

    assert made == [NOW, NOW + timedelta(minutes=15)]


def test_people_who_come_unexpected_are_planned_for_at_once():
    made = plans(HvacRuntime(load_site(SITE), frozenset()), 2, rtu1__occupied=1.0)

    assert made == [NOW, NOW + timedelta(minutes=15)]


def morning(tariff: Tariff, *, silent: bool = False) -> tuple[list[float], list[str]]:
    """Heating set-points sent to the hall from 04:00 to 05:30 UTC, a look each 5 minutes, and what was noted.

    Both units draw twice what any plan asks for; `silent`: the meter of the second one says nothing.
    """
    site = load_site(SITE).model_copy(update={"tariff": tariff})
    tags = frozenset(
        tag for zone in site.hvac.zones.values() for tag in (zone.heating_setpoint, zone.cooling_setpoint)
    )
    runtime, history, sent, events = HvacRuntime(site, tags), History(":memory:", 30), [], []
    temps, power = {"hall": 19.0, "packing": 19.0}, {} if silent else {"rtu2__power_kw": 30.0}
    for k in range(-3, 18):
        seen = snapshot(NOW + timedelta(minutes=5 * k), temps, rtu1__power_kw=60.0, **power)
        for command in runtime.tick(seen, history, events):
            runtime.wrote(command.tag, command.value)
            if command.tag == site.hvac.zones["hall"].heating_setpoint and command.value is not None:
                sent.append(command.value)
    return sent, [str(fields.get("text")) for kind, _, fields in events if kind == "note"]


def test_halls_led_up_ahead_of_people_give_way_where_the_billing_interval_would_end_too_high():
    free, quiet = morning(Tariff(energy_price_per_kwh=0.2))
    charged, noted = morning(Tariff(energy_price_per_kwh=0.2, demand_charge_per_kw=5.0))

    assert not any("billing interval" in text for text in quiet)
    assert "billing interval: zones are told less than planned" in noted
    assert free[-1] == 20.1  # led up at once
    assert charged[-1] < 20.0


def runtime_on(closed: tuple[date, ...]) -> HvacRuntime:
    site = load_site(SITE)
    return HvacRuntime(
        site.model_copy(update={"site": site.site.model_copy(update={"closed_days": closed})}), frozenset()
    )


def test_halls_stay_set_back_on_a_day_on_which_the_site_is_closed_until_somebody_comes():
    noon = NOW + timedelta(hours=8)
    temps = {"hall": 16.0, "packing": 16.5}
    told = {}
    for day, closed, contact in (
        ("open", (), 0.0),
        ("closed", (NOW.date(),), 0.0),
        ("called in", (NOW.date(),), 1.0),
    ):
        runtime = runtime_on(closed)
        for minutes in (-15, 0):
            at = noon + timedelta(minutes=minutes)
            runtime.tick(snapshot(at, temps, rtu1__occupied=contact), History(":memory:", 30), [])
        told[day] = runtime.plan.step_at("hall", noon).heating_setpoint_degc

    assert told["open"] >= 20.0
    assert told["closed"] == 15.0
    assert told["called in"] >= 20.0


def told_at(runtime: HvacRuntime, history: History, at: datetime, contact: float | None) -> float:
    """The heating set-point of the hall in force after a tick and the one that takes its plan over."""
    more = {} if contact is None else {"rtu1__occupied": contact}
    for seconds in (0, 60):
        now = at + timedelta(seconds=seconds)
        runtime.tick(snapshot(now, {"hall": 20.2, "packing": 16.5}, **more), history, [])
    return runtime.plan.step_at("hall", now).heating_setpoint_degc


def test_somebody_who_sits_still_on_a_sunday_is_not_left_in_the_cold_and_a_hall_left_at_the_end_of_work_is():
    # Local hours of the hall: Saturday until 14:00, nobody on Sunday.
    history, sunday = History(":memory:", 30), datetime(2026, 2, 1, 9, 0, tzinfo=UTC)
    runtime = HvacRuntime(load_site(SITE), frozenset())
    told_at(runtime, history, sunday - timedelta(minutes=15), None)

    assert told_at(runtime, history, sunday, 1.0) >= 20.0
    for minute in range(2, 8):
        runtime.tick(
            snapshot(sunday + timedelta(minutes=minute), {"hall": 20.2, "packing": 16.5}, rtu1__occupied=1.0),
            history,
            [],
        )
    assert told_at(runtime, history, sunday + timedelta(minutes=15), 0.0) >= 20.0
    assert told_at(runtime, history, sunday + timedelta(minutes=30), 0.0) == 15.0

    # Saturday, 14:00 in Berlin: the contact opens a look after the hours end, and is believed at the next quarter hour.
    evening = datetime(2026, 2, 7, 13, 0, tzinfo=UTC)
    assert told_at(runtime, history, evening - timedelta(minutes=15), 1.0) >= 20.0
    runtime.tick(snapshot(evening, {"hall": 20.2, "packing": 16.5}, rtu1__occupied=1.0), history, [])
    assert told_at(runtime, history, evening + timedelta(minutes=15), 0.0) == 15.0


def test_halls_give_way_to_the_sites_limit_where_no_peak_costs():
    free, _ = morning(Tariff(energy_price_per_kwh=0.2))
    limited, noted = morning(Tariff(energy_price_per_kwh=0.2, site_limit_kw=60.0))

    assert "billing interval: zones are told less than planned" in noted
    assert free == [15.0, 20.1]
    # Less while it is led up; with people in, below its band, what was planned.
    assert any(15.0 < degc < 20.0 for degc in limited)
    assert limited[-1] == 20.1


def test_interval_is_not_watched_while_a_meter_is_silent_and_that_is_told_once():
    tariff = Tariff(energy_price_per_kwh=0.2, demand_charge_per_kw=5.0)
    _, noted = morning(tariff, silent=True)

    said = [text for text in noted if text.startswith("billing interval")]
    assert said == ["billing interval: not watched while the power of a unit or machine is unknown"]


def test_peak_so_far_is_the_highest_quarter_hour_of_the_local_month():
    history = History(":memory:", 60)
    # Midnight of 1 February in Berlin is 23:00 UTC. Per quarter hour 30 + 12 kW in January, 20 + 12 in February.
    rows = []
    for minute in range(120):
        at = datetime(2026, 1, 31, 22, 0, tzinfo=UTC) + timedelta(minutes=minute)
        rows += [(at, "rtu1.power_kw", 30.0 if minute < 60 else 20.0), (at, "rtu2.power_kw", 12.0)]
    history.load(rows)
    power = SitePower(load_site(SITE))

    assert power.peak_so_far_kw(history, datetime(2026, 1, 31, 23, 0, tzinfo=UTC)) == 0.0
    assert power.peak_so_far_kw(history, datetime(2026, 2, 1, 0, 0, tzinfo=UTC)) == 32.0
    # Later quarters of an hour count as they close, lower ones change nothing.
    history.load([(datetime(2026, 2, 1, 0, m, tzinfo=UTC), "rtu1.power_kw", 25.0) for m in range(15)])
    assert power.peak_so_far_kw(history, datetime(2026, 2, 1, 0, 30, tzinfo=UTC)) == 32.0
    assert power.peak_so_far_kw(history, datetime(2026, 3, 1, 0, 0, tzinfo=UTC)) == 0.0


def test_site_without_compressors_has_no_other_draw():
    history = History(":memory:", 60)

    assert SitePower(load_site(SITE)).air_kw(history, NOW, steps=96, step_s=900) is None


def test_compressors_learn_what_the_zones_will_draw_and_the_peak_so_far_where_a_peak_costs():
    history = History(":memory:", 60)
    # Two weeks of 30 kW from 06:00 to 18:00 UTC and 10 kW else, one unit; the other stands.
    rows = []
    for hour in range(14 * 24):
        at = NOW - timedelta(days=14) + timedelta(hours=hour)
        rows += [
            (at + timedelta(minutes=m), "rtu1.power_kw", 30.0 if 6 <= at.hour < 18 else 10.0)
            for m in range(0, 60, 5)
        ]
    history.load(rows)
    site = load_site(SITE)
    dear = site.model_copy(update={"tariff": Tariff(energy_price_per_kwh=0.2, demand_charge_per_kw=8.0)})

    known = beside_stations(dear, history)(NOW, 96)

    assert beside_stations(site, history) is None
    assert known.peak_so_far_kw == 30.0
    # It is 04:00: two hours until the unit's day begins.
    assert [round(float(known.load_kw[k])) for k in (0, 7, 9, 55, 57)] == [10, 10, 30, 30, 10]
