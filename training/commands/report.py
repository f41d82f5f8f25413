"""trimload-train report: one HTML page of a back-test."""

import argparse
from pathlib import Path
from typing import Any

import pandas as pd

from training.commands.options import data_options, load
from training.commands.output import DONE, say
from training.report import write_report


def add(commands: Any) -> None:
    """The command's arguments."""
    parser = commands.add_parser("report", help="one HTML page of a back-test")
    parser.add_argument("--scores", type=Path, required=True, help="the --json file of backtest")
    parser.add_argument("--predictions", type=Path, required=True)
    data_options(parser)
    parser.add_argument("--out", type=Path, required=True, metavar="REPORT.html")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    frame = load(options, (options.target,))
    stamps = pd.date_range(frame.first_at, periods=frame.rows, freq=f"{frame.step_s}s")
    truth = pd.Series(frame.columns[options.target], index=stamps)
    write_report(options.scores, options.predictions, truth, options.out)
    say(options, f"wrote {options.out}")
    return DONE
