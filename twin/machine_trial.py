"""One machine alone on its receiver at a steady share of its flow: the dynamic model's mean power over whole cycles.

What `trimload machine-curve` computes in closed form, lived second by second by the same machine that
stands in a simulated station: pressure switch, blow-down, reload, throttle, speed control.

The equations know one full flow; the machine's falls by 1.1 % a bar. A demand fixed in m3/min would therefore
find the last 0.8 % of the curve missing: the machine comes to rest inside its band, up to 3 % of full-load power
off a mean over the band. The demand here is a share of what the machine delivers at the pressure of the moment,
which is what a share of full flow means in the equations.
"""

from __future__ import annotations

import math
from typing import Any

from agent.config.site import Machine, Station
from twin.machine_plate import CYCLING, MachinePlate
from twin.station import AirStation

_WARM_UP_S = 1800.0
_LONGEST_S = 6.0 * 3600.0
_ENOUGH_CYCLES = 12
_PRESSURE_SPAN_BAR = 0.7


def simulated_power_kw(plate: MachinePlate, capacity_fraction: float, *, step_s: float = 1.0) -> float:
    """Mean power [kW] of the machine in a station of `step_s` at a share of its full flow.

    Measured from load to load over up to 12 cycles; over the last hours where it does not cycle.
    """
    station = trial_station(plate)
    machine = station.machines["m"]
    load_bar_g = machine.local_load_bar_g
    assert load_bar_g is not None, "trial_station gives every machine a switch"
    middle_bar_g = load_bar_g + 0.5 * _PRESSURE_SPAN_BAR
    # Speed control holds the middle of its switch: its nameplate holds there.
    rated_bar_g = middle_bar_g if plate.type == "vsd" else load_bar_g
    begin_bar_g = rated_bar_g
    if plate.type == "start-stop":
        # At full flow nothing moves the pressure. The equation has the mean power of the switch's band there.
        begin_bar_g = 0.5 * (plate.load_pressure_bar_g + plate.unload_pressure_bar_g)
    plant = AirStation(station, initial_bar_g=begin_bar_g, rated_bar_g=rated_bar_g, pressure_noise_bar=0.0)
    compressor = plant.compressors["m"]
    compressor.settle_loaded(capacity_fraction)
    # The curve is that of a machine that is left running.
    plant.controls["m"].run_on_s = math.inf
    marks: list[tuple[float, float]] = []
    loads = compressor.loads
    began = (0.0, 0.0)
    while plant.now_s < _LONGEST_S and len(marks) <= _ENOUGH_CYCLES:
        plant.step(step_s, capacity_fraction * compressor.full_flow_at(plant.discharge_bar_g))
        if plant.now_s <= _WARM_UP_S:
            began = (plant.now_s, compressor.energy_kwh)
            loads = compressor.loads
        elif compressor.loads != loads:
            loads = compressor.loads
            marks.append((plant.now_s, compressor.energy_kwh))
    if len(marks) < 2:
        marks = [began, (plant.now_s, compressor.energy_kwh)]
    (first_s, first_kwh), (last_s, last_kwh) = marks[0], marks[-1]
    return (last_kwh - first_kwh) * 3600.0 / (last_s - first_s)


def trial_station(plate: MachinePlate) -> Station:
    """A station of this machine alone, switched as the plate says, on the plate's storage.

    A plate without storage gets enough for six starts an hour.
    """
    load, range_bar = plate.load_pressure_bar_g, plate.modulating_range_bar
    unload = plate.unload_pressure_bar_g
    least: float | None = None
    if plate.type in CYCLING and plate.type != "load-unload":
        least = plate.unload_point_share
        unload += (1.0 - least) * range_bar
    elif plate.type in ("modulation", "centrifugal-blow-off"):
        unload = load + range_bar
    elif plate.type == "centrifugal-modulation-unload":
        unload += (1.0 - plate.turndown_share) * range_bar
    elif plate.type == "vsd":
        unload = load + _PRESSURE_SPAN_BAR
    span = max(unload - load, 0.1)
    # A cycle is shortest at half load: 4 V dp / (P_atm Q).
    storage_m3 = plate.storage_m3 or 2.5 * plate.atmosphere_bar_a * plate.capacity_m3_min / span
    return Station(
        pressure="net.pressure",
        pressure_min_bar_g=0.5 * load,
        pressure_max_bar_g=unload + 2.0,
        receiver_m3=storage_m3,
        atmosphere_bar=plate.atmosphere_bar_a,
        machines={"m": trial_machine(plate, load, unload, least)},
    )


def trial_machine(
    plate: MachinePlate, load_bar_g: float, unload_bar_g: float, least: float | None
) -> Machine:
    """The plate as a machine of site.toml. `least` is the unload point of a throttled screw."""
    free = plate.lubricant == "free"
    body: dict[str, Any] = {
        "device": "m",
        "control": plate.type,
        "full_flow_m3_min": plate.capacity_m3_min,
        "full_power_kw": plate.full_load_kw,
        "unloaded_power_kw": plate.no_load_kw,
        "blowdown_s": 0.0 if free else plate.blowdown_s,
        "reload_s": 0.0 if free else 3.0,
        "start_s": 2.0,
        "min_stop_s": 0.0,
        "local_load_bar_g": load_bar_g,
        "local_unload_bar_g": unload_bar_g,
    }
    if least is not None:
        share = plate.modulated_share
        body["turndown_flow_m3_min"] = least * plate.capacity_m3_min
        body["turndown_power_kw"] = plate.full_load_kw * (share + (1.0 - share) * least**plate.exponent)
        body["modulating_range_bar"] = plate.modulating_range_bar
    elif plate.type == "modulation":
        body["modulating_range_bar"] = plate.modulating_range_bar
    elif plate.type == "start-stop":
        body["unloaded_power_kw"] = 0.0
    elif plate.type == "vsd":
        body["turndown_flow_m3_min"] = plate.turndown_share * plate.capacity_m3_min
        body["turndown_power_kw"] = plate.turndown_kw
        body["mid_flow_m3_min"] = plate.mid_turndown_share * plate.capacity_m3_min
        body["mid_power_kw"] = plate.mid_turndown_kw
    elif plate.type in ("centrifugal-blow-off", "centrifugal-modulation-unload"):
        body["turndown_flow_m3_min"] = plate.turndown_share * plate.capacity_m3_min
        body["modulating_range_bar"] = plate.modulating_range_bar
        if plate.type == "centrifugal-blow-off":
            body["unloaded_power_kw"] = plate.turndown_kw
        else:
            body["turndown_power_kw"] = plate.turndown_kw
    return Machine(**body)
