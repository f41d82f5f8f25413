"""Rows of the ledger as sentences for people."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from agent.store.ledger import Entry

Fields = Mapping[str, Any]


class Told(NamedTuple):
    """A row in words. `weight` is `bad`, `look` or `plain`."""

    subject: str
    words: str
    weight: str = "plain"


def _command(fields: Fields) -> Told:
    value, before, read_back = (_number(fields.get(key)) for key in ("value", "before", "read_back"))
    kept = "" if read_back == value else f", reads back {read_back}"
    return Told(_place(fields), f"{before} → {value}{kept}: {fields.get('reason', '')}")


def _fault(fields: Fields) -> Told:
    return Told(_place(fields), str(fields.get("what", "")), "bad")


def _alarm(fields: Fields) -> Told:
    text = str(fields.get("text", ""))
    return Told(_place(fields), f"alarm {text}", "look" if text == "over" else "bad")


def _drift(fields: Fields) -> Told:
    text = str(fields.get("text", ""))
    return Told(
        _place(fields),
        "drift of the header sensor is over" if text == "over" else text,
        "look" if text == "over" else "bad",
    )


def _mode(fields: Fields) -> Told:
    mode, why = str(fields.get("mode", "")), str(fields.get("why", ""))
    return Told(_place(fields), f"{mode}: {why}" if why else mode, "bad" if mode == "fallback" else "look")


def _wish(fields: Fields) -> Told:
    granted = "granted" if fields.get("granted") else "refused: the site's consent is less"
    return Told(_place(fields), f"{fields.get('mode')} wished ({fields.get('why')}), {granted}", "look")


def _override(fields: Fields) -> Told:
    asked = f"{fields.get('action')} by {fields.get('who') or 'unknown'}"
    why = f": {fields['why']}" if fields.get("why") else ""
    if "granted" not in fields:
        return Told(_place(fields), f"{asked} has ended{why}", "look")
    refused = "" if fields["granted"] else f", refused: {fields.get('reason')}"
    return Told(_place(fields), f"{asked}{why}{refused}", "look")


def _forecast(fields: Fields) -> Told:
    reasons = ", ".join(map(str, fields.get("reasons") or ()))
    return Told(_place(fields), f"forecast by {fields.get('text')}" + (f": {reasons}" if reasons else ""))


def _weather(fields: Fields) -> Told:
    source = str(fields.get("source", ""))
    why = f": {fields['why']}" if fields.get("why") else ""
    return Told("weather", source + why, "plain" if source == "provider" else "look")


def _production(fields: Fields) -> Told:
    return Told("production plan", ", ".join(f"{key} {value}" for key, value in fields.items()), "look")


def _clock(fields: Fields) -> Told:
    return Told("clock", f"was set by {_number(fields.get('step_s'))} s", "look")


def _verified(fields: Fields) -> Told:
    if fields.get("ok"):
        return Told("ledger", f"{fields.get('rows')} rows, chain whole")
    return Told("ledger", f"chain broken at row {fields.get('bad_seq')}", "bad")


# Kind of row -> its sentence. What is not named here is of no use on a page: plans have a place of their own.
TELLS: dict[str, Callable[[Fields], Told]] = {
    "command_written": _command,
    "command_refused": _fault,
    "write_failed": _fault,
    "note": lambda fields: Told(_place(fields), str(fields.get("text", ""))),
    "refusals": lambda fields: Told(_place(fields), f"held back: {fields.get('text', '')}", "look"),
    "alarm": _alarm,
    "header_drift": _drift,
    "mode_changed": _mode,
    "mode_wish": _wish,
    "override_asked": _override,
    "override_ended": _override,
    "forecast": _forecast,
    "weather_source": _weather,
    "production_plan": _production,
    "production_plan_refused": _production,
    "clock_set": _clock,
    "ledger_verified": _verified,
    "agent_started": lambda _fields: Told("agent", "started", "look"),
    "agent_stopped": lambda fields: Told("agent", f"stopped: {fields.get('reason', '')}", "look"),
}


def tell(entry: Entry) -> Told:
    """The row in words; `entry.kind` is one of TELLS."""
    return TELLS[entry.kind](entry.values())


def is_trimming(entry: Entry) -> bool:
    """Whether the row is one of the small moves of a speed control, hundreds a day."""
    return entry.kind == "command_written" and str(entry.values().get("tag", "")).endswith(
        ".output_share_set"
    )


def _place(fields: Fields) -> str:
    parts = [str(fields[key]) for key in ("station", "machine", "tag") if fields.get(key)]
    return " ".join(parts)


def _number(value: Any) -> str:
    if isinstance(value, int | float):
        return f"{value:.4g}"
    return "unknown" if value is None else str(value)
