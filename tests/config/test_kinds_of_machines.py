from __future__ import annotations

import re
from pathlib import Path

import pytest

from agent.config.command import check_command
from agent.config.load import load_site
from agent.planner.part_load import KINDS

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "station_7bar" / "site.toml"
# Power unloaded, at no flow, or blowing off, kW of a 98 kW machine.
IDLE_KW = {"modulation": 64.0, "centrifugal-blow-off": 78.0, "start-stop": 0.0}


@pytest.mark.parametrize("control", [kind for kind in KINDS if kind != "vsd"])
def test_a_site_with_each_kind_of_machine_passes_the_check(control, tmp_path, capsys):
    text = EXAMPLE.read_text(encoding="utf-8")
    idle_kw = IDLE_KW.get(control, 20.5)
    text, replaced = re.subn(
        r"unloaded_power_kw = 20\.5\n",
        f'unloaded_power_kw = {idle_kw}\ncontrol = "{control}"\n',
        text,
        count=1,
    )
    path = tmp_path / "site.toml"
    path.write_text(text, encoding="utf-8")

    status = check_command([str(path)])

    capsys.readouterr()
    assert replaced == 1
    assert status == 0
    assert load_site(path).stations["air"].machines["c1"].control == control


def test_a_throttle_that_saves_too_much_is_doubted(tmp_path, capsys):
    text = EXAMPLE.read_text(encoding="utf-8").replace(
        "unloaded_power_kw = 20.5\n", 'unloaded_power_kw = 20.5\ncontrol = "modulation"\n', 1
    )
    path = tmp_path / "site.toml"
    path.write_text(text, encoding="utf-8")

    status = check_command([str(path)])

    out = capsys.readouterr().out
    assert status == 0
    assert "machine 'c1' throttles without unloading, but takes only 21% of its full-load power" in out
