"""A stranger's station tunes itself: drawn, watched for weeks under its own switches, then `trimload tune` on its store.

    benchmarks/tune.py [--stations 31,32,33,34] [--days 14] [--samples 30] [--unseen 2] [--json OUT]
                       [--start band_width_bar=0.4,band_floor_bar=0.25,lead_s=30]

Each number draws a station (`make-station --seed N`) whose machines differ from their nameplates (`unlike_nameplate`). It is
watched in OBSERVE for so many days, which fills a real store; `trimload tune` then calibrates, searches and judges on
the days kept back. What the settings found are worth on the true plant, in weeks nobody has seen, stands beside what
was promised, also where they were not proposed: only then can one see what the bar of a proposal keeps out. `--start`
writes other numbers than the defaults into site.toml: those of a stranger who copied the band of the old control.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from agent.config.load import load_site
from agent.domain import Mode
from agent.store.history import History
from twin.baselines.configured import configured_baseline
from twin.demand import shift_demand
from twin.make_station import draw_station
from twin.recording import Recorder, unlike_nameplate
from twin.simulate import Scene, run_baseline
from twin.station_text import station_text
from twin.tune_agent import KEYS, play_agent

START_AT = datetime(2026, 3, 1, 23, 0, tzinfo=UTC)
STEP_S = 10.0
WORST_WEEK = -0.003


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--stations", default="31,32,33,34", help="seeds of make-station")
    parser.add_argument("--days", type=int, default=14, help="days watched")
    parser.add_argument("--unseen", type=int, default=2, help="weeks nobody has seen")
    parser.add_argument("--samples", type=int, default=30, help="settings tried")
    parser.add_argument("--start", default="", help="numbers of [stations.air] that are not the defaults")
    parser.add_argument("--json", help="write the rows here")
    options = parser.parse_args()
    rows = [_station(int(seed), options) for seed in options.stations.split(",")]
    if options.json:
        Path(options.json).write_text(json.dumps(rows, indent=1) + "\n")
    # Where nothing is proposed site.toml stays as it is.
    weeks = [gain if row["proposed"] else 0.0 for row in rows for gain in row["unseen_gains"]]
    mean, worst = statistics.fmean(weeks), min(weeks)
    held = "held" if mean >= 0.0 and worst >= WORST_WEEK else "MISSED"
    print(
        f"{sum(row['proposed'] for row in rows)} proposals on {len(rows)} stations; over {len(weeks)} unseen weeks mean "
        f"{100 * mean:+.2f} %, worst {100 * worst:+.2f} % (bar: 0, {100 * WORST_WEEK:g} %): {held}"
    )


def _station(seed: int, options: argparse.Namespace) -> dict[str, Any]:
    days, samples = options.days, options.samples
    with tempfile.TemporaryDirectory() as folder:
        path, state = Path(folder) / "site.toml", Path(folder) / "state"
        path.write_text(_begun(station_text(draw_station(seed)), options.start), encoding="utf-8")
        state.mkdir()
        site = load_site(path)
        station = site.stations["air"]
        true = unlike_nameplate(station, seed)
        end = START_AT + timedelta(days=days)
        demand = shift_demand(station, site.site.timezone, START_AT, float(days), seed)
        scene = Scene(site, "air", demand, START_AT, end, seed, step_s=STEP_S, true_station=true)
        observer = Recorder(scene, Mode.OBSERVE)
        run_baseline(replace(scene, watch=observer.take), configured_baseline(true))
        with closing(History(state / "history.db", 60)) as history:
            observer.keep(history)
        words = [str(path), "--state", str(state), "--samples", str(samples), "--json"]
        done = subprocess.run(
            [sys.executable, "-m", "agent.cli", "tune", *words], capture_output=True, text=True, check=False
        )
        if done.returncode not in {0, 1}:
            raise SystemExit(done.stderr)
        found = json.loads(done.stdout)
    now = {key.name: float(getattr(station, key.name)) for key in KEYS}
    row: dict[str, Any] = {
        "station": seed,
        "proposed": found["holds"],
        "settings": found["settings"],
        "promised_gain": found["gain_share"],
        "at_least": found["gain_low_share"],
        "unseen_gains": [0.0] * options.unseen,
        "unseen_below_share": [],
        "unseen_dip_bar": [],
        "held_out": {"now": found["now_held_out"], "best": found["best_held_out"]},
    }
    for number in range(options.unseen if found["settings"] else 0):
        week = shift_demand(station, site.site.timezone, end, 7.0, seed + 1000 * (number + 1))
        books = [
            play_agent(site, "air", true, settings, week, seed + number)[0]
            for settings in (now, {**now, **found["settings"]})
        ]
        row["unseen_gains"][number] = 1.0 - books[1].energy_corrected_kwh / books[0].energy_corrected_kwh
        row["unseen_below_share"].append([each.time_below_min_s / each.elapsed_s for each in books])
        row["unseen_dip_bar"].append([each.worst_dip_bar for each in books])
    unseen = ", ".join(f"{100 * gain:+.2f} %" for gain in row["unseen_gains"])
    print(
        f"station {seed}: {row['settings'] or 'nothing better'}; {100 * row['promised_gain']:+.2f} % on days kept "
        f"back (at least {100 * row['at_least']:+.2f} %), {'proposed' if row['proposed'] else 'not proposed'}; unseen weeks {unseen}",
        flush=True,
    )
    return row


def _begun(text: str, start: str) -> str:
    """The drawn site.toml with the numbers of `--start` in its station's table, which has none of its own."""
    header, rows = (
        "[stations.air]\n",
        "".join(f"{word.replace('=', ' = ')}\n" for word in start.split(",") if word),
    )
    assert text.count(header) == 1, "a drawn site has one station"
    return text.replace(header, header + rows)


if __name__ == "__main__":
    main()
