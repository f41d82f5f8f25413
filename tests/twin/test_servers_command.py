"""`trimload twin`: the simulated site as a process of its own."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pymodbus.client import ModbusTcpClient

from agent.config.load import parse_site
from agent.errors import DataError
from tests.twin.wire_plant import START, free_port
from twin.commands.twin import build_wire, command, read_demand

PROGRAM = "import sys; from twin.commands.twin import command; sys.exit(command(sys.argv[1:]))"
POINTS = """
running = { register = "discrete", address = 0, type = "bool" }
loaded = { register = "discrete", address = 1, type = "bool" }
power_kw = { register = "input", address = 0, unit = "kW", type = "float32" }
enable = { register = "coil", address = 0, type = "bool", writable = true }
run = { register = "coil", address = 1, type = "bool", writable = true }
load = { register = "coil", address = 2, type = "bool", writable = true }
heartbeat = { register = "holding", address = 0, type = "uint16", writable = true }
"""
SITE = """
allow_writes = ["c1.*"]
[site]
id = "small"
[devices.c1]
driver = "modbus-tcp"
host = "127.0.0.1"
port = {port}
[devices.c1.points]
{points}
[devices.header]
driver = "modbus-tcp"
host = "127.0.0.1"
port = {port}
unit_id = 2
points.pressure = {{ register = "input", address = 10, unit = "bar", type = "float32" }}
[stations.air]
mode = "observe"
pressure = "header.pressure"
pressure_min_bar_g = 6.0
pressure_max_bar_g = 8.0
receiver_m3 = 5.0
[stations.air.machines.c1]
device = "c1"
full_flow_m3_min = 10
full_power_kw = 60
unloaded_power_kw = 18
dead_man_s = 10
local_load_bar_g = 6.3
local_unload_bar_g = 7.0
"""


def site_text(port: int) -> str:
    return SITE.format(port=port, points=POINTS)


@pytest.fixture
def site_file(tmp_path):
    port = free_port()
    path = tmp_path / "site.toml"
    path.write_text(site_text(port))
    return path, port


@pytest.fixture
def lockstep(site_file):
    path, port = site_file
    arguments = [
        str(path),
        "--start",
        "2026-03-02T06:00:00Z",
        "--lockstep",
        "--after-eof-s",
        "20",
        "--days",
        "1",
    ]
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert json.loads(process.stdout.readline()) == {"ready": True}
    yield process, port
    process.stdin.close()
    process.kill()
    process.wait(10)
    process.stdout.close()


def ask(process: subprocess.Popen[str], line: str) -> dict:
    process.stdin.write(line + "\n")
    process.stdin.flush()
    return json.loads(process.stdout.readline())


def test_lockstep_moves_only_when_told_and_answers_each_line(lockstep):
    process, _ = lockstep

    first = ask(process, '{"advance_to": "2026-03-02T06:00:30Z"}')
    second = ask(process, '{"advance_to": "2026-03-02T06:10:00+00:00"}')

    assert first["at"] == "2026-03-02T06:00:30Z"
    assert second["at"] == "2026-03-02T06:10:00Z"
    air = second["stations"]["air"]
    assert 6.0 < air["pressure_bar_g"] < 8.0
    assert air["energy_kwh"] > first["stations"]["air"]["energy_kwh"]
    assert air["machines"]["c1"]["local"] is True
    assert second["zones"] == {}


def test_lockstep_says_what_is_wrong_with_a_line_and_changes_nothing(lockstep):
    process, _ = lockstep

    wrong = ask(process, '{"advance": 5}')
    after = ask(process, '{"advance_to": "2026-03-02T06:00:00Z"}')

    assert set(wrong["error"]) == {"what", "where", "fix"}
    assert after["at"] == "2026-03-02T06:00:00Z"


def test_the_wire_shows_the_same_plant_and_takes_it_over_until_the_heartbeat_stops(lockstep):
    process, port = lockstep
    client = ModbusTcpClient("127.0.0.1", port=port, timeout=5, retries=0)
    client.connect()
    client.write_coils(0, [True, True, False])
    client.write_register(0, 1)

    steered = ask(process, '{"advance_to": "2026-03-02T06:00:05Z"}')
    pressure = client.read_input_registers(10, count=2, device_id=2)
    silent = ask(process, '{"advance_to": "2026-03-02T06:00:20Z"}')
    client.close()

    shown = client.convert_from_registers(pressure.registers, client.DATATYPE.FLOAT32)
    assert steered["stations"]["air"]["machines"]["c1"]["local"] is False
    assert shown == pytest.approx(steered["stations"]["air"]["pressure_bar_g"], abs=0.03)  # sensor noise
    assert silent["stations"]["air"]["machines"]["c1"]["local"] is True  # dead-man 10 s


def test_after_the_end_of_input_the_plant_lives_on_and_the_command_ends(lockstep):
    process, _ = lockstep
    ask(process, '{"advance_to": "2026-03-02T06:00:10Z"}')

    process.stdin.close()
    lines = [json.loads(line) for line in process.stdout]

    assert [line["at"][-4:-1] for line in lines] == [":15", ":20", ":25", ":30"]
    assert process.wait(10) == 0


def test_scaled_time_serves_until_it_is_told_to_stop(site_file):
    path, port = site_file
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(path), "--speed", "600", "--days", "1"],
        stderr=subprocess.PIPE,
        text=True,
    )
    client = ModbusTcpClient("127.0.0.1", port=port, timeout=5, retries=0)
    wait_for(lambda: connects(port))
    client.connect()

    def pressure():
        return client.read_input_registers(10, count=2, device_id=2).registers

    before = pressure()
    wait_for(lambda: pressure() != before)
    client.close()
    process.send_signal(signal.SIGTERM)
    told = process.communicate(timeout=20)[1]

    assert process.returncode == 0
    assert f"modbus-tcp 127.0.0.1:{port} units 1, 2" in told


def test_a_taken_port_is_told_in_words(site_file, capsys):
    path, port = site_file
    with socket.create_server(("127.0.0.1", port)):
        code = command([str(path)])

    assert code == 2
    assert str(port) in capsys.readouterr().err


def test_a_demand_file_drives_the_station_it_names(tmp_path):
    file = tmp_path / "air.csv"
    file.write_text(
        "at,m3/min\n2026-03-02T06:00:00Z,3.5\n2026-03-02T07:00:00+01:00,3.5\n2026-03-02T06:30:00Z,4\n"
    )
    good = tmp_path / "good.csv"
    good.write_text("at,m3/min\n2026-03-02T06:00:00Z,3.5\n2026-03-02T06:15:00,4.5\n")
    site = parse_site(site_text(15099), Path())

    wire = build_wire(site, start_at=START, days=1, seed=1, demand=[f"air={good}"])
    wire.plant.advance_to(START.replace(minute=20))

    assert wire.state()["stations"]["air"]["demand_m3_min"] == 4.5
    with pytest.raises(DataError, match="equal steps"):
        read_demand(file)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("at,x\n2026-03-02T06:00:00Z,one\n", "line 2"),
        ("at,x\n2026-03-02T06:00:00Z,1\n", "equal steps"),
        ("at,x\n2026-03-02T06:00:00Z,1\n2026-03-02T06:15:00Z,-1\n", "equal steps"),
        ("", "equal steps"),
    ],
)
def test_a_broken_demand_file_is_named(tmp_path, text, complaint):
    file = tmp_path / "air.csv"
    file.write_text(text)

    with pytest.raises(DataError, match=complaint):
        read_demand(file)


def test_a_demand_for_no_station_names_the_stations_there_are(tmp_path):
    site = parse_site(site_text(15099), Path())

    with pytest.raises(DataError) as error:
        build_wire(site, start_at=START, days=1, seed=1, demand=["water=x.csv"])

    assert "air" in error.value.fix


def connects(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def wait_for(condition, limit_s: float = 20.0) -> None:
    end = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end, "nothing happened in time"
        time.sleep(0.02)
