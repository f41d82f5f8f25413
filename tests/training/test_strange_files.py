import json
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from agent.errors import DataError
from tests.training.plants import frame
from training.cli import main
from training.dataset import load_frame

FIRST_S = 1_704_067_200  # 2024-01-01T00:00:00Z


def write(path, stamps, values, sep=",", name="v"):
    lines = [f"t{sep}{name}", *(f"{stamp}{sep}{value}" for stamp, value in zip(stamps, values, strict=True))]
    path.write_text("\n".join(lines) + "\n")
    return path


def read(path, step_s=900, **options):
    return load_frame(path, time_column="t", columns=["v"], step_s=step_s, **options)


@pytest.mark.parametrize(
    "stamps",
    [
        [FIRST_S, FIRST_S + 900, FIRST_S + 1800],
        [FIRST_S * 1000, (FIRST_S + 900) * 1000, (FIRST_S + 1800) * 1000],
        [FIRST_S * 10**9, (FIRST_S + 900) * 10**9, (FIRST_S + 1800) * 10**9],
        ["2024-01-01 00:00", "2024-01-01 00:15", "2024-01-01 00:30"],
        ["2024-01-01T01:00:00+01:00", "2024-01-01T01:15:00+01:00", "2024-01-01T00:30:00Z"],
        ["01.01.2024 00:00", "01.01.2024 00:15", "01.01.2024 00:30"],
        ["01/01/2024 12:00 AM", "01/01/2024 12:15 AM", "01/01/2024 12:30 AM"],
        ["20240101 00:00", "20240101 00:15", "20240101 00:30"],
        [45292.0, 45292.0104166667, 45292.0208333333],
    ],
    ids=[
        "epoch-s",
        "epoch-ms",
        "epoch-ns",
        "blank",
        "mixed-offsets",
        "day-first",
        "am-pm",
        "together",
        "sheet",
    ],
)
def test_a_time_column_is_understood_however_it_is_written(tmp_path, stamps):
    data = read(write(tmp_path / "d.csv", stamps, [1, 2, 3]))

    assert data.first_at == datetime(2024, 1, 1, tzinfo=UTC)
    assert data.columns["v"].tolist() == [1.0, 2.0, 3.0]


def test_the_order_of_day_and_month_is_the_one_that_makes_even_steps(tmp_path):
    stamps = pd.date_range("2024-02-01", periods=40, freq="12h").strftime("%d/%m/%Y %H:%M")

    data = read(write(tmp_path / "d.csv", stamps, range(40)), step_s=6 * 3600)

    assert data.first_at == datetime(2024, 2, 1, tzinfo=UTC)
    # Each value holds for the two steps of its half day.
    assert data.columns["v"][:4].tolist() == [0.0, 0.0, 1.0, 1.0]
    assert data.rows == 80


def test_rows_out_of_order_and_repeated_are_put_right_and_told(tmp_path):
    stamps = ["2024-01-01 00:30", "2024-01-01 00:00", "2024-01-01 00:15", "2024-01-01 00:00"]

    data = read(write(tmp_path / "d.csv", stamps, [3, 1, 2, 5]))

    assert data.columns["v"].tolist() == [3.0, 2.0, 3.0]
    assert data.notes == ("1 rows repeat a time; their means are used",)


def test_the_hour_that_autumn_repeats_keeps_both_passes(tmp_path):
    utc = pd.date_range("2024-10-26 22:00", periods=6, freq="h", tz="UTC")
    local = utc.tz_convert("Europe/Berlin").strftime("%Y-%m-%d %H:%M")

    data = read(write(tmp_path / "d.csv", local, range(6)), step_s=3600, tz="Europe/Berlin")

    assert data.first_at == datetime(2024, 10, 26, 22, tzinfo=UTC)
    assert data.columns["v"].tolist() == [0, 1, 2, 3, 4, 5]


def test_rows_without_a_time_or_years_away_are_left_out_and_told(tmp_path):
    stamps = [*pd.date_range("2024-01-01", periods=300, freq="15min").astype(str), "", "1970-01-01 00:00"]

    data = read(write(tmp_path / "d.csv", stamps, range(302)))

    assert data.rows == 300
    assert data.notes == ("2 rows without a readable, plausible time are left out",)


def test_data_that_keep_their_own_phase_keep_it(tmp_path):
    stamps = pd.date_range("2024-01-01 00:07", periods=4, freq="15min").astype(str)

    data = read(write(tmp_path / "d.csv", stamps, range(4)))

    assert data.first_at == datetime(2024, 1, 1, 0, 7, tzinfo=UTC)
    assert data.columns["v"].tolist() == [0, 1, 2, 3]


def test_a_stamp_a_moment_early_counts_for_the_step_it_means(tmp_path):
    stamps = ["2023-12-31 23:59:58", "2024-01-01 00:15:01", "2024-01-01 00:29:59"]

    data = read(write(tmp_path / "d.csv", stamps, [1, 2, 3]))

    assert data.first_at == datetime(2024, 1, 1, tzinfo=UTC)
    assert data.columns["v"].tolist() == [1, 2, 3]


def test_hourly_values_hold_on_a_finer_grid_and_the_note_says_so(tmp_path):
    stamps = pd.date_range("2024-01-01", periods=3, freq="h").astype(str)

    data = read(write(tmp_path / "d.csv", stamps, [1, 2, 3]))

    assert data.columns["v"].tolist() == [1] * 4 + [2] * 4 + [3] * 4
    assert "every 3600 s" in data.notes[0]


def test_a_known_column_written_once_an_hour_holds_and_a_long_gap_stays(tmp_path):
    stamps = pd.date_range("2024-01-01", periods=24, freq="15min").astype(str)
    plan = ["5", "", "", "", *[""] * 16, "7", "", "", ""]
    path = tmp_path / "d.csv"
    path.write_text("t,v,plan\n" + "\n".join(f"{s},1,{p}" for s, p in zip(stamps, plan, strict=True)))

    data = load_frame(path, time_column="t", columns=["v"], known=["plan"], step_s=900)

    # Three hours are twelve steps, the first of which has the value itself.
    assert data.columns["plan"][:12].tolist() == [5.0] * 12
    assert np.isnan(data.columns["plan"][12:20]).all()
    assert data.columns["plan"][20:].tolist() == [7.0] * 4


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("t;v\n2024-01-01 00:00;1,5\n2024-01-01 00:15;-1.200,25\n", [1.5, -1200.25]),
        ("\ufefft\tv\n2024-01-01 00:00\t1.5\n2024-01-01 00:15\tNaN\n", [1.5, np.nan]),
        ("t,v\n2024-01-01 00:00,12.5 kW\n2024-01-01 00:15,-3 kW\n", [12.5, -3.0]),
        ("t,v\n2024-01-01 00:00,4\n2024-01-01 00:15,No Data\n", [4.0, np.nan]),
    ],
    ids=["decimal-comma", "tab-bom", "unit-in-cell", "marker"],
)
def test_numbers_are_read_however_they_are_written(tmp_path, text, expected):
    path = tmp_path / "d.csv"
    path.write_text(text)

    assert read(path).columns["v"] == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize(
    ("step_s", "options", "told"),
    [
        (420, {}, "divides a day"),
        (900, {"tz": "Mars/Olympus"}, "Europe/Berlin"),
        (900, {"known": ["v"]}, "leave it out"),
    ],
)
def test_what_makes_no_sense_is_refused_with_a_fix(tmp_path, step_s, options, told):
    path = write(tmp_path / "d.csv", ["2024-01-01 00:00"], [1])

    with pytest.raises(DataError) as error:
        read(path, step_s=step_s, **options)

    assert told in error.value.fix


def test_a_target_of_text_is_refused_and_shown(tmp_path):
    path = write(tmp_path / "d.csv", ["2024-01-01 00:00", "2024-01-01 00:15"], ["on", "off"])

    with pytest.raises(DataError, match="holds text, such as 'on'"):
        read(path)


# What a hidden series may look like: each must end with finite, ordered quantiles for every origin and step.
DAYS = 40
ODD = {
    "zeros": lambda y: np.where(np.random.default_rng(0).random(len(y)) < 0.7, 0.0, y),
    "negative": lambda y: y - 60.0,
    "constant": lambda y: np.full(len(y), 7.0),
    "constant_week": lambda y: np.where((np.arange(len(y)) // 24 >= 30) & (np.arange(len(y)) // 24 < 37), 3.0, y),
    "spike": lambda y: np.where(np.arange(len(y)) == 300, 1e7, y),
    "empty_after_training": lambda y: np.where(np.arange(len(y)) >= 34 * 24, np.nan, y),
}  # fmt: skip


@pytest.mark.parametrize("oddity", ODD)
def test_a_back_test_of_an_odd_series_answers_every_origin(tmp_path, oddity, capsys):
    data = frame(DAYS)
    stamps = pd.date_range("2024-01-01", periods=data.rows, freq="h").astype(str)
    path = write(
        tmp_path / "d.csv",
        stamps,
        ["" if not np.isfinite(v) else v for v in ODD[oddity](data.columns["load"])],
    )
    origins = tmp_path / "origins.json"
    origins.write_text(json.dumps(["2024-02-05T06:00:00", "2024-02-04T00:00:00Z", "2024-02-04T00:00:00Z"]))

    code = main(
        ["backtest", "--data", str(path), "--time", "t", "--target", "v", "--step", "60min", "--horizon", "30",
         "--train-end", "2024-02-04", "--origins", str(origins), "--models", "daily,naive,ensemble", "--quick",
         "--predictions", str(tmp_path / "p.csv"), "--json", str(tmp_path / "s.json")]
    )  # fmt: skip

    rows = pd.read_csv(tmp_path / "p.csv")
    quantiles = rows[["p10", "p50", "p90"]].to_numpy()
    scores = json.loads((tmp_path / "s.json").read_text(), parse_constant=pytest.fail)
    assert code == 0, capsys.readouterr().err
    assert len(rows) == 3 * 2 * 30
    assert np.isfinite(quantiles).all()
    assert (np.diff(quantiles, axis=1) >= 0).all()
    assert set(scores["models"]) == {"daily", "naive", "ensemble"}
    capsys.readouterr()


def test_with_three_days_of_training_the_naive_rule_forecasts_and_says_why(tmp_path, capsys):
    data = frame(8)
    stamps = FIRST_S + 3600 * np.arange(data.rows)
    path = write(tmp_path / "d.csv", stamps, data.columns["load"])

    code = main(
        ["backtest", "--data", str(path), "--time", "t", "--target", "v", "--step", "1h", "--horizon", "24",
         "--train-end", "2024-01-04", "--models", "naive,lgbm,ensemble", "--json", str(tmp_path / "s.json")]
    )  # fmt: skip

    models = json.loads((tmp_path / "s.json").read_text())["models"]
    assert code == 0
    assert models["lgbm"]["pinball"] == models["naive"]["pinball"]
    assert models["ensemble"]["sources"] == {"naive": models["ensemble"]["reasons"]["no_model"]}
    assert "3.0 days" in models["ensemble"]["untrained"]
    capsys.readouterr()
