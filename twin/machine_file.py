"""A compressor's JSON description: keys, units, ranges, defaults, and what contradicts what."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from difflib import get_close_matches
from typing import NamedTuple

from agent.errors import DataError
from agent.units import to_canonical
from twin.machine_plate import CYCLING, MACHINE_TYPES, WITH_LEAST_POINT, MachinePlate, MachineType

FT3_M3 = 0.028316846592
# Specific heats' ratio of air: power against pressure follows (p2/p1)^((k-1)/k) - 1.
_PRESSURE_EXPONENT = (1.4 - 1.0) / 1.4


class MachineFileError(DataError):
    """The description of a compressor cannot be what it claims."""


class Key(NamedTuple):
    """A key, the quantity it gives, what makes it canonical, and the range the quantity may have."""

    quantity: str
    factor: float
    least: float
    most: float


_PSI = to_canonical(1.0, "psi")
_CFM = to_canonical(1.0, "cfm")
_PRESSURE, _POWER, _FLOW = (0.0, 60.0), (0.0, 20_000.0), (0.0, 5_000.0)
KEYS: dict[str, Key] = {
    "full_load_kw": Key("full_load_kw", 1.0, *_POWER),
    "capacity_acfm": Key("capacity_m3_min", _CFM, *_FLOW),
    "capacity_m3_min": Key("capacity_m3_min", 1.0, *_FLOW),
    "max_full_flow_kw": Key("max_full_flow_kw", 1.0, *_POWER),
    "no_load_kw": Key("no_load_kw", 1.0, *_POWER),
    "load_pressure_psig": Key("load_pressure_bar_g", _PSI, *_PRESSURE),
    "load_pressure_bar_g": Key("load_pressure_bar_g", 1.0, *_PRESSURE),
    "unload_pressure_psig": Key("unload_pressure_bar_g", _PSI, *_PRESSURE),
    "unload_pressure_bar_g": Key("unload_pressure_bar_g", 1.0, *_PRESSURE),
    "modulating_range_psi": Key("modulating_range_bar", _PSI, *_PRESSURE),
    "modulating_range_bar": Key("modulating_range_bar", 1.0, *_PRESSURE),
    "unload_point_percent": Key("unload_point_share", 0.01, 0.0, 1.0),
    "unload_point_share": Key("unload_point_share", 1.0, 0.0, 1.0),
    "unloaded_sump_psig": Key("unloaded_sump_bar_g", _PSI, *_PRESSURE),
    "unloaded_sump_bar_g": Key("unloaded_sump_bar_g", 1.0, *_PRESSURE),
    "blowdown_s": Key("blowdown_s", 1.0, 0.0, 600.0),
    "storage_ft3": Key("storage_m3", FT3_M3, 0.0, 10_000.0),
    "storage_m3": Key("storage_m3", 1.0, 0.0, 10_000.0),
    "atmosphere_psia": Key("atmosphere_bar_a", _PSI, 0.4, 1.2),
    "atmosphere_bar_a": Key("atmosphere_bar_a", 1.0, 0.4, 1.2),
    "fully_modulated_power_share": Key("fully_modulated_power_share", 1.0, 0.0, 1.0),
    "mid_turndown_kw": Key("mid_turndown_kw", 1.0, *_POWER),
    "mid_turndown_acfm": Key("mid_turndown_m3_min", _CFM, *_FLOW),
    "mid_turndown_m3_min": Key("mid_turndown_m3_min", 1.0, *_FLOW),
    "turndown_kw": Key("turndown_kw", 1.0, *_POWER),
    "turndown_acfm": Key("turndown_m3_min", _CFM, *_FLOW),
    "turndown_m3_min": Key("turndown_m3_min", 1.0, *_FLOW),
    "max_full_flow_acfm": Key("max_full_flow_m3_min", _CFM, *_FLOW),
    "max_full_flow_m3_min": Key("max_full_flow_m3_min", 1.0, *_FLOW),
}
_POSITIVE = frozenset(
    ["full_load_kw", "capacity_m3_min", "storage_m3", "max_full_flow_kw", "turndown_m3_min", "turndown_kw"]
)


def parse_machine(text: str, *, where: str) -> MachinePlate:
    """The plate described by a JSON object. Raises MachineFileError, naming key and file."""
    try:
        body = json.loads(text, object_pairs_hook=_no_twins)
    except json.JSONDecodeError as error:
        raise MachineFileError(
            f"no JSON: {error.msg}",
            where=f"{where}, line {error.lineno}, column {error.colno}",
            fix='write one object, {"type": "load-unload", "full_load_kw": 85.4, ...}; '
            "`trimload machine-curve --help` names the keys",
        ) from None
    except _TwinKeyError as error:
        raise MachineFileError(
            f"{error.args[0]} is given twice", where=where, fix="take one of the two out"
        ) from None
    if not isinstance(body, dict):
        raise MachineFileError(
            "a machine is one JSON object", where=where, fix='write {"type": "load-unload", ...}'
        )
    return plate_of(body, where=where)


class _TwinKeyError(Exception):
    pass


def _no_twins(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise _TwinKeyError(next(name for name in names if names.count(name) > 1))
    return found


def plate_of(body: Mapping[str, object], *, where: str) -> MachinePlate:
    """The plate described by JSON values. A value of null is a key that is not there."""
    given = {name: value for name, value in body.items() if value is not None}
    kind = _type(given, where)
    lubricant = given.pop("lubricant", "injected")
    if lubricant not in ("injected", "free"):
        raise _error(
            f"lubricant = {lubricant!r}", where, "lubricant", 'write "injected" or "free" (oil-free screw)'
        )
    numbers, names = _numbers(given, where)
    return _Filler(kind, str(lubricant), numbers, names, where).plate()


def _type(given: dict[str, object], where: str) -> MachineType:
    known = ", ".join(MACHINE_TYPES)
    if "type" not in given:
        raise _error("no type", where, "type", f"add one of {known}")
    kind = given.pop("type")
    if kind not in MACHINE_TYPES:
        near = get_close_matches(str(kind), MACHINE_TYPES, 1)
        fix = f'write "{near[0]}"' if near else f"write one of {known}"
        raise _error(f"type = {kind!r} is not known", where, "type", fix)
    return kind


def _numbers(given: Mapping[str, object], where: str) -> tuple[dict[str, float], dict[str, str]]:
    """Quantity -> canonical number, and quantity -> the key that gave it."""
    out: dict[str, float] = {}
    by: dict[str, str] = {}
    for name, value in given.items():
        key = KEYS.get(name)
        if key is None:
            near = get_close_matches(name, [*KEYS, "type", "lubricant"], 1)
            fix = (
                f"write {near[0]}" if near else "take it out; `trimload machine-curve --help` names the keys"
            )
            raise _error(f"unknown key {name}", where, name, fix)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise _error(f"{name} = {value!r} is no number", where, name, "write a number without a unit")
        number = value * key.factor
        if not key.least <= number <= key.most or (number == 0.0 and key.quantity in _POSITIVE):
            least, most = key.least / key.factor, key.most / key.factor
            span = f"{'above ' if key.quantity in _POSITIVE else ''}{least:.4g} to {most:.4g}"
            raise _error(f"{name} = {value:g} is out of range", where, name, f"it must lie in {span}")
        if key.quantity in out:
            raise _error(
                f"{by[key.quantity]} and {name} give the same quantity", where, name, "take one of them out"
            )
        out[key.quantity], by[key.quantity] = number, name
    return out, by


def _error(what: str, where: str, key: str, fix: str) -> MachineFileError:
    return MachineFileError(what, where=f"{where}, key {key}", fix=fix)


class _Filler:
    """Fills in what the catalogue of the tool suite would, and looks for contradictions."""

    def __init__(
        self,
        kind: MachineType,
        lubricant: str,
        numbers: dict[str, float],
        names: dict[str, str],
        where: str,
    ) -> None:
        self.kind, self.lubricant, self.numbers = kind, lubricant, numbers
        self.names, self.where = names, where

    def plate(self) -> MachinePlate:
        kind, get = self.kind, self.numbers.get
        for key, name in (("full_load_kw", "full_load_kw"), ("capacity_m3_min", "capacity_acfm")):
            if key not in self.numbers:
                raise self._wrong(f"no {name}", name, f"add {name} from the data sheet")
        if kind in CYCLING and "storage_m3" not in self.numbers:
            raise self._wrong(
                "no storage_ft3: it decides how often the machine unloads",
                "storage_ft3",
                "add storage_ft3 (or storage_m3): receivers and pipes together, 1 to 10 gal per acfm is usual",
            )
        full_kw, full_flow = self.numbers["full_load_kw"], self.numbers["capacity_m3_min"]
        atmosphere = get("atmosphere_bar_a", 14.7 * _PSI)
        load = get("load_pressure_bar_g", 100.0 * _PSI)
        throttled = kind in ("modulation-unload", "variable-displacement-unload")
        unload = get("unload_pressure_bar_g", load if throttled else load + 10.0 * _PSI)
        share = get("fully_modulated_power_share", _MODULATED_SHARE.get(kind, 0.65))
        if kind == "centrifugal-modulation-unload":
            most_flow = get("max_full_flow_m3_min", full_flow)
        else:
            most_flow = full_flow
        least_flow, least_kw = self._least_point(full_kw, most_flow, share)
        most_kw = get("max_full_flow_kw", full_kw * _pressure_term(unload, load, atmosphere))
        mid_flow, mid_kw = self._middle(full_kw, full_flow, least_flow, least_kw)
        point = get("unload_point_share", _UNLOAD_SHARE.get(kind, 1.0)) if throttled else 1.0
        range_bar = get("modulating_range_bar", _RANGE_PSI.get(kind, 10.0) * _PSI)
        plate = MachinePlate(
            type=kind,
            lubricant="free" if self.lubricant == "free" else "injected",
            full_load_kw=full_kw,
            capacity_m3_min=full_flow,
            max_full_flow_kw=most_kw,
            no_load_kw=get("no_load_kw", self._no_load_kw(full_kw, share, least_kw)),
            load_pressure_bar_g=load,
            unload_pressure_bar_g=unload,
            modulating_range_bar=range_bar,
            unload_point_share=point,
            unloaded_sump_bar_g=get("unloaded_sump_bar_g", 15.0 * _PSI),
            blowdown_s=get("blowdown_s", 40.0),
            storage_m3=get("storage_m3", 0.0),
            atmosphere_bar_a=atmosphere,
            fully_modulated_power_share=share,
            turndown_share=least_flow / full_flow,
            turndown_kw=least_kw,
            mid_turndown_share=mid_flow / full_flow,
            mid_turndown_kw=mid_kw,
            max_flow_share=most_flow / full_flow,
        )
        self._contradictions(plate, most_flow)
        return plate

    def _least_point(self, full_kw: float, most_flow: float, share: float) -> tuple[float, float]:
        """(flow, power) of the turndown or surge point; full load where the type has none."""
        get, kind = self.numbers.get, self.kind
        if kind not in WITH_LEAST_POINT:
            return most_flow, full_kw
        flow = get("turndown_m3_min")
        percent = get("unload_point_share")
        if flow is None and percent is not None:
            flow = percent * self.numbers["capacity_m3_min"]
        if kind == "vsd":
            if (get("turndown_m3_min") is None) != (get("turndown_kw") is None):
                lacking = "turndown_kw" if get("turndown_kw") is None else "turndown_acfm"
                raise self._wrong(f"half a turndown point: no {lacking}", lacking, f"add {lacking}")
            flow = _VSD_TURNDOWN * most_flow if flow is None else flow
            return flow, get("turndown_kw", full_kw * _vsd_share(flow / most_flow))
        if flow is None:
            raise self._wrong(
                "no surge point: the least flow without blow-off or unloading",
                "unload_point_percent",
                "add unload_point_percent, or turndown_acfm with turndown_kw",
            )
        if (power := get("turndown_kw")) is not None:
            return flow, power
        if (
            kind == "centrifugal-blow-off"
            and "no_load_kw" in self.numbers
            and "fully_modulated_power_share" not in self.numbers
        ):
            # It never unloads: delivering nothing, it blows off all of its surge flow.
            power = self.numbers["no_load_kw"]
            if power / full_kw < 0.6 * flow / most_flow:
                raise self._wrong(
                    f"no_load_kw = {power:g} cannot be the power while {flow / most_flow:.0%} of full flow is blown off",
                    "no_load_kw",
                    "give the power at the surge point: turndown_kw, or fully_modulated_power_share",
                )
            return flow, power
        return flow, full_kw * (share + (1.0 - share) * flow / most_flow)

    def _middle(self, full_kw: float, full_flow: float, flow: float, power: float) -> tuple[float, float]:
        get = self.numbers.get
        mid_flow, mid_kw = get("mid_turndown_m3_min"), get("mid_turndown_kw")
        if (mid_flow is None) != (mid_kw is None):
            lacking = "mid_turndown_kw" if mid_kw is None else "mid_turndown_acfm"
            raise self._wrong(f"half a middle point: no {lacking}", lacking, f"add {lacking}")
        if mid_flow is None or mid_kw is None:
            # On the straight line from turndown to full load.
            return 0.5 * (flow + full_flow), 0.5 * (power + full_kw)
        return mid_flow, mid_kw

    def _no_load_kw(self, full_kw: float, share: float, least_kw: float) -> float:
        if self.kind == "modulation":
            return share * full_kw
        if self.kind == "centrifugal-blow-off":
            return least_kw
        return _NO_LOAD_SHARE.get(self.kind, 0.17) * full_kw

    def _contradictions(self, plate: MachinePlate, most_flow: float) -> None:
        kind, full_kw = plate.type, plate.full_load_kw
        unloads = kind in CYCLING
        if plate.no_load_kw >= full_kw and kind != "start-stop":
            raise self._wrong(
                f"no_load_kw = {plate.no_load_kw:g} is not below full_load_kw = {full_kw:g}",
                "no_load_kw",
                "correct one of them; 17 to 25 % of full load is usual, 57 to 70 % for a closed throttle",
            )
        if plate.unload_pressure_bar_g < plate.load_pressure_bar_g or (
            kind == "load-unload" and plate.unload_pressure_bar_g == plate.load_pressure_bar_g
        ):
            raise self._wrong(
                f"it unloads at {plate.unload_pressure_bar_g:.3g} bar, not above its load pressure of "
                f"{plate.load_pressure_bar_g:.3g} bar",
                "unload_pressure_psig",
                "exchange the two, or correct one; 10 psi (0.7 bar) apart is usual",
            )
        if plate.max_full_flow_kw < full_kw * 0.999:
            raise self._wrong(
                f"max_full_flow_kw = {plate.max_full_flow_kw:g} is below full_load_kw = {full_kw:g}: a higher "
                "pressure takes more power",
                "max_full_flow_kw",
                "exchange the two, or leave max_full_flow_kw out",
            )
        if unloads and kind != "load-unload":
            self._throttle(plate)
        if kind in WITH_LEAST_POINT:
            self._points(plate, most_flow)

    def _throttle(self, plate: MachinePlate) -> None:
        if plate.unload_point_share <= 0.0:
            raise self._wrong(
                "unload_point_percent = 0: a machine that throttles to nothing does not unload",
                "unload_point_percent",
                'set type = "modulation", or 40 to 50',
            )
        throttles = plate.unload_point_share < 1.0
        if throttles and plate.modulating_range_bar <= 0.0:
            raise self._wrong(
                "modulating_range_psi = 0, but it throttles down to its unload point",
                "modulating_range_psi",
                "write the pressure span from open to closed inlet; 10 to 20 psi is usual",
            )
        if not throttles and plate.unload_pressure_bar_g == plate.load_pressure_bar_g:
            raise self._wrong(
                "it unloads at 100 % of its flow and at its load pressure: it never stays loaded",
                "unload_point_percent",
                "set unload_point_percent to 40 or 50, or unload_pressure_psig higher",
            )

    def _points(self, plate: MachinePlate, most_flow: float) -> None:
        flow, power = plate.turndown_share * plate.capacity_m3_min, plate.turndown_kw
        if not flow < most_flow <= plate.capacity_m3_min:
            raise self._wrong(
                f"flows do not rise: least {flow:.4g}, most {most_flow:.4g}, capacity "
                f"{plate.capacity_m3_min:.4g} m3/min",
                "turndown_acfm",
                "correct one of them",
            )
        if not plate.no_load_kw <= power <= plate.full_load_kw:
            raise self._wrong(
                f"turndown_kw = {power:.4g} does not lie between no load ({plate.no_load_kw:.4g} kW) and full "
                f"load ({plate.full_load_kw:.4g} kW)",
                "turndown_kw",
                "correct one of them",
            )
        if plate.type == "vsd" and not (
            plate.turndown_share < plate.mid_turndown_share < 1.0
            and power < plate.mid_turndown_kw < plate.full_load_kw
        ):
            raise self._wrong(
                "the middle point does not lie between turndown and full load, in flow and in power",
                "mid_turndown_acfm",
                "take a row from the middle of the data sheet",
            )

    def _wrong(self, what: str, key: str, fix: str) -> MachineFileError:
        return _error(what, self.where, self.names.get(KEYS[key].quantity, key), fix)


# Catalogue of the tool suite and its examples: power with a fully closed throttle, unload points,
# modulating ranges, no-load power (median of single-stage screws; VSD).
_MODULATED_SHARE = {
    "variable-displacement-unload": 0.57,
    "centrifugal-blow-off": 0.1,
    "centrifugal-modulation-unload": 0.1,
}
_UNLOAD_SHARE = {"modulation-unload": 0.5, "variable-displacement-unload": 0.4}
_RANGE_PSI = {"modulation-unload": 20.0, "variable-displacement-unload": 17.0}
_NO_LOAD_SHARE = {"vsd": 0.05, "start-stop": 0.0}
_VSD_TURNDOWN = 0.2


def _vsd_share(flow_share: float) -> float:
    """Power share of a VSD without a data sheet: the tool suite's straight line to 15 % at no flow."""
    return 0.15 * (1.0 - flow_share) + flow_share


def _pressure_term(to_bar_g: float, from_bar_g: float, atmosphere_bar: float) -> float:
    """Power at full flow against another pressure, as a ratio."""

    def head(bar_g: float) -> float:
        return float(((bar_g + atmosphere_bar) / atmosphere_bar) ** _PRESSURE_EXPONENT) - 1.0

    return head(to_bar_g) / head(from_bar_g) if from_bar_g > 0.0 else 1.0
