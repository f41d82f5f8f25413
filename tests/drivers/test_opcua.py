from __future__ import annotations

import asyncio
import logging
import time
from datetime import UTC, datetime, timedelta

import pytest
import pytest_asyncio
from asyncua import ua
from asyncua.server.internal_session import InternalSession

from agent.clock import SimClock
from agent.config.parts import Device, Point
from agent.domain import Command, Quality
from agent.drivers.opcua import OpcUaDriver, true_at
from agent.drivers.opcua_wire import to_variant
from agent.drivers.scaling import EncodeError
from agent.errors import ConfigError
from tests.drivers.hall import Freezer, Hall, free_port
from tests.drivers.waiting import until

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


# One server for all tests: asyncua takes a second to build its address space.
@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def hall():
    hall = await Hall(free_port()).start()
    yield hall
    await hall.stop()


@pytest.fixture
def clock() -> SimClock:
    return SimClock(NOON)


POINTS = {
    "temperature": {"node": "ns=2;s=Temperature", "unit": "degF"},
    "setpoint": {"node": "ns=2;s=Setpoint", "unit": "degC", "writable": True, "write_min": 16.0},
    "enable": {"node": "ns=2;s=Enable", "type": "bool", "writable": True},
    "stage": {"node": "ns=2;s=Stage", "writable": True},
}


def device(url: str, points: dict[str, dict[str, object]], **changes: object) -> Device:
    return Device.model_validate(
        {"driver": "opcua", "url": url, "timeout_s": 0.5, "points": points, **changes}
    )


@pytest_asyncio.fixture(loop_scope="module")
async def drive(clock):
    drivers: list[OpcUaDriver] = []

    async def make(url: str, points: dict[str, dict[str, object]] = POINTS, **changes: object) -> OpcUaDriver:
        driver = OpcUaDriver("hall", device(url, points, **changes), clock)
        drivers.append(driver)
        await driver.connect()
        return driver

    yield make
    for driver in drivers:
        await driver.close()


def command(tag: str, value: float | None) -> Command:
    return Command(tag, value, NOON + timedelta(minutes=1), "test")


@pytest.mark.asyncio(loop_scope="module")
async def test_nodes_are_read_in_canonical_units_and_a_bad_one_loses_itself_only(hall, drive, caplog):
    points = {
        **POINTS,
        "gone": {"node": "ns=2;s=Nowhere"},
        "name": {"node": "ns=2;s=Name"},
        "broken": {"node": "ns=2;s=Fixed"},
    }
    await hall.put(
        hall.fixed,
        ua.DataValue(ua.Variant(3.0, ua.VariantType.Double), ua.StatusCode(ua.StatusCodes.BadSensorFailure)),
    )
    driver = await drive(hall.url, points)

    readings = await driver.read(driver.tags)
    await driver.read(driver.tags)

    # 68 degF = 20 degC
    assert {tag: reading.value for tag, reading in readings.items()} == {
        "hall.temperature": pytest.approx(20.0),
        "hall.setpoint": 20.5,
        "hall.enable": 0.0,
        "hall.stage": 2.0,
        "hall.gone": None,
        "hall.name": None,
        "hall.broken": None,
    }
    assert readings["hall.broken"].quality is Quality.BAD
    assert [line for line in caplog.messages if "point_bad" in line] == [
        "point_bad device=hall tag=hall.gone status=BadNodeIdUnknown",
        "point_bad device=hall tag=hall.name status=no number",
        "point_bad device=hall tag=hall.broken status=BadSensorFailure",
    ]


@pytest.mark.asyncio(loop_scope="module")
async def test_stamp_and_status_of_the_source_travel_with_the_value(hall, drive):
    variant = ua.Variant(68.0, ua.VariantType.Float)
    driver = await drive(hall.url)

    await hall.put(hall.temperature, ua.DataValue(variant, SourceTimestamp=NOON - timedelta(seconds=3)))
    stamped = (await driver.read(["hall.temperature"]))["hall.temperature"]
    await hall.put(
        hall.temperature,
        ua.DataValue(variant, ua.StatusCode(ua.StatusCodes.UncertainLastUsableValue), SourceTimestamp=NOON),
    )
    doubted = (await driver.read(["hall.temperature"]))["hall.temperature"]
    await hall.put(hall.temperature, ua.DataValue(ua.Variant(float("nan"), ua.VariantType.Float)))
    no_number = (await driver.read(["hall.temperature"]))["hall.temperature"]

    assert stamped == (pytest.approx(20.0), Quality.GOOD, NOON - timedelta(seconds=3))
    assert doubted == (pytest.approx(20.0), Quality.UNCERTAIN, NOON)
    assert no_number == (None, Quality.BAD, NOON)


@pytest.mark.asyncio(loop_scope="module")
async def test_writes_of_every_type_are_read_back_and_handed_back(hall, drive):
    driver = await drive(hall.url)

    written = await driver.write(
        [
            command("hall.enable", 1.0),
            command("hall.setpoint", 22.3),
            command("hall.stage", 3.0),
            command("hall.stage", None),
            command("hall.temperature", None),
        ]
    )
    there = [await node.read_value() for node in (hall.enable, hall.setpoint, hall.stage)]
    await driver.release()
    after = [await node.read_value() for node in (hall.enable, hall.setpoint, hall.stage)]

    assert [(result.ok, result.error) for result in written] == [(True, "")] * 5
    assert [result.read_back for result in written] == [1.0, pytest.approx(22.3), 3.0, 2.0, None]
    assert there == [True, pytest.approx(22.3), 2]
    assert after == [False, 20.5, 2]


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        (command("hall.setpoint", 12.0), "12 is below write_min 16"),
        (command("hall.temperature", 12.0), "the point is not writable in the device's configuration"),
        (command("hall.nowhere", 12.0), "device hall has no such point"),
        (command("hall.locked", 12.0), "write refused: BadUserAccessDenied"),
        (command("hall.gone", 12.0), "no value to hand back later: BadNodeIdUnknown"),
        (command("hall.name", 12.0), "a node of type String takes no number"),
        (command("hall.stage", 70000.0), "70000.0 does not fit into UInt16"),
    ],
)
@pytest.mark.asyncio(loop_scope="module")
async def test_what_cannot_be_written_says_why_and_leaves_nothing_to_hand_back(hall, drive, wish, said):
    points = {
        **POINTS,
        "locked": {"node": "ns=2;s=Locked", "writable": True},
        "gone": {"node": "ns=2;s=Nowhere", "writable": True},
        "name": {"node": "ns=2;s=Name", "writable": True},
    }
    driver = await drive(hall.url, points)

    results = await driver.write([wish, wish._replace(value=None)])

    assert (results[0].ok, results[0].error) == (False, said)
    assert results[1].ok is (wish.tag != "hall.nowhere")


@pytest.mark.asyncio(loop_scope="module")
async def test_a_node_that_keeps_another_value_is_a_mismatch(hall, drive):
    kept = ua.DataValue(ua.Variant(18.0, ua.VariantType.Float))
    hall.server.iserver.aspace.set_attribute_value_setter(
        hall.clamped.nodeid,
        ua.AttributeIds.Value,
        lambda node, attribute, data: setattr(node.attributes[attribute], "value", kept),
    )
    driver = await drive(hall.url, {"clamped": {"node": "ns=2;s=Clamped", "writable": True}})

    results = await driver.write([command("hall.clamped", 22.0)])

    assert results == [("hall.clamped", 22.0, False, 18.0, "read back 18, wanted 22")]


@pytest.mark.asyncio(loop_scope="module")
async def test_a_server_dead_at_start_then_up_then_killed_then_back(drive, clock, caplog):
    caplog.set_level(logging.INFO, "trimload.drivers")
    port = free_port()
    driver = await drive(f"opc.tcp://127.0.0.1:{port}/")

    async def good() -> bool:
        return (await driver.read(driver.tags))["hall.stage"].quality is Quality.GOOD

    dead = (await driver.read(driver.tags))["hall.stage"]
    hall = await Hall(port).start()
    await until(good)
    await hall.stop()
    missed = (await driver.read(driver.tags))["hall.stage"]
    refused = await driver.write([command("hall.stage", 1.0), command("hall.stage", None)])
    clock.advance_to(NOON + timedelta(seconds=11))
    old = (await driver.read(driver.tags))["hall.stage"]
    hall = await Hall(port).start()
    await until(good)
    told = [line.split()[0] for line in caplog.messages]
    await hall.stop()

    assert dead == (None, Quality.BAD, NOON)
    assert (missed.value, missed.quality) == (2.0, Quality.UNCERTAIN)
    assert (refused[0].ok, refused[0].error) == (False, "the device does not answer")
    assert refused[1].ok
    assert (old.value, old.quality) == (2.0, Quality.STALE)
    assert told == ["device_lost", "device_back"] * 2


@pytest.mark.asyncio(loop_scope="module")
async def test_a_frozen_server_costs_two_timeouts_and_is_found_again_when_it_thaws(hall, drive):
    freezer = Freezer(hall.port)
    driver = await drive(f"opc.tcp://127.0.0.1:{await freezer.start()}/", timeout_s=0.3)
    before = (await driver.read(driver.tags))["hall.stage"]
    freezer.running.clear()

    started = time.monotonic()
    for _ in range(100):
        frozen = (await driver.read(driver.tags))["hall.stage"]
    took_s = time.monotonic() - started
    freezer.running.set()

    async def good() -> bool:
        return (await driver.read(driver.tags))["hall.stage"].quality is Quality.GOOD

    await until(good)
    await driver.close()
    await freezer.stop()

    assert before.quality is Quality.GOOD
    assert frozen == (2.0, Quality.UNCERTAIN, NOON)
    assert 0.6 <= took_s < 5.0  # 100 time-outs would be 30 s


@pytest.mark.asyncio(loop_scope="module")
async def test_a_server_that_accepts_and_never_answers_costs_nothing_after_the_first_attempt(drive, caplog):
    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    silent = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    driver = await drive(f"opc.tcp://127.0.0.1:{silent.sockets[0].getsockname()[1]}/")

    started = time.monotonic()
    for _ in range(100):
        readings = await driver.read(driver.tags)
    took_s = time.monotonic() - started
    await driver.close()
    silent.close()

    assert {reading.quality for reading in readings.values()} == {Quality.BAD}
    assert took_s < 2.0
    assert sum("device_lost" in line for line in caplog.messages) == 1


@pytest.mark.asyncio(loop_scope="module")
async def test_a_write_that_is_not_answered_is_handed_back_when_the_server_thaws(hall, drive):
    freezer = Freezer(hall.port)
    driver = await drive(f"opc.tcp://127.0.0.1:{await freezer.start()}/", timeout_s=0.3)
    await driver.write([command("hall.setpoint", 21.0)])
    freezer.running.clear()

    results = await driver.write([command("hall.setpoint", 22.0), command("hall.setpoint", None)])
    away = await driver.write([command("hall.setpoint", None), command("hall.enable", 1.0)])
    freezer.running.set()

    async def handed_back() -> bool:
        await driver.release()
        return await hall.setpoint.read_value() == 20.5

    await until(handed_back)
    await driver.close()
    await freezer.stop()

    assert [result.error for result in results] == ["write: the device does not answer"] * 2
    assert [result.error for result in away] == ["the device does not answer"] * 2


@pytest.mark.asyncio(loop_scope="module")
async def test_a_session_that_the_server_has_forgotten_is_made_anew(hall, drive, monkeypatch, caplog):
    forgotten: list[str] = []
    read = InternalSession.read

    async def forget_once(session, parameters):
        if not forgotten:
            forgotten.append("session")
            raise ua.UaStatusCodeError(ua.StatusCodes.BadSessionIdInvalid)
        return await read(session, parameters)

    driver = await drive(hall.url)
    await driver.read(driver.tags)
    monkeypatch.setattr(InternalSession, "read", forget_once)

    async def good() -> bool:
        return (await driver.read(driver.tags))["hall.stage"].quality is Quality.GOOD

    await until(good)

    assert forgotten == ["session"]
    assert [line for line in caplog.messages if "device" in line and "point" not in line] == [
        "device_lost device=hall reason=BadSessionIdInvalid",
        "device_back device=hall",
    ]


@pytest.mark.asyncio(loop_scope="module")
async def test_a_server_that_grants_few_nodes_a_request_is_asked_in_parts(hall, drive, monkeypatch):
    asked: list[int] = []
    read = InternalSession.read

    async def read_a_hundred_at_most(session, parameters):
        asked.append(len(parameters.NodesToRead))
        if len(parameters.NodesToRead) > 100:
            raise ua.UaStatusCodeError(ua.StatusCodes.BadTooManyOperations)
        return await read(session, parameters)

    many = {f"stage{number}": POINTS["stage"] for number in range(500)}
    driver = await drive(hall.url, many)
    monkeypatch.setattr(InternalSession, "read", read_a_hundred_at_most)

    readings = await driver.read(driver.tags)

    # 500, 250 and 125 are too many; 62 fit, and 500 = 8 x 62 + 4.
    assert [size for size in asked if size != 1] == [500, 250, 125] + [62] * 8 + [4]
    assert {reading.value for reading in readings.values()} == {2.0}


@pytest.mark.parametrize(
    ("age_s", "setpoint", "expected"),
    [
        (None, False, (NOON, True)),
        (3.0, False, (NOON - timedelta(seconds=3), True)),
        (3600.0, False, (NOON, False)),  # a measurement that old is doubted
        (3600.0, True, (NOON, True)),  # a set-point may stand for hours
        (-2.0, False, (NOON, True)),  # two clocks are never quite the same
        (-3600.0, True, (NOON, False)),
    ],
)
def test_a_source_stamp_is_believed_where_it_is_sane(age_s, setpoint, expected):
    source_at = None if age_s is None else NOON - timedelta(seconds=age_s)

    assert true_at(source_at, NOON, stale_after_s=10.0, setpoint=setpoint) == expected


def test_a_value_too_large_for_a_float_node_is_refused():
    with pytest.raises(EncodeError, match="does not fit into Float"):
        to_variant(Point(), 1e39, ua.VariantType.Float)


@pytest.mark.parametrize("point", [{"unit": "degC"}, {"node": "Hall.Temperature"}])
def test_a_point_without_a_node_id_is_a_configuration_error(clock, point):
    site_device = device("opc.tcp://127.0.0.1:4840/", {"p": point})

    with pytest.raises(ConfigError, match="node"):
        OpcUaDriver("hall", site_device, clock)
