"""What a plan is once it is made: schedule, flows, costs, why it is as good as it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from agent.domain import PlanStatus
from agent.planner.evaluate import CostSplit

__all__ = ["BrokenRule", "Effort", "PlanStatus", "Shortage", "StartOrder", "StationPlanResult"]


class Shortage(NamedTuple):
    """Air that the plan cannot deliver in one step."""

    step: int
    missing_m3_min: float


class BrokenRule(NamedTuple):
    """A rule of time that the problem's own windows and state leave no way to keep.

    `rule`: min_up, min_down (`amount` in minutes short), starts_per_hour (starts too many), or
    forced (a forced window inside an unavailable one, `amount` 1).
    """

    machine_id: str
    rule: str
    step: int
    amount: float


class StartOrder(NamedTuple):
    """A planned start.

    `step` is the first step on; the order is due `order_min` after the plan's start, earlier than
    the step by the machine's lead time.
    """

    machine_id: str
    step: int
    order_min: float


@dataclass(frozen=True, slots=True)
class Effort:
    """Work done: programmes solved and sweeps made."""

    lps: int
    sweeps: int


@dataclass(frozen=True, slots=True)
class StationPlanResult:
    """A plan for one station. Series have one value per step.

    `status` BEST_EFFORT means that air is missing: `shortages` says where, the caller goes into
    restricted capacity. `broken` is empty unless the problem contradicts itself. `price_eur_m3` is what one more cubic metre in the step would cost.
    `reasons` are sentences on the plan as a whole; `planner.explain` answers for single steps.
    """

    name: str
    status: PlanStatus
    on: Mapping[str, tuple[bool, ...]]
    flow_m3_min: Mapping[str, tuple[float, ...]]
    pressure_bar: tuple[float, ...]
    power_kw: tuple[float, ...]
    price_eur_m3: tuple[float, ...]
    vent_m3_min: tuple[float, ...]
    unserved_m3_min: tuple[float, ...]
    headroom_short_m3_min: tuple[float, ...]
    peak_kw: float | None
    cost: CostSplit
    shortages: tuple[Shortage, ...]
    broken: tuple[BrokenRule, ...]
    start_orders: tuple[StartOrder, ...]
    reasons: tuple[str, ...]
    effort: Effort

    @property
    def total_eur(self) -> float:
        """The plan's cost without wishes."""
        return self.cost.total_eur
