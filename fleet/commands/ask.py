"""`trimload-fleet ask`: a question to one site, and its answer."""

from __future__ import annotations

import argparse
import asyncio
import base64
import getpass
import gzip
import json
import secrets
import sys
import threading
from collections.abc import Sequence
from typing import Any

import paho.mqtt.client as paho

from agent.clock import elapsed_s, pause
from fleet.broker import BrokerUnreachableError, add_broker, broker_of, connect, session

OPS = ("status", "explain", "report", "log", "mode", "override")
_CONNECT_S = 10.0


def command(argv: Sequence[str]) -> int:
    """Ask, wait, print. 1 when the site says no or nothing."""
    parser = argparse.ArgumentParser(
        prog="trimload-fleet ask",
        description="Ask a site for its status, an explanation, a savings report or its log, lower its mode, or leave a machine "
        "out for some hours. "
        "Everything is written into the site's ledger with who and why. More than advise is only granted on site.",
        epilog="exit codes: 0 answered; 1 refused, or no answer; 2 bad input or no broker",
    )
    parser.add_argument("site", help="id of the site")
    parser.add_argument("op", choices=OPS)
    add_broker(parser)
    parser.add_argument("--why", required=True, help="the reason, for the site's ledger")
    parser.add_argument("--who", default=getpass.getuser(), help="who asks (the user)")
    parser.add_argument("--station", help="one station, or hvac")
    parser.add_argument("--mode", choices=("observe", "advise"), help="for op mode")
    parser.add_argument("--machine", help="for op override")
    parser.add_argument("--action", choices=("stop", "release"), help="for op override")
    parser.add_argument("--for-s", dest="for_s", type=float, help="for op override: how long, at most 28800")
    parser.add_argument("--wait-s", type=float, default=30.0, help="longest wait (30)")
    options = parser.parse_args(argv)
    ask = {
        "id": secrets.token_hex(8),
        **{
            key: getattr(options, key)
            for key in ("op", "who", "why", "station", "mode", "machine", "action", "for_s")
            if getattr(options, key)
        },
    }
    answer = asyncio.run(_answer(options, ask))
    if answer is None:
        print(f"trimload-fleet: no answer within {options.wait_s:.0f} s", file=sys.stderr)
        return 1
    ok, body = answer
    if ok and options.op == "log":
        print(gzip.decompress(base64.b64decode(body["data"])).decode())
    else:
        print(json.dumps(body, indent=1, ensure_ascii=False))
    return 0 if ok else 1


async def _answer(options: argparse.Namespace, ask: dict[str, Any]) -> tuple[bool, Any] | None:
    broker = broker_of(options)
    ready, parts = threading.Event(), dict[int, dict[str, Any]]()

    def heard(_client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
        try:
            body = json.loads(message.payload)
        except ValueError:
            return
        if body.get("id") == ask["id"]:
            parts[int(body["part"])] = body

    def connected(joined: paho.Client) -> None:
        joined.subscribe(f"{options.root}/{options.site}/up/answer", qos=1)

    client = session(broker)
    client.on_subscribe = lambda *_: ready.set()
    client.on_message = heard
    connect(client, broker, connected)
    try:
        if not await asyncio.to_thread(ready.wait, _CONNECT_S):
            raise BrokerUnreachableError(
                f"no broker answers at {broker.place}",
                where="--broker",
                fix="give the address that the site uses",
            )
        client.publish(f"{options.root}/{options.site}/down/ask", json.dumps(ask), qos=1)
        began_s = elapsed_s()
        while elapsed_s() - began_s < options.wait_s:
            if parts and len(parts) == next(iter(parts.values()))["parts"]:
                text = "".join(parts[number]["body"] for number in sorted(parts))
                return bool(parts[1]["ok"]), json.loads(text)
            await pause(0.05)
    finally:
        client.disconnect()
        client.loop_stop()
    return None
