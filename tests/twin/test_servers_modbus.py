"""The twin's Modbus TCP server, met by clients that share no line with it: pymodbus and mbpoll."""

from __future__ import annotations

import asyncio
import math
import struct

import pytest
from pymodbus.client import AsyncModbusTcpClient

from agent.config.site import Site
from tests.twin.wire_plant import WirePlant, free_port
from twin.servers import PortError, TwinServers

POINTS = {
    "pressure": {"register": "input", "address": 100, "unit": "psi", "type": "int16", "scale": 0.1},
    "power": {"register": "holding", "address": 10, "unit": "W", "type": "float32", "word_order": "little"},
    "energy": {"register": "holding", "address": 12, "unit": "kWh", "type": "uint32"},
    "running": {"register": "holding", "address": 20, "bit": 0, "type": "bool", "unit": "bool"},
    "loaded": {"register": "holding", "address": 20, "bit": 3, "type": "bool", "unit": "bool"},
    "run": {"register": "coil", "address": 5, "type": "bool", "unit": "bool", "writable": True},
    "load": {"register": "coil", "address": 6, "type": "bool", "unit": "bool", "writable": True},
    "share": {"register": "holding", "address": 30, "unit": "%", "type": "uint16", "writable": True},
    "limit": {"register": "holding", "address": 32, "unit": "kW", "type": "float32", "writable": True},
    "enable": {
        "register": "holding",
        "address": 40,
        "bit": 1,
        "type": "bool",
        "unit": "bool",
        "writable": True,
    },
    "auto": {
        "register": "holding",
        "address": 40,
        "bit": 2,
        "type": "bool",
        "unit": "bool",
        "writable": True,
    },
}
VALUES = {
    "pressure": 6.89475729316836,  # 100 psi
    "power": 37.5,
    "energy": 123456.0,
    "running": 1.0,
    "loaded": 1.0,
    "run": 1.0,
    "load": 0.0,
    "share": 0.42,
    "limit": 55.25,
    "enable": 0.0,
    "auto": 1.0,
}  # fmt: skip


def plant_room(port: int) -> Site:
    devices = {
        "c1": {"driver": "modbus-tcp", "host": "127.0.0.1", "port": port, "unit_id": 1, "points": POINTS},
        "c2": {
            "driver": "modbus-tcp", "host": "127.0.0.1", "port": port, "unit_id": 7,
            "points": {"power": {"register": "input", "address": 0, "unit": "kW"}},
        },
    }  # fmt: skip
    return Site.model_validate({"site": {"id": "s"}, "devices": devices})


def room_plant() -> WirePlant:
    return WirePlant({f"c1.{name}": value for name, value in VALUES.items()} | {"c2.power": 90.0})


@pytest.fixture
async def wired():
    port = free_port()
    plant = room_plant()
    servers = TwinServers(plant_room(port), plant)
    await servers.start()
    client = AsyncModbusTcpClient("127.0.0.1", port=port, timeout=5, retries=0)
    await client.connect()
    yield plant, port, client
    client.close()
    await servers.stop()


async def test_an_integer_register_stands_in_the_unit_and_scale_of_the_device(wired):
    _, _, client = wired

    answer = await client.read_input_registers(100, count=1)

    assert answer.registers == [1000]  # 100 psi in tenths


async def test_a_long_value_stands_in_the_word_order_of_the_device(wired):
    _, _, client = wired

    answer = await client.read_holding_registers(10, count=4)

    low, high, *energy = answer.registers
    assert struct.unpack(">f", struct.pack(">HH", high, low)) == (37500.0,)  # little word order, in W
    assert energy == [1, 57920]  # 123,456 = 1 * 65,536 + 57,920


async def test_values_are_taken_from_the_plant_at_the_time_of_the_request(wired):
    plant, _, client = wired
    plant.values["c1.energy"] = 70000.0

    answer = await client.read_holding_registers(12, count=2)

    assert answer.registers == [1, 4464]  # 70,000 - 65,536


async def test_bits_of_one_register_are_put_together(wired):
    plant, _, client = wired

    both = await client.read_holding_registers(20, count=1)
    plant.values["c1.running"] = 0.0
    one = await client.read_holding_registers(20, count=1)

    assert both.registers == [0b1001]
    assert one.registers == [0b1000]


async def test_units_behind_one_port_are_told_apart(wired):
    _, _, client = wired

    second = await client.read_input_registers(0, count=1, device_id=7)
    nobody = await client.read_input_registers(0, count=1, device_id=9)

    assert second.registers == [90]
    assert nobody.exception_code == 11


async def test_an_undefined_address_is_exception_2(wired):
    _, _, client = wired

    beside = await client.read_holding_registers(14, count=1)
    across = await client.read_holding_registers(12, count=9)

    assert beside.exception_code == 2
    assert across.exception_code == 2


async def test_coils_are_read_and_written_one_by_one_and_together(wired):
    plant, _, client = wired

    before = await client.read_coils(5, count=2)
    await client.write_coil(6, True)
    await client.write_coils(5, [False, False])

    assert before.bits[:2] == [True, False]
    assert plant.written == [("c1.load", 1.0), ("c1.run", 0.0), ("c1.load", 0.0)]


async def test_a_written_register_arrives_in_the_canonical_unit(wired):
    plant, _, client = wired

    await client.write_register(30, 65)
    await client.write_registers(32, list(struct.unpack(">HH", struct.pack(">f", 48.5))))

    assert plant.written == [("c1.share", pytest.approx(0.65)), ("c1.limit", 48.5)]


async def test_only_the_bit_that_changes_in_a_written_word_is_a_command(wired):
    plant, _, client = wired

    await client.write_register(40, 0b110)  # 0b100 stands there

    assert plant.written == [("c1.enable", 1.0)]


async def test_half_of_a_long_value_is_not_written(wired):
    plant, _, client = wired

    first = await client.write_register(32, 1)
    second = await client.write_register(33, 1)

    assert first.exception_code == 3
    assert second.exception_code == 3
    assert plant.written == []


async def test_a_read_only_point_is_not_written(wired):
    plant, _, client = wired

    answer = await client.write_registers(12, [0, 1])

    assert answer.exception_code == 2
    assert plant.written == []


async def test_what_the_machine_refuses_is_exception_16_and_the_connection_lives(wired):
    plant, _, client = wired
    plant.refused = {"c1.run"}

    refused = await client.write_coil(5, False)
    after = await client.read_coils(5, count=1)

    assert refused.exception_code == 16
    assert after.bits[0] is True


async def test_a_sensor_that_shows_nothing_is_exception_4(wired):
    plant, _, client = wired
    plant.values["c1.pressure"] = None

    answer = await client.read_input_registers(100, count=1)

    assert answer.exception_code == 4


async def test_a_float_sensor_that_shows_nothing_is_not_a_number(wired):
    plant, _, client = wired
    plant.values["c1.power"] = None

    answer = await client.read_holding_registers(10, count=2)

    low, high = answer.registers
    assert math.isnan(struct.unpack(">f", struct.pack(">HH", high, low))[0])


async def test_a_value_beyond_the_register_stands_at_its_end(wired):
    plant, _, client = wired

    plant.values["c1.pressure"] = 1000.0  # 14,504 psi: 145,038 tenths in an int16
    above = await client.read_input_registers(100, count=1)
    plant.values["c1.energy"] = -1.0
    below = await client.read_holding_registers(12, count=2)

    assert above.registers == [32767]
    assert below.registers == [0, 0]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (bytes([0x2B, 0x0E, 1, 0]), 1),  # a function that no compressor has
        (bytes([3, 0, 10]), 3),  # cut short
        (bytes([3, 0, 10, 0, 126]), 3),  # more than 125 registers
        (bytes([5, 0, 5, 0x12, 0x34]), 3),  # neither on nor off
        (bytes([16, 0, 32, 0, 2, 3, 0, 0, 0]), 3),  # byte count that does not fit
        (bytes([6, 0]), 3),
    ],
)
async def test_a_malformed_request_is_answered_and_the_next_one_too(wired, body, code):
    _, port, _ = wired
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    writer.write(struct.pack(">HHHB", 7, 0, len(body) + 1, 1) + body)
    refused = await reader.readexactly(9)
    writer.write(struct.pack(">HHHB", 8, 0, 6, 1) + bytes([4, 0, 100, 0, 1]))
    good = await reader.readexactly(11)
    writer.close()

    assert refused == struct.pack(">HHHB", 7, 0, 3, 1) + bytes([body[0] | 0x80, code])
    assert good == struct.pack(">HHHB", 8, 0, 5, 1) + bytes([4, 2]) + struct.pack(">H", 1000)


async def test_requests_that_arrive_in_pieces_and_together_are_answered_in_order(wired):
    _, port, _ = wired
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    request = struct.pack(">HHHB", 1, 0, 6, 1) + bytes([4, 0, 100, 0, 1])
    second = struct.pack(">HHHB", 2, 0, 6, 1) + bytes([4, 0, 100, 0, 1])

    writer.write(request[:5])
    await writer.drain()
    writer.write(request[5:] + second)
    answers = await reader.readexactly(22)
    writer.close()

    assert [struct.unpack(">H", answers[at : at + 2])[0] for at in (0, 11)] == [1, 2]


async def test_a_stopped_server_drops_its_clients_and_starts_again_on_the_same_port():
    port = free_port()
    servers = TwinServers(plant_room(port), room_plant())
    await servers.start()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    await servers.stop()
    end = await asyncio.wait_for(reader.read(1), 5)
    await servers.start()
    client = AsyncModbusTcpClient("127.0.0.1", port=port, timeout=5, retries=0)
    await client.connect()
    answer = await client.read_input_registers(100, count=1)
    client.close()
    writer.close()
    await servers.stop()

    assert end == b""
    assert answer.registers == [1000]


async def test_a_taken_port_is_named_and_leaves_nothing_open():
    taken, other = free_port(), free_port()
    holder = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", taken)
    site = plant_room(taken).model_copy(deep=True)
    site.devices["a0"] = site.devices["c2"].model_copy(update={"port": other})
    devices = {"a0": site.devices["a0"], **site.devices}
    servers = TwinServers(site.model_copy(update={"devices": devices}), room_plant())

    with pytest.raises(PortError, match=str(taken)):
        await servers.start()

    holder.close()
    again = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", other)
    again.close()


@pytest.mark.peers("mbpoll")
@pytest.mark.parametrize(
    ("options", "expected"),
    [
        # mbpoll counts from 1; type 3 is input registers, 4 holding, 0 coils.
        (["-t", "3", "-r", "101", "-c", "1"], "[101]: \t1000"),
        (["-t", "4:float", "-r", "11", "-c", "1"], "[11]: \t37500"),
        (["-t", "4:int", "-B", "-r", "13", "-c", "1"], "[13]: \t123456"),
        (["-t", "0", "-r", "6", "-c", "1"], "[6]: \t1"),
    ],
)
async def test_mbpoll_reads_what_the_plant_measures(wired, options, expected):
    _, port, _ = wired

    output = await mbpoll(port, *options)

    assert expected in output


@pytest.mark.peers("mbpoll")
async def test_mbpoll_writes_a_register_and_is_told_of_a_refusal(wired):
    plant, port, _ = wired
    plant.refused = {"c1.run"}

    written = await mbpoll(port, "-t", "4", "-r", "31", values=["65"])
    refused = await mbpoll(port, "-t", "0", "-r", "6", values=["0"])

    assert "Written 1 references" in written
    assert plant.written == [("c1.share", pytest.approx(0.65))]
    assert "failed" in refused


async def mbpoll(port: int, *options: str, values: list[str] | None = None) -> str:
    """Output of one mbpoll call on unit 1."""
    arguments = ["-m", "tcp", "-p", str(port), "-a", "1", "-1", *options, "127.0.0.1", *(values or [])]
    process = await asyncio.create_subprocess_exec(
        "mbpoll", *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await asyncio.wait_for(process.communicate(), 20)
    return output.decode()
