"""What a back-test forecasts, and from where."""

import json
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from agent.errors import DataError
from training.dataset import Frame

# A gateway forecasts all the time. Between the origins asked for, one in so many hours is replayed, for what it
# teaches calibration and choice; nothing after an origin enters.
REPLAY_EVERY_H = 6
REPLAY_MOST = 1500


@dataclass(frozen=True)
class Plan:
    """What is forecast, from where. `known` are columns given ahead; `origins` are rows of the frame."""

    target: str
    horizon: int
    known: tuple[str, ...]
    tz: str
    train_end_row: int
    origins: tuple[int, ...]
    unit: str = ""
    limits: tuple[float, float] | None = None
    holidays: frozenset[date] = frozenset()
    hist_days: int | None = None
    seed: int = 1
    quick: bool = False


def default_origins(
    frame: Frame, *, horizon: int, train_end_row: int, target: str, count: int = 40
) -> tuple[int, ...]:
    """`count` origins spread from the end of training to a horizon before the end, where the truth is there."""
    last = frame.rows - horizon
    if last < train_end_row:
        raise DataError(
            "no whole horizon after the end of training", where=target, fix="move --train-end back"
        )
    y = frame.columns[target]
    spread = np.unique(np.linspace(train_end_row, last, count).astype(int))
    origins = tuple(int(o) for o in spread if np.isfinite(y[o : o + horizon]).mean() > 0.5)
    if not origins:
        raise DataError(
            "hardly a value of the target after the end of training",
            where=target,
            fix="move --train-end back, or name the origins",
        )
    return origins


def origins_from_file(path: Path, frame: Frame, tz: str) -> tuple[int, ...]:
    """Rows of a JSON list of ISO stamps, in `tz` where they name no offset; in order, each once.

    Raises DataError for what cannot be read or lies outside the data.
    """
    try:
        texts = json.loads(path.read_text(encoding="utf-8-sig"))
        if not isinstance(texts, list) or not texts:
            raise ValueError("no list of stamps")
        stamps = [datetime.fromisoformat(text) for text in texts]
    except (OSError, ValueError, TypeError) as error:
        raise DataError(
            f"cannot read the origins: {error}", where=str(path), fix="give a JSON list of ISO 8601 stamps"
        ) from error
    rows = [frame.row_of(each if each.tzinfo else each.replace(tzinfo=ZoneInfo(tz))) for each in stamps]
    for stamp, row in zip(stamps, rows, strict=True):
        if not 0 < row <= frame.rows:
            raise DataError(
                f"origin {stamp.isoformat()} lies outside the data",
                where=str(path),
                fix=f"data reach from {frame.first_at.isoformat()} to {frame.end_at.isoformat()}",
            )
    return tuple(sorted(set(rows)))


def with_replays(plan: Plan, step_s: int) -> NDArray[np.int64]:
    """The plan's origins and, from the end of training on, those that a gateway would have had between them."""
    last = max(plan.origins)
    spacing = max(1, REPLAY_EVERY_H * 3600 // step_s)
    spacing = max(spacing, (last - plan.train_end_row) // REPLAY_MOST)
    between = np.arange(plan.train_end_row, last, spacing, dtype=np.int64)
    return np.union1d(between, np.asarray(plan.origins, dtype=np.int64))
