"""A file that does not fit the schema, mended just enough to look for contradictions in the rest of it.

The mended site is never used for anything else, and what follows from the mending is not reported.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any, NamedTuple

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from agent.config.contradictions import faults_of
from agent.config.fault import Fault
from agent.config.schema_faults import choices_of, field_at, keys_at
from agent.config.site import Site
from agent.config.where import Place, nearest

# Each round mends what the last one laid bare: a table that was missing, then its keys.
_ROUNDS = 6
# What stands in for a required value: nothing here is reported.
_STAND_INS: dict[str, Any] = {
    "id": "site",
    "pressure": "absent.absent",
    "temp": "absent.absent",
    "unit": "absent",
    "broker": "mqtt://absent:1883",
    "pressure_min_bar_g": 6.0,
    "pressure_max_bar_g": 8.0,
    "receiver_m3": 10.0,
    "full_flow_m3_min": 10.0,
    "full_power_kw": 60.0,
    "unloaded_power_kw": 12.0,
    "air_kwh_per_k": 1.0,
    "ua_kw_per_k": 1.0,
}
# Keys with these words in them are compared with each other by the rules.
_KIN = (("flow", "power"), ("pressure", "local_", "band"))


class Touched(NamedTuple):
    """A key that was taken out or replaced; `stands_in` where the schema cannot do without it."""

    table: Place
    key: str
    stands_in: bool


def faults_of_the_rest(raw: dict[str, Any], unusable: Iterable[str]) -> list[Fault]:
    """Contradictions among the values of `raw` that the schema accepts, profiles merged in already.

    `unusable` are devices whose points are not known. () where too little of the file is left.
    """
    mended = copy.deepcopy(raw)
    touched: set[Touched] = {Touched(("devices", device), "points", stands_in=True) for device in unusable}
    for _ in range(_ROUNDS):
        try:
            site = Site.model_validate(mended)
        except ValidationError as error:
            # A misspelt key first: it may be the one that is missing.
            details = sorted(error.errors(include_url=False), key=lambda d: d["type"] != "extra_forbidden")
            touched |= {mark for detail in details if (mark := _mend(mended, detail)) is not None}
        else:
            return [fault for fault in faults_of(site) if not any(_follows(fault, mark) for mark in touched)]
    return []


def _mend(raw: dict[str, Any], detail: ErrorDetails) -> Touched | None:
    """Put one error right, by the likeliest correction where there is one. What was touched otherwise."""
    place: Place = detail["loc"][:-1] if detail["loc"][-1:] == ("[key]",) else detail["loc"]
    for index, part in enumerate(place):
        if isinstance(part, int):
            place = place[:index]  # a list is judged as a whole
            break
    parent = _at(raw, place[:-1])
    if not isinstance(parent, dict) or not place:
        return None
    key = str(place[-1])
    field = field_at(Site, place)
    if detail["type"] == "extra_forbidden" and place == detail["loc"]:
        close = nearest(key, keys_at(Site, place[:-1]))
        value = parent.pop(key, None)
        if close is None or close == "devices":
            return None  # without devices there is nothing to compare: the schema will go on refusing
        parent.setdefault(close, value)
        # Profiles were merged before: the points of this device are not known.
        late = close in {"profile", "points"}
        return Touched(place[:-1], "points", stands_in=True) if late else None
    if detail["type"] == "missing" and key in parent:
        return None
    given = parent.pop(key, None)
    if field is not None and place == detail["loc"]:
        close = nearest(str(given), choices_of(field)) if isinstance(given, str) else None
        if close is not None:
            parent[key] = close
            return None
        number = _number(given) if detail["type"] in {"float_type", "int_type"} else None
        if number is not None:
            parent[key] = number
            return None
    required = field is not None and field.is_required()
    if required:
        stand_in = _stand_in(place, key, parent)
        if stand_in is not None:
            parent[key] = stand_in
        elif isinstance(above := _at(raw, place[:-2]) if len(place) > 1 else None, dict):
            above.pop(place[-2], None)
            return Touched(place[:-2], str(place[-2]), stands_in=False)
    return Touched(place[:-1], key, stands_in=required)


def _at(raw: Any, place: Place) -> Any:
    for part in place:
        raw = raw.get(part) if isinstance(raw, dict) else None
    return raw


def _number(given: object) -> float | int | None:
    try:
        return int(str(given)) if str(given).lstrip("-").isdigit() else float(str(given))
    except ValueError:
        return None


def _stand_in(place: Place, key: str, parent: dict[str, Any]) -> Any:
    if key == "device":
        return str(place[-2])
    if key == "driver":
        return "opcua" if "url" in parent else "modbus-tcp"
    if place == ("site",):
        return {}
    return _STAND_INS.get(key)


def _follows(fault: Fault, mark: Touched) -> bool:
    """Whether the fault may only come from what was touched. In doubt yes: it will show the next time."""
    said = f"{fault.what} {fault.fix}"
    if mark.table[:1] == ("devices",) or mark == Touched(("devices",), mark.key, stands_in=False):
        device = str((*mark.table, mark.key)[1])
        if len(mark.table) == 4:
            return f"{device}.{mark.table[3]}" in said and (mark.key in said or mark.key == "unit")
        return f"{device}." in said or f"'{device}'" in said or fault.place[:2] == ("devices", device)
    if field_at(Site, (*mark.table, mark.key)) is None and f"'{mark.key}'" in said:
        return True
    if fault.place[: len(mark.table)] != mark.table:
        return False
    inner = fault.place[len(mark.table) :]
    if mark.key in inner or mark.key in said:
        return True
    kin = [word for words in _KIN if any(word in mark.key for word in words) for word in words]
    return mark.stands_in and any(word in str(part) for part in inner for word in kin)
