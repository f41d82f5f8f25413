"""Every folder of broken/ is a site file with faults, and what `trimload check` says of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.config.command import check_command

BROKEN = Path(__file__).parent / "broken"
CASES = sorted(folder.name for folder in BROKEN.iterdir() if folder.is_dir())


@pytest.mark.parametrize("case", CASES)
def test_check_names_every_fault_of_a_broken_site_with_its_fix(case, capsys, monkeypatch):
    monkeypatch.chdir(BROKEN / case)

    status = check_command(["site.toml"])

    assert capsys.readouterr().out == (BROKEN / case / "expected.txt").read_text(encoding="utf-8")
    assert status == 2


def test_there_are_enough_broken_sites_to_mean_something():
    assert len(CASES) >= 12
