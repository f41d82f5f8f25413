"""The trained model of a station whose demand is made up: what a site has after eight weeks of watching."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from datetime import datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from agent.config.site import Site
from agent.inference.model import Model, load_model
from agent.inference.series import Series
from twin.commands.foresight import quarter_hours, save_demand
from twin.demand import shift_demand

PAST_DAYS = 56
# Of the past's demand: no week that is compared has a seed so high.
_SEED_OFFSET = 5000


class Own(NamedTuple):
    """The model trained on the quarter hours before a week, and these quarter hours."""

    model: Model
    past: Series


def own_model(site: Site, station_id: str, begin: datetime, seed: int) -> Own:
    """Train on made-up demand of the `PAST_DAYS` before `begin` by `trimload-train fit`, in a process of its own.

    Raises SystemExit with the trainer's words where it fails.
    """
    station, timezone = site.stations[station_id], site.site.timezone
    first_at = begin - timedelta(days=PAST_DAYS)
    demand = shift_demand(station, timezone, first_at, float(PAST_DAYS), seed + _SEED_OFFSET)
    past = quarter_hours(demand)
    assert past is not None, "eight weeks hold quarter hours"
    target = f"{station_id}.demand_m3_min"
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "air.csv"
        save_demand(data, demand, target)
        words = [
            "--data",
            str(data),
            "--target",
            target,
            "--unit",
            "m3/min",
            "--tz",
            timezone,
            "--out",
            folder,
        ]
        done = subprocess.run(
            [sys.executable, "-m", "training.cli", "fit", *words], capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise SystemExit(done.stdout + done.stderr)
        return Own(load_model((Path(folder) / f"{target}.onnx").read_bytes()), past)
