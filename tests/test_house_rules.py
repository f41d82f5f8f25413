"""Rules of the house that neither ruff, mypy nor import-linter can hold."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("agent", "twin", "training", "fleet")
CLOCK = Path("agent/clock.py")
THIS_FILE = Path("tests/test_house_rules.py")
MAX_LINES = 450

# Calls that read or wait on a clock of their own. A simulated week cannot run past one of them.
CLOCKS = frozenset(
    [
        *(f"time.{name}" for name in ("time", "monotonic", "perf_counter", "process_time", "thread_time")),
        *(f"time.{name}_ns" for name in ("time", "monotonic", "perf_counter", "process_time", "thread_time")),
        *(f"time.{name}" for name in ("clock_gettime", "clock_gettime_ns", "localtime", "gmtime", "ctime")),
        *(f"datetime.datetime.{name}" for name in ("now", "utcnow", "today")),
        "datetime.date.today",
        "pandas.Timestamp.now",
        "pandas.Timestamp.utcnow",
        "pandas.Timestamp.today",
    ]
)
SLEEPS = frozenset(["time.sleep", "asyncio.sleep"])
LOOP_CLOCKS = frozenset(["time", "call_later", "call_at"])
LOOP_MAKERS = frozenset(["asyncio.get_event_loop", "asyncio.get_running_loop", "asyncio.new_event_loop"])
# Tests measure real servers: elapsed time is theirs to read, the wall clock and bare sleeps are not.
ELAPSED = frozenset(["time.monotonic", "time.monotonic_ns", "time.perf_counter", "time.perf_counter_ns"])

# Needs a package of an extra; imported by whoever asks for it by name.
OPTIONAL_MODULES = frozenset(["agent.planner.dispatch_highspy", "agent.update.trust"])


def tracked_files() -> list[Path]:
    """Files of the project, relative to ROOT: what git tracks, or in an unpacked archive what is there."""
    if (ROOT / ".git").exists():
        listed = subprocess.run(
            ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True
        ).stdout
        names = [Path(name) for name in listed.split("\0") if name]
    else:
        names = [
            path.relative_to(ROOT)
            for path in ROOT.rglob("*")
            if not any(part.startswith(".") or part == "__pycache__" for part in path.relative_to(ROOT).parts)
        ]
    return [name for name in names if (ROOT / name).is_file()]


def python_files(*folders: str) -> list[Path]:
    return [name for name in tracked_files() if name.suffix == ".py" and name.parts[0] in folders]


def text_of(name: Path) -> str | None:
    """Text of a file; None when it is binary."""
    try:
        return (ROOT / name).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return None


def imported_names(tree: ast.AST) -> dict[str, str]:
    """What each imported name stands for: `from time import sleep as nap` gives nap -> time.sleep."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                first = alias.name.partition(".")[0]
                names[alias.asname or first] = alias.name if alias.asname else first
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return names


def dotted(node: ast.expr, names: dict[str, str]) -> str:
    """Full dotted name of an expression; "" for anything but names and attributes."""
    if isinstance(node, ast.Name):
        return names.get(node.id, "")
    if isinstance(node, ast.Attribute):
        base = dotted(node.value, names)
        return f"{base}.{node.attr}" if base else ""
    return ""


def is_event_loop(node: ast.expr, names: dict[str, str]) -> bool:
    if isinstance(node, ast.Call):
        return dotted(node.func, names) in LOOP_MAKERS
    name = node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
    return name.lstrip("_").endswith("loop")


def clock_uses(source: str, *, banned: frozenset[str]) -> Iterator[str]:
    """Each use of a clock, as "line: name"."""
    tree = ast.parse(source)
    names = imported_names(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.Attribute):
            name = dotted(node, names)
            if name in banned:
                yield f"{node.lineno}: {name}"
        if isinstance(node, ast.Attribute) and node.attr in LOOP_CLOCKS and is_event_loop(node.value, names):
            yield f"{node.lineno}: loop.{node.attr}"


def bare_sleeps(source: str) -> Iterator[str]:
    """Each sleep that no loop surrounds, as "line: name". sleep(0) only yields, so it is no sleep."""
    tree = ast.parse(source)
    names = imported_names(tree)
    polled = {
        id(inner)
        for outer in ast.walk(tree)
        if isinstance(outer, ast.While | ast.For | ast.AsyncFor)
        for inner in ast.walk(outer)
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or dotted(node.func, names) not in SLEEPS or id(node) in polled:
            continue
        only_yields = node.args and isinstance(node.args[0], ast.Constant) and node.args[0].value == 0
        if not only_yields:
            yield f"{node.lineno}: {dotted(node.func, names)}"


@pytest.mark.parametrize(
    "source",
    [
        "import time\ntime.time()",
        "import time as t\nt.monotonic()",
        "from time import perf_counter as now\nnow()",
        "from asyncio import sleep\nsleep(1)",
        "import datetime\ndatetime.datetime.now()",
        "from datetime import datetime, UTC\ndatetime.now(UTC)",
        "from datetime import date\ndate.today()",
        "from datetime import datetime\nread = datetime.now",
        "import asyncio\nasyncio.get_running_loop().time()",
        "def f(loop):\n    return loop.time()",
        "def f(self):\n    self._loop.call_later(1, f)",
    ],
)
def test_a_forbidden_clock_is_recognised(source: str) -> None:
    found = list(clock_uses(source, banned=CLOCKS | SLEEPS))

    assert len(found) == 1


def test_the_injected_clock_and_a_time_of_day_are_not_taken_for_a_forbidden_clock() -> None:
    source = "async def f(clock, at):\n    await clock.sleep_until(at)\n    return clock.now(), at.time()"

    found = list(clock_uses(source, banned=CLOCKS | SLEEPS))

    assert found == []


def test_no_code_outside_the_clock_module_reads_a_clock() -> None:
    found = [
        f"{name}:{use}"
        for name in python_files(*PACKAGES)
        if name != CLOCK
        for use in clock_uses((ROOT / name).read_text(encoding="utf-8"), banned=CLOCKS | SLEEPS)
    ]

    assert found == [], "take the time from agent/clock.py"


def test_no_test_reads_the_wall_clock() -> None:
    found = [
        f"{name}:{use}"
        for name in python_files("tests")
        for use in clock_uses((ROOT / name).read_text(encoding="utf-8"), banned=CLOCKS - ELAPSED)
    ]

    assert found == [], "a fixed instant, or agent/clock.py where a real server needs the real time"


def test_a_sleep_counts_as_bare_only_outside_a_loop() -> None:
    source = "import time\ntime.sleep(1)\nwhile not done():\n    time.sleep(0.01)\ntime.sleep(0)"

    found = list(bare_sleeps(source))

    assert found == ["2: time.sleep"]


def test_tests_poll_for_a_condition_and_never_just_sleep() -> None:
    found = [
        f"{name}:{use}"
        for name in python_files("tests")
        for use in bare_sleeps((ROOT / name).read_text(encoding="utf-8"))
    ]

    assert found == []


def test_no_source_file_is_too_long_to_read() -> None:
    code = {".py", ".sh", ".js", ".css", ".html", ".toml"}

    too_long = {
        str(name): lines
        for name in tracked_files()
        if name.suffix in code and "data" not in name.parts
        if (lines := len((text_of(name) or "").splitlines())) > MAX_LINES
    }

    assert too_long == {}, f"a file shows one idea in at most {MAX_LINES} lines"


def test_no_module_has_a_name_that_says_nothing() -> None:
    empty_words = {"util", "utils", "helper", "helpers", "common", "misc", "manager", "managers"}

    found = [
        str(name)
        for name in tracked_files()
        if empty_words & {word for part in name.with_suffix("").parts for word in part.lower().split("_")}
    ]

    assert found == []


def test_the_lock_pins_every_package_by_hash_and_names_no_host() -> None:
    text = (ROOT / "requirements.lock").read_text(encoding="utf-8")

    rows = re.split(r"\n(?=\S)", text.strip())
    unpinned = [row.splitlines()[0] for row in rows if "==" not in row or "--hash=sha256:" not in row]

    assert len(rows) > 50
    assert unpinned == []
    assert "://" not in text


def test_the_licence_page_lists_every_locked_package() -> None:
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    page = (ROOT / "docs" / "licences.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| (\S+) \| ([^|]+) \| [^|]+ \|$", page, flags=re.MULTILINE))

    locked = {
        re.sub(r"[-_.]+", "-", name).lower() for name in re.findall(r"^([\w.-]+)==", lock, re.MULTILINE)
    }
    strong_copyleft = {name: licence for name, licence in rows.items() if re.search(r"(?<!L)GPL", licence)}

    assert locked - set(rows) == set(), "run: make lock"
    assert set(rows) - locked == {"package"}, "run: make lock"
    assert strong_copyleft == {}


def test_nothing_tells_of_the_place_or_the_way_it_was_written() -> None:
    # A foreign project's issue may be cited, as owner/name#123.
    tells = re.compile(
        r"(?<![\w.])/(?:work|root|home/\w+)/|\bissue[ -]#?\d|\bTODO\b|\bFIXME\b|\bXXX\b"
        r"|raise NotImplementedError|(?:coding|helper|work) session",
        re.IGNORECASE,
    )

    found = [
        f"{name}:{number}: {line.strip()[:100]}"
        for name in tracked_files()
        if name not in {THIS_FILE, Path("LICENSE")}
        for number, line in enumerate((text_of(name) or "").splitlines(), start=1)
        if tells.search(line)
    ]

    assert found == []


def test_only_the_runtime_module_imports_onnxruntime() -> None:
    importers = {
        str(name)
        for name in python_files(*PACKAGES)
        if any(
            target.split(".")[0] == "onnxruntime"
            for target in imported_names(ast.parse((ROOT / name).read_text(encoding="utf-8"))).values()
        )
    }

    assert importers == {"agent/inference/runtime.py"}, "it has to switch telemetry off before the import"


def test_every_agent_module_loads_with_the_core_packages_alone() -> None:
    # What the gateway does not have: our other packages, and the packages of the extras.
    absent = [
        *("twin", "training", "fleet"),
        *("amqtt", "rich", "holidays", "lightgbm", "matplotlib", "onnx", "pandas", "statsforecast"),
        *(
            "highspy",
            "starlette",
            "uvicorn",
            "tuf",
            "securesystemslib",
            "hypothesis",
            "pint",
            "pytest",
            "setuptools",
        ),
    ]
    program = f"""
import importlib, pkgutil, sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {absent!r}:
            raise ModuleNotFoundError(f"{{name}} is not on the gateway", name=name)

sys.meta_path.insert(0, Absent())
import agent
for module in pkgutil.walk_packages(agent.__path__, "agent."):
    if module.name in {sorted(OPTIONAL_MODULES)!r}:
        continue
    try:
        importlib.import_module(module.name)
    except ImportError as error:
        print(f"{{module.name}}: {{error}}")
"""

    run = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )

    assert run.returncode == 0, run.stderr
    assert run.stdout == ""
