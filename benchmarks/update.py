#!/usr/bin/env python3
"""Updates over MQTT on loopback: time of a refresh, and rate of a 40 MB target, through a real mosquitto.

    .venv/bin/python benchmarks/update.py [--megabytes 40] [--rounds 5]

Wanted: a refresh (root, timestamp, snapshot, targets) within 50 ms, 10 MB/s and more at the default block of 60 KiB.
Exit code 1 when either is missed.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from agent.clock import elapsed_s
from agent.config.services import Uplink
from agent.update.job import Target
from agent.update.mqtt_source import MqttSource
from agent.update.trust import look
from agent.update.wire import DEFAULT_BLOCK_BYTES
from fleet.broker import Broker
from fleet.serve import BlockServer
from tests.update.conftest import Fleet
from tests.uplink.conftest import Mosquitto, free_port

WANTED_REFRESH_MS = 50.0
WANTED_MB_S = 10.0


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--megabytes", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with TemporaryDirectory() as folder:
        fleet = Fleet(Path(folder) / "fleet")
        fleet.begin()
        target = fleet.publish("models/demo/big.onnx", os.urandom(options.megabytes * 1_000_000))
        fleet.assign(target)
        broker = Mosquitto(Path(folder), free_port())
        broker.configure("set_tcp_nodelay true\n")
        broker.start()
        server = BlockServer(Broker(f"mqtt://127.0.0.1:{broker.port}"), fleet.path)
        server.start()
        server.ready.wait(10)
        try:
            refresh_ms, rates = measure(fleet, target, broker.port, Path(folder), options.rounds)
        finally:
            server.stop()
            broker.kill()
    print(f"refresh: median {refresh_ms:.1f} ms of {options.rounds * 4} (wanted <= {WANTED_REFRESH_MS:.0f})")
    for block, rate in rates.items():
        print(f"{options.megabytes} MB, blocks of {block >> 10:4d} KiB: {rate:.1f} MB/s")
    good = refresh_ms <= WANTED_REFRESH_MS and rates[DEFAULT_BLOCK_BYTES] >= WANTED_MB_S
    print("good" if good else "too slow")
    return 0 if good else 1


def measure(
    fleet: Fleet, target: Target, port: int, folder: Path, rounds: int
) -> tuple[float, dict[int, float]]:
    """Median refresh, [ms], of an unchanged and a changed repository alike; best rate by block size, [MB/s]."""
    config = Uplink(broker=f"mqtt://127.0.0.1:{port}")
    metadata, times, rates = folder / "metadata", [], {}
    with MqttSource(config, "demo") as source:
        look(source, metadata, fleet.root, fleet.clock.now())
        for number in range(rounds * 4):
            if number % 2:
                fleet.repository.publish_state()
            began_s = elapsed_s()
            look(source, metadata, fleet.root, fleet.clock.now())
            times.append(1000.0 * (elapsed_s() - began_s))
    for block in (16 << 10, DEFAULT_BLOCK_BYTES, 256 << 10):
        best = 0.0
        for _ in range(rounds):
            with MqttSource(config, "demo", block_bytes=block) as source:
                seen = look(source, metadata, fleet.root, fleet.clock.now())
                began_s = elapsed_s()
                file = seen.fetch(target, folder / "files")
                best = max(best, target.length / 1e6 / (elapsed_s() - began_s))
            file.unlink()
        rates[block] = best
    return median(times), rates


if __name__ == "__main__":
    sys.exit(main())
