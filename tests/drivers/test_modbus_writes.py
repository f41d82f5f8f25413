from __future__ import annotations

from datetime import timedelta

import pytest

from agent.domain import Command
from tests.drivers.compressor import NOON, SETPOINT, command
from tests.drivers.waiting import until

PRESSURE = {"register": "holding", "type": "float32", "unit": "bar"}


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


async def test_closing_hangs_up_and_writes_nothing(plc, drive):
    driver = await drive(plc.port, {"setpoint": SETPOINT})
    await driver.write([command("c1.setpoint", 7.0)])
    plc.requests.clear()

    await driver.close()

    async def hung_up() -> bool:
        return plc.connections == 0

    await until(hung_up)
    assert plc.requests == []
