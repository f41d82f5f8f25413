"""A tick's events as people read them: what changed in the agent's standing, beside the controls' own notes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime

_FORMS = {
    "mode_changed": "{station}: mode {mode}: {why}",
    "alarm": "{station}: alarm {text}",
    "header_drift": "{station}: header sensor drift: {text}",
    "refusals": "{station}: held back: {text}",
    "command_refused": "{tag} not written: {what}",
    "write_failed": "{tag} not written: {what}",
}


def spoken(events: Iterable[tuple[str, datetime, Mapping[str, object]]]) -> list[str]:
    """One sentence for each event of a kind that people ask about; the others have a note of their own, or none."""
    return [_FORMS[kind].format_map(fields) for kind, _, fields in events if kind in _FORMS]
