"""trimload-train publish: the gate decides whether a model may go out."""

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

from training.ahead import add_ahead, made_here
from training.commands.options import holidays_of
from training.commands.output import DONE, REFUSED, progress, say, write_json
from training.dataset import load_frame
from training.publish import known_of, open_model, publish


def add(commands: Any) -> None:
    """The command's arguments."""
    parser = commands.add_parser("publish", help="publish a model if it beats naive and the model in force")
    parser.add_argument("model", type=Path, metavar="MODEL.onnx")
    parser.add_argument("--champion", type=Path, metavar="OLD.onnx", help="the model in force")
    parser.add_argument(
        "--data", type=Path, required=True, help="must reach beyond the model's training span"
    )
    parser.add_argument("--time", default="timestamp", metavar="COLUMN")
    parser.add_argument(
        "--plan", type=Path, metavar="PLAN.csv", help="as in fit, for a model that knows a plan"
    )
    parser.add_argument(
        "--site", type=Path, metavar="SITE.toml", help="for a model that knows price or shift"
    )
    parser.add_argument("--country", help="ISO code for public holidays")
    parser.add_argument("--to", type=Path, required=True, help="folder of published models")
    parser.add_argument("--json", type=Path, metavar="OUT.json", help="verdict; - for standard output")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    model = open_model(options.model)[1]
    champion = open_model(options.champion)[1] if options.champion is not None else None
    contract, known = model.contract, known_of(model, champion)
    made = made_here(known, options.plan, options.site)
    frame = load_frame(
        options.data,
        time_column=options.time,
        columns=(contract.target,),
        known=[name for name in known if name not in made],
        step_s=contract.step_s,
        tz=contract.tz,
    )
    frame = add_ahead(
        frame, made, tz=contract.tz, plan=options.plan, site=options.site, target=contract.target
    )
    with progress(120) as tick:
        done = publish(
            frame,
            options.model,
            options.champion,
            options.to,
            holidays=holidays_of(options, frame),
            tick=tick,
        )
    for name, value in done.verdict.numbers.items():
        say(options, f"{name:22}{value:10.4g}")
    for reason in done.verdict.reasons:
        say(options, f"not published: {reason}")
    if done.manifest is not None:
        say(options, f"published: {done.manifest}")
    write_json(options.json, asdict(done.verdict))
    return DONE if done.verdict.publish else REFUSED
