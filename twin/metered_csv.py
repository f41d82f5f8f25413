"""Rows of a meter's CSV as samples: separator, decimal comma, time column and stamps found by themselves."""

from __future__ import annotations

import csv
import difflib
import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

from agent.errors import DataError

PROBE_ROWS = 50
PROBE_MORE_ROWS = 2000
DAY_FIRST = ("%d.%m.%Y %H:%M:%S", "%d.%m.%Y %H:%M", "%d/%m/%Y %H:%M:%S", "%d/%m/%Y %H:%M", "%d-%m-%Y %H:%M")
MONTH_FIRST = ("%m/%d/%Y %H:%M:%S", "%m/%d/%Y %H:%M", "%m-%d-%Y %H:%M")
YEAR_FIRST = ("%Y/%m/%d %H:%M:%S", "%Y/%m/%d %H:%M", "%Y.%m.%d %H:%M")
StampReader = Callable[[str], datetime]


class Sample(NamedTuple):
    """One row: start of its interval (UTC) and its number, None where it shows none."""

    at: datetime
    value: float | None


@dataclass(frozen=True, slots=True)
class Table:
    """The samples in order of time, the column as it is written, and how many values were no numbers."""

    column: str
    samples: list[Sample]
    unread: int


def read_samples(path: Path, *, column: str, time_column: str | None, zone: ZoneInfo) -> Table:
    """The file's samples. Stamps without offset are local time of `zone`. Raises DataError."""
    header, rows, separator = _read(path)
    value_index = _column(header, column, path)
    # Rows from the whole file: 01/02/2026 alone does not tell day from month.
    probe = rows[:PROBE_ROWS] + rows[PROBE_ROWS :: max(1, len(rows) // PROBE_MORE_ROWS)]
    probe = [row for row in probe if any(cell.strip() for cell in row)]
    if time_column is None:
        time_index, read_stamp = _find_time(header, probe, value_index, path)
    else:
        time_index = _column(header, time_column, path)
        read_stamp = _reader_for(
            [row[time_index] for row in probe if len(row) > time_index], path, time_column
        )
    decimal_comma = separator != "," and any(
        "," in row[value_index] for row in rows if len(row) > value_index
    )
    samples: list[Sample] = []
    unread = 0
    previous: datetime | None = None
    second = False
    for number, row in enumerate(rows, start=2):
        if len(row) <= max(time_index, value_index):
            if not any(cell.strip() for cell in row):
                continue
            raise DataError(
                f"the row has {len(row)} fields, the header {len(header)}",
                where=f"{path}, line {number}",
                fix="mend or remove the row",
            )
        try:
            stamp = read_stamp(row[time_index].strip())
        except (ValueError, OverflowError):
            raise DataError(
                f"{row[time_index]!r} is no time like those above it",
                where=f"{path}, line {number}, column {header[time_index]}",
                fix="mend or remove the row",
            ) from None
        if stamp.tzinfo is None:
            local = stamp.replace(tzinfo=zone)
            # Where clocks go back an hour comes twice: from the stamp that does not advance on it is
            # the second time, for as long as the hour lasts.
            ambiguous = local.utcoffset() != local.replace(fold=1).utcoffset()
            second = ambiguous and (second or (previous is not None and stamp <= previous))
            previous = stamp
            at = local.replace(fold=int(second)).astimezone(UTC)
        else:
            at = stamp.astimezone(UTC)
        text = row[value_index].strip()
        value = _number(text.replace(",", ".") if decimal_comma else text)
        unread += value is None and text != ""
        samples.append(Sample(at, value))
    if not any(sample.value is not None for sample in samples):
        raise DataError(
            "the column holds no numbers",
            where=f"{path}, column {header[value_index]}",
            fix=f"name one of: {', '.join(header)}",
        )
    samples.sort(key=lambda sample: sample.at)
    return Table(header[value_index], samples, unread)


def _read(path: Path) -> tuple[list[str], list[list[str]], str]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise DataError("the file does not exist", where=str(path), fix="check the path") from None
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"the file cannot be read: {error}",
            where=str(path),
            fix="give a CSV in UTF-8 that this user may read",
        ) from None
    lines = text.splitlines()
    if len(lines) < 2:
        raise DataError("the file has no rows", where=str(path), fix="give a CSV with a header and rows")
    separator = max(";\t,", key=lines[0].count)
    table = list(csv.reader(lines, delimiter=separator))
    return [name.strip() for name in table[0]], table[1:], separator


def _column(header: list[str], wanted: str, path: Path) -> int:
    folded = [name.casefold() for name in header]
    if wanted in header:
        return header.index(wanted)
    if folded.count(wanted.casefold()) == 1:
        return folded.index(wanted.casefold())
    near = difflib.get_close_matches(wanted.casefold(), folded, n=1)
    hint = f"did you mean {header[folded.index(near[0])]!r}? " if near else ""
    raise DataError(
        f"there is no column {wanted!r}", where=str(path), fix=f"{hint}columns: {', '.join(header)}"
    )


def _find_time(
    header: list[str], probe: list[list[str]], value_index: int, path: Path
) -> tuple[int, StampReader]:
    for index in range(len(header)):
        if index == value_index:
            continue
        texts = [row[index].strip() for row in probe if len(row) > index]
        reader = _stamp_reader(texts, header[index])
        if reader is not None:
            return index, reader
    raise DataError(
        "no column holds times",
        where=str(path),
        fix="name it with --time; ISO 8601 such as 2026-03-02T06:15 is always understood",
    )


def _reader_for(texts: list[str], path: Path, column: str) -> StampReader:
    reader = _stamp_reader([text.strip() for text in texts], column, named=True)
    if reader is None:
        raise DataError(
            f"{texts[0] if texts else ''!r} is no time that can be read",
            where=f"{path}, column {column}",
            fix="write times in ISO 8601, such as 2026-03-02T06:15 or 2026-03-02T06:15+01:00",
        )
    return reader


def _stamp_reader(texts: list[str], column: str, *, named: bool = False) -> StampReader | None:
    """The reader that understands all of `texts`; day first where both orders would do."""
    readers: list[StampReader] = [_iso]
    readers += [_strptime(form) for form in (*DAY_FIRST, *MONTH_FIRST, *YEAR_FIRST)]
    looks_like_time = any(word in column.casefold() for word in ("time", "date", "stamp", "epoch", "unix"))
    if named or looks_like_time:
        readers.append(_epoch)
    if not texts or not all(texts):
        return None
    for reader in readers:
        if _understands(reader, texts):
            return reader
    return None


def _understands(reader: StampReader, texts: list[str]) -> bool:
    try:
        for text in texts:
            reader(text)
    except (ValueError, OverflowError):
        return False
    return True


def _iso(text: str) -> datetime:
    # "20260302" and "7" are numbers before they are dates.
    if len(text) < 10 or not ("-" in text or "T" in text):
        msg = "no ISO time"
        raise ValueError(msg)
    return datetime.fromisoformat(text)


def _strptime(form: str) -> StampReader:
    return lambda text: datetime.strptime(text, form)  # noqa: DTZ007 (local time; the zone is given later)


def _epoch(text: str) -> datetime:
    number = float(text)
    if not 1e8 < number < 1e14:
        msg = "no epoch"
        raise ValueError(msg)
    return datetime.fromtimestamp(number / 1000.0 if number > 1e11 else number, UTC)


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
