"""`trimload twin`: a site's machines as simulated devices on the real wire."""

from __future__ import annotations

import argparse
import asyncio
import csv
import json
import logging
import signal
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from agent.clock import ScaledClock, WallClock
from agent.config.load import load_site
from agent.config.site import Site
from agent.errors import DataError, TrimloadError
from twin.demand import DemandSeries, shift_demand
from twin.hvac import HvacTwin
from twin.plant import TwinPlant
from twin.servers import TwinServers

EXIT_OK, EXIT_REFUSED = 0, 2
TICK_WALL_S = 0.05  # in scaled time the plant moves at least this often
AFTER_EOF_SPEED = 60.0
AFTER_EOF_STEP_S = 5.0

_DESCRIPTION = """\
Serve the machines and zones of SITE.toml as simulated devices: Modbus TCP and OPC UA on the hosts
and ports that the file names, each machine with its own local controller. The agent connects to
them as to real ones. Stops at Ctrl-C, or after --days.
"""

_EPILOG = """\
lock-step (--lockstep): nothing moves by itself. The first line on standard output is
{"ready": true}; then each line {"advance_to": "2026-03-02T06:00:10Z"} on standard input is answered
by one line with pressure, power and machines; {"open_books": true} begins to count energy and air
anew, {"books": true} gives the count. When standard input ends, the plant lives on by
itself at 60 times real time for --after-eof-s simulated seconds, one line each 5, then exits 0.

exit status:
  0  served until told to stop      2  the site, a demand file or a port cannot be used
"""


class Wire:
    """A site's plant and its servers."""

    def __init__(self, site: Site, plant: TwinPlant, hvac: HvacTwin | None) -> None:
        self.plant, self.hvac = plant, hvac
        self.servers = TwinServers(site, plant)

    def state(self) -> dict[str, Any]:
        """What a line of lock-step says."""
        return {
            "at": instant_text(self.plant.at),
            "stations": {
                name: {
                    "pressure_bar_g": round(air.pressure_bar_g, 4),
                    "flow_m3_min": round(air.supply_m3_min, 4),
                    "demand_m3_min": round(air.demand_m3_min, 4),
                    "power_kw": round(air.power_kw, 3),
                    "energy_kwh": round(sum(c.energy_kwh for c in air.compressors.values()), 4),
                    "machines": {
                        machine: {
                            "running": compressor.running,
                            "loaded": compressor.loaded,
                            "power_kw": round(compressor.power_kw, 3),
                            "local": not air.controls[machine].master_steers,
                        }
                        for machine, compressor in air.compressors.items()
                    },
                }
                for name, air in self.plant.stations.items()
            },
            **hvac_state(self.hvac),
        }


def hvac_state(hvac: HvacTwin | None) -> dict[str, Any]:
    """Zones and units; both empty for a site without HVAC."""
    if hvac is None:
        return {"zones": {}, "units": {}}
    setpoints = {name: t for unit in hvac.units.values() for name, t in unit.thermostats.items()}
    return {
        "zones": {
            name: {
                "temp_degc": round(zone.air_degc, 3),
                "heating_setpoint_degc": setpoints[name].heating_degc,
                "cooling_setpoint_degc": setpoints[name].cooling_degc,
                "occupied": zone.occupied,
                "discomfort_kh": round(zone.discomfort_kh, 4),
            }
            for name, zone in hvac.zones.items()
        },
        "units": {
            name: {
                "enabled": unit.panel.enable,
                "power_kw": round(unit.power_kw, 3),
                "energy_kwh": round(unit.energy_kwh, 4),
                "local": not hvac.remote(name),
            }
            for name, unit in hvac.units.items()
        },
    }


def build_wire(site: Site, *, start_at: datetime, days: float, seed: int, demand: Sequence[str] = ()) -> Wire:
    """The plant of a site with its servers, ports still closed.

    `demand`: "STATION=FILE.csv", or "FILE.csv" for the only station. Raises DataError.
    """
    series = {
        name: shift_demand(s, site.site.timezone, start_at, days, seed) for name, s in site.stations.items()
    }
    for text in demand:
        name, sign, file = text.rpartition("=")
        if not sign and len(site.stations) == 1:
            (name,) = site.stations
        if name not in site.stations:
            raise DataError(
                f"--demand {text} names no station of the site",
                where="command line",
                fix=f"write --demand STATION=FILE.csv with one of: {', '.join(site.stations) or 'none'}",
            )
        series[name] = read_demand(Path(file))
    hvac = HvacTwin(site, start_at=start_at, seed=seed) if site.hvac is not None else None
    return Wire(site, TwinPlant(site, demand=series, start_at=start_at, hvac=hvac, seed=seed), hvac)


def read_demand(path: Path) -> DemandSeries:
    """Two columns after a header: instant (ISO 8601, UTC unless it says otherwise) and free air, [m3/min]."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = [(number, row) for number, row in enumerate(csv.reader(file), start=1) if row][1:]
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"cannot read {path.name}: {error}", where=str(path), fix="name a CSV file in UTF-8"
        ) from None
    instants, values = [], []
    for number, row in rows:
        try:
            instants.append(parse_instant(row[0]))
            values.append(float(row[1]))
        except (ValueError, IndexError):
            raise DataError(
                f"line {number} is not an instant and a number: {','.join(row)[:60]}",
                where=f"{path} line {number}",
                fix="write lines such as 2026-03-02T06:00:00Z,12.5 after one header line",
            ) from None
    steps = {b - a for a, b in zip(instants, instants[1:], strict=False)}
    if len(steps) != 1 or min(steps) <= timedelta() or min(values) < 0:
        raise DataError(
            f"{path.name} is not a series in equal steps of at least two values, none below 0",
            where=str(path),
            fix="sort it by time, fill its gaps, one row a step; `trimload simulate` takes files with gaps",
        )
    return DemandSeries(instants[0], steps.pop().total_seconds(), values)


def parse_instant(text: str) -> datetime:
    """An ISO 8601 instant; UTC where it names no offset. ValueError otherwise."""
    at = datetime.fromisoformat(text.strip())
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def instant_text(at: datetime) -> str:
    """The instant in ISO 8601 with a Z."""
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


async def serve(wire: Wire, *, speed: float, until_at: datetime) -> None:
    """Real or scaled time, until `until_at` or a signal."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stop.set)
    await wire.servers.start()
    for (host, port), modbus in wire.servers.modbus.items():
        print(f"modbus-tcp {host}:{port} units {', '.join(map(str, modbus.unit_ids))}", file=sys.stderr)
    for url in wire.servers.opcua:
        print(f"opcua {url}", file=sys.stderr)
    clock = ScaledClock(wire.plant.at, speed)
    period = timedelta(seconds=max(1.0, TICK_WALL_S * speed))
    ended = asyncio.create_task(stop.wait())
    try:
        while not stop.is_set() and (now := clock.now()) < until_at:
            await wire.servers.advance_to(now)
            pause = asyncio.create_task(clock.sleep_until(now + period))
            await asyncio.wait({pause, ended}, return_when=asyncio.FIRST_COMPLETED)
            pause.cancel()
    finally:
        ended.cancel()
        await wire.servers.stop()


async def lockstep(wire: Wire, *, after_eof_s: float) -> None:
    """One answer for each line of standard input, then the plant by itself."""
    lines = await standard_input()
    await wire.servers.start()
    say({"ready": True})
    try:
        while line := await lines.readline():
            if not line.strip():
                continue
            try:
                say(await obey(wire, line))
            except DataError as error:
                say({"error": error.as_dict()})
        await live_on(wire, after_eof_s)
    finally:
        await wire.servers.stop()


async def obey(wire: Wire, line: bytes) -> dict[str, Any]:
    """Do what one lock-step line asks and give the answer. Raises DataError."""
    match request_of(line):
        case {"advance_to": str(text)}:
            try:
                at = parse_instant(text)
            except ValueError:
                raise not_understood(line) from None
            await wire.servers.advance_to(at)
            return wire.state()
        case {"open_books": True}:
            for air in wire.plant.stations.values():
                air.open_books()
            return {"books": "open"}
        case {"books": True}:
            return {"stations": {name: asdict(air.books) for name, air in wire.plant.stations.items()}}
        case _:
            raise not_understood(line)


async def live_on(wire: Wire, span_s: float) -> None:
    """The plant without its agent: how it goes on when that was killed."""
    clock = ScaledClock(wire.plant.at, AFTER_EOF_SPEED)
    start_at = wire.plant.at
    for step in range(1, int(span_s / AFTER_EOF_STEP_S) + 1):
        at = start_at + timedelta(seconds=step * AFTER_EOF_STEP_S)
        await clock.sleep_until(at)
        await wire.servers.advance_to(at)
        say(wire.state())


def request_of(line: bytes) -> Any:
    """The JSON of a lock-step line. Raises DataError."""
    try:
        return json.loads(line)
    except ValueError:
        raise not_understood(line) from None


def not_understood(line: bytes) -> DataError:
    """The error for a line that asks for nothing known."""
    text = line.decode(errors="replace").strip()
    return DataError(
        f"not understood: {text[:80]}",
        where="standard input",
        fix='write lines such as {"advance_to": "2026-03-02T06:00:10Z"}',
    )


async def standard_input() -> asyncio.StreamReader:
    """Lines of standard input, whether it is a pipe or a file."""
    reader = asyncio.StreamReader()
    try:
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), sys.stdin.buffer
        )
    except ValueError:  # a regular file: all of it is there
        reader.feed_data(sys.stdin.buffer.read())
        reader.feed_eof()
    return reader


def say(line: dict[str, Any]) -> None:
    """One line of JSON on standard output, at once."""
    print(json.dumps(line, separators=(",", ":")), flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="trimload twin",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("site", type=Path, metavar="SITE.toml", help="the site to simulate")
    parser.add_argument("--speed", type=_positive, default=1.0, help="simulated seconds in a real one (1)")
    parser.add_argument("--start", metavar="ISO", type=_instant, help="simulated instant to begin with (now)")
    parser.add_argument("--days", type=_positive, default=28.0, help="stop after so many simulated days (28)")
    parser.add_argument("--seed", type=int, default=1, help="of demand, weather and sensor noise (1)")
    parser.add_argument(
        "--demand",
        nargs="+",
        default=[],
        metavar="[STATION=]FILE.csv",
        help="free-air demand: instant, m3/min; made up from the shift hours without it",
    )
    parser.add_argument("--lockstep", action="store_true", help="move only when told on standard input")
    parser.add_argument(
        "--after-eof-s", type=_not_negative, default=600.0, help="lock-step: live on for so long (600)"
    )
    return parser


def _positive(text: str) -> float:
    if not 0 < (value := float(text)) < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value


def _not_negative(text: str) -> float:
    if not 0 <= (value := float(text)) < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is below 0")
    return value


def _instant(text: str) -> datetime:
    try:
        return parse_instant(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no instant such as 2026-03-02T06:00:00Z") from None


def command(argv: Sequence[str]) -> int:
    """Run `trimload twin` with the arguments after its name; the exit status."""
    args = _parser().parse_args(list(argv))
    logging.getLogger("asyncua").setLevel(logging.ERROR)  # it warns of each open endpoint, twice
    start_at = args.start or WallClock().now().replace(microsecond=0)
    try:
        wire = build_wire(
            load_site(args.site), start_at=start_at, days=args.days, seed=args.seed, demand=args.demand
        )
        if args.lockstep:
            asyncio.run(lockstep(wire, after_eof_s=args.after_eof_s))
        else:
            asyncio.run(serve(wire, speed=args.speed, until_at=start_at + timedelta(days=args.days)))
    except TrimloadError as error:
        print(error, file=sys.stderr)
        return EXIT_REFUSED
    except KeyboardInterrupt:
        pass  # lock-step's reader has no other end
    return EXIT_OK
