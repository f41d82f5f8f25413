"""Profiles of real makes over the wire: what is written in degC stands there as the maker's list has it."""

from __future__ import annotations

import struct
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pymodbus.client import AsyncModbusTcpClient

from agent.clock import SimClock
from agent.config.load import parse_site
from agent.domain import Command
from agent.drivers.modbus import ModbusDriver
from tests.twin.wire_plant import WirePlant, free_port
from twin.modbus_server import ModbusServer

NOW = datetime(2026, 3, 2, 6, tzinfo=UTC)


def device_of(profile: str, port: int):
    text = (
        f'[site]\nid = "s"\n[devices.d]\ndriver = "modbus-tcp"\nhost = "127.0.0.1"\nport = {port}\n'
        f'profile = "{profile}"\n'
    )
    return parse_site(text, Path()).devices["d"]


@pytest.mark.parametrize(
    ("profile", "tag", "value", "table", "address", "words"),
    [
        # Number 2001 of the list: 18.5 degC in tenths, one register.
        ("systemair-save", "d.supply_setpoint", 18.5, "holding", 2000, (185,)),
        ("systemair-save", "d.co2_setpoint", 900.0, "holding", 1042, (900,)),
        # A REAL in degF: 7.5 degC is 45.5 degF.
        (
            "thermalcare-accuchiller-eq",
            "d.supply_setpoint",
            7.5,
            "holding",
            0,
            struct.unpack(">2H", struct.pack(">f", 45.5)),
        ),
        ("trimload-chiller", "d.supply_setpoint", 10.0, "holding", 0, struct.unpack(">2H", struct.pack(">f", 50.0))),
        ("trimload-vav-box", "d.cooling_setpoint", 24.5, "holding", 1, (49,)),
    ],
)  # fmt: skip
async def test_a_set_point_of_a_profile_stands_on_the_wire_as_the_makers_list_says(
    profile, tag, value, table, address, words
):
    port = free_port()
    device = device_of(profile, port)
    plant = WirePlant({f"d.{n}": 1.0 if p.unit == "bool" else 20.0 for n, p in device.points.items()})
    server = ModbusServer("127.0.0.1", port, {"d": device}, plant)
    await server.start()
    driver = ModbusDriver("d", device, SimClock(NOW))
    await driver.connect()
    try:
        readings = await driver.read(driver.tags)
        results = await driver.write([Command(tag, value, NOW + timedelta(minutes=1), "test")])
        client = AsyncModbusTcpClient("127.0.0.1", port=port)
        await client.connect()
        raw = await client.read_holding_registers(address, count=len(words))
        client.close()
    finally:
        await driver.close()
        await server.stop()

    assert all(reading.value is not None for reading in readings.values())
    assert [(r.ok, r.error) for r in results] == [(True, "")]
    assert tuple(raw.registers) == words
    assert table == "holding"
