"""A past as strangers write it: read as it is meant, or refused with what, where and how to mend it."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent.config.load import load_site
from agent.daemon.history_csv import history_rows
from agent.errors import DataError

SITE = load_site(Path(__file__).resolve().parents[2] / "examples" / "hvac_only" / "site.toml")
AT = datetime(2026, 1, 5, 7, 0, tzinfo=UTC)


def written(tmp_path: Path, text: str, encoding: str = "utf-8") -> Path:
    path = tmp_path / "past.csv"
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize(
    "text",
    [
        "time,rtu1.zone_temp,rtu1.occupied\n2026-01-05T07:00:00Z,20.5,1\n",
        "rtu1.occupied,Timestamp,rtu1.zone_temp\n1,2026-01-05T07:00:00Z,20.5\n",  # the time not first
        "time,rtu1.zone_temp,rtu1.occupied\n2026-01-05 08:00:00+01:00,20.5,true\n",  # local, with its offset
        "time,rtu1.zone_temp,rtu1.occupied\n2026-01-05 08:00:00 +0100,20.5,on\n",
        "time,rtu1.zone_temp,rtu1.occupied\n2026-01-05 07:00:00 UTC,20.5,yes\n",
        "time;rtu1.zone_temp;rtu1.occupied\r\n2026-01-05T07:00:00Z;20,5;1\r\n",  # a European Excel
        "\ufefftime\trtu1.zone_temp\trtu1.occupied\n2026-01-05T07:00:00Z\t20.5\t1\n",  # with its mark of order
        "the_time, rtu1.zone_temp , rtu1.occupied\n2026-01-05T07:00:00Z, 20.5, 1\n\n",
    ],
)
def test_the_same_row_is_read_however_it_is_written(tmp_path: Path, text: str):
    rows = {tag: (at, value) for at, tag, value in history_rows(written(tmp_path, text), SITE)}

    assert rows == {"rtu1.zone_temp": (AT, 20.5), "rtu1.occupied": (AT, 1.0)}


@pytest.mark.parametrize("word", ["", "NA", "NaN", "null", "None", "-", "n/a", "?"])
def test_words_for_unknown_are_unknown_and_never_nought(tmp_path: Path, word: str):
    text = f"time,rtu1.zone_temp,rtu1.power_kw\n2026-01-05T07:00:00Z,{word},3\n"

    values = {tag: value for _, tag, value in history_rows(written(tmp_path, text), SITE)}

    assert values["rtu1.zone_temp"] is None
    assert values["rtu1.power_kw"] == 3.0


def test_a_row_cut_short_is_unknown_in_what_it_lacks(tmp_path: Path):
    text = "time,rtu1.zone_temp,rtu1.power_kw\n2026-01-05T07:00:00Z,20.5\n"

    rows = list(history_rows(written(tmp_path, text), SITE))

    assert rows == [(AT, "rtu1.zone_temp", 20.5)]


@pytest.mark.parametrize(
    ("text", "what", "where", "fix"),
    [
        ("time,rtu1.zone_temp\n2026-01-05T08:00:00,20\n", "without its zone", "line 2", "+01:00"),
        ("time,rtu1.zone_temp\n05/01/2026 08:00,20\n", "no instant", "line 2", "ISO 8601"),
        ("time,rtu1.zone_temp\n1767596400,20\n", "no instant", "line 2", "ISO 8601"),
        ("time,rtu1.zone_temp\n2026-01-05T08:00:00Z,20,5\n", "3 fields under 2", "line 2", "semicolons"),
        ("time,rtu1.zone_temp\n2026-01-05T08:00:00Z,warm\n", "no number", "column rtu1.zone_temp", "empty"),
        ("time,rtu1.zonetemp\n2026-01-05T08:00:00Z,20\n", "meant 'rtu1.zone_temp'", "line 1", "tag"),
        ("time,rtu1.zone_temp,rtu1.zone_temp\n", "twice", "line 1", "leave one"),
        ("2026-01-05T08:00:00Z,20.5\n", "not the names", "line 1", "name them"),
        ("20.5,2026-01-05T08:00:00Z\n", "not the names", "line 1", "name them"),
        ("time\n2026-01-05T08:00:00Z\n", "no columns", "line 1", "column a tag"),
        ("", "no columns", "line 1", "column a tag"),
        ("rtu1.zone_temp,time\n20.5\n", "no time", "line 2", "leave the row out"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_place_and_remedy(tmp_path: Path, text, what, where, fix):
    with pytest.raises(DataError) as found:
        list(history_rows(written(tmp_path, text), SITE))

    assert what in found.value.what
    assert where in found.value.where
    assert fix in found.value.fix


def test_a_file_that_is_no_text_is_refused(tmp_path: Path):
    path = written(tmp_path, "time,rtu1.zone_temp\n2026-01-05T08:00:00Z,20\n", "utf-16")

    with pytest.raises(DataError, match="UTF-8"):
        list(history_rows(path, SITE))


def test_a_strange_column_beside_known_ones_is_left_out(tmp_path: Path):
    text = "time,rtu1.zone_temp,Outside temp\n2026-01-05T07:00:00Z,20.5,3\n"

    rows = list(history_rows(written(tmp_path, text), SITE))

    assert rows == [(AT, "rtu1.zone_temp", 20.5)]
