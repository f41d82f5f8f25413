"""Arguments that several commands share, and how their texts are read."""

import argparse
from collections.abc import Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pandas as pd

from agent.errors import DataError
from training.ahead import add_ahead, made_here, with_plan
from training.dataset import Frame, check_step, check_zone, country_holidays, load_frame


def data_options(parser: argparse.ArgumentParser, data_help: str = "CSV or Parquet, gaps allowed") -> None:
    """Where the data are and what they mean."""
    parser.add_argument("--data", required=True, help=data_help)
    parser.add_argument("--target", required=True, help="column to forecast")
    parser.add_argument(
        "--time", default="timestamp", metavar="COLUMN", help="start of each interval (default timestamp)"
    )
    parser.add_argument(
        "--known", default="", metavar="A,B", help="columns known ahead: plan, shifts, weather forecast"
    )
    parser.add_argument(
        "--plan",
        type=Path,
        metavar="PLAN.csv",
        help="production plan (time, line, planned_rate): columns plan and plan.LINE for --known",
    )
    parser.add_argument(
        "--step", type=seconds, default=900, help="grid: 5min, 15min, 30min, 1h (default 15min)"
    )
    parser.add_argument("--horizon", type=steps, default=96, help="steps ahead (default 96)")
    parser.add_argument("--tz", help="zone of the plant and of stamps without offset (default UTC)")
    parser.add_argument("--unit", help="unit of the target")
    parser.add_argument("--country", help="ISO code for public holidays, such as DE")
    parser.add_argument(
        "--train-end", metavar="T", help="training sees only data before it; ISO 8601, in --tz without offset"
    )
    parser.add_argument("--seed", type=int, default=1, help="same seed and data, same bits (default 1)")
    parser.add_argument(
        "--json", type=Path, metavar="OUT.json", help="results as JSON; - for standard output"
    )


def load(options: argparse.Namespace, columns: Sequence[str], known: Sequence[str] = ()) -> Frame:
    """The frame that the shared options name."""
    plan = getattr(options, "plan", None)
    made = made_here(known, plan, None)
    frame = load_frame(
        Path(options.data),
        time_column=options.time,
        columns=columns,
        known=[name for name in known if name not in made],
        step_s=options.step,
        tz=zone(options),
    )
    return add_ahead(frame, made, tz=zone(options), plan=plan, site=None, target=columns[0])


def known_names(options: argparse.Namespace) -> tuple[str, ...]:
    """The known columns asked for, the plan's total among them where --plan is given."""
    return with_plan(names(options.known), options.plan)


def zone(options: argparse.Namespace) -> str:
    """The plant's time zone."""
    tz = str(options.tz or "UTC")
    check_zone(tz)
    return tz


def holidays_of(options: argparse.Namespace, frame: Frame) -> frozenset[date]:
    """Public holidays of the span, where a country is named."""
    if not options.country:
        return frozenset()
    return country_holidays(options.country, frame.first_at.date(), frame.end_at.date())


def names(text: str) -> tuple[str, ...]:
    """A,B as two names."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def pair(text: str) -> tuple[float, float]:
    """LOW,HIGH as two numbers in order."""
    try:
        low, high = (float(part) for part in text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text}: give LOW,HIGH") from error
    if not low < high:
        raise argparse.ArgumentTypeError(f"{text}: give LOW,HIGH with LOW below HIGH")
    return low, high


def seconds(text: str) -> int:
    """A step such as 15min, 1h or 900s."""
    try:
        span = pd.Timedelta(f"{text} s" if text.isdigit() else text)
        step_s = int(span.total_seconds())
        check_step(step_s)
    except (ValueError, DataError) as error:
        raise argparse.ArgumentTypeError(
            f"{text}: give a step of 1 min to 6 h that divides a day, such as 15min"
        ) from error
    return step_s


def steps(text: str) -> int:
    """A number of steps, 1 or more."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text}: give a number of steps, 1 or more")
    return int(text)


def instant(text: str, tz: str, where: str) -> datetime:
    """An ISO 8601 stamp, in `tz` where it names no offset, as UTC. Raises DataError."""
    try:
        stamp = datetime.fromisoformat(text.strip())
    except (ValueError, AttributeError) as error:
        raise DataError(
            f"{text!r} is no time stamp", where=where, fix="use ISO 8601, such as 2024-10-01T00:00:00Z"
        ) from error
    aware = stamp if stamp.tzinfo else stamp.replace(tzinfo=ZoneInfo(tz))
    return aware.astimezone(UTC)
