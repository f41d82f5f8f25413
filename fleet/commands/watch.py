"""`trimload-fleet watch`: who is there."""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Sequence
from dataclasses import asdict

from agent.clock import pause
from fleet.broker import add_broker, broker_of
from fleet.consumer import Consumer


def command(argv: Sequence[str]) -> int:
    """Listen for a while, acknowledge, and say what was heard. 1 when a site is offline or has lost messages."""
    parser = argparse.ArgumentParser(
        prog="trimload-fleet watch",
        description="Subscribe to all sites of a broker, acknowledge what arrives, and after --seconds print one "
        "line per site: online or not, when it was last heard, messages, and messages lost for good.",
        epilog="exit codes: 0 done; 1 done, and a site is offline or has lost messages; 2 bad input or no broker",
    )
    add_broker(parser)
    parser.add_argument("--seconds", type=float, default=15.0, help="how long to listen (15)")
    parser.add_argument("--json", action="store_true", help="print JSON for machines")
    return asyncio.run(_watch(parser.parse_args(argv)))


async def _watch(options: argparse.Namespace) -> int:
    consumer = Consumer(broker_of(options))
    await consumer.start()
    await pause(options.seconds)
    await consumer.stop()
    sites = consumer.sites
    if options.json:
        print(json.dumps({site_id: asdict(site) for site_id, site in sorted(sites.items())}, indent=1))
    else:
        print(f"{'site':<24}{'state':<10}{'last telemetry':<28}{'messages':>9}{'lost':>6}")
        for site_id, site in sorted(sites.items()):
            heard = site.telemetry_at or "never"
            print(f"{site_id:<24}{site.state:<10}{heard:<28}{site.messages:>9}{site.missing:>6}")
    return 1 if any(site.state != "online" or site.missing for site in sites.values()) else 0
