"""The station's machines as their meters show them, not as their nameplates say.

Power of each machine by least squares on minutes of one state; volume and delivered flow from the flow meter's
balance. All on minutes in which the plant was left alone, nothing on the minutes that are judged.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from agent.config.site import Machine, Station
from agent.planner.part_load import KINDS
from agent.savings.counterfactual import MachineFit
from agent.savings.measured import Flags, Floats, StationMinutes
from twin.compressor import Compressor
from twin.compressor_curve import FLOW_LOSS_SHARE_PER_BAR

_WHOLE, _NONE = 0.999, 0.001
# Fewer minutes of one state say less than the nameplate.
_LEAST_MINUTES = 30
# The sump blows down for up to some minutes after unloading: power is not settled before.
_SETTLED_MIN = 3
# A VSD's scale and offset are told apart only where its speed moved.
_LEAST_SHARE_SPREAD = 0.1
# Beyond these a meter is wrong, not a nameplate.
_SCALE_RANGE = (0.6, 1.6)
_FLOW_SCALE_RANGE = (0.8, 1.25)
_VOLUME_RANGE = (0.3, 3.0)
# A VSD whose share moves by less from minute to minute runs steadily.
_STEADY_SHARE = 0.05
# Balance over this many minutes: long against a machine's cycle within the minute, short against the meter's drift.
_BALANCE_MIN = 5


class Balance(NamedTuple):
    """Volume of the net and true over nameplate flow, and what could not be found."""

    volume_m3: float
    flow_scale: float
    note: str


def fit_machines(station: Station, minutes: StationMinutes, fit_on: Flags) -> dict[str, MachineFit]:
    """Each machine's power against its nameplate; a machine hardly seen keeps its nameplate, `minutes` 0."""
    rated = 0.5 * (station.pressure_min_bar_g + station.pressure_max_bar_g)
    out: dict[str, MachineFit] = {}
    for index, (name, machine) in enumerate(station.machines.items()):
        power, running, loaded, share = (
            column[:, index]
            for column in (minutes.power_kw, minutes.running, minutes.loaded, minutes.output_share)
        )
        model = Compressor(name, machine, rated_bar_g=rated, atmosphere_bar=station.atmosphere_bar)
        there = fit_on & np.isfinite(power) & np.isfinite(minutes.pressure_bar_g)
        out[name] = MachineFit(
            *_loaded_fit(model, minutes.pressure_bar_g, power, share, there & _settled(loaded > _WHOLE)),
            unloaded_power_kw=_unloaded(
                machine, power, there & _settled((running > _WHOLE) & (loaded < _NONE))
            ),
            minutes=int((there & _settled(loaded > _WHOLE)).sum()),
        )
    return out


def fit_balance(station: Station, minutes: StationMinutes, fit_on: Flags) -> Balance:
    """Volume and flow scale by least squares: metered = scale * nameplate - volume / atmosphere * dp/dt.

    Over windows of some minutes. Without a flow meter neither can be told, since the demand estimate rests on both.
    """
    nameplate = Balance(station.receiver_m3, 1.0, "")
    if station.flow is None or not np.isfinite(minutes.flow_m3_min[fit_on]).any():
        return nameplate._replace(note="no flow meter: volume and delivered flow are the nameplates'")
    supply = nominal_supply(station, minutes)
    known = fit_on & np.isfinite(supply) & np.isfinite(minutes.flow_m3_min)
    known &= np.isfinite(minutes.pressure_bar_g)
    window = _BALANCE_MIN
    whole = np.convolve(known, np.ones(window + 1), mode="valid") == window + 1
    # The pressure's mean weighs the flow of a minute by its moment: where a machine loaded or unloaded within
    # the first or last minute, the minute's mean flow does not tell what the pressure saw.
    steady = _steady(station, minutes)
    whole &= steady[:-window] & steady[window:]
    if whole.sum() < 60:
        return nameplate._replace(note="too few minutes with the flow meter: nameplate volume and flow")
    moved = (minutes.pressure_bar_g[window:] - minutes.pressure_bar_g[:-window])[
        whole
    ] / station.atmosphere_bar
    taken, given = (_window_sum(column, window)[whole] for column in (minutes.flow_m3_min, supply))
    (scale, volume), *_ = np.linalg.lstsq(np.column_stack([given, -moved]), taken, rcond=None)
    low, high = (factor * station.receiver_m3 for factor in _VOLUME_RANGE)
    if not (_FLOW_SCALE_RANGE[0] <= scale <= _FLOW_SCALE_RANGE[1] and low <= volume <= high):
        return nameplate._replace(
            note=f"the flow meter's balance gives {volume:.1f} m3 and {scale:.2f} times the nameplate flow, which is "
            "not believed: nameplate volume and flow"
        )
    return Balance(float(volume), float(scale), "")


def nominal_supply(station: Station, minutes: StationMinutes) -> Floats:
    """Free air [m3/min] of all machines by nameplate, from how long each was loaded in the minute."""
    rated = 0.5 * (station.pressure_min_bar_g + station.pressure_max_bar_g)
    against = 1.0 - FLOW_LOSS_SHARE_PER_BAR * (minutes.pressure_bar_g - rated)
    total = np.zeros(minutes.count)
    for index, machine in enumerate(station.machines.values()):
        share = minutes.loaded[:, index]
        if machine.control == "vsd":
            share = minutes.output_share[:, index]
        elif KINDS[machine.control].throttles:
            # A throttled machine need not say how far it is open; then it counts as open.
            said = minutes.output_share[:, index]
            share = np.where(np.isfinite(said), said, share)
        total = total + machine.full_flow_m3_min * share * against
    return total


def fitted_station(station: Station, machines: dict[str, MachineFit], balance: Balance) -> Station:
    """The station with the fitted numbers in place of its nameplates."""
    changed = {}
    for name, machine in station.machines.items():
        found = machines[name]
        powers = {
            key: max(found.scale * value + found.offset_kw, 0.1)
            for key in ("full_power_kw", "turndown_power_kw", "mid_power_kw")
            if (value := getattr(machine, key)) is not None
        }
        flows = {
            key: balance.flow_scale * value
            for key in ("full_flow_m3_min", "turndown_flow_m3_min", "mid_flow_m3_min")
            if (value := getattr(machine, key)) is not None
        }
        changed[name] = machine.model_copy(
            update={**powers, **flows, "unloaded_power_kw": found.unloaded_power_kw}
        )
    return station.model_copy(update={"machines": changed, "receiver_m3": balance.volume_m3})


def _steady(station: Station, minutes: StationMinutes) -> Flags:
    """Minutes in which no machine changed between loaded and not, and no VSD its speed by much."""
    loaded = minutes.loaded
    out = np.asarray(((loaded > _WHOLE) | (loaded < _NONE)).all(axis=1))
    for index, machine in enumerate(station.machines.values()):
        if machine.control == "vsd":
            share = minutes.output_share[:, index]
            moved = np.abs(np.diff(share, prepend=share[:1])) > _STEADY_SHARE
            out &= ~moved
            out[:-1] &= ~moved[1:]
    return out


def _loaded_fit(
    model: Compressor, pressure: Floats, power: Floats, share: Floats, there: Flags
) -> tuple[float, float]:
    """(scale, offset [kW]) of measured over nameplate power while loaded."""
    if model.is_vsd:
        there = there & np.isfinite(share)
    if there.sum() < _LEAST_MINUTES:
        return 1.0, 0.0
    level = share[there] if model.is_vsd else np.ones(int(there.sum()))
    expected = np.array(
        [model.power_at(float(s), float(p)) for s, p in zip(level, pressure[there], strict=True)]
    )
    measured = power[there]
    if model.is_vsd and float(np.ptp(level)) >= _LEAST_SHARE_SPREAD:
        x = np.column_stack([expected, np.ones(len(expected))])
        (scale, offset), *_ = np.linalg.lstsq(x, measured, rcond=None)
    else:
        scale, offset = expected @ measured / (expected @ expected), 0.0
    if not _SCALE_RANGE[0] <= scale <= _SCALE_RANGE[1]:
        return 1.0, 0.0
    return float(scale), float(offset)


def _unloaded(machine: Machine, power: Floats, there: Flags) -> float:
    if there.sum() < _LEAST_MINUTES:
        return machine.unloaded_power_kw
    return float(np.median(power[there]))


def _settled(state: Flags) -> Flags:
    """Minutes in which the state has held for some minutes before as well."""
    out = state.copy()
    for back in range(1, _SETTLED_MIN):
        out[back:] &= state[:-back]
        out[:back] = False
    return out


def _window_sum(column: Floats, window: int) -> Floats:
    """Between the middles of two minutes `window` apart: the ends count half."""
    weights = np.ones(window + 1)
    weights[0] = weights[-1] = 0.5
    summed: Floats = np.convolve(column, weights, mode="valid")
    return summed
