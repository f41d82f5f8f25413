"""Many sites at once: failures stay with their site, lost processes are tried again, the table outlives the run."""

import csv
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.training.plants import frame
from training.cli import main
from training.jobs import FitJob, JobResult
from training.runners import local_pool, ray_cluster, run_jobs

SITE = '[site]\nid = "{}"\ntimezone = "Europe/Berlin"\n'


def job(name: str, folder: Path) -> FitJob:
    return FitJob(folder / f"{name}.csv", "load", folder, "timestamp", "UTC", 3600, 24, name=name)


def work(job: FitJob) -> JobResult:
    """`killed` loses its process each time, `stumbles` the first time, `unread` fails to read the first time."""
    seen = job.out / f"{job.name}.seen"
    first = not seen.exists()
    seen.touch()
    if job.name == "killed" or (job.name == "stumbles" and first):
        os._exit(9)
    if job.name == "wrong" or (job.name == "unread" and first):
        return JobResult(job.name, job.target, error="no", fix="none", transient=job.name == "unread")
    return JobResult(job.name, job.target, model="there")


NAMES = ("killed", "a", "stumbles", "b", "unread", "c", "wrong", "d")
EXPECTED = dict.fromkeys("abcd", ("there", 1)) | {
    "killed": (None, 2), "wrong": (None, 1), "stumbles": ("there", 2), "unread": ("there", 2)
}  # fmt: skip


def test_a_killed_process_costs_its_own_job_alone_and_what_may_pass_is_tried_again(tmp_path):
    jobs = [job(name, tmp_path) for name in NAMES]

    results = {each.name: each for each in run_jobs(jobs, local_pool(2), retries=1, work=work)}

    assert {name: (each.model, each.tries) for name, each in results.items()} == EXPECTED
    assert "process was lost" in results["killed"].error


@pytest.mark.timeout(600)  # a cluster of its own begins and loses workers meanwhile
def test_a_ray_cluster_gives_the_same_results_as_the_pool(tmp_path):
    ray = pytest.importorskip("ray", reason="the extra train-ray is not installed")
    jobs = [job(name, tmp_path) for name in NAMES]

    try:
        results = {each.name: each for each in run_jobs(jobs, ray_cluster(None, 2), retries=1, work=work)}
    finally:
        ray.shutdown()

    assert {name: (each.model, each.tries) for name, each in results.items()} == EXPECTED
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"


def test_without_ray_the_error_names_the_extra(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(__import__("sys").modules, "ray", None)

    code = main(["fit", "--data", "x.csv", "--target", "load", "--out", str(tmp_path), "--runner", "ray"])

    assert code == 2
    assert "train-ray" in capsys.readouterr().err


@pytest.fixture
def sites(tmp_path):
    """Three sites in folders of their own, the second one's file broken and the third one's data missing."""
    data = frame(24)
    stamps = pd.date_range(data.first_at, periods=data.rows, freq="h").strftime("%Y-%m-%dT%H:%M:%SZ")
    for name in ("one", "two", "three"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "site.toml").write_text(SITE.format(name) if name != "two" else "[site\n")
        if name != "three":
            table = pd.DataFrame({"timestamp": stamps, "load": np.round(data.columns["load"], 2)})
            table.to_csv(tmp_path / f"{name}.csv", index=False)
    return tmp_path


def arguments(folder, *names):
    return [
        "fit", *(str(folder / name / "site.toml") for name in names), "--data", str(folder / "{site}.csv"),
        "--target", "load", "--step", "1h", "--horizon", "24", "--quick", "--out", str(folder / "models" / "{site}"),
        "--table", str(folder / "table.csv"),
    ]  # fmt: skip


def rows(folder) -> dict[str, dict[str, str]]:
    with (folder / "table.csv").open() as source:
        return {row["site"]: row for row in csv.DictReader(source)}


def test_every_site_has_its_row_and_a_second_run_does_what_is_left(sites, capsys):
    first = main(arguments(sites, "one", "two", "three"))
    table = rows(sites)
    before = (sites / "models" / "one" / "load.onnx").stat().st_mtime_ns
    (sites / "two" / "site.toml").write_text(SITE.format("two"))
    capsys.readouterr()
    second = main([*arguments(sites, "one", "two", "three"), "--resume"])

    assert first == second == 1
    assert {name: row["error"] == "" for name, row in table.items()} == {
        "one": True,
        "two": False,
        "three": False,
    }
    assert "site file" in table["two"]["error"]
    assert table["three"]["fix"]
    assert "1 of 2 sites trained, 1 failed, 1 done before" in capsys.readouterr().out
    assert {name: row["error"] == "" for name, row in rows(sites).items()} == {
        "one": True, "two": True, "three": False
    }  # fmt: skip
    assert (sites / "models" / "one" / "load.onnx").stat().st_mtime_ns == before


def test_two_sites_of_one_name_are_refused_before_anything_is_trained(sites, capsys):
    again = sites / "other" / "one"
    again.mkdir(parents=True)
    (again / "site.toml").write_text(SITE.format("one"))

    code = main(arguments(sites, "one", "other/one"))

    assert code == 2
    assert "more than one site: one" in capsys.readouterr().err
