"""The site.toml of a drawn station: complete, so that `trimload check`, `twin` and `simulate` take it as it is."""

from __future__ import annotations

from twin.local_control import LOCAL_BAND_BAR, LOCAL_FLOOR_BAR, LOCAL_STAGGER_BAR
from twin.make_station import DrawnMachine, DrawnStation

FIRST_PORT = 15100

_HEAD = """\
# A compressor room drawn by `trimload make-station --seed {seed}`: {count} screw compressors, {speeds} of them with variable
# speed, at {low:g} bar; storage {gallons:.1f} US gallons per cfm of them all. No real site is meant.

allow_writes = [{writes}]

[site]
id = "drawn-{seed}"
name = "Drawn station {seed}"
timezone = "Europe/Berlin"
country = "DE"

[tariff]
currency = "EUR"
energy_price_per_kwh = {price:g}
demand_charge_per_kw = {charge:g}
{periods}
[storage]
directory = "./state"

[devices.header]
driver = "modbus-tcp"
host = "127.0.0.1"
port = {port}

[devices.header.points.pressure]
register = "input"
address = 0
type = "float32"
unit = "bar"

[devices.header.points.flow]
register = "input"
address = 2
type = "uint32"
word_order = "little"
scale = 0.01
unit = "m3/h"
"""

_DEVICE = """
[devices.{name}]
driver = "modbus-tcp"
host = "127.0.0.1"
port = {port}
profile = "trimload-screw"
"""

_STATION = """
[stations.air]
name = "Compressor room"
mode = "control"
pressure = "header.pressure"
flow = "header.flow"
pressure_min_bar_g = {low:g}
pressure_max_bar_g = {high:g}
receiver_m3 = {receiver:g}
receiver_rated_bar_g = {rated:g}
shift_hours = [
{shifts}
]
"""


def station_text(drawn: DrawnStation) -> str:
    """`drawn` as the text of a site.toml with one station, `air`, and machines k1, k2, ..."""
    names = [f"k{number}" for number in range(1, len(drawn.machines) + 1)]
    peak = drawn.peak_price_per_kwh
    head = _HEAD.format(
        seed=drawn.seed,
        count=len(names),
        speeds=sum(m.is_vsd for m in drawn.machines),
        low=drawn.pressure_min_bar_g,
        gallons=drawn.gallons_per_cfm,
        writes=", ".join(f'"{name}.*"' for name in names),
        price=drawn.energy_price_per_kwh,
        charge=drawn.demand_charge_per_kw,
        periods=""
        if peak is None
        else f'periods = [{{ days = "mon-fri", from = "07:00", to = "20:00", energy_price_per_kwh = {peak:g} }}]\n',
        port=FIRST_PORT,
    )
    shifts = "\n".join(f'    {{ days = "{d}", from = "{a}", to = "{b}" }},' for d, a, b in drawn.shifts)
    station = _STATION.format(
        low=drawn.pressure_min_bar_g,
        high=drawn.pressure_max_bar_g,
        receiver=drawn.receiver_m3,
        rated=drawn.receiver_rated_bar_g,
        shifts=shifts,
    )
    devices = [_DEVICE.format(name=name, port=FIRST_PORT + n) for n, name in enumerate(names, 1)]
    return "".join(
        [head, *devices, station, *(_machine(drawn, n, m) for n, m in enumerate(drawn.machines, 1))]
    )


def _machine(drawn: DrawnStation, number: int, machine: DrawnMachine) -> str:
    """One machine with its own pressure switch: staggered by priority, inside the station's range."""
    last = len(drawn.machines)
    room = drawn.pressure_max_bar_g - drawn.pressure_min_bar_g - LOCAL_FLOOR_BAR - LOCAL_BAND_BAR
    stagger = min(LOCAL_STAGGER_BAR, room / max(1, last - 1))
    load = drawn.pressure_min_bar_g + LOCAL_FLOOR_BAR + stagger * (last - number)
    rows: dict[str, object] = {
        "device": f'"k{number}"',
        "control": '"vsd"' if machine.is_vsd else '"load-unload"',
        "full_flow_m3_min": machine.full_flow_m3_min,
        "full_power_kw": machine.full_power_kw,
        "unloaded_power_kw": machine.unloaded_power_kw,
    }
    if machine.is_vsd:
        rows |= {
            "turndown_flow_m3_min": machine.turndown_flow_m3_min,
            "turndown_power_kw": machine.turndown_power_kw,
            "mid_flow_m3_min": machine.mid_flow_m3_min,
            "mid_power_kw": machine.mid_power_kw,
        }
    rows |= {
        "start_s": machine.start_s,
        "reload_s": machine.reload_s,
        "blowdown_s": machine.blowdown_s,
        "min_run_s": machine.min_run_s,
        "min_stop_s": machine.min_stop_s,
        "max_starts_per_hour": machine.max_starts_per_hour,
        "priority": number,
        "dead_man_s": 30,
        "local_load_bar_g": round(load, 2),
        "local_unload_bar_g": round(load + LOCAL_BAND_BAR, 2),
    }
    lines = "\n".join(
        f"{key} = {value:g}" if isinstance(value, float) else f"{key} = {value}"
        for key, value in rows.items()
    )
    return f"\n[stations.air.machines.k{number}]\n{lines}\n"
