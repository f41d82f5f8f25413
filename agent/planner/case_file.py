"""Reader of `station-plan/1` cases and writer of plans: the planner's rim (docs/planner.md)."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from agent.errors import TrimloadError
from agent.planner.case_document import SCHEMA
from agent.planner.problem import (
    CurvePoint,
    DemandCharge,
    ForcedFlow,
    Inertia,
    MachineState,
    Penalties,
    PlanMachine,
    Receiver,
    StationProblem,
    Window,
    shape_faults,
)

# Characters: a case of a hundred machines and a thousand steps has a few million.
_MOST_TEXT = 64 << 20
# Larger numbers are slips, and their products lose the cents.
_LARGEST = 1e9
# Keys that say something about a case and nothing about the station.
_REMARKS = frozenset(["family", "seed", "comment", "note", "source", "description"])
_CASE_KEYS = frozenset(
    [
        "schema",
        "name",
        "start_minute_of_day",
        "step_minutes",
        "demand_m3min",
        "reserve_m3min",
        "energy_price_eur_kwh",
        "co2_kg_kwh",
        "co2_price_eur_kg",
        "other_load_kw",
        "demand_charge",
        "site_limit_kw",
        "receiver",
        "penalty",
        "machines",
        "inertia",
    ]
)
_KEYS = {
    "demand_charge": frozenset(["price_eur_kw", "peak_so_far_kw", "interval_minutes"]),
    "receiver": frozenset(
        [
            "volume_m3",
            "p_atm_bar",
            "p_ref_bar",
            "p_min_bar",
            "p_max_bar",
            "p_init_bar",
            "p_end_min_bar",
            "leak_m3min_per_bar",
            "power_kw_per_bar",
        ]
    ),
    "penalty": frozenset(["unserved_eur_m3", "reserve_eur_m3", "site_limit_eur_kwh"]),
    "inertia": frozenset(["on", "flip_cost_eur"]),
    "machine": frozenset(
        [
            "id",
            "kind",
            "curve",
            "start_cost_eur",
            "start_energy_kwh",
            "run_cost_eur_h",
            "min_up_min",
            "min_down_min",
            "max_starts_per_hour",
            "init",
            "unavailable",
            "forced_on",
            "forced_flow",
            "lead_time_min",
            "preference_eur_h",
        ]
    ),
    "init": frozenset(["on", "minutes_in_state", "starts_minutes_ago"]),
}


class CaseError(TrimloadError):
    """A case file that cannot be read, or that contradicts itself."""


def read_case(path: Path) -> StationProblem:
    """The problem in a case file. Raises CaseError, naming the first fault and its remedy."""
    try:
        if path.is_file() and path.stat().st_size > _MOST_TEXT:
            raise CaseError(
                f"the case is larger than {_MOST_TEXT >> 20} MiB",
                where=str(path),
                fix="one station over one horizon is some kilobytes: name such a file",
            )
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise CaseError(
            f"the case cannot be read: {error}",
            where=str(path),
            fix="name a readable JSON file in UTF-8",
        ) from error
    return parse_case(text, where=str(path))


def parse_case(text: str, *, where: str) -> StationProblem:
    """The problem in a JSON text. Raises CaseError, naming the first fault and its remedy."""
    try:
        data = json.loads(text, object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:
        raise CaseError(
            f"the case is not JSON: {error}",
            where=where,
            fix=f"write one JSON object of schema {SCHEMA}",
        ) from error
    node = _Node(data, where, "")
    schema = node.text("schema", default=SCHEMA)
    if schema != SCHEMA:
        node.fail("schema", f"schema '{schema}' is not known", f"use schema {SCHEMA}")
    return _problem(node)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """One JSON object, which names every key once."""
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(key for index, (key, _) in enumerate(pairs) if key in dict(pairs[:index]))
        raise ValueError(f"the key '{twice}' stands twice in one object")
    return found


class _Node:
    """One JSON object with the way to it, so that every fault can say where it stands."""

    def __init__(self, data: Any, where: str, path: str) -> None:
        self._where, self._path = where, path
        if not isinstance(data, Mapping):
            self.fail("", "an object is wanted here", "write {...}")
        self._data: Mapping[str, Any] = data

    def fail(self, key: str, what: str, fix: str) -> NoReturn:
        path = f"{self._path}.{key}".strip(".")
        raise CaseError(what, where=f"{self._where} {path}".strip(), fix=fix)

    def _get(self, key: str) -> Any:
        if key not in self._data:
            self.fail(key, f"'{key}' is missing", f"add '{key}' as described in docs/planner.md")
        return self._data[key]

    def know(self, keys: frozenset[str]) -> None:
        """Refuse a key that looks like a misspelt one of `keys`; others are remarks and passed over."""
        strange = [key for key in self._data if key not in keys and key not in _REMARKS]
        if not strange:
            return
        from difflib import get_close_matches

        for key in strange:
            near = get_close_matches(key, sorted(keys - self._data.keys()), n=1, cutoff=0.8)
            if near:
                self.fail(key, f"'{key}' is not a key here", f"write '{near[0]}', or take it out")

    def names(self) -> list[str]:
        """The keys in their order."""
        return list(self._data)

    def has(self, key: str) -> bool:
        return self._data.get(key) is not None

    def text(self, key: str, default: str | None = None) -> str:
        value = self._data.get(key, default) if default is not None else self._get(key)
        if not isinstance(value, str):
            self.fail(key, f"'{key}' is not a text", "write it in quotes")
        return value

    def number(self, key: str, default: float | None = None) -> float:
        value = self._data.get(key, default) if default is not None else self._get(key)
        return self._number(key, value)

    def _number(self, key: str, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            self.fail(key, f"'{key}' is not a number: {value!r}", "give a number")
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if not math.isfinite(number):
            self.fail(key, f"'{key}' is not a finite number", "replace NaN and infinity")
        if abs(number) > _LARGEST:
            self.fail(key, f"'{key}' is beyond all measure: {number:g}", f"stay within {_LARGEST:g}")
        return number

    def flag(self, key: str) -> bool:
        value = self._get(key)
        if not isinstance(value, bool) and value not in (0, 1):
            self.fail(key, f"'{key}' is neither true nor false: {value!r}", "give true or false")
        return bool(value)

    def items(self, key: str, default: Sequence[Any] | None = None) -> list[Any]:
        value = self._data.get(key, default) if default is not None else self._get(key)
        if not isinstance(value, list | tuple):
            self.fail(key, f"'{key}' is not a list", "write [...]")
        return list(value)

    def series(self, key: str, default: Sequence[float] | None = None) -> tuple[float, ...]:
        return tuple(self._number(key, value) for value in self.items(key, default))

    def rows(self, key: str, width: int, default: Sequence[Any] | None = None) -> list[list[float]]:
        rows: list[list[float]] = []
        for row in self.items(key, default):
            if not isinstance(row, list | tuple) or len(row) != width:
                self.fail(key, f"an entry of '{key}' has not {width} values: {row!r}", "mend it")
            rows.append([self._number(key, value) for value in row])
        return rows

    def windows(self, key: str) -> tuple[Window, ...]:
        return tuple(Window(*self._steps(key, row)) for row in self.rows(key, 2, default=()))

    def flows(self, key: str) -> tuple[ForcedFlow, ...]:
        return tuple(ForcedFlow(*self._steps(key, row[:2]), row[2]) for row in self.rows(key, 3, default=()))

    def _steps(self, key: str, row: list[float]) -> tuple[int, int]:
        if any(value != int(value) for value in row):
            self.fail(key, f"a window of '{key}' is not in whole steps: {row}", "give step numbers")
        return int(row[0]), int(row[1])

    def child(self, key: str) -> _Node:
        return _Node(self._get(key), self._where, f"{self._path}.{key}".strip("."))

    def children(self, key: str) -> list[_Node]:
        return [
            _Node(item, self._where, f"{self._path}.{key}[{index}]".strip("."))
            for index, item in enumerate(self.items(key))
        ]


def _problem(node: _Node) -> StationProblem:
    node.know(_CASE_KEYS)
    step_min = node.series("step_minutes")
    zeros = [0.0] * len(step_min)
    receiver = node.child("receiver")
    receiver.know(_KEYS["receiver"])
    penalty = node.child("penalty")
    penalty.know(_KEYS["penalty"])
    values: dict[str, Any] = {
        "name": node.text("name", default="unnamed"),
        "step_min": step_min,
        "start_minute_of_day": node.number("start_minute_of_day", default=0.0),
        "demand_m3_min": node.series("demand_m3min"),
        "reserve_m3_min": node.series("reserve_m3min", default=zeros),
        "energy_price_eur_kwh": node.series("energy_price_eur_kwh"),
        "co2_kg_kwh": node.series("co2_kg_kwh", default=zeros),
        "co2_price_eur_kg": node.number("co2_price_eur_kg", default=0.0),
        "other_load_kw": node.series("other_load_kw", default=zeros),
        "demand_charge": _charge(node.child("demand_charge")) if node.has("demand_charge") else None,
        "site_limit_kw": node.number("site_limit_kw") if node.has("site_limit_kw") else None,
        "receiver": Receiver(
            volume_m3=receiver.number("volume_m3"),
            atmosphere_bar=receiver.number("p_atm_bar", default=1.013),
            pressure_ref_bar=receiver.number("p_ref_bar"),
            pressure_min_bar=receiver.number("p_min_bar"),
            pressure_max_bar=receiver.number("p_max_bar"),
            pressure_init_bar=receiver.number("p_init_bar"),
            pressure_end_min_bar=receiver.number("p_end_min_bar"),
            leak_m3_min_bar=receiver.number("leak_m3min_per_bar", default=0.0),
            power_kw_bar=receiver.number("power_kw_per_bar", default=0.0),
        ),
        "penalties": Penalties(
            unserved_eur_m3=penalty.number("unserved_eur_m3"),
            reserve_eur_m3=penalty.number("reserve_eur_m3"),
            site_limit_eur_kwh=penalty.number("site_limit_eur_kwh"),
        ),
        "machines": tuple(_machine(child) for child in node.children("machines")),
        "inertia": _inertia(node.child("inertia")) if node.has("inertia") else None,
    }
    for key in ("co2_kg_kwh", "other_load_kw"):
        if not values[key] and step_min:
            node.fail(key, f"0 values for {len(step_min)} steps", "leave it out or fill it")
    for fault in shape_faults(_unchecked(values)):
        node.fail(_JSON_NAMES.get(fault.where, fault.where), fault.what, fault.fix)
    return StationProblem(**values)


_JSON_NAMES = {
    "step_min": "step_minutes",
    "demand_m3_min": "demand_m3min",
    "reserve_m3_min": "reserve_m3min",
    "penalties": "penalty",
}


def _unchecked(values: Mapping[str, Any]) -> StationProblem:
    """A problem that has not been checked yet, so that the faults can be listed."""
    problem = object.__new__(StationProblem)
    for name, value in values.items():
        object.__setattr__(problem, name, value)
    return problem


def _inertia(node: _Node) -> Inertia:
    node.know(_KEYS["inertia"])
    plans = node.child("on")
    return Inertia(
        on={key: tuple(value != 0.0 for value in plans.series(key)) for key in plans.names()},
        flip_cost_eur=node.number("flip_cost_eur"),
    )


def _charge(node: _Node) -> DemandCharge:
    node.know(_KEYS["demand_charge"])
    return DemandCharge(
        price_eur_kw=node.number("price_eur_kw"),
        peak_so_far_kw=node.number("peak_so_far_kw"),
        interval_min=node.number("interval_minutes"),
    )


def _machine(node: _Node) -> PlanMachine:
    node.know(_KEYS["machine"])
    init = node.child("init")
    init.know(_KEYS["init"])
    limit = node.number("max_starts_per_hour", default=60.0)
    return PlanMachine(
        machine_id=node.text("id"),
        kind=node.text("kind", default="fixed"),
        curve=tuple(CurvePoint(*row) for row in node.rows("curve", 2)),
        start_cost_eur=node.number("start_cost_eur", default=0.0),
        start_energy_kwh=node.number("start_energy_kwh", default=0.0),
        run_cost_eur_h=node.number("run_cost_eur_h", default=0.0),
        min_up_min=node.number("min_up_min", default=0.0),
        min_down_min=node.number("min_down_min", default=0.0),
        max_starts_per_hour=math.floor(limit),
        state=MachineState(
            running=init.flag("on"),
            in_state_min=init.number("minutes_in_state"),
            starts_ago_min=init.series("starts_minutes_ago", default=()),
        ),
        unavailable=node.windows("unavailable"),
        forced_on=node.windows("forced_on"),
        forced_flow=node.flows("forced_flow"),
        lead_time_min=node.number("lead_time_min", default=0.0),
        preference_eur_h=node.number("preference_eur_h", default=0.0),
    )


def plan_document(
    on: Mapping[str, Sequence[bool]],
    flow_m3_min: Mapping[str, Sequence[float]],
    vent_m3_min: Sequence[float] | None,
) -> dict[str, Any]:
    """The plan as the schema's JSON object: on and flow per machine and air blown off, by step.

    Missing air is not written: a reader takes the least that keeps the pressure in its band. The same
    goes for air blown off where `vent_m3_min` is None.
    """
    document: dict[str, Any] = {
        "on": {key: [int(value) for value in series] for key, series in on.items()},
        "flow": {key: [round(float(x), 9) for x in series] for key, series in flow_m3_min.items()},
    }
    if vent_m3_min is not None:
        document["vent"] = [round(float(x), 9) for x in vent_m3_min]
    return document


def write_plan(path: Path, document: Mapping[str, Any]) -> None:
    """Write the plan; raises CaseError when the place is not writable."""
    try:
        path.write_text(json.dumps(document, separators=(",", ":")) + "\n", encoding="utf-8")
    except OSError as error:
        raise CaseError(
            f"the plan cannot be written: {error}",
            where=str(path),
            fix="name a writable file after --out",
        ) from error
