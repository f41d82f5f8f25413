"""Steady power of a compressor: over its flow (VSD) and over its discharge pressure."""

from __future__ import annotations

from agent.config.site import Machine

DEFAULT_TURNDOWN_SHARE = 0.3
# Straight line through the catalogue's part-load points: power share = 0.15 + 0.85 x flow share.
VSD_ZERO_FLOW_SHARE = 0.15


def power_share_per_bar(pressure_bar_g: float, atmosphere_bar: float) -> float:
    """Relative rise of shaft power per bar of discharge pressure, [1/bar]: 0.080 at 7 bar, 0.044 at 11.5."""
    ratio = (pressure_bar_g + atmosphere_bar) / atmosphere_bar
    return float(0.283 * ratio ** (0.283 - 1.0) / atmosphere_bar / (ratio**0.283 - 1.0))


def vsd_parabola(machine: Machine) -> tuple[float, float, float, float]:
    """(turndown share, a, b, c) with power share = a + b s + c s^2 of flow share s.

    Through turndown, middle and full load; a straight line where the nameplate gives no middle.
    """
    flow, power = machine.full_flow_m3_min, machine.full_power_kw
    low = (machine.turndown_flow_m3_min or DEFAULT_TURNDOWN_SHARE * flow) / flow
    default = VSD_ZERO_FLOW_SHARE + (1.0 - VSD_ZERO_FLOW_SHARE) * low
    low_power = default if machine.turndown_power_kw is None else machine.turndown_power_kw / power
    if low >= 1.0:
        return 1.0, 1.0, 0.0, 0.0
    slope = (1.0 - low_power) / (1.0 - low)
    bend = 0.0
    if machine.mid_flow_m3_min is not None and machine.mid_power_kw is not None:
        mid = machine.mid_flow_m3_min / flow
        if low < mid < 1.0:
            on_line = low_power + slope * (mid - low)
            bend = (machine.mid_power_kw / power - on_line) / ((mid - low) * (mid - 1.0))
    # power = low_power + slope (s - low) + bend (s - low)(s - 1)
    return low, low_power - slope * low + bend * low, slope - bend * (low + 1.0), bend
