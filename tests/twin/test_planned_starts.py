"""Machines that deliver minutes after their start order, and a production plan that says when a line comes."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from agent.config.load import load_site
from agent.config.services import Production
from agent.inference.production import PlanRow, plan_text
from agent.inference.series import Series
from twin.demand import DemandSeries
from twin.simulate import Scene, run_agent

SITE = load_site(Path(__file__).resolve().parents[2] / "examples" / "station_7bar" / "site.toml")
START = datetime(2026, 3, 1, 23, tzinfo=UTC)  # midnight in the plant's time
PAST_DAYS = 4


def plant(days: int) -> tuple[np.ndarray, list[PlanRow]]:
    """Minutes of free air and the plan they follow: one line all day, one that comes at an odd minute of each day."""
    clock = np.arange(days * 1440) % 1440
    day = np.arange(days * 1440) // 1440
    begin = 427 + 13 * (day % 4)
    base = np.where((clock >= 360) & (clock < 900), 14.0, 0.0)
    late = np.where((clock >= begin) & (clock < 800), 20.0, 0.0)
    minutes = 3.0 + np.convolve(base + late, np.full(5, 0.2))[: len(clock)]
    rows = [PlanRow("base", START, 0.0), PlanRow("late", START, 0.0)]
    for each in range(days):
        midnight = START + timedelta(days=each)
        rows += [PlanRow("base", midnight + timedelta(minutes=m), r) for m, r in ((360, 100.0), (900, 0.0))]
        first = 427 + 13 * (each % 4)
        rows += [PlanRow("late", midnight + timedelta(minutes=m), r) for m, r in ((first, 80.0), (800, 0.0))]
    return minutes, rows


@pytest.mark.parametrize("known", [True, False], ids=["with the plan", "without it"])
def test_machine_that_needs_five_minutes_is_started_before_the_line_that_the_plan_names(tmp_path, known):
    minutes, rows = plant(PAST_DAYS + 1)
    cut = PAST_DAYS * 1440
    begin = START + timedelta(days=PAST_DAYS)
    station = SITE.stations["air"]
    slow = {name: m.model_copy(update={"start_s": 300.0}) for name, m in station.machines.items()}
    site = SITE.model_copy(update={"stations": {"air": station.model_copy(update={"machines": slow})}})
    if known:
        path = tmp_path / "plan.csv"
        path.write_text(plan_text(rows), encoding="utf-8")
        site = site.model_copy(update={"production": Production(file=path)})
    past = Series(START, 900, minutes[:cut].reshape(-1, 15).mean(axis=1))
    demand = DemandSeries(begin, 60.0, list(minutes[cut:]))
    # From before the first line to after the second has come.
    span = (begin + timedelta(hours=5), begin + timedelta(hours=9))

    books = run_agent(Scene(site, "air", demand, *span, 1, step_s=10.0, past=past)).books

    if known:
        # The floor is still learning: some seconds at a hundredth of a bar.
        assert books.time_below_min_s <= 60.0
        assert books.worst_dip_bar < 0.05
    else:
        # Nobody who is told nothing has a machine ready: that the plan is read is what makes the difference.
        assert books.time_below_min_s > 300.0
        assert books.worst_dip_bar > 1.0
