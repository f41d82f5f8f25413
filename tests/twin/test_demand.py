from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from agent.errors import DataError
from tests.twin.air_stations import MONDAY, station
from twin.demand import DemandSeries, reachable_peak_m3_min, shift_demand, with_minute_noise
from twin.metered import DemandReport, metered_demand

HOUR = timedelta(hours=1)


def write(path: Path, header: str, rows: list[str]) -> Path:
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def hourly(start: datetime, values: list[str]) -> list[str]:
    return [f"{(start + k * HOUR).isoformat(timespec='minutes')},{value}" for k, value in enumerate(values)]


def read(path: Path, **changes: object) -> tuple[DemandSeries, DemandReport]:
    options: dict[str, object] = {"column": "flow", "unit": "m3/h", "station": station(), "timezone": "UTC"}
    return metered_demand(path, **{**options, **changes})  # type: ignore[arg-type]


def interval_mean(series: DemandSeries, minutes: int, index: int) -> float:
    part = series.values[index * minutes : (index + 1) * minutes]
    return sum(part) / len(part)


def test_minute_noise_keeps_the_volume_of_every_interval():
    means = [5.0, 12.0, 3.0, 0.0, 8.0]

    series = with_minute_noise(MONDAY, 3600.0, means, seed=3)

    assert len(series.values) == 300
    assert [interval_mean(series, 60, k) for k in range(5)] == pytest.approx(means, abs=1e-9)
    assert len(set(series.values[:60])) == 60
    assert min(series.values) >= 0.0


def test_minute_noise_comes_from_the_seed():
    means = [5.0, 12.0]

    first, again, other = (with_minute_noise(MONDAY, 900.0, means, seed=s).values for s in (1, 1, 2))

    assert first == again
    assert first != other


def test_a_series_holds_each_value_for_its_step_and_the_last_one_for_ever():
    series = DemandSeries(MONDAY, 60.0, [1.0, 2.0, 3.0])

    shown = [series.at(MONDAY + timedelta(seconds=s)) for s in (-1, 0, 59, 60, 179, 999)]

    assert shown == [1.0, 1.0, 1.0, 2.0, 3.0, 3.0]
    # 6 values of one minute in m3/min.
    assert series.volume_m3() == pytest.approx(6.0)


def test_shift_demand_knows_shifts_nights_and_week_ends():
    series = shift_demand(station(), "Europe/Berlin", MONDAY - HOUR, 7, seed=5)

    def mean(day: int, first: int, last: int) -> float:
        begin = day * 1440
        part = series.values[begin + first * 60 : begin + last * 60]
        return sum(part) / len(part)

    morning = mean(1, 8, 9)
    night = mean(1, 1, 4)
    sunday = mean(6, 8, 20)
    peak = reachable_peak_m3_min(station())
    assert morning > 3.0 * night
    assert sunday == pytest.approx(night, rel=0.1)
    assert 0.75 * peak < max(series.values) <= 1.05 * peak


def test_shift_demand_follows_the_site_s_clock_across_daylight_saving():
    # Clocks go forward in Berlin on 29 March 2026: on Monday after it 06:00 is 04:00 UTC, before 05:00.
    berlin = ZoneInfo("Europe/Berlin")
    before, after = datetime(2026, 3, 23, tzinfo=berlin), datetime(2026, 3, 30, tzinfo=berlin)

    rises = []
    for midnight in (before, after):
        values = shift_demand(station(), "Europe/Berlin", midnight.astimezone(UTC), 1, seed=9).values
        rises.append(next(k for k, v in enumerate(values) if v > 5.0) / 60.0)

    # The local midnight begins both series, so work begins 6 h later in both.
    assert rises == pytest.approx([6.0, 6.0], abs=0.5)


def test_shift_demand_leaves_room_for_the_largest_machine_to_fail():
    # 10 + 6 + 10 m3/min: 80 % are 20.8, all but half of the largest are 21.
    assert reachable_peak_m3_min(station()) == pytest.approx(20.8)


def test_shift_demand_comes_from_the_seed():
    first, again, other = (shift_demand(station(), "UTC", MONDAY, 1, seed=s).values for s in (1, 1, 2))

    assert first == again
    assert first != other


@pytest.mark.parametrize(
    ("unit", "raw", "flow"),
    [
        ("m3/h", 300.0, 5.0),
        ("m3/min", 5.0, 5.0),
        ("l/s", 100.0, 6.0),
        ("cfm", 200.0, 5.6633693184),
        ("m3", 300.0, 5.0),
    ],
)
def test_flows_are_converted(tmp_path, unit, raw, flow):
    path = write(tmp_path / "air.csv", "time,flow", hourly(MONDAY, [str(raw)] * 6))

    series, report = read(path, unit=unit)

    assert interval_mean(series, 60, 2) == pytest.approx(flow)
    assert report.scale == 1.0


def test_energy_is_a_shape_scaled_to_the_peak_asked_for(tmp_path):
    path = write(tmp_path / "load.csv", "time,flow", hourly(MONDAY, ["10", "40", "20", "10"]))

    series, report = read(path, unit="kWh", scale_to_peak_m3_min=12.0)

    assert [interval_mean(series, 60, k) for k in range(4)] == pytest.approx([3.0, 12.0, 6.0, 3.0])
    assert report.peak_hour_m3_min == 12.0


def test_short_gaps_are_bridged_long_ones_taken_from_the_day_before_and_both_reported(tmp_path):
    values = [str(60 * (k % 24 + 1)) for k in range(72)]
    values[5] = ""
    for k in range(30, 34):
        values[k] = "n/a"
    path = write(tmp_path / "air.csv", "time,flow", hourly(MONDAY, values))

    series, report = read(path)

    # Hour 5 between 5 and 7 m3/min; hours 30-33 repeat hours 6-9 of the day before: 7, 8, 9, 10.
    assert interval_mean(series, 60, 5) == pytest.approx(6.0)
    assert [interval_mean(series, 60, k) for k in range(30, 34)] == pytest.approx([7.0, 8.0, 9.0, 10.0])
    assert [(g.from_at, g.to_at, g.filled) for g in report.gaps] == [
        (MONDAY + 5 * HOUR, MONDAY + 6 * HOUR, "line"),
        (MONDAY + 30 * HOUR, MONDAY + 34 * HOUR, "day before"),
    ]
    assert report.missing_share == pytest.approx(5 / 72)
    assert report.unread == 4
    assert "gaps: 2" in report.text()


def test_missing_rows_are_gaps_too(tmp_path):
    rows = hourly(MONDAY, ["60"] * 30)
    path = write(tmp_path / "air.csv", "time,flow", rows[:10] + rows[11:])

    _, report = read(path)

    assert [(g.from_at, g.to_at) for g in report.gaps] == [(MONDAY + 10 * HOUR, MONDAY + 11 * HOUR)]


def test_local_stamps_of_the_repeated_hour_are_told_apart(tmp_path):
    # Berlin, 25 October 2026: 02:00-03:00 comes twice, first as +02:00, then as +01:00.
    clock = ["01:00", "01:30", "02:00", "02:30", "02:00", "02:30", "03:00", "03:30"]
    rows = [f"2026-10-25T{text},{60 * (k + 1)}" for k, text in enumerate(clock)]
    path = write(tmp_path / "air.csv", "time,flow", rows)

    series, report = read(path, timezone="Europe/Berlin")

    assert report.from_at == datetime(2026, 10, 24, 23, 0, tzinfo=UTC)
    assert [interval_mean(series, 30, k) for k in range(8)] == pytest.approx([float(k + 1) for k in range(8)])
    assert report.gaps == ()


def test_german_exports_with_semicolons_and_decimal_commas_are_read(tmp_path):
    rows = [
        f"{day:02d}.03.2026 {hour:02d}:00;{60 * 1.5:.1f}".replace("90.0", "90,0")
        for day in (2, 13)
        for hour in range(3)
    ]
    path = write(tmp_path / "air.csv", "Zeit;flow", rows)

    series, report = read(path, timezone="Europe/Berlin", to_at=datetime.fromisoformat("2026-03-03"))

    assert series.start_at == datetime(2026, 3, 1, 23, 0, tzinfo=UTC)
    assert interval_mean(series, 60, 1) == pytest.approx(1.5)
    assert report.rows == 3


def test_month_first_dates_are_told_from_day_first_by_the_whole_file(tmp_path):
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    rows = [f"{(begin + k * HOUR):%m/%d/%Y %H:%M},60" for k in range(24 * 20)]
    path = write(tmp_path / "air.csv", "stamp,flow", rows)

    _, report = read(path)

    assert report.from_at == begin
    assert report.to_at == begin + 480 * HOUR


def test_readings_quicker_than_a_minute_become_minutes(tmp_path):
    rows = [f"{(MONDAY + timedelta(seconds=10 * k)).isoformat()},{60 + k % 6}" for k in range(60)]
    path = write(tmp_path / "air.csv", "time,flow", rows)

    series, _ = read(path)

    # Means of 60..65 m3/h: 62.5 / 60.
    assert series.step_s == 60.0
    assert series.values == pytest.approx([62.5 / 60.0] * 10)


@pytest.mark.parametrize(
    ("rows", "changes", "what", "fix"),
    [
        (hourly(MONDAY, ["60"] * 5), {"column": "flows"}, "no column 'flows'", "did you mean 'flow'?"),
        (hourly(MONDAY, ["60"] * 5), {"unit": "gallons"}, "not one of", "unit of the column"),
        (hourly(MONDAY, ["60"] * 5), {"from_at": MONDAY.replace(year=2027)}, "0 rows", "inside the file"),
        (hourly(MONDAY, ["a"] * 5), {}, "no numbers", "name one of"),
        (hourly(MONDAY, ["0"] * 5), {}, "every value of the column is zero", "another column"),
        (hourly(MONDAY, ["60", "", "", "", "", "60", "60"]), {}, "4 of 7 intervals", "--from and --to"),
        (["1,60", "2,60", "3,60"], {}, "no column holds times", "--time"),
        (
            ["2026-03-02T00:00,60", "yesterday,60", "2026-03-02T02:00,60"],
            {"time_column": "time"},
            "no time",
            "ISO",
        ),
        (["2026-03-02,60", "2026-03-03,60", "2026-03-04,60"], {}, "24 h apart", "hours"),
        (["2026-03-02T00:00,60", "2026-03-02T01:00"], {}, "has 1 fields", "row"),
    ],
)
def test_faults_of_a_file_say_what_is_wrong_and_how_to_mend_it(tmp_path, rows, changes, what, fix):
    path = write(tmp_path / "air.csv", "time,flow", rows)

    with pytest.raises(DataError) as caught:
        read(path, **changes)

    assert what in caught.value.what
    assert fix in caught.value.fix
    assert caught.value.where


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        read(tmp_path / "none.csv")
