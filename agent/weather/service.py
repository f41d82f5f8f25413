"""Keeps the forecast fresh beside the control loop: looks, listens, remembers on disk, says once what is wrong."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion

from agent.clock import Clock
from agent.config.services import Uplink
from agent.config.site import WeatherSource
from agent.errors import DataError
from agent.log import get_logger
from agent.update.files import write_durably
from agent.uplink.connection import broker_address, use_certificates
from agent.weather.reading import Forecast, as_json, read_forecast
from agent.weather.sources import fetch_url, read_file

log = get_logger(__name__)

FILE_NAME = "weather.json"
RETRY_MIN_S = 60.0
_CONNECT_TIMEOUT_S = 5.0
_KEEPALIVE_S = 60


class WeatherService:
    """`run` until stopped; each good forecast goes to `give`, and to the disk for the next start."""

    def __init__(
        self,
        config: WeatherSource,
        site_id: str,
        state: Path,
        clock: Clock,
        give: Callable[[Forecast], None],
        *,
        uplink: Uplink | None = None,
        password: str | None = None,
        token: str | None = None,
        retry_s: float = RETRY_MIN_S,
    ) -> None:
        self._config, self._site_id, self._clock, self._give = config, site_id, clock, give
        self._kept = state / FILE_NAME
        self._uplink, self._password, self._token = uplink, password, token
        self._retry_s = retry_s
        self._trouble = ""
        self._issued: Forecast | None = None

    async def run(self, stopped: asyncio.Event) -> None:
        """What the last run left, then the source, until `stopped`."""
        self._recall()
        if self._config.topic is not None:
            await self._listen(stopped)
        else:
            await self._poll(stopped)

    def take(self, content: bytes, origin: str) -> None:
        """A document that has come by itself."""
        self._understand(lambda: read_forecast(content, origin=origin, received_at=self._clock.now()))

    def _recall(self) -> None:
        """The forecast of the last run: a restart offline loses nothing."""
        try:
            content = self._kept.read_bytes()
        except FileNotFoundError:
            return
        except OSError as error:
            log.warning("weather_not_recalled", file=str(self._kept), error=error.strerror)
            return
        with contextlib.suppress(DataError):  # a file cut short by a power cut: the source will tell anew
            self._hand_on(read_forecast(content, origin="kept on disk", received_at=self._clock.now()))

    async def _poll(self, stopped: asyncio.Event) -> None:
        pause_s = self._retry_s
        while not stopped.is_set():
            good = await asyncio.to_thread(self._look)
            pause_s = self._config.every_s if good else min(2.0 * pause_s, self._config.every_s)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await stopped.wait()
            if good:
                pause_s = self._retry_s

    def _look(self) -> bool:
        config, most = self._config, self._config.most_kb << 10

        def found() -> Forecast:
            if config.file is not None:
                origin, lay = str(config.file), read_file(config.file, most_bytes=most)
            else:
                url = config.url or ""
                origin = url.partition("?")[0]
                lay = fetch_url(url, timeout_s=config.timeout_s, most_bytes=most, token=self._token)
            return read_forecast(
                lay.content, origin=origin, received_at=self._clock.now(), dated_at=lay.dated_at
            )

        return self._understand(found)

    def _understand(self, read: Callable[[], Forecast]) -> bool:
        try:
            forecast = read()
        except DataError as error:
            if str(error) != self._trouble:
                self._trouble = str(error)
                log.warning("weather_source_lost", what=error.what, where=error.where, fix=error.fix)
            return False
        if self._trouble:
            self._trouble = ""
            log.info("weather_source_back", origin=forecast.origin)
        if self._issued is None or forecast.issued_at >= self._issued.issued_at:
            self._keep(forecast)
            self._hand_on(forecast)
        return True

    def _hand_on(self, forecast: Forecast) -> None:
        self._issued = forecast
        self._give(forecast)

    def _keep(self, forecast: Forecast) -> None:
        if self._issued is not None and forecast.series == self._issued.series:
            return
        try:
            write_durably(self._kept, as_json(forecast).encode())
        except OSError as error:
            log.warning("weather_not_kept", file=str(self._kept), error=error.strerror)

    async def _listen(self, stopped: asyncio.Event) -> None:
        """A session of its own: a topic of somebody else's is none of the uplink's."""
        topic, loop = self._config.topic or "", asyncio.get_running_loop()
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"trimload-{self._site_id}-weather",
            protocol=paho.MQTTv311,
        )
        broker = self._config.broker or (self._uplink.broker if self._uplink is not None else "")
        host, port, tls = broker_address(broker)
        if self._uplink is not None and self._config.broker is None:
            if self._uplink.username is not None:
                client.username_pw_set(self._uplink.username, self._password)
            if tls:
                use_certificates(client, self._uplink)
        elif tls:
            client.tls_set()
        most = self._config.most_kb << 10

        def arrived(_client: object, _data: object, message: paho.MQTTMessage) -> None:
            content = bytes(message.payload[: most + 1])
            with contextlib.suppress(RuntimeError):  # the loop may be gone at the end of the program
                loop.call_soon_threadsafe(self._arrived, content, most)

        client.connect_timeout = _CONNECT_TIMEOUT_S
        client.on_message = arrived
        client.on_connect = lambda c, *_: c.subscribe(topic, qos=1)
        client.connect_async(host, port, keepalive=_KEEPALIVE_S)
        client.loop_start()
        try:
            await stopped.wait()
        finally:
            client.disconnect()
            await asyncio.to_thread(client.loop_stop)

    def _arrived(self, content: bytes, most: int) -> None:
        if len(content) > most:
            log.warning("weather_source_lost", what=f"a message longer than {most >> 10} kB", where="topic")
            return
        self.take(content, f"topic {self._config.topic}")
