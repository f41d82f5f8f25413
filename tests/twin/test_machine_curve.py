from __future__ import annotations

import pytest

from tests.twin.machine_plates import CATALOGUE, GALLON_FT3, catalogue
from twin.load_cycle import load_cycle
from twin.machine_curve import power_kw

# (machine, capacity fraction, kW): what the tool suite's own tests expect, two decimals or more.
PUBLISHED = [
    ("629", 0.09, 60.40),
    ("629", 0.91, 86.61),
    ("737", 0.09, 137.41),
    ("737", 0.91, 212.30),
    ("728", 0.09, 124.98),
    ("728", 0.92, 204.72),
    ("701", 0.20, 119.86),
    ("861", 0.35, 30.72),
    ("1156", 0.10, 15.88),
    ("1156", 0.90, 60.48),
    ("629 start/stop", 0.35, 30.71),
    ("861 start/stop", 0.65, 34.13),
    ("vfd", 0.0, 11.2),
    ("vfd", 202 / 1009, 55.8),
    ("vfd", 0.31, 72.0695),
    ("vfd", 1.0, 174.4),
    ("blow-off", 0.01, 370.9),
    ("centrifugal load/unload", 0.24, 162.74),
    ("centrifugal modulation", 0.24, 165.226),
    ("centrifugal modulation", 2731 / 3138, 411.9),
    ("centrifugal modulation", 2820.95 / 3138, 425.162),
    ("variable displacement at 100 %", 0.895, 163.6762),
]

# Percent of full-load power at 10, 25, 50, 75, 90 % of 535 acfm, computed with the tool's own library
# for a 85.4 kW screw at 100 to 110 psig (modulating kinds: 100 psig and 20 or 17 psi of range).
TABLE = [
    ("629", {"storage_ft3": 535 * GALLON_FT3}, (42.5, 65.7, 85.4, 95.7, 99.9)),
    ("629", {"storage_ft3": 3 * 535 * GALLON_FT3}, (33.5, 50.7, 73.7, 90.2, 98.0)),
    ("629", {"storage_ft3": 5 * 535 * GALLON_FT3}, (31.7, 47.0, 69.2, 87.6, 96.9)),
    ("629", {"storage_ft3": 10 * 535 * GALLON_FT3}, (30.2, 44.1, 65.5, 85.0, 95.8)),
    ("629", {"storage_ft3": 5 * 535 * GALLON_FT3, "blowdown_s": 10}, (29.8, 43.1, 64.2, 84.0, 95.2)),
    ("629", {"storage_ft3": 5 * 535 * GALLON_FT3, "blowdown_s": 90}, (34.8, 53.4, 76.5, 91.8, 98.7)),
    ("629", {"storage_ft3": 5 * 535 * GALLON_FT3, "lubricant": "free"}, (28.8, 41.1, 61.7, 82.2, 94.5)),
    (
        "737",
        {"full_load_kw": 85.4, "capacity_acfm": 535, "max_full_flow_kw": 85.4, "no_load_kw": 17.6}
        | {"load_pressure_psig": 100, "unload_pressure_psig": 100, "storage_ft3": 5 * 535 * GALLON_FT3},
        (31.9, 48.1, 82.5, 91.2, 96.5),
    ),
    (
        "728",
        {"full_load_kw": 85.4, "capacity_acfm": 535, "max_full_flow_kw": 85.4, "no_load_kw": 17.6}
        | {"storage_ft3": 5 * 535 * GALLON_FT3},
        (30.4, 44.3, 67.8, 81.2, 91.8),
    ),
    ("701", {"full_load_kw": 85.4, "no_load_kw": 0.65 * 85.4}, (68.5, 73.7, 82.5, 91.2, 96.5)),
    ("vfd", {}, (19.2, 36.2, 57.5, 78.7, 91.5)),
]


@pytest.mark.parametrize(("name", "fraction", "published_kw"), PUBLISHED)
def test_the_published_value_comes_out(name, fraction, published_kw):
    computed_kw = power_kw(catalogue(name), fraction)

    # Half of the last digit published, and the tool's fit where it fits.
    assert computed_kw == pytest.approx(published_kw, abs=0.02)


@pytest.mark.parametrize(("name", "changes", "percents"), TABLE)
def test_the_tools_table_of_a_85_kw_screw_comes_out(name, changes, percents):
    plate = catalogue(name, **changes)

    computed = [100.0 * power_kw(plate, f) / plate.full_load_kw for f in (0.1, 0.25, 0.5, 0.75, 0.9)]

    # The table has one decimal; its modulating rows were made at slightly different ranges.
    assert computed == pytest.approx(percents, abs=0.16)


@pytest.mark.parametrize("name", CATALOGUE)
def test_power_rises_from_no_load_to_full_load_without_a_gap(name):
    plate = catalogue(name)
    at_rest_kw = {"start-stop": 0.0, "centrifugal-blow-off": plate.turndown_kw}.get(
        plate.type, plate.no_load_kw
    )

    powers = [power_kw(plate, step / 400.0) for step in range(401)]

    assert powers[0] == pytest.approx(at_rest_kw)
    if plate.type == "start-stop":
        assert powers[-1] == pytest.approx(0.5 * (plate.full_load_kw + plate.max_full_flow_kw))
    else:
        assert powers[-1] == pytest.approx(plate.full_load_kw)
    most_kw = max(plate.full_load_kw, plate.max_full_flow_kw)
    for before, after in zip(powers, powers[1:-1], strict=False):
        assert abs(after - before) < 0.05 * most_kw
        assert before <= most_kw


def test_half_load_of_a_load_unload_screw_by_hand():
    # 60 m3/min, 10 bar band on 60 m3 and 1 bar: at 30 m3/min 10 min... a cycle of 20 + 20 s a bar.
    plate = catalogue(
        "629",
        full_load_kw=100.0,
        max_full_flow_kw=100.0,
        no_load_kw=20.0,
        capacity_acfm=None,
        capacity_m3_min=60.0,
        load_pressure_psig=None,
        load_pressure_bar_g=7.0,
        unload_pressure_psig=None,
        unload_pressure_bar_g=8.0,
        unloaded_sump_psig=None,
        unloaded_sump_bar_g=1.0,
        storage_ft3=None,
        storage_m3=60.0,
        atmosphere_psia=None,
        atmosphere_bar_a=1.0,
        blowdown_s=60.0,
    )

    legs = {leg.name: leg for leg in load_cycle(plate, 30.0)}
    mean_kw = power_kw(plate, 0.5)

    # Drain: 60 m3 over 30 m3/min = 120 s, of which 60 s blow-down with tau 60/ln 50 = 15.337 s:
    # 20 + (92 - 20) x 0.98 x 15.337/60 = 38.04 kW; valve gone. Idle 60 s at 20 kW.
    # Reload: sump at 1 + 7 x 0.02 = 1.14 bar, so 3 x (8 - 1.14)/(8 - 0.14) = 2.618 s at (20 + 100)/2.
    # In it 1.309 m3 are missing, 0.0218 bar; pump up 61.309/30 min = 122.62 s at
    # ((1 - 0.0218/13.79) x 100 + 100)/2 = 99.92 kW.
    assert (legs["blow-down"].duration_s, legs["idle"].duration_s) == pytest.approx((60.0, 60.0))
    assert legs["blow-down"].power_kw == pytest.approx(38.04, abs=0.01)
    assert (legs["reload"].duration_s, legs["reload"].power_kw) == pytest.approx((2.618, 60.0), abs=0.001)
    assert legs["pump up"].duration_s == pytest.approx(122.618, abs=0.001)
    # (60 x 38.04 + 60 x 20 + 2.618 x 60 + 122.618 x 99.92) / 245.236 = 64.80 kW.
    assert mean_kw == pytest.approx(64.80, abs=0.02)


def test_more_storage_never_costs_power():
    powers = [
        power_kw(catalogue("629", storage_ft3=gallons * 535 * GALLON_FT3), 0.4)
        for gallons in (1, 2, 5, 10, 50)
    ]

    assert powers == sorted(powers, reverse=True)


@pytest.mark.parametrize("fraction", [-0.01, 1.01, float("nan")])
def test_a_share_outside_nought_to_one_is_a_programmers_error(fraction):
    with pytest.raises(ValueError, match="lies in 0 to 1"):
        power_kw(catalogue("vfd"), fraction)
