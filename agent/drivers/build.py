"""From a device of site.toml to its driver."""

from __future__ import annotations

from agent.clock import Clock
from agent.config.parts import Device
from agent.drivers.base import Driver


def build_driver(device_id: str, device: Device, clock: Clock) -> Driver:
    """The driver of `device`, not yet connected. Raises ConfigError for a point without address.

    Protocols are imported when a site uses them: asyncua alone takes 24 MiB and 0.7 s.
    """
    if device.driver == "modbus-tcp":
        from agent.drivers.modbus import ModbusDriver

        return ModbusDriver(device_id, device, clock)
    if device.driver == "opcua":
        from agent.drivers.opcua import OpcUaDriver

        return OpcUaDriver(device_id, device, clock)
    from agent.drivers.lines import LinesDriver

    return LinesDriver(device_id, device)
