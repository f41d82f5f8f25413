"""Forecasts over a real broker, a real web server and files: lost, back, too long, too slow, remembered."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from paho.mqtt import publish

from agent.clock import SimClock
from agent.config.site import WeatherSource
from agent.errors import DataError
from agent.weather.reading import Forecast
from agent.weather.service import WeatherService
from agent.weather.sources import fetch_url, read_file
from tests.uplink.conftest import Mosquitto, free_port, until

NOW = datetime(2026, 1, 5, 8, tzinfo=UTC)


def document(value: float = 1.0, *, issued_at: datetime = NOW) -> bytes:
    rows = [[(NOW + timedelta(hours=k)).isoformat(), value] for k in range(48)]
    return json.dumps({"issued_at": issued_at.isoformat(), "series": {"outdoor_temp": rows}}).encode()


@asynccontextmanager
async def running(config: WeatherSource, state: Path, **options):
    got: list[Forecast] = []
    stopped = asyncio.Event()
    service = WeatherService(config, "works", state, SimClock(NOW), got.append, retry_s=0.02, **options)
    task = asyncio.create_task(service.run(stopped))
    try:
        yield got
    finally:
        stopped.set()
        await asyncio.wait_for(task, 10)


class Web:
    """A web server whose answer a test chooses."""

    def __init__(self) -> None:
        self.answer: Callable[[BaseHTTPRequestHandler], None] = lambda handler: self.send(handler, document())
        self.seen: list[dict[str, str]] = []
        web = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                web.seen.append({"path": self.path, **dict(self.headers.items())})
                web.answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1?key=secret"

    @staticmethod
    def send(handler: BaseHTTPRequestHandler, content: bytes, status: int = 200, **headers: str) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def web():
    server = Web()
    yield server
    server.close()


# ---- files ------------------------------------------------------------------------------------------------


async def test_a_file_is_read_again_and_again_and_a_broken_one_changes_nothing(tmp_path: Path):
    path = tmp_path / "forecast.json"
    path.write_bytes(document(1.0))

    async with running(WeatherSource.model_construct(file=path, every_s=0.02), tmp_path) as got:
        await until(lambda: len(got) >= 1)
        path.write_bytes(b"{half a fi")
        await until(lambda: path.read_bytes() == b"{half a fi")
        path.write_bytes(document(2.0, issued_at=NOW))
        await until(lambda: got[-1].series["outdoor_temp"][0][1] == 2.0)

    assert {forecast.series["outdoor_temp"][0][1] for forecast in got} == {1.0, 2.0}


def test_a_file_that_is_not_there_or_too_long_is_one_clear_error(tmp_path: Path):
    with pytest.raises(DataError, match="cannot be read: No such file") as caught:
        read_file(tmp_path / "none.json", most_bytes=1000)
    assert "rename" in caught.value.fix

    (tmp_path / "long.json").write_bytes(b" " * 5000)
    with pytest.raises(DataError, match="longer than 4 kB"):
        read_file(tmp_path / "long.json", most_bytes=4096)


# ---- HTTP -------------------------------------------------------------------------------------------------


async def test_a_web_service_that_fails_and_comes_back_is_told_once_each(tmp_path: Path, web: Web, caplog):
    caplog.set_level("INFO", logger="agent")
    web.answer = lambda handler: web.send(handler, b"expired", 400)
    config = WeatherSource.model_construct(url=web.url, every_s=0.05)

    async with running(config, tmp_path, token="abc") as got:
        await until(lambda: len(web.seen) >= 4)
        web.answer = lambda handler: web.send(handler, document())
        await until(lambda: len(got) >= 2)

    text = caplog.messages
    lost = [line for line in text if "weather_source_lost" in line]
    assert len(lost) == 1
    assert "400" in lost[0]
    assert "secret" not in "".join(text)
    assert len([line for line in text if "weather_source_back" in line]) == 1
    assert web.seen[0]["Authorization"] == "Bearer abc"


def test_a_key_does_not_follow_a_redirection(web: Web):
    other = Web()
    web.answer = lambda handler: web.send(handler, b"", 302, Location=other.url)

    found = fetch_url(web.url, timeout_s=5, most_bytes=100_000, token="abc")
    other.close()

    assert found.content == document()
    assert "Authorization" not in other.seen[0]


def test_a_server_that_drips_that_never_answers_or_that_floods_is_left(web: Web):
    release = threading.Event()

    def drip(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", "100000")
        handler.end_headers()
        while not release.wait(0.05):
            try:
                handler.wfile.write(b" ")
                handler.wfile.flush()
            except OSError:
                return

    web.answer = drip
    with pytest.raises(DataError, match="did not end"):
        fetch_url(web.url, timeout_s=0.2, most_bytes=100_000)
    web.answer = lambda handler: release.wait(10)
    with pytest.raises(DataError, match="timed out"):
        fetch_url(web.url, timeout_s=0.2, most_bytes=100_000)
    release.set()
    web.answer = lambda handler: web.send(handler, b" " * 100_000)
    with pytest.raises(DataError, match="longer than 4 kB"):
        fetch_url(web.url, timeout_s=5, most_bytes=4096)


def test_nobody_listening_is_one_clear_error_without_the_key():
    with pytest.raises(DataError, match="refused") as caught:
        fetch_url(f"http://127.0.0.1:{free_port()}/v1?key=secret", timeout_s=2, most_bytes=1000)

    assert "secret" not in str(caught.value)
    assert "curl" in caught.value.fix


def test_the_carriers_date_is_taken(web: Web):
    web.answer = lambda handler: web.send(handler, document(), Last_Modified="Mon, 05 Jan 2026 05:00:00 GMT")

    assert fetch_url(web.url, timeout_s=5, most_bytes=100_000).dated_at == datetime(2026, 1, 5, 5, tzinfo=UTC)


# ---- MQTT -------------------------------------------------------------------------------------------------


@pytest.mark.peers("mosquitto")
async def test_a_topic_brings_forecasts_over_a_brokers_death(tmp_path: Path):
    broker = Mosquitto(tmp_path, free_port())
    broker.start()
    config = WeatherSource(topic="weather/works", broker=f"mqtt://127.0.0.1:{broker.port}")

    def send(content: bytes) -> None:
        publish.single(config.topic, content, qos=1, retain=True, port=broker.port, hostname="127.0.0.1")

    try:
        async with running(config, tmp_path) as got:
            await asyncio.to_thread(send, document(1.0))
            await until(lambda: len(got) == 1)
            await asyncio.to_thread(send, b"nonsense")
            broker.kill()
            broker.start()
            await asyncio.to_thread(send, document(2.0))
            await until(lambda: len(got) == 2)
    finally:
        broker.kill()

    assert got[-1].origin == "topic weather/works"
    assert got[-1].series["outdoor_temp"][0][1] == 2.0


# ---- memory -----------------------------------------------------------------------------------------------


async def test_a_restart_offline_has_the_last_forecast_with_its_age(tmp_path: Path, web: Web):
    issued_at = NOW - timedelta(hours=5)
    web.answer = lambda handler: web.send(handler, document(issued_at=issued_at))
    config = WeatherSource.model_construct(url=web.url, every_s=3600.0)
    async with running(config, tmp_path) as got:
        await until(lambda: len(got) == 1)
    offline = WeatherSource.model_construct(url=f"http://127.0.0.1:{free_port()}/", every_s=3600.0)

    async with running(offline, tmp_path) as again:
        await until(lambda: len(again) == 1)

    assert again[0].series == got[0].series
    assert again[0].issued_at == issued_at
    assert again[0].origin == "kept on disk"


async def test_a_memory_cut_short_is_passed_over(tmp_path: Path, web: Web):
    (tmp_path / "weather.json").write_bytes(document()[:100])

    async with running(WeatherSource.model_construct(url=web.url, every_s=3600.0), tmp_path) as got:
        await until(lambda: len(got) == 1)

    assert got[0].origin.startswith("http://127.0.0.1")


async def test_an_older_forecast_does_not_replace_a_newer_one(tmp_path: Path, web: Web):
    old = document(2.0, issued_at=NOW - timedelta(hours=9))
    config = WeatherSource.model_construct(url=web.url, every_s=0.02)

    async with running(config, tmp_path) as got:
        await until(lambda: len(got) >= 1)
        web.answer = lambda handler: web.send(handler, old)
        count = len(web.seen)
        await until(lambda: len(web.seen) >= count + 3)

    assert all(forecast.series["outdoor_temp"][0][1] == 1.0 for forecast in got)
