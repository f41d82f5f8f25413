from __future__ import annotations

import logging
import socket
import struct
import time
from datetime import timedelta

import pytest

from agent.domain import Quality
from agent.drivers.modbus import ModbusDriver
from agent.errors import ConfigError
from tests.drivers.compressor import NOON, device
from tests.drivers.plc import Plc
from tests.drivers.waiting import until


def float_words(value: float) -> tuple[int, int]:
    high, low = struct.unpack(">HH", struct.pack(">f", value))
    return high, low


PRESSURE = {"register": "holding", "type": "float32", "unit": "bar"}


async def test_points_of_all_tables_are_read_in_their_canonical_units(plc, drive):
    plc.tables["holding"][0], plc.tables["holding"][1] = float_words(101.5)
    plc.tables["holding"][5] = 0b100
    plc.tables["input"].update({7: 720})
    plc.tables["coil"][3] = 1
    driver = await drive(
        plc.port,
        {
            "pressure": {"register": "holding", "address": 0, "type": "float32", "unit": "psi"},
            "running": {"register": "holding", "address": 5, "bit": 2, "type": "bool"},
            "flow": {"register": "input", "address": 7, "unit": "m3/h"},
            "on": {"register": "coil", "address": 3, "type": "bool"},
            "alarm": {"register": "discrete", "address": 1, "type": "bool"},
        },
    )

    readings = await driver.read(driver.tags)

    # 101.5 psi * 0.0689476 = 6.99818 bar; 720 m3/h / 60 = 12 m3/min
    assert {tag: reading.value for tag, reading in readings.items()} == {
        "c1.pressure": pytest.approx(6.998179),
        "c1.running": 1.0,
        "c1.flow": pytest.approx(12.0),
        "c1.on": 1.0,
        "c1.alarm": 0.0,
    }
    assert {reading.quality for reading in readings.values()} == {Quality.GOOD}
    assert {reading.at for reading in readings.values()} == {NOON}


async def test_forty_neighbours_cost_one_request(plc, drive):
    points = {f"p{at}": {"register": "holding", "address": at} for at in range(0, 40, 2)}
    driver = await drive(plc.port, points)
    plc.requests.clear()

    readings = await driver.read(driver.tags)

    assert plc.requests == [(3, 0, 39)]
    assert len(readings) == 20


async def test_only_the_blocks_of_the_tags_asked_for_are_read(plc, drive):
    driver = await drive(
        plc.port,
        {"a": {"register": "holding", "address": 0}, "b": {"register": "holding", "address": 39}},
    )
    plc.requests.clear()

    readings = await driver.read(["c1.b"])

    assert plc.requests == [(3, 39, 1)]
    assert set(readings) == {"c1.b"}


async def test_nan_is_unknown_and_costs_its_neighbours_nothing(plc, drive):
    plc.tables["holding"].update({0: 0x7FC0, 1: 0, 2: 65})
    driver = await drive(
        plc.port, {"p": {**PRESSURE, "address": 0}, "t": {"register": "holding", "address": 2}}
    )

    readings = await driver.read(driver.tags)

    assert readings["c1.p"] == (None, Quality.BAD, NOON)
    assert readings["c1.t"] == (65.0, Quality.GOOD, NOON)


async def test_a_refused_register_in_a_block_loses_only_its_own_tag(plc, drive, caplog):
    del plc.tables["holding"][13]
    points = {f"p{at}": {"register": "holding", "address": at} for at in range(32)}
    driver = await drive(plc.port, points)

    first = await driver.read(driver.tags)
    second = await driver.read(driver.tags)
    plc.requests.clear()
    await driver.read(driver.tags)

    assert [tag for tag, reading in first.items() if reading.quality is Quality.BAD] == ["c1.p13"]
    assert [tag for tag, reading in second.items() if reading.quality is Quality.BAD] == ["c1.p13"]
    # What was learned: one block on each side of register 13.
    assert plc.requests == [(3, 0, 13), (3, 14, 18)]
    assert sum("point_refused" in line for line in caplog.messages) == 1


async def test_a_device_that_refuses_everything_is_searched_a_few_requests_at_a_time(plc, drive, caplog):
    points = {f"p{at}": {"register": "holding", "address": 100 + at} for at in range(32)}
    driver = await drive(plc.port, points)
    most = 0

    for _ in range(10):
        plc.requests.clear()
        readings = await driver.read(driver.tags)
        most = max(most, len(plc.requests))

    assert {reading.quality for reading in readings.values()} == {Quality.BAD}
    assert sum("point_refused" in line for line in caplog.messages) == 32
    # 16 parts looked at, after a block or what the poll before left of it.
    assert most <= 32
    assert plc.requests == []


async def test_a_refused_register_between_two_points_costs_a_request_and_no_tag(plc, drive):
    del plc.tables["holding"][5]
    driver = await drive(
        plc.port, {"a": {"register": "holding", "address": 2}, "b": {"register": "holding", "address": 9}}
    )

    await driver.read(driver.tags)
    plc.requests.clear()
    readings = await driver.read(driver.tags)

    assert {reading.quality for reading in readings.values()} == {Quality.GOOD}
    assert plc.requests == [(3, 2, 1), (3, 9, 1)]


async def test_a_device_that_is_dead_at_start_is_found_when_it_comes_up(drive, caplog):
    caplog.set_level(logging.INFO, "trimload.drivers")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    driver = await drive(port, {"p": {"register": "holding", "address": 0}})
    before = await driver.read(driver.tags)
    plc = Plc(holding={0: 7})
    plc.port = port
    await plc.start()

    async def good() -> bool:
        return (await driver.read(driver.tags))["c1.p"].quality is Quality.GOOD

    await until(good)
    await plc.stop()

    assert before["c1.p"] == (None, Quality.BAD, NOON)
    assert sum("device_lost" in line for line in caplog.messages) == 1
    assert sum("device_back" in line for line in caplog.messages) == 1


async def test_a_killed_device_is_uncertain_then_stale_then_good_again(plc, drive, clock, caplog):
    plc.tables["holding"][0] = 70
    driver = await drive(
        plc.port, {"p": {"register": "holding", "address": 0, "scale": 0.1}}, stale_after_s=10
    )
    await driver.read(driver.tags)
    await plc.stop()

    clock.advance_to(NOON + timedelta(seconds=10))
    missed = (await driver.read(driver.tags))["c1.p"]
    clock.advance_to(NOON + timedelta(seconds=10.001))
    old = (await driver.read(driver.tags))["c1.p"]
    await plc.start()

    async def good() -> bool:
        return (await driver.read(driver.tags))["c1.p"].quality is Quality.GOOD

    await until(good)

    assert missed == (pytest.approx(7.0), Quality.UNCERTAIN, NOON)
    assert old == (pytest.approx(7.0), Quality.STALE, NOON)
    assert sum("device_lost" in line for line in caplog.messages) == 1
    assert sum("device_back" in line for line in caplog.messages) == 1


async def test_a_silent_device_costs_two_timeouts_and_then_nothing(plc, drive):
    driver = await drive(plc.port, {"p": {"register": "holding", "address": 0}})
    await driver.read(driver.tags)
    plc.silent = True

    for _ in range(2):
        await driver.read(driver.tags)
    started = time.monotonic()
    for _ in range(200):
        await driver.read(driver.tags)
    took_s = time.monotonic() - started

    assert took_s < 2.0

    plc.silent = False

    async def good() -> bool:
        return (await driver.read(driver.tags))["c1.p"].quality is Quality.GOOD

    await until(good)


async def test_a_device_that_accepts_and_never_answers_is_lost_from_the_start(plc, drive, caplog):
    plc.silent = True

    driver = await drive(plc.port, {"p": {"register": "holding", "address": 0}})
    readings = await driver.read(driver.tags)

    assert readings["c1.p"].quality is Quality.BAD
    assert "does not answer" in caplog.text


async def test_a_gateway_without_its_device_is_no_connection(plc, drive, caplog):
    plc.refuse = lambda function, address, count: 11

    driver = await drive(plc.port, {"p": {"register": "holding", "address": 0}})

    assert (await driver.read(driver.tags))["c1.p"].quality is Quality.BAD
    assert "does not reach unit 1" in caplog.text


async def test_a_gateway_that_loses_its_device_later_leaves_the_value_uncertain(plc, drive):
    driver = await drive(plc.port, {"p": {"register": "holding", "address": 0}})
    await driver.read(driver.tags)
    plc.refuse = lambda function, address, count: 11

    readings = await driver.read(driver.tags)

    assert readings["c1.p"] == (0.0, Quality.UNCERTAIN, NOON)


async def test_another_exception_makes_the_block_bad_and_the_value_comes_back(plc, drive):
    driver = await drive(plc.port, {"p": {"register": "holding", "address": 0}})
    await driver.read(driver.tags)
    plc.refuse = lambda function, address, count: 6

    busy = await driver.read(driver.tags)
    plc.refuse = lambda function, address, count: None
    after = await driver.read(driver.tags)

    assert busy["c1.p"] == (None, Quality.BAD, NOON)
    assert after["c1.p"] == (0.0, Quality.GOOD, NOON)


async def test_a_failed_sensor_loses_only_its_own_tag_and_comes_back(plc, drive, caplog):
    driver = await drive(plc.port, {f"p{at}": {"register": "holding", "address": at} for at in range(8)})
    plc.refuse = lambda function, address, count: 4 if address <= 5 < address + count else None

    for _ in range(3):
        failed = await driver.read(driver.tags)
    plc.refuse = lambda function, address, count: None
    after = await driver.read(driver.tags)

    assert [tag for tag, reading in failed.items() if reading.quality is not Quality.GOOD] == ["c1.p5"]
    assert {reading.quality for reading in after.values()} == {Quality.GOOD}
    assert sum("point_refused" in line for line in caplog.messages) == 1


async def test_an_answer_with_too_few_registers_is_no_value(plc, drive):
    driver = await drive(plc.port, {f"p{at}": {"register": "holding", "address": at} for at in range(3)})
    plc.short = True

    readings = await driver.read(driver.tags)

    assert {reading.quality for reading in readings.values()} == {Quality.BAD}


def test_a_point_without_an_address_is_a_configuration_error(clock):
    site_device = device(502, {"p": {"unit": "bar"}})

    with pytest.raises(ConfigError, match="has no address"):
        ModbusDriver("c1", site_device, clock)
