"""The command line as a person meets it."""

import subprocess
import sys
from pathlib import Path

from agent.cli import COMMANDS, main

ROOT = Path(__file__).resolve().parents[2]


def test_help_names_every_command_and_what_it_does(capsys):
    assert main(["--help"]) == 0

    said = capsys.readouterr().out
    for name in (*COMMANDS, "demo", "simulate", "twin"):
        assert f"  {name} " in said
    assert "exit codes" in said


def test_unknown_command_is_refused_with_the_known_ones(capsys):
    assert main(["chek"]) == 2

    assert "check" in capsys.readouterr().err


def test_error_for_a_person_has_what_where_and_fix(capsys, tmp_path: Path):
    assert (
        main(["simulate", str(tmp_path / "none.toml"), "--demand", "x", "--column", "y", "--unit", "m3/h"])
        == 2
    )

    said = capsys.readouterr().err
    assert "where:" in said
    assert "fix:" in said


def test_every_command_explains_itself():
    for name in (*COMMANDS, "demo", "simulate", "twin"):
        done = subprocess.run(
            [sys.executable, "-m", "agent.cli", name, "--help"], capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, name
        assert f"usage: trimload {name}" in done.stdout, name
