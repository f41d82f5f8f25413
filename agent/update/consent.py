"""What changes between two configurations, and what of it the site's own people have to agree to. Pure.

The rule is the cautious one: a change is free only if it is known to widen nothing. Whatever is not listed here,
a new key of a later version included, asks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from agent.config.site import Site

# Nothing that may be done to a machine depends on these.
_FREE = frozenset(
    {
        *("site.name", "site.country", "site.altitude_m"),
        *("uplink.interval_s", "storage.history_days", "storage.outbox_mb"),
    }
)
_FREE_HEADS = ("tariff.",)
_FREE_KEYS = frozenset({"name", "priority", "start_cost", "shift_hours", "occupancy", "local_load_bar_g"})
# Free in the one direction: +1 where a higher value narrows, -1 where a lower one does.
_NARROWS = {
    "write_min": 1,
    "write_max": -1,
    "min_write_interval_s": 1,
    "pressure_min_bar_g": 1,
    "pressure_max_bar_g": -1,
    "min_run_s": 1,
    "min_stop_s": 1,
    "max_starts_per_hour": -1,
    "max_starts_per_day": -1,
    "dead_man_s": -1,
    "comfort_low_degc": 1,
    "comfort_high_degc": -1,
    "setback_low_degc": 1,
    "setback_high_degc": -1,
    "site_limit_kw": -1,
}
_MODE_RANK = {"observe": 0, "advise": 1, "control": 2}


class Change(NamedTuple):
    """One value that differs. `asks`: somebody on site has to agree."""

    path: str
    before: object
    after: object
    asks: bool

    def __str__(self) -> str:
        return f"{self.path}: {_shown(self.before)} -> {_shown(self.after)}{'  (asks)' if self.asks else ''}"


_ABSENT = object()


def changes(before: Site, after: Site) -> tuple[Change, ...]:
    """Every value that differs, profiles merged in and defaults filled, by its path."""
    old, new = (dict(_leaves(site.model_dump(mode="json"))) for site in (before, after))
    found = []
    for path in sorted(old.keys() | new.keys()):
        was, becomes = old.get(path, _ABSENT), new.get(path, _ABSENT)
        if was != becomes:
            found.append(Change(path, was, becomes, _asks(path, was, becomes)))
    return tuple(found)


def _asks(path: str, before: object, after: object) -> bool:
    key = path.rpartition(".")[2]
    if path in _FREE or (path.startswith(_FREE_HEADS) and key != "site_limit_kw"):
        return False
    if key == "allow_writes" and isinstance(before, list) and isinstance(after, list):
        return not set(after) <= set(before)
    if key == "mode" and before in _MODE_RANK and after in _MODE_RANK:
        return _MODE_RANK[str(after)] > _MODE_RANK[str(before)]
    if key == "locked_out":
        return after is not True
    if key in _FREE_KEYS:
        return before is _ABSENT or after is _ABSENT
    if key in _NARROWS and _is_number(before) and _is_number(after):
        return _NARROWS[key] * (float(str(after)) - float(str(before))) < 0
    return True


def _leaves(body: Mapping[str, Any], head: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in body.items():
        path = f"{head}{key}"
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{path}.")
        else:
            yield path, value


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _shown(value: object) -> str:
    return "absent" if value is _ABSENT else repr(value)
