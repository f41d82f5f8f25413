"""Machines whose part-load values the US national laboratories' tool suite publishes in its own tests."""

from __future__ import annotations

from typing import Any

from twin.machine_file import plate_of
from twin.machine_plate import MachinePlate

GALLON_FT3 = 1.0 / 7.481

# Catalogue numbers as the tool's tests name them (ORNL AMO-Tools-Suite, tests/wasm/compressorCalc and
# tests/cpp: load/unload, modulation, VFD, centrifugal, start/stop).
CATALOGUE: dict[str, dict[str, Any]] = {
    "629": {
        "type": "load-unload",
        "full_load_kw": 85.4,
        "capacity_acfm": 535,
        "max_full_flow_kw": 90.1,
        "no_load_kw": 17.6,
        "load_pressure_psig": 100,
        "unload_pressure_psig": 110,
        "modulating_range_psi": 0,
        "unload_point_percent": 100,
        "unloaded_sump_psig": 15,
        "blowdown_s": 40,
        "storage_ft3": 13.400145795431047,
        "atmosphere_psia": 14.7,
    },
    "737": {
        "type": "modulation-unload",
        "full_load_kw": 219.2,
        "capacity_acfm": 1167,
        "max_full_flow_kw": 219.2,
        "no_load_kw": 45,
        "load_pressure_psig": 140,
        "unload_pressure_psig": 140,
        "modulating_range_psi": 20,
        "unload_point_percent": 50,
        "storage_ft3": 13,
        "fully_modulated_power_share": 0.65,
    },
    "728": {
        "type": "variable-displacement-unload",
        "full_load_kw": 219.2,
        "capacity_acfm": 1390,
        "max_full_flow_kw": 219.2,
        "no_load_kw": 45,
        "load_pressure_psig": 100,
        "unload_pressure_psig": 100,
        "modulating_range_psi": 17,
        "unload_point_percent": 40,
        "storage_ft3": 13.4,
        "fully_modulated_power_share": 0.57,
    },
    "701": {"type": "modulation", "full_load_kw": 166.5, "capacity_acfm": 1048, "no_load_kw": 108.2},
    "861": {
        "type": "load-unload",
        "lubricant": "free",
        "full_load_kw": 85.4,
        "capacity_acfm": 535,
        "max_full_flow_kw": 90.1,
        "no_load_kw": 0,
        "load_pressure_psig": 100,
        "unload_pressure_psig": 110,
        "storage_ft3": 13.400145795431047,
        "fully_modulated_power_share": 0,
    },
    "1156": {
        "type": "load-unload",
        "lubricant": "free",
        "full_load_kw": 64.5,
        "capacity_acfm": 375,
        "max_full_flow_kw": 67.6,
        "no_load_kw": 10.3,
        "load_pressure_psig": 125,
        "unload_pressure_psig": 135,
        "storage_ft3": 13.400145795431047,
        "fully_modulated_power_share": 0,
    },
    "629 start/stop": {
        "type": "start-stop",
        "full_load_kw": 85.4,
        "capacity_acfm": 535,
        "max_full_flow_kw": 90.1,
    },
    "861 start/stop": {
        "type": "start-stop",
        "full_load_kw": 51.3,
        "capacity_acfm": 231,
        "max_full_flow_kw": 53.7,
    },
    "vfd": {
        "type": "vsd",
        "full_load_kw": 174.4,
        "capacity_acfm": 1009,
        "no_load_kw": 11.2,
        "mid_turndown_kw": 115,
        "mid_turndown_acfm": 605,
        "turndown_kw": 55.8,
        "turndown_acfm": 202,
    },
    "blow-off": {
        "type": "centrifugal-blow-off",
        "full_load_kw": 452.3,
        "capacity_acfm": 3138,
        "turndown_kw": 370.9,
        "turndown_acfm": 2510,
    },
    "centrifugal load/unload": {
        "type": "centrifugal-load-unload",
        "full_load_kw": 452.3,
        "capacity_acfm": 3138,
        "no_load_kw": 71.3,
    },
    "centrifugal modulation": {
        "type": "centrifugal-modulation-unload",
        "full_load_kw": 452.3,
        "capacity_acfm": 3138,
        "no_load_kw": 71.3,
        "turndown_kw": 411.9,
        "turndown_acfm": 2731,
        "max_full_flow_acfm": 3005,
    },
    "variable displacement at 100 %": {
        "type": "variable-displacement-unload",
        "full_load_kw": 166.5,
        "capacity_acfm": 1048,
        "max_full_flow_kw": 175.5,
        "no_load_kw": 107.5,
        "load_pressure_psig": 100,
        "unload_pressure_psig": 110,
        "modulating_range_psi": 5,
        "unload_point_percent": 100,
        "blowdown_s": 0.003,
        "storage_ft3": 1048 * GALLON_FT3,
        "fully_modulated_power_share": 0.7,
    },
}


def catalogue(name: str, **changes: Any) -> MachinePlate:
    """The plate of a catalogue machine, with changed keys."""
    return plate_of({**CATALOGUE[name], **changes}, where=name)
