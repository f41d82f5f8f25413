from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

from agent.clock import SimClock
from agent.config.parts import Device
from agent.domain import Command, Quality
from agent.drivers.build import build_driver
from agent.drivers.lines import LinesDriver

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
POINTS = {
    "pressure": {},
    "target": {"writable": True, "write_max": 8.0},
    "power": {},
}


def lines() -> LinesDriver:
    return LinesDriver("sim", Device.model_validate({"driver": "lines", "points": POINTS}))


def command(tag: str, value: float | None) -> Command:
    return Command(tag, value, NOON + timedelta(minutes=1), "test")


async def test_readings_of_a_line_are_good_at_its_time_and_null_is_unknown():
    driver = lines()

    driver.feed(NOON, {"sim.pressure": 7.0, "sim.target": None, "sim.power": float("nan"), "other.x": 1.0})
    readings = await driver.read(driver.tags)

    assert readings == {
        "sim.pressure": (7.0, Quality.GOOD, NOON),
        "sim.target": (None, Quality.BAD, NOON),
        "sim.power": (None, Quality.BAD, NOON),
    }


async def test_a_tag_left_out_is_uncertain_and_then_stale_by_the_time_of_the_lines():
    driver = lines()
    driver.feed(NOON, {"sim.pressure": 7.0})

    driver.feed(NOON + timedelta(seconds=10), {})
    missed = (await driver.read(["sim.pressure"]))["sim.pressure"]
    driver.feed(NOON + timedelta(seconds=11), {})
    old = (await driver.read(["sim.pressure"]))["sim.pressure"]

    assert missed == (7.0, Quality.UNCERTAIN, NOON)
    assert old == (7.0, Quality.STALE, NOON)


async def test_commands_are_taken_once_the_latest_of_each_tag():
    driver = lines()
    await driver.connect()
    driver.feed(NOON, {})

    results = await driver.write([command("sim.target", 6.0), command("sim.target", 6.5)])

    assert results[1] == ("sim.target", 6.5, True, 6.5, "")
    assert driver.take() == {"sim.target": 6.5}
    assert driver.take() == {}


async def test_what_was_written_is_handed_back_by_null_and_by_release_once():
    driver = lines()
    driver.feed(NOON, {})

    await driver.write([command("sim.target", None)])
    never_written = driver.take()
    await driver.write([command("sim.target", 6.0), command("sim.target", None)])
    by_null = driver.take()
    await driver.write([command("sim.target", 6.0)])
    await driver.release()
    by_release = driver.take()
    await driver.release()
    await driver.close()

    assert never_written == {}
    assert by_null == {"sim.target": None}
    assert by_release == {"sim.target": None}
    assert driver.take() == {}


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        (command("sim.target", 8.5), "8.5 is above write_max 8"),
        (command("sim.pressure", 7.0), "the point is not writable in the device's configuration"),
        (command("sim.nowhere", 7.0), "device sim has no such point"),
    ],
)
async def test_a_refused_command_is_not_taken(wish, said):
    driver = lines()
    driver.feed(NOON, {})

    results = await driver.write([wish])

    assert (results[0].ok, results[0].error) == (False, said)
    assert driver.take() == {}


@pytest.mark.parametrize(
    ("device", "kind"),
    [
        ({"driver": "modbus-tcp", "host": "127.0.0.1"}, "ModbusDriver"),
        ({"driver": "opcua", "url": "opc.tcp://127.0.0.1:4840/"}, "OpcUaDriver"),
        ({"driver": "lines"}, "LinesDriver"),
    ],
)
async def test_each_protocol_has_its_driver(device, kind):
    driver = build_driver("d", Device.model_validate(device), SimClock(NOON))

    assert (type(driver).__name__, driver.device, driver.tags) == (kind, "d", ())


def test_a_site_without_opc_ua_does_not_load_its_library():
    program = (
        "import sys, asyncio\n"
        "from agent.clock import WallClock\n"
        "from agent.config.parts import Device\n"
        "from agent.drivers.build import build_driver\n"
        "async def main():\n"
        "    build_driver('d', Device(driver='modbus-tcp', host='127.0.0.1'), WallClock())\n"
        "asyncio.run(main())\n"
        "print('asyncua' in sys.modules, 'pymodbus' in sys.modules)\n"
    )

    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert ran.stdout.split() == ["False", "True"]
