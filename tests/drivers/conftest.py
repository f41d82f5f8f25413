"""A device and its driver, both on 127.0.0.1."""

from __future__ import annotations

import pytest

from agent.clock import SimClock
from agent.drivers.modbus import ModbusDriver
from tests.drivers.compressor import NOON, device
from tests.drivers.plc import Plc


@pytest.fixture
async def plc():
    plc = Plc(holding=dict.fromkeys(range(40), 0), input={}, coil={3: 0}, discrete={0: 1, 1: 0})
    await plc.start()
    yield plc
    await plc.stop()


@pytest.fixture
def clock() -> SimClock:
    return SimClock(NOON)


@pytest.fixture
async def drive(clock):
    drivers: list[ModbusDriver] = []

    async def make(port: int, points: dict[str, dict[str, object]], **changes: object) -> ModbusDriver:
        driver = ModbusDriver("c1", device(port, points, **changes), clock)
        drivers.append(driver)
        await driver.connect()
        return driver

    yield make
    for driver in drivers:
        await driver.close()
