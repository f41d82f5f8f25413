"""onnxruntime's telemetry stays off: no file under HOME, no socket, with CI variables unset."""

import os
import subprocess
import sys
from pathlib import Path

from training.graph import GraphBuilder

PROBE = """
import os, sys
from pathlib import Path
from agent.inference.runtime import Session
import numpy as np

session = Session(Path(sys.argv[1]).read_bytes())
assert session.run({"x": np.ones(2, dtype=np.float32)})[0].tolist() == [2.0, 2.0]
links = [os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{fd}")]
print("SOCKETS", [link for link in links if link.startswith("socket:")])
threads_links = [os.readlink(p) for p in Path("/proc/self/task").glob("*/fd/*") if p.exists()]
print("SOCKETS", [link for link in threads_links if link.startswith("socket:")])
"""


def test_import_and_session_leave_no_file_and_open_no_socket(tmp_path):
    graph = GraphBuilder()
    x = graph.input("x", [2])
    model = tmp_path / "model.onnx"
    model.write_bytes(graph.build({"y": (graph.add(x, x), [2])}, {}))
    home = tmp_path / "home"
    home.mkdir()
    kept = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parents[2]), "HOME": str(home)}

    done = subprocess.run(
        [sys.executable, "-c", PROBE, str(model)],
        env=kept,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["SOCKETS []", "SOCKETS []"]
    assert [str(path) for path in home.rglob("*")] == []


def test_only_the_runtime_module_imports_onnxruntime():
    root = Path(__file__).parents[2]

    importers = [
        str(path.relative_to(root))
        for folder in ("agent", "training", "twin", "fleet", "benchmarks")
        for path in (root / folder).rglob("*.py")
        if any(
            line.lstrip().startswith(("import onnxruntime", "from onnxruntime"))
            for line in path.read_text().splitlines()
        )
    ]

    assert importers == ["agent/inference/runtime.py"]
