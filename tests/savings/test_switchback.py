"""The switchback meter on days whose saving is known, through the store, and its refusals."""

from __future__ import annotations

import json
from datetime import date, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from agent.config.parts import WeekTime
from agent.config.site import Hvac, Switchback, Unit, Zone
from agent.planner.switchback import days
from agent.savings.figure import Unsupported
from agent.savings.switchback import SwitchDay, analyse
from agent.savings.switchback_command import command
from agent.store.history import History
from agent.store.tags import MODE_CODES

BEGIN = date(2026, 5, 4)


def halls(*, block: int = 5, span: int = 84, seed: int = 1) -> Hvac:
    zone = Zone(unit="u", temp="u.temp", occupancy=(WeekTime(days="mon-fri", from_="06:00", to="18:00"),))
    return Hvac(
        mode="control",
        outdoor_temp="w.temp",
        solar="w.sun",
        units={"u": Unit(device="u", power="u.power", cooling_kw=50.0)},
        zones={"hall": zone},
        switchback=Switchback(begin=BEGIN, days=span, block_days=block, seed=seed),
    )


def made_up(
    seed: int, *, saving: float, block: int = 5, noise: float = 0.08, span: int = 84
) -> list[SwitchDay]:
    """Days of a hall that is cooled: 100 kWh at rest, 180 at work, 22 for each degree above 18; AR(1) about it."""
    rng = np.random.default_rng(seed)
    out, front, rest = [], 0.0, 0.0
    for number, day in enumerate(days(halls(block=block, seed=seed, span=span), "UTC")):
        front = 0.75 * front + rng.normal() * 2.0
        rest = 0.5 * rest + rng.normal() * noise * np.sqrt(1 - 0.25)
        outdoor = 19.0 + 4.0 * np.sin(number / 84.0 * np.pi) + front
        work = day.on.weekday() < 5
        energy = (100.0 + 80.0 * work + 22.0 * max(outdoor - 18.0, 0.0)) * (1.0 + rest)
        if day.arm == "agent":
            energy *= 1.0 - saving
        out.append(
            SwitchDay(
                day, energy, 0.2 * energy, outdoor, 200.0, 12.0 * work, 0.5 if day.arm == "agent" else 1.5
            )
        )
    return out


def test_a_saving_is_found_with_an_interval_that_holds_it_and_no_wider_than_the_noise_asks():
    found = analyse(made_up(3, saving=0.12))

    assert not isinstance(found, Unsupported)
    low, high = found.energy.share_interval
    assert low <= 0.12 <= high
    assert high - low < 0.12
    assert found.energy.confidence == 0.90
    # Money follows energy at one price; of discomfort the agent had one kelvin hour a day less, each day.
    assert found.cost.share == pytest.approx(found.energy.share, abs=1e-6)
    assert found.discomfort.less_kh == pytest.approx(1.0)
    assert found.energy.baseline_kwh - found.energy.actual_kwh == pytest.approx(
        found.energy.saved_kwh, rel=0.03
    )


@pytest.mark.parametrize("block", [3, 5])
def test_nine_in_ten_intervals_hold_the_truth_on_made_up_days(block, capsys):
    truth = 0.08
    hits = []
    for seed in range(24):
        found = analyse(made_up(seed, saving=truth, block=block), seed=seed)
        low, high = found.energy.share_interval
        hits.append(low <= truth <= high)

    with capsys.disabled():
        print(f"\nblocks of {block} days: {sum(hits)} of 24 intervals hold the truth")
    # Of 24 at 90 %: fewer than 17 would happen once in 200 tests.
    assert sum(hits) >= 17


def test_days_that_the_lot_gave_to_both_alike_show_no_saving():
    shares = [analyse(made_up(seed, saving=0.0)).energy for seed in range(8)]

    assert sum(s.low_kwh <= 0.0 <= s.high_kwh for s in shares) >= 6
    assert abs(np.mean([s.share for s in shares])) < 0.03


def test_the_first_day_of_each_block_is_left_out_because_it_pays_for_the_block_before():
    paying = [
        d._replace(energy_kwh=d.energy_kwh * (1.4 if d.day.first and d.day.arm == "site" else 1.0))
        for d in made_up(5, saving=0.10)
    ]

    assert analyse(paying).energy == analyse(made_up(5, saving=0.10)).energy
    assert all(not day.day.first for day in analyse(paying).days)


def test_too_few_blocks_or_weather_that_cannot_be_compared_give_no_figure_but_a_reason():
    few = analyse(made_up(1, saving=0.1)[:35])
    apart = analyse(
        [
            d._replace(outdoor_degc=d.outdoor_degc + (9.0 if d.day.arm == "agent" else 0.0))
            for d in made_up(1, saving=0.1)
        ]
    )

    assert isinstance(few, Unsupported)
    assert "4 of each are needed" in few.why
    assert isinstance(apart, Unsupported)
    assert "cannot be compared" in apart.why


# ---- through the store and the command --------------------------------------------------------------------

SITE = """
allow_writes = ["u.*"]
[site]
id = "halls"
[devices.u]
driver = "lines"
[devices.u.points]
temp = { unit = "degC" }
power = { unit = "kW" }
heat = { unit = "degC", writable = true, write_min = 5, write_max = 35 }
cool = { unit = "degC", writable = true, write_min = 5, write_max = 35 }
[devices.w]
driver = "lines"
[devices.w.points]
temp = { unit = "degC" }
[hvac]
mode = "control"
outdoor_temp = "w.temp"
[hvac.switchback]
begin = 2026-05-04
days = 56
block_days = 5
[hvac.units.u]
device = "u"
power = "u.power"
cooling_kw = 50
[hvac.zones.hall]
unit = "u"
temp = "u.temp"
cooling_setpoint = "u.cool"
occupancy = [{ days = "mon-fri", from = "06:00", to = "18:00" }]
"""


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Eight weeks in the store: 10 kW by day, a tenth less on the agent's days, and one day without power."""
    (tmp_path / "site.toml").write_text(SITE)
    history = History(tmp_path / "history.db", 400)
    test = days(halls(span=56), "UTC")
    rng = np.random.default_rng(2)
    rows: list[tuple[datetime, str, float | None]] = []
    for number, day in enumerate(test):
        warm = 20.0 + 5.0 * np.sin(number) + rng.normal()
        at = day.from_at
        while at < day.to_at:
            agent = day.arm == "agent"
            kw = (10.0 + 0.4 * (warm - 20.0) + rng.normal() * 0.3) * (0.9 if agent else 1.0)
            mode = "control" if agent else "advise"
            rows += [
                (at, "w.temp", warm + 5.0 * np.sin(at.hour / 24.0 * 2.0 * np.pi)),
                (at, "u.power", None if number == 10 else kw),
                (at, "u.temp", 26.0 if agent else 25.5),
                (at, "hvac.mode", MODE_CODES[mode]),
            ]
            at += timedelta(minutes=15)
    history.load(rows)
    history.close()
    return tmp_path


def test_the_command_gives_figures_with_intervals_as_text_json_and_page(state: Path, capsys):
    status = command(
        ["report", str(state / "site.toml"), "--state", str(state), "--json", str(state / "out.json"), "--html", str(state / "out.html")]
    )  # fmt: skip
    text = capsys.readouterr().out
    body = json.loads((state / "out.json").read_text())
    html = (state / "out.html").read_text()

    assert status == 0
    assert body["energy"]["share"] == pytest.approx(0.10, abs=0.02)
    assert body["energy"]["low_kwh"] < body["energy"]["saved_kwh"] < body["energy"]["high_kwh"]
    assert [one["why"] for one in body["left_out"]] == ["power was known for 0 % of it"]
    # 12 h of work days outside the band: 1 K and 0.5 K.
    assert body["discomfort_kh_a_day"]["agent_kh"] > body["discomfort_kh_a_day"]["site_kh"]
    for line in text.splitlines():
        assert ("saved" not in line) or ("interval" in line)
    assert html.count("90 % interval") >= 3
    assert "<script" not in html
    assert "http" not in html


def test_days_on_which_the_wrong_one_ruled_are_left_out_with_that_reason(state: Path, capsys):
    history = History(state / "history.db", 400)
    test = days(halls(span=56), "UTC")
    stolen = next(day for day in test if day.arm == "agent" and not day.first)
    at = stolen.from_at
    rows = []
    while at < stolen.to_at:
        rows.append((at, "hvac.mode", MODE_CODES["observe"]))
        at += timedelta(minutes=15)
    history.load(rows)
    history.close()

    command(["report", str(state / "site.toml"), "--state", str(state), "--json"])

    left = json.loads(capsys.readouterr().out)["left_out"]
    assert {"date": stolen.on.isoformat(), "why": "the agent ruled 0 % of it"} in left


def test_the_plan_is_printed_for_people_and_machines(state: Path, capsys):
    assert command(["plan", str(state / "site.toml")]) == 0
    text = capsys.readouterr().out
    assert command(["plan", str(state / "site.toml"), "--json"]) == 0
    body = json.loads(capsys.readouterr().out)

    assert text.startswith("10 blocks, 50 days")
    assert len(text.splitlines()) == 11
    assert len(body["days"]) == 50


def test_an_empty_or_young_store_gives_a_reason_and_status_one(state: Path, capsys):
    (state / "young").mkdir()
    young = History(state / "young" / "history.db", 60)
    first = days(halls(), "UTC")[0].from_at
    young.load([(first, "w.temp", 20.0)])
    young.close()

    status = command(["report", str(state / "site.toml"), "--state", str(state / "young")])

    assert status == 1
    assert "no figure: there are 0 blocks" in capsys.readouterr().out
