"""What a higher discharge pressure does to a compressor's power and flow."""

from __future__ import annotations

# ORNL: free air falls by 0.075 % for each psi above the rating.
FLOW_LOSS_SHARE_PER_BAR = 0.00075 / 0.0689475729


def power_share_per_bar(pressure_bar_g: float, atmosphere_bar: float) -> float:
    """Relative rise of shaft power per bar of discharge pressure, [1/bar]: 0.080 at 7 bar, 0.044 at 11.5."""
    ratio = (pressure_bar_g + atmosphere_bar) / atmosphere_bar
    return float(0.283 * ratio ** (0.283 - 1.0) / atmosphere_bar / (ratio**0.283 - 1.0))
