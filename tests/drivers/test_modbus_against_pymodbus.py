"""The same driver against a second, independent server: the one of pymodbus."""

from __future__ import annotations

import socket
from datetime import UTC, datetime, timedelta

import pytest
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from agent.clock import SimClock
from agent.config.parts import Device
from agent.domain import Command, Quality
from agent.drivers.modbus import ModbusDriver

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
LATER = NOON + timedelta(minutes=1)


@pytest.fixture
async def port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    coils = [SimData(0, values=[False] * 16, datatype=DataType.BITS)]
    discrete = [SimData(0, values=[True] * 16, datatype=DataType.BITS)]
    holding = [
        SimData(0, values=[7.25], datatype=DataType.FLOAT32),
        SimData(2, values=[65, 0b1000], datatype=DataType.REGISTERS),
        SimData(4, values=[99], datatype=DataType.REGISTERS, readonly=True),
    ]
    inputs = [SimData(0, values=[720], datatype=DataType.REGISTERS)]
    server = ModbusTcpServer(
        SimDevice(3, simdata=(coils, discrete, holding, inputs)), address=("127.0.0.1", port)
    )
    await server.serve_forever(background=True)
    yield port
    await server.shutdown()


async def test_what_is_read_written_refused_and_handed_back(port):
    device = Device.model_validate(
        {
            "driver": "modbus-tcp",
            "host": "127.0.0.1",
            "port": port,
            "unit_id": 3,
            "points": {
                "pressure": {"register": "holding", "address": 0, "type": "float32", "unit": "bar"},
                "setpoint": {
                    "register": "holding",
                    "address": 2,
                    "unit": "bar",
                    "scale": 0.1,
                    "writable": True,
                },
                "start": {
                    "register": "holding",
                    "address": 3,
                    "bit": 0,
                    "type": "bool",
                    "writable": True,
                },
                "locked": {"register": "holding", "address": 4, "writable": True},
                "beyond": {"register": "holding", "address": 5},
                "flow": {"register": "input", "address": 0, "unit": "m3/h"},
                "on": {"register": "coil", "address": 5, "type": "bool", "writable": True},
                "ready": {"register": "discrete", "address": 0, "type": "bool"},
            },
        }
    )
    driver = ModbusDriver("c1", device, SimClock(NOON))
    await driver.connect()

    readings = await driver.read(driver.tags)
    results = await driver.write(
        [
            Command("c1.setpoint", 7.0, LATER, "test"),
            Command("c1.start", 1.0, LATER, "test"),
            Command("c1.on", 1.0, LATER, "test"),
            Command("c1.locked", 1.0, LATER, "test"),
        ]
    )
    await driver.release()
    after = await driver.read(driver.tags)
    await driver.close()

    before = {
        "c1.pressure": 7.25,
        "c1.setpoint": pytest.approx(6.5),
        "c1.start": 0.0,
        "c1.locked": 99.0,
        "c1.beyond": None,
        "c1.flow": pytest.approx(12.0),
        "c1.on": 0.0,
        "c1.ready": 1.0,
    }
    assert {tag: reading.value for tag, reading in readings.items()} == before
    assert readings["c1.beyond"].quality is Quality.BAD
    assert results == [
        ("c1.setpoint", 7.0, True, pytest.approx(7.0), ""),
        ("c1.start", 1.0, True, 1.0, ""),
        ("c1.on", 1.0, True, 1.0, ""),
        ("c1.locked", 1.0, False, None, "write refused: modbus exception 2"),
    ]
    assert {tag: reading.value for tag, reading in after.items()} == before
