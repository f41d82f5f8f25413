"""`trimload demo`: the main job, watched: a simulated day over a real wire, and the account."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from agent.config.load import load_site
from agent.errors import ConfigError
from agent.inference.forecaster import TRIAL_RATIO, trial_ratios
from agent.inference.model import Model, ModelRefusedError, load_model
from agent.log import configure
from twin.account import account_table, service_warnings
from twin.baselines.cascade import Cascade
from twin.baselines.orders import ORDER_NAMES
from twin.baselines.sequencer import Sequencer
from twin.demo.play import DemoResult, play
from twin.demo.scene import DemoScene, demo_scene
from twin.demo.view import DemoView
from twin.simulate import Scene, books_figures, run_cascade, run_sequencer, summary

EXIT_OK, EXIT_BAD_NEWS = 0, 1
_SITE = Path(__file__).resolve().parents[2] / "examples" / "demo" / "site.toml"


def command(argv: Sequence[str]) -> int:
    """Run `trimload demo`."""
    parser = argparse.ArgumentParser(
        prog="trimload demo",
        description="Set a simulated plant up in a process of its own, connect the agent to it over Modbus TCP, "
        "OPC UA and MQTT, let a day pass in about a minute, and print what agent, cascade and sequencer used.",
        epilog="exit codes: 0 done; 1 done, but the agent broke the service limits; 2 the demo cannot run here",
    )
    parser.add_argument(
        "site", type=Path, nargs="?", default=_SITE, help="another site (default: examples/demo)"
    )
    parser.add_argument("--hours", type=float, default=24.0, help="simulated hours (24)")
    parser.add_argument("--seed", type=int, default=1, help="of demand, weather and noise (1)")
    parser.add_argument(
        "--state", type=Path, help="keep databases and model here (default: a temporary folder)"
    )
    parser.add_argument("--json", metavar="OUT", help="write the figures here; - for standard output")
    options = parser.parse_args(list(argv))
    configure("error")
    console = Console(stderr=options.json == "-")
    site = load_site(options.site)
    if site.uplink is None:
        raise ConfigError(
            "the demo needs a broker", where=f"{options.site} [uplink]", fix="add [uplink] broker"
        )
    scene = demo_scene(site, hours=options.hours, seed=options.seed)
    with tempfile.TemporaryDirectory(prefix="trimload-demo-") as temporary:
        state = options.state or Path(temporary)
        state.mkdir(parents=True, exist_ok=True)
        model = train(scene, state, console)
        view = DemoView(console, start_at=scene.start_at, end_at=scene.end_at, timezone=site.site.timezone)
        result = asyncio.run(play(scene, options.site, state, model, view, say=console.print))
    runs = _account(scene, result)
    hours = f"{options.hours:g} simulated hours"
    console.print(account_table(runs, title=f"{site.site.name}: {hours}", currency=site.tariff.currency))
    for warning in service_warnings(runs):
        console.print(warning, style="yellow", highlight=False, soft_wrap=True)
    console.print(_closing(result), highlight=False, soft_wrap=True)
    if options.json is not None:
        _write(options.json, runs, result)
    bad = any(warning.startswith("agent") for warning in service_warnings(runs))
    return EXIT_BAD_NEWS if bad else EXIT_OK


def train(scene: DemoScene, state: Path, console: Console) -> Model | None:
    """A forecaster of the station's demand, trained on its past; None where the file is refused."""
    from agent.daemon.outlook import HORIZON, STEP_S
    from training.dataset import Frame
    from training.fit import fit_target

    target = f"{scene.station_id}.demand_m3_min"
    with console.status("training a forecaster on twelve weeks of the plant's past ..."):
        content = fit_target(
            Frame(scene.past_at, STEP_S, {target: scene.past_m3_min}),
            target=target,
            unit="m3/min",
            step_s=STEP_S,
            horizon=HORIZON,
            tz=scene.site.site.timezone,
            seed=scene.seed,
            quick=True,
        )
    path = state / "demand.onnx"
    path.write_bytes(content)
    try:
        model = load_model(content)
    except ModelRefusedError as error:
        console.print(f"the trained model is refused ({error}); the naive rule forecasts", style="yellow")
        return None
    console.print(
        f"trained {path.name} ({len(content) / 1024:.0f} kB) on twelve weeks of the plant's past: {_trial(model)}",
        highlight=False,
    )
    return model


def _trial(model: Model) -> str:
    """How the model did in its own trial, and who forecasts because of it."""
    ratio = min(trial_ratios(model)[1:])
    who = (
        "it forecasts"
        if ratio <= TRIAL_RATIO
        else "the naive rule forecasts until the model proves better on site"
    )
    return f"error {ratio:.2f} x the best naive rule in its trial, so {who}"


def _account(scene: DemoScene, result: DemoResult) -> dict[str, dict[str, Any]]:
    """The agent's books from the wire beside the baselines on the same day."""
    day = Scene(scene.site, scene.station_id, scene.day, scene.start_at, scene.end_at, scene.seed)
    runs: dict[str, dict[str, Any]] = {
        "agent": {**books_figures(result.books), "cost": round(result.cost, 4)}
    }
    for order in ORDER_NAMES:
        runs[f"cascade:{order}"] = summary(run_cascade(day, Cascade(day.station, order=order)), scene.seed)
    runs["sequencer:typical"] = summary(run_sequencer(day, Sequencer(day.station)), scene.seed)
    return runs


def _closing(result: DemoResult) -> str:
    zones = ", ".join(
        f"{name} {zone['discomfort_kh']:.1f} K h out of comfort" for name, zone in result.zones.items()
    )
    ledger = "sound" if result.ledger_sound else "BROKEN"
    return (
        f"{result.ticks} ticks in {result.wall_s:.0f} s; {result.commands} commands written, read back and kept in "
        f"the ledger (hash chain {ledger}); {result.messages} messages through {result.broker}\nzones: {zones or 'none'}"
    )


def _write(target: str, runs: dict[str, dict[str, Any]], result: DemoResult) -> None:
    body = {
        "runs": runs,
        "zones": result.zones,
        "messages": result.messages,
        "commands": result.commands,
        "ticks": result.ticks,
        "wall_s": round(result.wall_s, 2),
        "ledger_sound": result.ledger_sound,
    }
    text = json.dumps(body, indent=1) + "\n"
    if target == "-":
        sys.stdout.write(text)
    else:
        Path(target).write_text(text, encoding="utf-8")
