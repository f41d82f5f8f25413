"""The example's simulator, which shares no line with the planner's model, drives the real command."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_site_that_nobody_described_is_learned_from_its_past_and_then_kept_better_than_by_its_time_switch():
    done = subprocess.run(
        [
            sys.executable,
            str(ROOT / "examples" / "hvac_only" / "simulator.py"),
            *("--days", "1", "--past-days", "10", "--trimload", f"{sys.executable} -m agent.cli"),
        ],
        capture_output=True,
        text=True,
        timeout=110,
        cwd=ROOT,
    )

    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    before, with_agent = said["time switch"], said["trimload"]
    assert with_agent["first_modes"][0] == "advise"
    assert with_agent["last_mode"] == "control"
    assert with_agent["discomfort_kh"] <= 0.5 * before["discomfort_kh"]
    assert with_agent["starts"] <= 1.1 * before["starts"]
    assert with_agent["written_though_it_stood_there"] == 0
