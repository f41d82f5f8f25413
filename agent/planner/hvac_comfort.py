"""What a kelvin hour out of comfort is worth."""

from __future__ import annotations

from agent.config.site import Unit, ZoneModel

# A kelvin hour out of comfort weighs like this much energy: far above what heating it away costs in a zone of
# `USUAL_KW` thermal power. A larger zone takes more heat for the same kelvin, and its comfort weighs so much more.
DISCOMFORT_KWH_PER_KH = 20.0
USUAL_KW = 40.0


def comfort_weight(model: ZoneModel | None, unit: Unit, size_kw: float) -> float:
    """How much a kelvin hour out of comfort weighs in a zone whose unit has `size_kw` for it.

    Over a floor that heats, no less than what warms the floor by a kelvin: else a cold morning is always cheaper.
    """
    floor_kwh = 0.0 if model is None else model.slab_share * model.mass_kwh_per_k / unit.heating_cop
    return max(1.0, size_kw / USUAL_KW, floor_kwh / DISCOMFORT_KWH_PER_KH)
