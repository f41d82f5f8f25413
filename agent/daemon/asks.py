"""Remote operation: what may be asked of a site from afar, and its answers. Everything goes into the site's ledger.

Reading, and doing less. Nothing here arms CONTROL, widens a limit, runs a command or reads a file by name.
"""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
from collections import deque
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.daemon.overrides import overrides_body
from agent.daemon.report import status_text
from agent.domain import Mode
from agent.log import RecentLines, get_logger
from agent.update.job import stamp

if TYPE_CHECKING:
    from agent.daemon.loop import Daemon
    from agent.daemon.updates import UpdateService

log = get_logger(__name__)

OPS = ("status", "explain", "report", "log", "mode", "override")
_LARGEST_ASK = 4096
# What the broker's own limits let through; a longer answer comes in parts.
PART_BYTES = 48 << 10
_LARGEST_ANSWER = 2 << 20
_REMEMBERED = 256
_REPORT_DAYS = 28


class Asks:
    """One site's answers. `send` puts an answer on `up/answer`."""

    def __init__(
        self,
        daemon: Daemon,
        state: Path,
        recent: RecentLines,
        updates: UpdateService | None,
        send: Callable[[bytes], None],
    ) -> None:
        self._daemon, self._state, self._recent = daemon, state, recent
        self._updates, self._send = updates, send
        # QoS 1 may bring a message twice, and a recorded one may be sent again.
        self._known: deque[str] = deque(maxlen=_REMEMBERED)
        self._tasks: set[asyncio.Task[None]] = set()

    def take(self, content: bytes) -> None:
        """Answer, or say why not; in the event loop's thread, at once or in a thread where it takes longer."""
        ask = _read(content)
        if ask is None:
            log.warning("ask_refused", what="not a request of this agent's", content=repr(content[:80]))
            return
        ask_id = str(ask["id"])
        if ask_id in self._known:
            return
        self._known.append(ask_id)
        refusal = self._refusal(ask)
        now = self._daemon.clock.now()
        told = {key: str(ask.get(key, ""))[:200] for key in ("id", "op", "who", "why", "station", "mode")}
        self._daemon.ledger.append("remote_asked", now, {**told, "granted": not refusal, "reason": refusal})
        if refusal:
            self._answer(ask, {"reason": refusal}, ok=False)
            return
        if ask["op"] == "report":
            task = asyncio.create_task(self._report(ask))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            return
        answers: dict[str, Callable[[Mapping[str, Any]], dict[str, object]]] = {
            "status": self._status,
            "explain": self._explain,
            "log": self._log,
            "mode": self._mode,
            "override": self._override,
        }
        body = answers[ask["op"]](ask)
        self._answer(ask, body, ok="reason" not in body)

    def _refusal(self, ask: Mapping[str, Any]) -> str:
        if ask["op"] not in OPS:
            return f"{ask['op']!r} cannot be asked for; known: {', '.join(OPS)}"
        if not str(ask.get("who", "")).strip() or not str(ask.get("why", "")).strip():
            return "a request says who asks and why"
        station = ask.get("station")
        if station is not None and station not in self._daemon.stations and station != "hvac":
            return f"no station {station!r}"
        if ask["op"] == "mode" and ask.get("mode") not in (Mode.OBSERVE.value, Mode.ADVISE.value):
            return "from afar the mode can only be lowered to observe or advise; more is granted on site"
        if ask["op"] == "override" and not (station in self._daemon.stations and _fits(ask)):
            return (
                "an override names station, machine, action (stop or release) and for_s, a number of seconds"
            )
        return ""

    def _status(self, _ask: Mapping[str, Any]) -> dict[str, object]:
        daemon = self._daemon
        body: dict[str, object] = {
            "text": status_text(daemon),
            "modes": {name: runtime.mode for name, runtime in daemon.stations.items()},
            "ticks": daemon.ticks,
            "late_ticks": daemon.late_ticks,
            "devices": {name: stamp(at) for name, at in daemon.signs.answered_at.items()},
            "ledger": daemon.ledger.head._asdict(),
            "alarms": {
                name: last.alarm._asdict()
                for name, runtime in daemon.stations.items()
                if (last := runtime.last) is not None and last.alarm is not None
            },
            "overrides": overrides_body(daemon.overrides.in_force),
        }
        if daemon.hvac is not None:
            body["modes"] = {**_dict(body["modes"]), "hvac": daemon.hvac.switch.mode}
        if self._updates is not None:
            body["update"] = self._updates.status()
        return body

    def _explain(self, ask: Mapping[str, Any]) -> dict[str, object]:
        wanted = ask.get("station")
        return {
            name: {
                "mode": runtime.mode,
                "why": runtime.control.switch.why,
                "notes": [] if runtime.last is None else list(runtime.last.notes),
                "refusals": []
                if runtime.last is None
                else [f"{r.subject} {r.wish}: {r.rule}" for r in runtime.last.refusals],
                "alarm": None
                if runtime.last is None or runtime.last.alarm is None
                else runtime.last.alarm._asdict(),
                "overrides": [o.text for o in self._daemon.overrides.in_force if o.station == name],
                "hours_run": {
                    machine: round(past.hours_run_h, 1)
                    for machine, past in zip(
                        runtime.control.fleet.names, runtime.control.memory.machines, strict=True
                    )
                },
                "plan": None
                if (plan := runtime.foresight.plan) is None
                else {
                    "id": plan.plan_id,
                    "status": plan.status,
                    "made_at": stamp(plan.made_at),
                    "reasons": list(plan.reasons),
                },
                "forecast": None
                if (forecast := runtime.foresight.forecast) is None
                else {"source": forecast.source, "reasons": list(forecast.reasons)},
            }
            for name, runtime in self._daemon.stations.items()
            if wanted in {None, name}
        }

    def _log(self, _ask: Mapping[str, Any]) -> dict[str, object]:
        """The last lines, and the ledger's last day, packed: `{"encoding": "gzip+base64", "data"}`."""
        since = self._daemon.clock.now() - timedelta(days=1)
        rows = self._daemon.ledger.since(since, limit=2000)
        lines = [*self._recent.lines, "", "ledger:"]
        lines += [f"{row.seq} {row.at.isoformat()} {row.kind} {row.fields}" for row in rows]
        packed = gzip.compress("\n".join(lines).encode())
        return {"encoding": "gzip+base64", "data": base64.b64encode(packed).decode()}

    def _mode(self, ask: Mapping[str, Any]) -> dict[str, object]:
        daemon, mode = self._daemon, Mode(ask["mode"])
        places = [ask["station"]] if ask.get("station") else [*daemon.stations, "hvac"]
        why = f"{ask['who']}: {ask['why']}"
        return {
            place: {"granted": daemon.wish_mode(place, mode, why)}
            for place in places
            if place in daemon.stations or (place == "hvac" and daemon.hvac is not None)
        }

    def _override(self, ask: Mapping[str, Any]) -> dict[str, object]:
        """Leave a machine out for some hours, or take that back: what was asked from afar, nothing else."""
        daemon, now = self._daemon, self._daemon.clock.now()
        events: list[tuple[str, datetime, dict[str, object]]] = []
        refusal = daemon.overrides.ask(
            str(ask["action"]),
            str(ask["station"]),
            str(ask["machine"]),
            ask.get("for_s"),
            str(ask["who"]),
            str(ask["why"]),
            now,
            events,
            remote=True,
        )
        daemon.ledger.append_all(events)
        if refusal:
            return {"reason": refusal}
        return {"overrides": overrides_body(daemon.overrides.in_force)}

    async def _report(self, ask: Mapping[str, Any]) -> None:
        wanted = [name for name in self._daemon.stations if ask.get("station") in {None, name}]
        site, path = self._daemon.site, self._state / "history.db"
        now = self._daemon.clock.now()
        body = await asyncio.to_thread(_savings, site, path, wanted, now)
        self._answer(ask, body, ok="reason" not in body)

    def _answer(self, ask: Mapping[str, Any], body: object, *, ok: bool) -> None:
        text = json.dumps(body, separators=(",", ":"), default=str, allow_nan=False)
        if len(text) > _LARGEST_ANSWER:
            ok, text = False, json.dumps({"reason": f"the answer is too long: {len(text)} bytes"})
        parts = [text[i : i + PART_BYTES] for i in range(0, len(text), PART_BYTES)]
        for number, part in enumerate(parts, start=1):
            message = {
                "id": ask["id"],
                "op": ask["op"],
                "ok": ok,
                "part": number,
                "parts": len(parts),
                "body": part,
            }
            self._send(json.dumps(message, separators=(",", ":")).encode())


def _read(content: bytes) -> dict[str, Any] | None:
    if len(content) > _LARGEST_ASK:
        return None
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        return None
    if not isinstance(body, dict):
        return None
    ask_id, op = body.get("id"), body.get("op")
    fit = isinstance(ask_id, str) and 0 < len(ask_id) <= 64 and isinstance(op, str)
    return body if fit and isinstance(body.get("station"), str | None) else None


def _fits(ask: Mapping[str, Any]) -> bool:
    for_s = ask.get("for_s")
    number = isinstance(for_s, int | float) and not isinstance(for_s, bool)
    return all(isinstance(ask.get(key), str) for key in ("machine", "action")) and (for_s is None or number)


def _savings(site: Any, path: Path, stations: list[str], now: datetime) -> dict[str, Any]:
    """The savings report of the last weeks, of what is measured and can be compared on the gateway itself."""
    from agent.errors import TrimloadError
    from agent.savings.as_json import as_dict
    from agent.savings.measured import read_minutes
    from agent.savings.report import Ask, make_report
    from agent.store.reading import HistoryReader

    try:
        with HistoryReader(path) as source:
            span = source.span()
            if span is None:
                return {"reason": "the history is empty"}
            from_at = max(span[0], now - timedelta(days=_REPORT_DAYS))
            to_at = max(span[1], from_at + timedelta(minutes=1))
            return {
                name: as_dict(
                    make_report(
                        site,
                        name,
                        read_minutes(source, name, site.stations[name], from_at, to_at),
                        Ask(),
                        None,
                    )
                )
                for name in stations
            }
    except TrimloadError as error:
        return {"reason": error.what}


def _dict(value: object) -> dict[str, object]:
    assert isinstance(value, dict)
    return value
