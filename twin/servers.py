"""All servers of a site's devices, on one plant."""

from __future__ import annotations

from datetime import datetime

from agent.config.parts import Device
from agent.config.site import Site
from agent.errors import TrimloadError
from twin.modbus_server import ModbusServer
from twin.opcua_server import OpcUaServer
from twin.protocol import SimulatedPlant


class PortError(TrimloadError):
    """A port of the simulated devices cannot be opened."""


class TwinServers:
    """The wire of a simulated site: what the agent connects to instead of the real devices."""

    def __init__(self, site: Site, plant: SimulatedPlant) -> None:
        self._plant = plant
        on_port: dict[tuple[str, int], dict[str, Device]] = {}
        on_url: dict[str, dict[str, Device]] = {}
        for name, device in site.devices.items():
            if device.driver == "modbus-tcp":
                on_port.setdefault((device.host, device.port), {})[name] = device
            elif device.driver == "opcua":
                on_url.setdefault(device.url, {})[name] = device
        self.modbus = {at: ModbusServer(at[0], at[1], devices, plant) for at, devices in on_port.items()}
        self.opcua = {url: OpcUaServer(url, devices, plant) for url, devices in on_url.items()}

    async def start(self) -> None:
        """Open every port. Raises PortError, with all closed again, when one is taken."""
        place = ""
        try:
            for (host, port), modbus in self.modbus.items():
                place = f"{host}:{port}"
                await modbus.start()
            for url, opcua in self.opcua.items():
                place = url
                await opcua.start()
        except OSError as error:
            await self.stop()
            raise PortError(
                f"cannot open {place}: {error.strerror or error}",
                where="[devices] host, port and url in site.toml",
                fix="stop what listens there, or give the simulated devices an address and port of this machine",
            ) from error

    async def stop(self) -> None:
        """Close every port and connection."""
        for modbus in self.modbus.values():
            await modbus.stop()
        for opcua in self.opcua.values():
            await opcua.stop()

    async def advance_to(self, at: datetime) -> None:
        """Let the plant live until `at` and show on every server what it then measures."""
        self._plant.advance_to(at)
        for opcua in self.opcua.values():
            await opcua.refresh()
