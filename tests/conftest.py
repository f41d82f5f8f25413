"""Settings that every test shares: one BLAS thread, and system programs missing are said aloud."""

from __future__ import annotations

import os
import shutil
from glob import glob
from typing import TYPE_CHECKING

# Before numpy loads: two OpenBLAS pools on a small machine make times useless and tests slow.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# Debian puts the daemons (mosquitto, PostgreSQL) where a user's PATH does not look.
os.environ["PATH"] = os.pathsep.join(
    [os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin", *glob("/usr/lib/postgresql/*/bin")]  # noqa: PTH207
)

import hypothesis
import pytest

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter

# A deadline per example fails on a busy machine, not on a fault. Where CI is set hypothesis takes its own profile.
hypothesis.settings.register_profile("busy", deadline=None)
if not os.environ.get("CI"):
    hypothesis.settings.load_profile("busy")

_MISSING = pytest.StashKey[set[str]]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_MISSING] = set()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """A test marked `peers("mosquitto")` is skipped without that program, and fails where CI is set."""
    missing = [
        program
        for mark in item.iter_markers("peers")
        for program in mark.args
        if shutil.which(program) is None
    ]
    if not missing:
        return
    item.config.stash[_MISSING].update(missing)
    reason = f"{', '.join(missing)} not installed (scripts/test-peers installs it)"
    if os.environ.get("CI"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def pytest_terminal_summary(terminalreporter: TerminalReporter, config: pytest.Config) -> None:
    missing = config.stash[_MISSING]
    if missing:
        terminalreporter.section("not tested here", yellow=True)
        terminalreporter.line(
            f"tests against {', '.join(sorted(missing))} did not run: the program is not installed; "
            "run scripts/test-peers as root"
        )
