from __future__ import annotations

import logging
import socket
import struct
import time
from datetime import UTC, datetime, timedelta

import pytest

from agent.clock import SimClock
from agent.config.parts import Device
from agent.domain import Command, Quality
from agent.drivers.modbus import ModbusDriver
from agent.errors import ConfigError
from tests.drivers.plc import Plc
from tests.drivers.waiting import until

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def float_words(value: float) -> tuple[int, int]:
    high, low = struct.unpack(">HH", struct.pack(">f", value))
    return high, low


PRESSURE = {"register": "holding", "type": "float32", "unit": "bar"}
SETPOINT = {
    "register": "holding",
    "address": 10,
    "unit": "bar",
    "scale": 0.1,
    "writable": True,
    "write_min": 5.0,
    "write_max": 8.5,
    "tolerance": 0.01,
}


def device(port: int, points: dict[str, dict[str, object]], **changes: object) -> Device:
    return Device.model_validate(
        {
            "driver": "modbus-tcp",
            "host": "127.0.0.1",
            "port": port,
            "timeout_s": 0.3,
            "points": points,
            **changes,
        }
    )


def command(tag: str, value: float | None) -> Command:
    return Command(tag, value, NOON + timedelta(minutes=1), "test")


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


async def test_another_exception_makes_the_block_bad(plc, drive):
    driver = await drive(plc.port, {"p": {"register": "holding", "address": 0}})
    await driver.read(driver.tags)
    plc.refuse = lambda function, address, count: 4

    readings = await driver.read(driver.tags)

    assert readings["c1.p"] == (None, Quality.BAD, NOON)


async def test_an_answer_with_too_few_registers_is_no_value(plc, drive):
    driver = await drive(plc.port, {f"p{at}": {"register": "holding", "address": at} for at in range(3)})
    plc.short = True

    readings = await driver.read(driver.tags)

    assert {reading.quality for reading in readings.values()} == {Quality.BAD}


async def test_a_write_is_read_back_and_handed_back(plc, drive):
    plc.tables["holding"][10] = 65
    driver = await drive(plc.port, {"setpoint": SETPOINT})

    written = await driver.write([command("c1.setpoint", 7.2), command("c1.setpoint", 6.8)])
    there = plc.tables["holding"][10]
    handed_back = await driver.write([command("c1.setpoint", None)])

    assert written == [
        ("c1.setpoint", 7.2, True, pytest.approx(7.2), ""),
        ("c1.setpoint", 6.8, True, pytest.approx(6.8), ""),
    ]
    assert there == 68
    assert handed_back == [("c1.setpoint", None, True, pytest.approx(6.5), "")]
    assert plc.tables["holding"][10] == 65


async def test_a_value_between_two_steps_of_the_device_is_rounded_and_agrees(plc, drive):
    driver = await drive(plc.port, {"setpoint": SETPOINT})

    results = await driver.write([command("c1.setpoint", 7.04)])

    # 7.04 bar in steps of 0.1 bar is 70.4 -> 70.
    assert results[0].ok
    assert results[0].read_back == pytest.approx(7.0)


async def test_handing_back_what_was_never_written_writes_nothing(plc, drive):
    driver = await drive(plc.port, {"setpoint": SETPOINT})
    plc.requests.clear()

    results = await driver.write([command("c1.setpoint", None)])

    assert results == [("c1.setpoint", None, True, None, "")]
    assert plc.requests == []


async def test_release_hands_back_everything_last_written_first(plc, drive):
    plc.tables["holding"].update({10: 65, 11: 3})
    remote = {"register": "holding", "address": 11, "writable": True}
    driver = await drive(plc.port, {"setpoint": SETPOINT, "remote": remote})
    await driver.write([command("c1.remote", 1.0), command("c1.setpoint", 7.0)])
    plc.requests.clear()

    await driver.release()

    assert (plc.tables["holding"][10], plc.tables["holding"][11]) == (65, 3)
    assert [request for request in plc.requests if request[0] == 6] == [(6, 10, 65), (6, 11, 3)]

    plc.requests.clear()
    await driver.release()

    assert plc.requests == []


async def test_a_hand_back_that_failed_is_tried_again_at_release(plc, drive, caplog):
    plc.tables["holding"][10] = 65
    driver = await drive(plc.port, {"setpoint": SETPOINT})
    await driver.write([command("c1.setpoint", 7.0)])
    plc.refuse = lambda function, address, count: 6 if function == 6 else None

    await driver.release()
    plc.refuse = lambda function, address, count: None
    await driver.release()

    assert (
        "hand_back_failed device=c1 tag=c1.setpoint reason=write refused: modbus exception 6" in caplog.text
    )
    assert plc.tables["holding"][10] == 65


async def test_a_refused_write_says_the_exception_and_leaves_nothing_to_hand_back(plc, drive):
    driver = await drive(plc.port, {"setpoint": SETPOINT})
    plc.refuse = lambda function, address, count: 16 if function == 6 else None

    results = await driver.write([command("c1.setpoint", 7.0)])
    plc.requests.clear()
    await driver.release()

    assert results == [("c1.setpoint", 7.0, False, None, "write refused: modbus exception 16")]
    assert plc.requests == []


async def test_a_device_that_keeps_another_value_is_a_mismatch(plc, drive):
    plc.on_write = lambda address, word: 60
    driver = await drive(plc.port, {"setpoint": SETPOINT})

    results = await driver.write([command("c1.setpoint", 7.0)])

    assert results == [("c1.setpoint", 7.0, False, pytest.approx(6.0), "read back 6, wanted 7")]


async def test_a_device_that_knows_function_16_only_is_written_all_the_same(plc, drive):
    plc.refuse = lambda function, address, count: 1 if function == 6 else None
    driver = await drive(plc.port, {"setpoint": SETPOINT})

    results = await driver.write([command("c1.setpoint", 7.0), command("c1.setpoint", 7.1)])

    assert [result.ok for result in results] == [True, True]
    assert [request[0] for request in plc.requests if request[0] > 4] == [6, 16, 16]


async def test_a_bit_is_written_among_its_neighbours_and_handed_back_alone(plc, drive):
    plc.tables["holding"][20] = 0b1010_0000
    start = {"register": "holding", "address": 20, "bit": 1, "type": "bool", "writable": True}
    driver = await drive(plc.port, {"start": start})

    results = await driver.write([command("c1.start", 1.0)])
    there = plc.tables["holding"][20]
    plc.tables["holding"][20] |= 0b1  # the machine sets a bit of its own
    await driver.release()

    assert results == [("c1.start", 1.0, True, 1.0, "")]
    assert there == 0b1010_0010
    assert plc.tables["holding"][20] == 0b1010_0001


async def test_coils_and_long_values_are_written(plc, drive):
    driver = await drive(
        plc.port,
        {
            "on": {"register": "coil", "address": 3, "type": "bool", "writable": True},
            "target": {**PRESSURE, "address": 30, "word_order": "little", "writable": True},
        },
    )

    results = await driver.write([command("c1.on", 1.0), command("c1.target", 7.25)])

    assert [result.ok for result in results] == [True, True]
    assert plc.tables["coil"][3] == 1
    # 7.25 = 0x40E80000, low word first.
    assert (plc.tables["holding"][30], plc.tables["holding"][31]) == (0x0000, 0x40E8)


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        (command("c1.setpoint", 9.0), "9 is above write_max 8.5"),
        (command("c1.setpoint", 4.0), "4 is below write_min 5"),
        (command("c1.setpoint", float("nan")), "nan is no number"),
        (command("c1.measured", 7.0), "the point is not writable in the device's configuration"),
        (command("c1.narrow", 70000.0), "70000.0 does not fit into uint16"),
        (command("c1.nowhere", 7.0), "device c1 has no such point"),
        (
            Command("c1.setpoint", 7.0, NOON - timedelta(seconds=1), "late"),
            "expired at 2026-03-02T11:59:59+00:00",
        ),
    ],
)
async def test_what_may_not_be_written_never_reaches_the_wire(plc, drive, wish, said):
    points = {
        "setpoint": SETPOINT,
        "measured": {"register": "holding", "address": 11},
        "narrow": {"register": "holding", "address": 12, "writable": True},
    }
    driver = await drive(plc.port, points)
    plc.requests.clear()

    results = await driver.write([wish])

    assert (results[0].ok, results[0].error) == (False, said)
    assert plc.requests == []


async def test_a_write_to_a_dead_device_is_a_result(plc, drive):
    driver = await drive(plc.port, {"setpoint": SETPOINT})
    await driver.write([command("c1.setpoint", 7.0)])
    await plc.stop()

    async def lost() -> bool:
        results = await driver.write([command("c1.setpoint", 7.1), command("c1.setpoint", None)])
        return [result.error for result in results] == ["the device does not answer"] * 2

    await until(lost)
    await plc.start()


async def test_a_point_that_cannot_be_read_before_the_first_write_is_not_written(plc, drive):
    plc.refuse = lambda function, address, count: 2 if (function, address) == (3, 10) else None
    driver = await drive(plc.port, {"setpoint": SETPOINT})

    results = await driver.write([command("c1.setpoint", 7.0)])

    assert results[0].error == "read before the first write: modbus exception 2"
    assert [request for request in plc.requests if request[0] == 6] == []


def test_a_point_without_an_address_is_a_configuration_error(clock):
    site_device = device(502, {"p": {"unit": "bar"}})

    with pytest.raises(ConfigError, match="has no address"):
        ModbusDriver("c1", site_device, clock)


async def test_closing_hangs_up_and_writes_nothing(plc, drive):
    driver = await drive(plc.port, {"setpoint": SETPOINT})
    await driver.write([command("c1.setpoint", 7.0)])
    plc.requests.clear()

    await driver.close()

    async def hung_up() -> bool:
        return plc.connections == 0

    await until(hung_up)
    assert plc.requests == []
