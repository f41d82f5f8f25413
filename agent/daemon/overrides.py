"""Operators' overrides: taken from the site's command line, kept over restarts, ended by themselves, in the ledger.

`run` and `stop` hold until their end; `lockout` has none, since somebody may stand inside the machine: only
`release` ends it. From afar a machine may be left out for some hours, and that ends as soon as the air is short.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.control.alarms import INSUFFICIENT, RESTRICTED
from agent.log import get_logger
from agent.update.files import write_durably
from agent.update.local import answer_request, take_requests

if TYPE_CHECKING:
    from agent.daemon.runtime import StationRuntime

log = get_logger(__name__)

FORMAT = "trimload-overrides/1"
# `believe` is about a station's header sensor, not about a machine; it is done at once and holds nothing.
ACTIONS = ("run", "stop", "lockout", "release", "believe")
LONGEST_S = 7 * 86400.0
# Nobody stands beside the machine: less, and never on the account of the air.
LONGEST_REMOTE_S = 8 * 3600.0

Events = list[tuple[str, datetime, dict[str, object]]]


@dataclass(frozen=True, slots=True)
class Override:
    """One machine's override. `until` is None for a lock-out."""

    station: str
    machine: str
    action: str
    since: datetime
    until: datetime | None
    who: str
    why: str
    remote: bool = False

    @property
    def text(self) -> str:
        """For refusals and alarms: `stop by meier until 14:00 UTC: belt`."""
        end = "" if self.until is None else f" until {self.until:%Y-%m-%d %H:%M} UTC"
        what = "locked out" if self.action == "lockout" else f"operator's {self.action}"
        return f"{what} by {self.who or 'unknown'}{end}" + (f": {self.why}" if self.why else "")


class Overrides:
    """All overrides of a site. `folder` holds the file that outlives the process; None keeps them in memory."""

    def __init__(self, stations: Mapping[str, StationRuntime], folder: Path | None) -> None:
        self._stations, self._folder = stations, folder
        self._held: dict[tuple[str, str], Override] = {}

    @property
    def in_force(self) -> tuple[Override, ...]:
        """Every override that holds, oldest first."""
        return tuple(sorted(self._held.values(), key=lambda each: each.since))

    def begin(self, now: datetime) -> None:
        """Take up what an earlier process left; what has ended meanwhile is dropped by the next `step`."""
        for each in read_overrides(self._folder):
            runtime = self._stations.get(each.station)
            if runtime is not None and each.machine in runtime.control.fleet.names:
                self._held[each.station, each.machine] = each
                self._apply(each)
        log.info("overrides_taken_up", count=len(self._held), at=now.isoformat())

    def step(self, now: datetime, events: Events) -> None:
        """End what is over, and obey what was asked on site since the last tick."""
        for key, each in list(self._held.items()):
            if each.until is not None and now >= each.until:
                self._drop(key, now, events, "its time is over")
            elif each.remote and self._is_short(each):
                self._drop(key, now, events, "the air is short: what was asked from afar ends")
        if self._folder is None:
            return
        for request in take_requests(self._folder, ACTIONS):
            try:
                wanted = json.loads(request.argument)
                station, machine = str(wanted["station"]), str(wanted["machine"])
                for_s = None if wanted.get("for_s") is None else float(wanted["for_s"])
            except (ValueError, KeyError, TypeError, AttributeError):
                continue
            refusal = self.ask(
                request.op, station, machine, for_s, request.who, request.why, now, events, remote=False
            )
            body = {"ok": not refusal, "reason": refusal, "overrides": overrides_body(self.in_force)}
            try:
                answer_request(self._folder, request.id, body)
            except OSError as error:
                log.warning("override_answer_lost", error=str(error))

    def ask(
        self,
        action: str,
        station: str,
        machine: str,
        for_s: float | None,
        who: str,
        why: str,
        now: datetime,
        events: Events,
        *,
        remote: bool,
    ) -> str:
        """Obey, or say why not ("" when obeyed). Either way it is an event for the ledger."""
        refusal = self._refusal(action, station, machine, for_s, remote=remote)
        events.append(
            (
                "override_asked",
                now,
                {
                    "station": station,
                    "machine": machine,
                    "action": action,
                    "for_s": for_s,
                    "who": who,
                    "why": why,
                    "remote": remote,
                    "granted": not refusal,
                    "reason": refusal,
                },
            )
        )
        log.warning(
            "override_asked", station=station, machine=machine, action=action, who=who, refused=refusal
        )
        if refusal:
            return refusal
        if action == "release":
            self._drop((station, machine), now, events, f"released by {who}")
            return ""
        if action == "believe":
            self._stations[station].control.believe_pressure()
            return ""
        until = None if action == "lockout" or for_s is None else now + timedelta(seconds=for_s)
        each = Override(station, machine, action, now, until, who, why, remote)
        self._held[station, machine] = each
        self._apply(each)
        self._keep()
        return ""

    def _refusal(self, action: str, station: str, machine: str, for_s: float | None, *, remote: bool) -> str:
        runtime = self._stations.get(station)
        if action == "believe":
            if remote:
                return "from afar nobody sees the gauge: it takes somebody on site"
            if runtime is None:
                return f"no station {station!r}"
            return "" if runtime.control.jump.off_bar else "the header pressure is not doubted for a jump"
        if runtime is None or machine not in runtime.control.fleet.names:
            return f"no machine {machine!r} in station {station!r}"
        held = self._held.get((station, machine))
        if remote and action not in ("stop", "release"):
            return "from afar a machine can only be left out (stop), and that taken back (release)"
        if remote and held is not None and not held.remote:
            return f"it is held on site: {held.text}"
        if action == "release":
            return "" if held is not None else "nothing holds it"
        if held is not None and held.action == "lockout" and action != "lockout":
            return f"{held.text}; release it first"
        if action == "lockout":
            return (
                ""
                if for_s is None
                else "a lock-out has no end time: somebody may stand inside. Release it by hand"
            )
        longest_s = LONGEST_REMOTE_S if remote else LONGEST_S
        if for_s is None or not 0.0 < for_s <= longest_s:
            return f"it needs an end: more than 0, at most {longest_s / 3600.0:g} h"
        if remote and not self._bears(runtime, machine):
            return "the other machines could not carry what is taken now"
        return ""

    def _bears(self, runtime: StationRuntime, machine: str) -> bool:
        """Whether the others carry the present demand with a tenth to spare."""
        last, fleet = runtime.last, runtime.control.fleet
        if last is None or last.demand is None:
            return False
        able = sum(
            flow
            for name, flow, seen in zip(fleet.names, fleet.full_flow, last.view.machines, strict=True)
            if name != machine
            and (runtime.station_id, name) not in self._held
            and seen.ready is not False
            and seen.running is not None
            and not seen.tripped
        )
        return able >= 1.1 * max(last.demand.fast_m3_min, last.demand.slow_m3_min)

    def _is_short(self, each: Override) -> bool:
        last = self._stations[each.station].last
        return last is not None and last.alarm is not None and last.alarm.kind in (INSUFFICIENT, RESTRICTED)

    def _apply(self, each: Override) -> None:
        control = self._stations[each.station].control
        if each.action == "lockout":
            control.override(each.machine, run=None, until_at_s=float("-inf"), text="")
            control.lock_out(each.machine, locked=True, text=each.text)
            return
        assert each.until is not None
        control.lock_out(each.machine, locked=False, text="")
        control.override(
            each.machine, run=each.action == "run", until_at_s=each.until.timestamp(), text=each.text
        )

    def _drop(self, key: tuple[str, str], now: datetime, events: Events, why: str) -> None:
        each = self._held.pop(key)
        control = self._stations[each.station].control
        control.lock_out(each.machine, locked=False, text="")
        control.override(each.machine, run=None, until_at_s=float("-inf"), text="")
        fields: dict[str, object] = {
            "station": each.station,
            "machine": each.machine,
            "action": each.action,
            "who": each.who,
            "why": why,
        }
        events.append(("override_ended", now, fields))
        log.warning("override_ended", **fields)
        self._keep()

    def _keep(self) -> None:
        if self._folder is None:
            return
        body = {"format": FORMAT, "overrides": overrides_body(self.in_force)}
        try:
            write_durably(self._folder / "overrides.json", json.dumps(body, indent=1).encode(), mode=0o640)
        except OSError as error:
            # It holds as long as this process lives; the log says that it would not outlive it.
            log.warning("overrides_not_kept", error=str(error))


def overrides_body(held: tuple[Override, ...]) -> list[dict[str, object]]:
    """For JSON: instants as ISO text."""
    return [
        {
            **asdict(each),
            "since": each.since.isoformat(),
            "until": None if each.until is None else each.until.isoformat(),
        }
        for each in held
    ]


def read_overrides(folder: Path | None) -> tuple[Override, ...]:
    """What the file holds; nothing where there is none. A row that is damaged is left out aloud."""
    if folder is None:
        return ()
    path = folder / "overrides.json"
    try:
        body = json.loads(path.read_bytes())
        rows = body["overrides"] if body.get("format") == FORMAT else []
    except FileNotFoundError:
        return ()
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        log.warning("overrides_unreadable", path=str(path), error=str(error))
        return ()
    found = []
    for row in rows:
        each = _read(row)
        if each is None:
            log.error("override_unreadable", path=str(path), row=repr(row)[:200])
        else:
            found.append(each)
    return tuple(found)


def _read(row: Any) -> Override | None:
    try:
        until = None if row["until"] is None else datetime.fromisoformat(row["until"]).astimezone(UTC)
        each = Override(**row)
        each = replace(each, since=datetime.fromisoformat(row["since"]).astimezone(UTC), until=until)
    except (ValueError, KeyError, TypeError):
        return None
    ends = each.action in ("run", "stop") and until is not None
    return each if ends or (each.action == "lockout" and until is None) else None
