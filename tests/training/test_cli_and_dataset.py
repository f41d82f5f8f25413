import json
from datetime import UTC, date, datetime

import numpy as np
import pandas as pd
import pytest

from agent.errors import DataError
from agent.inference.model import load_model
from tests.training.plants import FIRST_AT, frame
from training.cli import main
from training.dataset import country_holidays, load_frame
from training.report import write_report

COMMON = ["--target", "load", "--step", "1h", "--horizon", "24", "--known", "temp"]


@pytest.fixture(scope="module")
def data_csv(tmp_path_factory):
    data = frame(45)
    path = tmp_path_factory.mktemp("data") / "load.csv"
    stamps = pd.date_range(FIRST_AT, periods=data.rows, freq="3600s")
    text = stamps.strftime("%Y-%m-%dT%H:%M:%SZ")
    pd.DataFrame({"timestamp": text, **data.columns}).drop(index=[30, 31, 700]).to_csv(path, index=False)
    return path


def test_backtest_report_fit_and_publish_work_together(data_csv, tmp_path, capsys):
    scores, predictions = tmp_path / "scores.json", tmp_path / "predictions.csv"
    origins = tmp_path / "origins.json"
    origins.write_text(json.dumps(["2024-02-06T00:00:00Z", "2024-02-07T12:00:00+01:00"]))

    code = main(
        [
            "backtest",
            "--data",
            str(data_csv),
            *COMMON,
            "--train-end",
            "2024-02-05",
            "--origins",
            str(origins),
            "--models",
            "daily,naive,ensemble",
            "--quick",
            "--json",
            str(scores),
            "--predictions",
            str(predictions),
        ]
    )

    assert code == 0
    rows = pd.read_csv(predictions)
    assert list(rows.columns) == ["model", "origin", "timestamp", "p10", "p50", "p90"]
    # 3 models x 2 origins x 24 steps
    assert len(rows) == 144
    assert rows["origin"].unique().tolist() == ["2024-02-06T00:00:00Z", "2024-02-07T11:00:00Z"]
    assert set(json.loads(scores.read_text())["models"]) == {"daily", "naive", "ensemble"}

    page = tmp_path / "report.html"
    code = main(
        [
            "report",
            "--scores",
            str(scores),
            "--predictions",
            str(predictions),
            "--data",
            str(data_csv),
            "--target",
            "load",
            "--step",
            "1h",
            "--out",
            str(page),
        ]
    )

    assert code == 0
    assert page.read_text().count("data:image/png") == 2

    code = main(
        [
            "fit",
            "--data",
            str(data_csv),
            *COMMON,
            "--quick",
            "--unit",
            "kW",
            "--out",
            str(tmp_path / "models"),
            "--train-end",
            "2024-02-01",
        ]
    )

    assert code == 0
    model = tmp_path / "models" / "load.onnx"
    assert load_model(model.read_bytes()).trained_to_at == datetime(2024, 2, 1, tzinfo=UTC)

    verdict = tmp_path / "verdict.json"
    code = main(
        [
            "publish",
            str(model),
            "--data",
            str(data_csv),
            "--to",
            str(tmp_path / "pub"),
            "--json",
            str(verdict),
        ]
    )

    told = json.loads(verdict.read_text())
    assert code == (0 if told["publish"] else 1)
    assert (tmp_path / "pub" / "load.json").exists() == told["publish"]
    assert told["reasons"] or told["publish"]
    capsys.readouterr()


def test_the_page_of_a_series_that_never_changes_has_a_dash_where_there_is_no_figure(tmp_path):
    figures = dict.fromkeys(("pinball", "wql", "wape", "coverage_80", "bias", "width"), 0.0)
    model = figures | {"mase": None, "pinball_by_block": [0.0, None]}
    scores, predictions = tmp_path / "scores.json", tmp_path / "predictions.csv"
    scores.write_text(
        json.dumps(
            {"target": "a", "unit": None, "origins": 1, "horizon": 1, "step_s": 900, "train_end": "2024-01-01",
             "models": {"naive": model}}
        )
    )  # fmt: skip
    predictions.write_text(
        "model,origin,timestamp,p10,p50,p90\nnaive,2024-01-01T00:00Z,2024-01-01T00:00Z,1,1,1\n"
    )

    write_report(
        scores,
        predictions,
        pd.Series([1.0], index=[pd.Timestamp("2024-01-01", tz="UTC")]),
        tmp_path / "r.html",
    )

    assert "<td>–</td>" in (tmp_path / "r.html").read_text()


def test_a_model_is_never_published_on_data_it_was_trained_on(data_csv, tmp_path, capsys):
    main(["fit", "--data", str(data_csv), *COMMON, "--quick", "--out", str(tmp_path)])

    code = main(
        ["publish", str(tmp_path / "load.onnx"), "--data", str(data_csv), "--to", str(tmp_path / "pub")]
    )

    assert code == 2
    assert "earlier --train-end" in capsys.readouterr().err


def test_a_site_file_gives_zone_holidays_and_the_canonical_unit(data_csv, tmp_path, capsys):
    renamed = tmp_path / "data.csv"
    renamed.write_text(data_csv.read_text().replace("load", "meter.flow", 1))
    site = tmp_path / "plant.toml"
    site.write_text(
        '[site]\nid = "p"\ntimezone = "Europe/Berlin"\ncountry = "DE"\nclosed_days = [2024-12-27]\n[devices.meter.points.flow]\nunit = "m3/h"\n'
    )

    code = main(
        [
            *(
                "fit",
                str(site),
                "--data",
                str(renamed),
                "--target",
                "meter.flow",
                "--step",
                "1h",
                "--horizon",
                "24",
            ),
            *("--quick", "--limits", "0,80", "--out", str(tmp_path / "{site}")),
        ]
    )

    model = load_model((tmp_path / "plant" / "meter.flow.onnx").read_bytes())
    contract = model.contract
    # The training data end in February 2024; the gateway learns the holidays of the year to come from the file.
    assert {date(2024, 10, 3), date(2024, 12, 27)} <= model.holidays
    assert code == 0
    assert (contract.tz, contract.unit, contract.limit_high) == ("Europe/Berlin", "m3/min", 80.0)
    capsys.readouterr()


def test_many_sites_run_in_a_pool_and_one_bad_site_stops_no_other(data_csv, tmp_path, capsys):
    (tmp_path / "good.csv").write_bytes(data_csv.read_bytes())
    sites = [tmp_path / "good.toml", tmp_path / "gone.toml"]
    for site in sites:
        site.write_text('[site]\ntimezone = "UTC"\n')

    code = main(
        [
            "fit",
            *map(str, sites),
            "--data",
            str(tmp_path / "{site}.csv"),
            *COMMON,
            "--quick",
            "--jobs",
            "1",
            "--out",
            str(tmp_path / "models" / "{site}"),
            "--json",
            str(tmp_path / "jobs.json"),
        ]
    )

    rows = {row["name"]: row for row in json.loads((tmp_path / "jobs.json").read_text())["jobs"]}
    assert code == 1
    assert rows["good"]["error"] is None
    assert "cannot read the data" in rows["gone"]["error"]
    capsys.readouterr()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--target", "nothing"], "name one of: timestamp, load, temp"),
        (["--target", "load", "--time", "when"], "no column when"),
        (["--target", "load", "--train-end", "1999-01-01"], "outside the data"),
    ],
)
def test_wrong_arguments_end_with_two_and_a_fix(data_csv, arguments, told, capsys):
    code = main(["backtest", "--data", str(data_csv), "--step", "1h", "--horizon", "24", *arguments])

    assert code == 2
    assert told in capsys.readouterr().err


def test_help_ends_with_zero_and_shows_examples(capsys):
    assert main(["--help"]) == 0
    assert "trimload-train backtest --data load.csv" in capsys.readouterr().out


def test_local_stamps_over_both_clock_changes_keep_the_utc_grid(tmp_path):
    path = tmp_path / "local.csv"
    stamps = pd.date_range("2024-03-30 22:00", periods=8, freq="h", tz="UTC").tz_convert("Europe/Berlin")
    pd.DataFrame({"t": stamps.strftime("%Y-%m-%dT%H:%M:%S"), "v": np.arange(8.0)}).to_csv(path, index=False)

    data = load_frame(path, time_column="t", columns=["v"], step_s=3600, tz="Europe/Berlin")

    assert data.first_at == datetime(2024, 3, 30, 22, tzinfo=UTC)
    assert data.columns["v"].tolist() == list(range(8))


def test_gaps_stay_gaps_and_finer_data_become_means(tmp_path):
    path = tmp_path / "fine.csv"
    path.write_text(
        "t,v\n2024-01-01T00:00Z,1\n2024-01-01T00:05Z,3\n2024-01-01T00:30Z,\n2024-01-01T00:45Z,7\n"
    )

    data = load_frame(path, time_column="t", columns=["v"], step_s=900)

    assert data.columns["v"][0] == 2.0
    assert np.isnan(data.columns["v"][[1, 2]]).all()
    assert data.columns["v"][3] == 7.0


def test_parquet_reads_like_csv(tmp_path):
    path = tmp_path / "d.parquet"
    pd.DataFrame(
        {"t": pd.date_range("2024-01-01", periods=3, freq="15min", tz="UTC"), "v": [1.0, np.nan, 3.0]}
    ).to_parquet(path)

    data = load_frame(path, time_column="t", columns=["v"], step_s=900)

    assert data.columns["v"][[0, 2]].tolist() == [1.0, 3.0]


def test_public_holidays_of_a_country_and_an_unknown_one():
    days = country_holidays("DE", date(2024, 1, 1), date(2024, 12, 31))

    assert date(2024, 10, 3) in days
    with pytest.raises(DataError, match="no holidays known for XX"):
        country_holidays("XX", date(2024, 1, 1), date(2024, 1, 2))
