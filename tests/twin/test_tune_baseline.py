from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from agent.config.load import load_site
from agent.errors import DataError
from tests.twin.air_stations import MONDAY, machine, station, vsd
from twin.baselines.best_file import best_body, read_best, station_fingerprint
from twin.baselines.play import play
from twin.baselines.selection import cycling_power_kw, least_power_selection
from twin.baselines.sequencer import Sequencer, SequencerSettings
from twin.baselines.tune import ServiceLimits, busiest, tune
from twin.commands import simulate, tune_baseline
from twin.commands.make_station import write_demand
from twin.demand import DemandSeries, shift_demand

ROOM = station(receiver_m3=15.0)
EXAMPLES = Path(__file__).parents[2] / "examples"


def test_least_power_leaves_a_poor_vsd_out_where_cycling_a_fixed_machine_is_cheaper():
    poor = station(receiver_m3=30.0, machines={"c1": machine("c1"), "v1": vsd("v1", full_power_kw=90.0)})
    good = station(receiver_m3=30.0, machines={"c1": machine("c1"), "v1": vsd("v1", full_power_kw=56.0)})
    names = ("c1", "v1")

    # 9 m3/min: the fixed one 0.9 x 60 + 0.1 x 12 = 55.2 kW and its blow-downs; the poor VSD well above 70 kW, the
    # good one 53.4 kW on the parabola through 25 kW at 3, 42 at 6 and 56 at 10 m3/min.
    assert least_power_selection(poor, band_bar=0.3)(9.0, names) == ("c1",)
    assert least_power_selection(good, band_bar=0.3)(9.0, names) == ("v1",)
    # 15 m3/min need both, the VSD trims.
    assert least_power_selection(poor, band_bar=0.3)(15.0, names) == ("c1", "v1")


def test_cycling_costs_idle_time_and_a_blow_down_each_cycle():
    plate = machine()

    power = cycling_power_kw(plate, 0.5, store_m3=2.5)

    # (60 + 12) / 2 = 36 kW. A cycle moves 2.5 m3 up and down: 10 x 0.5 x 0.5 / 2.5 = 1 a minute, each costing
    # (0.92 x 60 - 12) kW x 40 s / ln 50 = 442 kWs = 7.36 kW.
    assert power == pytest.approx(36.0 + 43.2 * 40.0 / 3.912023 / 60.0, rel=1e-6)
    assert cycling_power_kw(plate, 1.0, store_m3=2.5) == pytest.approx(60.0)


def test_the_target_moves_the_pressure_of_a_trimming_vsd_inside_the_band():
    quiet = DemandSeries(MONDAY, 60.0, [6.0] * 120)
    settings = SequencerSettings(floor_bar=0.1, band_bar=0.4)

    low, high = (
        play(ROOM, Sequencer(ROOM, settings=replace(settings, target_share=share)), quiet).books
        for share in (0.25, 0.75)
    )

    # 6.1 + 0.25 x 0.4 = 6.2 and 6.4 bar.
    assert low.mean_pressure_bar_g == pytest.approx(6.2, abs=0.03)
    assert high.mean_pressure_bar_g == pytest.approx(6.4, abs=0.03)


def test_the_busiest_days_are_cut_at_midnight():
    values = [1.0] * 24 + [5.0] * 24 + [4.0] * 24 + [1.0] * 24
    week = DemandSeries(MONDAY, 3600.0, values)

    cut = busiest(week, 2)

    assert cut.start_at == MONDAY + timedelta(days=1)
    assert cut.values == tuple(values[24:72])
    assert busiest(week, 9) is week


def test_tuning_saves_within_the_limits_and_repeats_by_its_seed():
    demand = DemandSeries(MONDAY, 60.0, shift_demand(ROOM, "UTC", MONDAY, 1, 1).values[300:660])
    shares = []

    first = tune(ROOM, demand, samples=24, seed=1, progress=lambda share, _: shares.append(share))
    again = tune(ROOM, demand, samples=24, seed=1)
    books = play(ROOM, Sequencer(ROOM, settings=first.settings), demand, seed=1).books

    assert first == again
    assert first.energy_corrected_kwh < 0.99 * first.typical_kwh
    assert first.excess == ServiceLimits().excess(books) == 0.0
    assert books.energy_corrected_kwh == first.energy_corrected_kwh
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


def test_broken_limits_lose_against_any_energy():
    # Every fourth quarter of an hour the demand leaps by a machine: only a high floor rides that out.
    demand = DemandSeries(MONDAY, 900.0, [4.0, 4.0, 4.0, 15.0] * 8)
    strict = ServiceLimits(worst_dip_bar=0.01, time_below_min_share=1e-6)

    kept = tune(ROOM, demand, samples=60, seed=2, limits=strict)
    free = tune(
        ROOM, demand, samples=60, seed=2, limits=ServiceLimits(worst_dip_bar=9.0, time_below_min_share=9.0)
    )

    assert kept.excess == 0.0
    assert free.energy_corrected_kwh < kept.energy_corrected_kwh


def test_settings_come_back_from_their_file_and_only_for_their_station(tmp_path):
    demand = DemandSeries(MONDAY, 60.0, [6.0] * 120)
    tuned = tune(ROOM, demand, samples=10, seed=1)
    path = tmp_path / "best.json"
    path.write_text(json.dumps(best_body("air", ROOM, tuned, seed=1, span="")))

    assert read_best(path, ROOM) == tuned.settings
    assert station_fingerprint(ROOM) != station_fingerprint(station(receiver_m3=16.0))
    with pytest.raises(DataError, match="another station"):
        read_best(path, station(receiver_m3=16.0))


@pytest.mark.parametrize(
    "change",
    [{"band_bar": "wide"}, {"order": ["c1"]}, {"vsd_trims": 1}, {"unknown": 1.0}, {"floor_bar": True}],
)
def test_a_spoilt_file_is_refused(tmp_path, change):
    tuned = tune(ROOM, DemandSeries(MONDAY, 60.0, [6.0] * 30), samples=10, seed=1)
    body = best_body("air", ROOM, tuned, seed=1, span="")
    body["settings"] |= change
    path = tmp_path / "best.json"
    path.write_text(json.dumps(body))

    with pytest.raises(DataError):
        read_best(path, ROOM)


def test_the_commands_hand_the_best_sequencer_from_one_to_the_other(tmp_path, capsys):
    site = EXAMPLES / "station_7bar" / "site.toml"
    room = load_site(site).stations["air"]
    write_demand(tmp_path / "air.csv", shift_demand(room, "Europe/Berlin", MONDAY, 0.5, 1))
    given = [str(site), "--demand", str(tmp_path / "air.csv"), "--column", "flow_m3_min", "--unit", "m3/min"]
    best, figures = tmp_path / "best.json", tmp_path / "figures.json"

    tuned = tune_baseline.command([*given, "--samples", "10", "--step-s", "10", "--out", str(best)])
    simulate.command(
        [*given, "--controller", "sequencer", "--step-s", "10", "--best", str(best), "--json", str(figures)]
    )

    runs = json.loads(figures.read_text())["runs"]
    assert tuned == 0
    assert list(runs) == ["sequencer:typical", "sequencer:best"]
    assert runs["sequencer:best"]["energy_corrected_kwh"] < runs["sequencer:typical"]["energy_corrected_kwh"]


def test_simulate_tunes_up_to_an_instant_and_compares_from_there(tmp_path):
    site = EXAMPLES / "station_7bar" / "site.toml"
    room = load_site(site).stations["air"]
    write_demand(tmp_path / "air.csv", DemandSeries(MONDAY, 60.0, [20.0] * 240))
    given = [str(site), "--demand", str(tmp_path / "air.csv"), "--column", "flow_m3_min", "--unit", "m3/min"]
    figures = tmp_path / "figures.json"

    simulate.command(
        [
            *given,
            "--controller",
            "sequencer:best",
            "--step-s",
            "10",
            "--tune-to",
            "2026-03-02T02:00:00Z",
            "--json",
            str(figures),
        ]
    )

    runs = json.loads(figures.read_text())["runs"]
    assert list(runs) == ["sequencer:best"]
    # Two of the four hours are left, of which half an hour is warm-up: 1.5 h x 60 x 20 m3/min.
    assert runs["sequencer:best"]["air_delivered_m3"] == pytest.approx(1800.0, rel=1e-3)
    assert room.machines


def test_the_best_sequencer_without_settings_is_an_error(tmp_path):
    site = EXAMPLES / "station_7bar" / "site.toml"
    write_demand(tmp_path / "air.csv", DemandSeries(MONDAY, 60.0, [20.0] * 60))

    with pytest.raises(DataError, match="no settings"):
        simulate.command(
            [
                str(site),
                "--demand",
                str(tmp_path / "air.csv"),
                "--column",
                "flow_m3_min",
                "--unit",
                "m3/min",
                "--controller",
                "sequencer:best",
            ]
        )
