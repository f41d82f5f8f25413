"""What one model costs a gateway: file, time to load, time and memory of a forecast, against the bars of the issue.

    python benchmarks/forecast_cost.py MODEL.onnx     a file from trimload-train fit; without one a year is trained first

CPU time of this process, one thread. Memory is what onnxruntime and the model add to an agent that has read its configuration.
Exit 0: all bars hold; 1: not all.
"""

import importlib
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from agent.clock import cpu_s

RUNS = 300
BARS = {"file_mb": 2.0, "load_ms": 100.0, "run_ms": 2.0, "added_mib": 40.0, "train_cpu_s": 180.0}


def main(argv: list[str]) -> int:
    figures: dict[str, float] = {}
    if argv:
        content = Path(argv[0]).read_bytes()
    else:
        content, figures["train_cpu_s"] = _a_year()
    # The runtime's import belongs to what a model adds, what an agent has read its configuration with does not.
    # What was trained above would hide it, so no figure then.
    importlib.import_module("agent.config.load")
    before_mib = _rss_mib()
    from agent.inference.model import load_model

    began_s = cpu_s()
    model = load_model(content)
    figures |= {"file_mb": len(content) / 1e6, "load_ms": 1e3 * (cpu_s() - began_s)}
    contract = model.contract
    total = contract.hist + contract.horizon
    history = np.random.default_rng(1).uniform(0, contract.limit_high, contract.hist)
    known = np.zeros((total, len(contract.known))) if contract.known else None
    cal = np.zeros((total, 4), dtype=np.float32)
    model.run(history, known, cal)
    began_s = cpu_s()
    for _ in range(RUNS):
        model.run(history, known, cal)
    figures["run_ms"] = 1e3 * (cpu_s() - began_s) / RUNS
    if argv:
        figures["added_mib"] = _rss_mib() - before_mib
    for name, value in figures.items():
        print(f"{'holds ' if value <= BARS[name] else 'MISSED'}  {name:12}{value:9.2f}  bar {BARS[name]:g}")
    return 0 if all(value <= BARS[name] for name, value in figures.items()) else 1


def _a_year() -> tuple[bytes, float]:
    """A model of a year of quarter hours with shifts, breaks and noise, and the CPU seconds of its training."""
    from training.dataset import Frame
    from training.fit import fit_target

    rng = np.random.default_rng(4)
    step = np.arange(365 * 96)
    works = (step % 96 >= 24) & (step % 96 < 88) & ((step // 96) % 7 < 5)
    level = np.repeat(rng.uniform(0.7, 1.0, 365), 96)
    load = 3.0 + 20.0 * works * level + rng.normal(0, 1, len(step))
    began_s = cpu_s()
    content = fit_target(
        Frame(datetime(2024, 1, 1, tzinfo=UTC), 900, {"load": load}),
        target="load", unit="kW", step_s=900, horizon=96, tz="UTC", seed=1,
    )  # fmt: skip
    return content, cpu_s() - began_s


def _rss_mib() -> float:
    return int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1]) * 4096 / 2**20


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
