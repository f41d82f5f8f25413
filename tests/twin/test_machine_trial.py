from __future__ import annotations

import pytest

from agent.config.rules_air import THROTTLED
from agent.planner.part_load import KINDS
from tests.twin.machine_plates import GALLON_FT3, catalogue
from twin.machine_curve import power_kw
from twin.machine_trial import simulated_power_kw

FRACTIONS = (0.0, 0.1, 0.3, 0.55, 0.8, 0.97, 0.993, 1.0)
MACHINES = {
    "629": {"storage_ft3": 3 * 535 * GALLON_FT3},
    "861": {"storage_ft3": 3 * 535 * GALLON_FT3, "no_load_kw": 17.6},
    "737": {"storage_ft3": 3 * 1167 * GALLON_FT3},
    "728": {"storage_ft3": 3 * 1390 * GALLON_FT3},
    "701": {},
    "629 start/stop": {},
    "vfd": {},
    "blow-off": {},
    "centrifugal load/unload": {},
    "centrifugal modulation": {"max_full_flow_acfm": None},
}


@pytest.mark.parametrize("name", MACHINES)
def test_the_living_machine_takes_what_the_curve_says(name):
    plate = catalogue(name, **MACHINES[name])

    gaps = [
        simulated_power_kw(plate, fraction, step_s=5.0) - power_kw(plate, fraction) for fraction in FRACTIONS
    ]

    # 2 % of full-load power.
    assert [gap / plate.full_load_kw for gap in gaps] == pytest.approx([0.0] * len(FRACTIONS), abs=0.02)


@pytest.mark.parametrize("step_s", [1.0, 10.0])
def test_the_step_does_not_decide_the_power(step_s):
    plate = catalogue("629", storage_ft3=5 * 535 * GALLON_FT3)

    power = simulated_power_kw(plate, 0.4, step_s=step_s)

    assert power == pytest.approx(power_kw(plate, 0.4), abs=0.01 * plate.full_load_kw)


def test_every_kind_of_control_of_a_site_has_its_physics():
    assert {name for name, kind in KINDS.items() if kind.throttles} == THROTTLED
    assert len(KINDS) == 9
