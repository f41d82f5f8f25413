"""The one table of many sites' fits: a row as soon as a job ends, so that nothing is lost with whoever ran them."""

import csv
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from agent.errors import DataError
from training.jobs import JobResult

_METRICS = ("ratio_naive", "judge_pinball", "judge_coverage", "residual_share", "network_share")
COLUMNS = ("site", "target", "model", "model_sha256", *_METRICS, "tries", "cpu_s", "error", "fix")


@contextmanager
def result_table(
    path: Path | None, kept: Iterable[dict[str, str]] = ()
) -> Iterator[Callable[[JobResult], None]]:
    """Gives `add`: each `add(result)` is on the disk when it returns. None keeps no table."""
    if path is None:
        yield lambda _: None
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as out:
        writer = csv.DictWriter(out, COLUMNS, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(kept)
        out.flush()

        def add(result: JobResult) -> None:
            writer.writerow(row_of(result))
            out.flush()

        yield add


def row_of(result: JobResult) -> dict[str, object]:
    """The result as a row; empty where there is nothing to say."""
    return {
        "site": result.name,
        "target": result.target,
        "model": result.model,
        "model_sha256": result.model_sha256,
        **{name: result.metrics.get(name) for name in _METRICS},
        "tries": result.tries,
        "cpu_s": result.cpu_s,
        "error": result.error,
        "fix": result.fix,
    }


def done_before(path: Path) -> list[dict[str, str]]:
    """Rows of a table whose model is still the one that was written. Raises DataError for what is no such table."""
    try:
        with path.open(newline="", encoding="utf-8") as source:
            rows = list(csv.DictReader(source))
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(
            f"cannot read the table: {error}", where=str(path), fix="name another --table"
        ) from error
    if rows and not set(COLUMNS) <= set(rows[0]):
        raise DataError("not a table of fits", where=str(path), fix="name another --table")
    return [each for each in rows if _stands(each)]


def _stands(row: dict[str, str]) -> bool:
    if row["error"] or not row["model"]:
        return False
    try:
        return sha256(Path(row["model"]).read_bytes()).hexdigest() == row["model_sha256"]
    except OSError:
        return False
