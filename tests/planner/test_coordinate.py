"""Stations under one meter."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.planner.coordinate import plan_site
from agent.planner.problem import DemandCharge, Receiver, StationProblem
from tests.planner.stations import load_unload, station


def _with_store(name: str) -> StationProblem:
    """One machine, two steps of 20 min, a receiver that holds 100 m3 (5 m3/min over a step)."""
    return station(
        (load_unload("A", 10.0, running=True),),
        [5.0, 5.0],
        name=name,
        step_min=(20.0, 20.0),
        demand_charge=DemandCharge(price_eur_kw=1.0, peak_so_far_kw=0.0, interval_min=20.0),
        receiver=Receiver(
            volume_m3=101.3,
            pressure_ref_bar=7.0,
            pressure_min_bar=7.0,
            pressure_max_bar=8.0,
            pressure_init_bar=7.0,
            pressure_end_min_bar=7.0,
        ),
    )


def test_a_station_moves_away_from_the_others_peak() -> None:
    # The second station must deliver 10 in step 1 (60 kW, no store); the first could be anywhere.
    early = _with_store("early")
    other = station(
        (load_unload("B", 10.0, running=True),),
        [1.0, 10.0],
        name="late",
        step_min=(20.0, 20.0),
        demand_charge=early.demand_charge,
    )

    site = plan_site((early, other))

    # Power is 1.5 x 10 + 4.5 x flow. Late: 19.5, then 60 kW. Early delivers its 10 in all at 60 kW
    # in step 0 and idles at 15 kW in step 1: sums 79.5 and 75; apart 37.5 + 60 = 97.5 in step 1.
    # Best is an even 77.25: early 57.75 kW in step 0, 17.25 in step 1.
    peaks = [sum(plan.power_kw[step] for plan in site.plans) for step in (0, 1)]
    assert peaks == pytest.approx([77.25, 77.25])
    assert site.total_eur == pytest.approx(site.apart_eur - (97.5 - 77.25))


def test_one_station_alone_is_simply_planned() -> None:
    site = plan_site((_with_store("only"),))

    assert site.total_eur == pytest.approx(site.apart_eur)
    assert site.total_eur == pytest.approx(site.plans[0].total_eur)


def test_stations_that_do_not_share_their_meter_are_refused() -> None:
    one = _with_store("one")

    with pytest.raises(ValueError, match="differ in site_limit_kw"):
        plan_site((one, replace(one, name="two", site_limit_kw=50.0)))
