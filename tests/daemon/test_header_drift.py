"""A header sensor that drifts over weeks is told once a night, by the machines' own gauges."""

from datetime import timedelta

import numpy as np
import pytest

from agent.daemon.header_drift import header_drift, tell_drift
from agent.daemon.rhythm import night_work
from agent.domain import Quality, Reading, Snapshot
from agent.page.told import TELLS
from tests.daemon.plant_rig import START, Rig

FILTERS_BAR = 0.4  # what dryer and filters lose at the whole station's flow
NOW = START


@pytest.fixture
def rig(tmp_path):
    made = Rig(tmp_path, 20.0)
    yield made
    made.kill()


def lived(
    rig: Rig, days_ago: int, *, flow_share, header_off_bar=0.0, gauge_off_bar=(0.0, 0.0, 0.0), seed=1
) -> None:
    """A day that ended so long ago; `flow_share` between two of the station's flow, all machines loaded."""
    runtime = rig.daemon.stations["air"]
    total = sum(runtime.control.fleet.full_flow)
    random = np.random.default_rng(seed + days_ago)
    begin = NOW - timedelta(days=days_ago + 1)
    for minute in range(1440):
        share = flow_share[0] + (flow_share[1] - flow_share[0]) * (minute % 240) / 240
        net = 7.0 + random.normal(0.0, 0.05)
        values = {
            runtime.station.pressure: net + header_off_bar,
            runtime.demand_tag: share * total,
        }
        for machine, off in zip(runtime.station.machines.values(), gauge_off_bar, strict=False):
            values[machine.tag("loaded")] = 1.0
            values[machine.tag("discharge_pressure")] = net + FILTERS_BAR * share**2 + off
        at = begin + timedelta(minutes=minute)
        rig.history.record(Snapshot(at, {tag: Reading(v, Quality.GOOD, at) for tag, v in values.items()}))
    rig.history.flush()


def seen(rig: Rig):
    return header_drift(rig.daemon.stations["air"], rig.history, NOW)


def told(rig: Rig):
    return tell_drift(rig.daemon.stations["air"], rig.history, NOW)


def test_header_that_shows_more_than_three_weeks_ago_is_told_with_how_much(rig):
    lived(rig, 21, flow_share=(0.3, 0.9))
    lived(rig, 0, flow_share=(0.3, 0.9), header_off_bar=0.25)

    kind, _, fields = told(rig)

    assert kind == "header_drift"
    assert fields["off_bar"] == pytest.approx(-0.25, abs=0.02)
    assert "0.25 bar more" in fields["text"]
    assert "pressure_min_bar_g" in fields["text"]


def test_header_that_shows_less_may_be_a_filter_too(rig):
    lived(rig, 28, flow_share=(0.3, 0.9))
    lived(rig, 0, flow_share=(0.3, 0.9), header_off_bar=-0.3)

    text = told(rig)[2]["text"]

    assert "0.30 bar less" in text
    assert "filters" in text


def test_day_with_more_flow_is_no_drift(rig):
    lived(rig, 14, flow_share=(0.2, 0.6))
    lived(rig, 0, flow_share=(0.5, 1.0))

    # Its filters lose 0.2 bar more on average; at flows that both days know they lose the same.
    assert abs(seen(rig).off_bar) < 0.03


def test_days_without_a_common_flow_are_not_compared(rig):
    lived(rig, 14, flow_share=(0.1, 0.2))
    lived(rig, 0, flow_share=(0.7, 0.9))

    assert seen(rig) is None


def test_one_gauge_of_several_that_drifts_is_not_the_header(rig):
    lived(rig, 7, flow_share=(0.3, 0.9))
    lived(rig, 0, flow_share=(0.3, 0.9), gauge_off_bar=(0.5, 0.0, 0.0))

    assert told(rig) is None


def test_drift_is_told_once_and_its_end_too(rig):
    lived(rig, 7, flow_share=(0.3, 0.9))
    lived(rig, 0, flow_share=(0.3, 0.9), header_off_bar=0.25)
    assert told(rig) is not None
    assert told(rig) is None

    # A second reading of each minute, as far below: their mean is right.
    lived(rig, 0, flow_share=(0.3, 0.9), header_off_bar=-0.25)

    assert told(rig)[2]["text"] == "over"


async def test_night_tells_it_in_the_ledger_while_the_station_is_steered(rig):
    lived(rig, 7, flow_share=(0.3, 0.9))
    lived(rig, 0, flow_share=(0.3, 0.9), header_off_bar=0.25)
    await rig.daemon.start()
    await rig.live(60)
    events: list = []

    night_work(list(rig.daemon.stations.values()), rig.history, NOW, events)

    assert [kind for kind, *_ in events] == ["header_drift"]
    assert TELLS["header_drift"](events[0][2]).weight == "bad"


def test_night_of_a_station_that_is_new_says_nothing(rig):
    events: list = []

    night_work(list(rig.daemon.stations.values()), rig.history, NOW, events)

    assert not events
