"""`trimload report` of zones: comfort and energy by zone and area, and what the plans foresaw of other schedules."""

from __future__ import annotations

import json
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agent.errors import ConfigError
from agent.savings.command import command
from agent.store.history import History
from agent.store.ledger import Ledger

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "hvac_only" / "site.toml"
START = datetime(2026, 3, 2, tzinfo=UTC)  # a Monday, 01:00 in Berlin


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A day of two halls: one a kelvin cold from 06:00 to 08:00 local, one without a sensor; plans with costs."""
    text = EXAMPLE.read_text().replace("[hvac.zones.hall]\n", "[hvac.zones.hall]\narea_m2 = 800\n")
    (tmp_path / "site.toml").write_text(text)
    with closing(History(tmp_path / "history.db", 60)) as history:
        rows = []
        for minute in range(1440):
            at = START + timedelta(minutes=minute)
            cold = 300 <= minute < 420  # 05:00 to 07:00 UTC
            rows += [
                (at, "rtu1.zone_temp", 19.0 if cold else 21.0),
                (at, "rtu1.power_kw", 20.0 if cold else 8.0),
                (at, "rtu2.power_kw", 3.0),
                (at, "hvac.mode", 2.0),
            ]
        history.load(rows)
    with closing(Ledger(tmp_path / "ledger.db")) as ledger:
        for hour in range(0, 24, 6):
            costs = {"present": [50.0 + hour, 4.0], "lp": [44.0 + hour, 1.0]}
            ledger.append("hvac_plan", START + timedelta(hours=hour), {"sent": "lp", "schedules": costs})
        ledger.append("hvac_plan", START + timedelta(hours=7), {"reasons": ["as older agents wrote them"]})
    return tmp_path


def test_each_zone_has_its_comfort_and_each_unit_its_energy_by_area(state, capsys):
    assert command([str(state), "--json"]) == 0

    found = json.loads(capsys.readouterr().out)["hvac"]
    hall, packing = found["zones"]
    # People are in from 06:00 to 22:00 local; the first two hours of them were a kelvin too cold.
    assert hall["occupied_h"] == 16.0
    assert hall["cold_kh"] == pytest.approx(2.0)
    assert hall["warm_kh"] == 0.0
    assert hall["in_band_share"] == pytest.approx(14 / 16)
    # Nothing is known of the other one, and nothing is not nought.
    assert (packing["known_share"], packing["cold_kh"], packing["in_band_share"]) == (0.0, None, None)
    first, second = found["units"]
    assert first["energy_kwh"] == pytest.approx(2 * 20.0 + 22 * 8.0)
    assert first["kwh_per_m2"] == pytest.approx(216.0 / 800.0)
    assert (second["energy_kwh"], second["kwh_per_m2"]) == (pytest.approx(72.0), None)
    assert found["control_share"] == 1.0


def test_other_schedules_stand_beside_what_was_sent_once_a_day(state, capsys):
    command([str(state), "--json"])

    foreseen = {row["schedule"]: row for row in json.loads(capsys.readouterr().out)["hvac"]["foreseen"]}
    # The plans of 01:00 and, after the local midnight of the next day, none: one day, its first plan.
    assert foreseen["present"] == {
        "schedule": "present",
        "days": 1,
        "cost": 50.0,
        "discomfort_kh": 4.0,
        "sent_cost": 44.0,
        "sent_discomfort_kh": 1.0,
    }


def test_a_site_of_zones_alone_is_told_in_words_and_refuses_a_page_of_stations(state, capsys):
    assert command([str(state)]) == 0

    told = capsys.readouterr().out
    assert "hall" in told
    assert "no proof of a saving" in told
    with pytest.raises(ConfigError, match="the site has none"):
        command([str(state), "--html", str(state / "page.html")])
