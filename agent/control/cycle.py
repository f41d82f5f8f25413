"""How wide the band is worth being while a machine loads and unloads: blow-downs against pressure."""

from __future__ import annotations

import math

# Exponent of the power of compression, (k - 1) / k over the efficiency of air screws.
# Source: AMO Tools Suite, pressure reduction: ((p2 + Pa) / Pa)^0.283 - 1 over the same at p1.
_EXPONENT = 0.283


def pressure_price_per_bar(pressure_bar_g: float, atmosphere_bar: float) -> float:
    """Share of a loaded machine's power that one bar more costs: 0.080 at 7 bar, 0.044 at 11.5 bar."""
    ratio = (pressure_bar_g + atmosphere_bar) / atmosphere_bar
    power = ratio**_EXPONENT
    return float(_EXPONENT * power / ((power - 1.0) * (pressure_bar_g + atmosphere_bar)))


def worthwhile_width_bar(
    full_flow_m3_min: float,
    cycle_loss_kw_min: float,
    duty: float,
    loaded_kw: float,
    price_per_bar: float,
    m3_per_bar: float,
) -> float:
    """Width of the band [bar] at which blow-downs and pressure cost least together; 0 without a blow-down.

    `full_flow_m3_min` and `cycle_loss_kw_min` (agent/planner/sets.py) are the trim machine's, `duty` is the share of the time that the trim machine is loaded, `loaded_kw` the mean power of all that is.
    With u (1 - u) Q / (V w) cycles a minute of e kW min each, and w / 2 bar more on the mean, the sum
    e u (1 - u) Q / (V w) + P c w / 2 is least where both are equal.
    """
    swing_m3_min = duty * (1.0 - duty) * full_flow_m3_min
    if swing_m3_min <= 0.0 or loaded_kw <= 0.0:
        return 0.0
    cycling = cycle_loss_kw_min * swing_m3_min / m3_per_bar
    return math.sqrt(cycling / (0.5 * price_per_bar * loaded_kw))
