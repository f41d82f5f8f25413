"""The shipped examples and profiles are what a user copies from: they are good, and as promised."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.config.command import review
from agent.config.load import load_site
from agent.config.profiles import Profile, find_profile, profile_table, shipped_profiles
from agent.config.site import READ_ROLES, WRITE_ROLES

EXAMPLES = Path(__file__).parents[2] / "examples"
SITES = sorted(path.parent.name for path in EXAMPLES.glob("*/site.toml"))


@pytest.mark.parametrize("name", SITES)
def test_every_example_passes_check_without_a_warning(name):
    found = review(EXAMPLES / name / "site.toml")

    assert [str(error) for error in (*found.errors, *found.warnings)] == []


def test_the_examples_that_the_documentation_names_are_there():
    assert {"demo", "station_7bar", "carplant_12bar", "hvac_only", "air_lines"} <= set(SITES)


@pytest.mark.parametrize("name", shipped_profiles())
def test_every_shipped_profile_is_a_profile(name):
    table = profile_table(find_profile(name, Path("/nowhere")))

    profile = Profile.model_validate(table)

    assert profile.profile.source


def test_screw_profile_has_every_role_of_a_machine():
    points = load_site(EXAMPLES / "demo" / "site.toml").devices["c1"].points

    assert set(READ_ROLES) | set(WRITE_ROLES) <= set(points)
    assert {"hours_run", "hours_loaded", "starts", "discharge_pressure"} <= set(points)


def test_screw_profile_is_read_in_two_blocks_without_a_gap():
    points = load_site(EXAMPLES / "demo" / "site.toml").devices["c1"].points
    words = {"uint32": 2, "float32": 2}
    covered = {"input": set(), "holding": set()}

    for point in points.values():
        covered[point.register_] |= set(range(point.address, point.address + words.get(point.type, 1)))

    # 1 status word, 3 single registers, 3 double ones; 5 commands
    assert covered["input"] == set(range(10))
    assert covered["holding"] == set(range(100, 105))


def test_rooftop_profile_names_each_devices_own_nodes():
    site = load_site(EXAMPLES / "demo" / "site.toml")

    assert site.devices["rtu1"].points["zone_temp"].node == "ns=2;s=rtu1.zone_temp"
    assert site.devices["rtu2"].points["zone_temp"].node == "ns=2;s=rtu2.zone_temp"


def test_the_largest_machine_of_the_car_plant_is_its_only_vsd_and_its_least_efficient():
    machines = load_site(EXAMPLES / "carplant_12bar" / "site.toml").stations["air"].machines

    worst = max(machines, key=lambda name: machines[name].specific_power_kw_min_m3)
    largest = max(machines, key=lambda name: machines[name].full_flow_m3_min)

    assert worst == largest == "k6"
    assert [name for name, machine in machines.items() if machine.control == "vsd"] == ["k6"]
    # 3 x 947 + 1,326 + 1,902 + 2,604 = 8,673 m3/h = 144.55 m3/min
    assert sum(machine.full_flow_m3_min for machine in machines.values()) == pytest.approx(144.55, abs=0.05)
