"""`trimload plan` with the ledger at hand: the planner itself knows cases, not stores."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from agent.planner.command import command as plan


def command(argv: Sequence[str]) -> int:
    """Run `trimload plan`; returns the exit status."""
    return plan(argv, recall=_recall)


def _recall(state: Path, until: datetime, station: str | None) -> dict[str, Any]:
    from agent.store.past_plans import past_plan

    return past_plan(state, until, station).fields
