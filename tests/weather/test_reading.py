"""Documents that forecasts come in, good and bad."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from agent.errors import DataError
from agent.weather.reading import as_json, read_forecast

NOW = datetime(2026, 1, 5, 8, tzinfo=UTC)
HOURS = [NOW + timedelta(hours=k) for k in range(6)]


def document(**changes) -> bytes:
    body = {
        "issued_at": "2026-01-05T06:00:00+00:00",
        "series": {
            "outdoor_temp": [[at.isoformat(), float(k)] for k, at in enumerate(HOURS)],
            "solar": [[at.isoformat(), 50.0 * k] for k, at in enumerate(HOURS)],
        },
    }
    return json.dumps(body | changes).encode()


def read(content: bytes, **options):
    return read_forecast(content, origin="test", received_at=NOW, **options)


def test_json_with_its_issue_time_is_read_and_written_alike():
    forecast = read(document())

    assert forecast.issued_at == datetime(2026, 1, 5, 6, tzinfo=UTC)
    assert forecast.series["outdoor_temp"][2] == (HOURS[2], 2.0)
    assert read(as_json(forecast).encode()).series == forecast.series


def test_csv_with_zones_of_any_kind_is_read():
    text = "# issued_at = 2026-01-05T07:00:00+01:00\ntime,outdoor_temp,solar\n" + "\n".join(
        f"{(at + timedelta(hours=2)).replace(tzinfo=None).isoformat()}+02:00,{k}.5,"
        for k, at in enumerate(HOURS)
    )

    forecast = read(text.encode())

    assert forecast.issued_at == datetime(2026, 1, 5, 6, tzinfo=UTC)
    assert forecast.series["outdoor_temp"][0] == (HOURS[0], 0.5)
    with pytest.raises(DataError, match="no outdoor_temp"):
        read(text.encode().replace(b"time,outdoor_temp,solar", b"time,solar,outdoor_temp"))


def test_the_answer_of_open_meteo_is_read_with_its_offset_and_dated_by_its_carrier():
    body = {
        "utc_offset_seconds": 3600,
        "hourly_units": {"temperature_2m": "°C"},
        "hourly": {
            "time": [f"2026-01-05T{h:02d}:00" for h in range(9, 15)],
            "temperature_2m": [1.0, 2.0, None, 3.0, 4.0, 5.0],
            "shortwave_radiation": [0, 10, 20, 30, 40, 50],
        },
    }

    forecast = read(json.dumps(body).encode(), dated_at=NOW - timedelta(hours=1))

    assert forecast.series["outdoor_temp"][0] == (NOW, 1.0)
    assert len(forecast.series["outdoor_temp"]) == 5
    assert forecast.issued_at == NOW - timedelta(hours=1)


@pytest.mark.parametrize(("unit", "m_s"), [("km/h", 10.0), ("m/s", 36.0), ("mp/h", 16.09), ("kn", 18.52)])
def test_wind_comes_in_metres_a_second_whatever_the_service_counts_in(unit, m_s):
    body = {
        "hourly_units": {"wind_speed_10m": unit},
        "hourly": {
            "time": [f"2026-01-05T{h:02d}:00" for h in range(9, 15)],
            "temperature_2m": [1.0] * 6,
            "wind_speed_10m": [36.0] * 6,
        },
    }

    forecast = read(json.dumps(body).encode())

    assert forecast.series["wind"][0][1] == pytest.approx(m_s, abs=0.01)


def test_a_forecast_without_issue_time_is_no_younger_than_a_day_after_its_first_row():
    # A proxy that answers from its cache: received now, but it begins three days ago.
    old = [[(NOW + timedelta(hours=k - 72)).isoformat(), 1.0] for k in range(120)]

    forecast = read(document(issued_at=None, series={"outdoor_temp": old}))

    assert forecast.issued_at == NOW - timedelta(hours=48)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"\xff\xfe", "is not UTF-8"),
        (b"{broken", "is not JSON"),
        (b"<html>expired</html>", "neither JSON nor a CSV"),
        (b"", "neither JSON nor a CSV"),
        (document(series={}), "no outdoor_temp"),
        (document(series={"outdoor_tmp": []}), "'outdoor_tmp' is no series"),
        (document(series={"outdoor_temp": [[HOURS[0].isoformat(), 1.0]]}), "1 rows"),
        (document(series={"outdoor_temp": [["2026-01-05T07:00:00", 1.0]] * 5}), "names no time zone"),
        (document(series={"outdoor_temp": [["yesterday", 1.0]] * 5}), "is no time"),
        (document(series={"outdoor_temp": [[a.isoformat(), "warm"] for a in HOURS]}), "is no number"),
        (document(series={"outdoor_temp": [[a.isoformat(), 68.0] for a in HOURS]}), "that is not in degC"),
        (document(issued_at="2026-01-05T09:00:00Z"), "still to come"),
        (document(series=[]), "has no series"),
        (document(series={"wind": [[a.isoformat(), -1.0] for a in HOURS]}), "that is not in m/s"),
        (
            b'{"hourly_units": {"wind_speed_10m": "Bft"}, "hourly": {"time": [], "temperature_2m": []}}',
            "wind_speed_10m is in Bft",
        ),
        (b'{"hourly": {"time": ["2026-01-05T09:00"], "temperature_2m": []}}', "not one value a time"),
    ],
)
def test_what_cannot_be_meant_is_refused_whole_with_one_clear_error(content, what):
    with pytest.raises(DataError, match=what) as caught:
        read(content)

    assert caught.value.where == "test"
    assert "issued_at" in caught.value.fix
