"""One fault in a good site is reported once: nothing that only follows from it is added."""

from __future__ import annotations

import copy
import tomllib
from pathlib import Path

import pytest

from agent.config.mend import faults_of_the_rest
from agent.config.profiles import merge_profiles
from agent.config.schema_faults import field_at
from agent.config.site import Site

DEMO = Path(__file__).parents[2] / "examples" / "demo" / "site.toml"
GOOD = tomllib.loads(DEMO.read_text(encoding="utf-8"))


def places(table, above=()):
    """Every key of the site, by its path."""
    for key, value in table.items():
        yield (*above, key)
        if isinstance(value, dict):
            yield from places(value, (*above, key))


def rest_after(change) -> list[str]:
    """What is said of the rest of the demo site after `change(parent, key)` at each place."""
    said = []
    for place in places(GOOD):
        raw = copy.deepcopy(GOOD)
        parent = raw
        for key in place[:-1]:
            parent = parent[key]
        if change(parent, place) is not None:
            merged = merge_profiles(raw, DEMO.parent)
            faults = faults_of_the_rest(raw, merged.unusable)
            said += [f"{'.'.join(place)}: {fault.what}" for fault in faults]
    return said


@pytest.mark.parametrize("nonsense", [True, [[1]], "?? ?", -1e9], ids=["true", "list", "text", "number"])
def test_a_value_of_the_wrong_kind_brings_no_further_faults(nonsense):
    def spoil(parent, place):
        if isinstance(nonsense, str) and isinstance(parent[place[-1]], str):
            return None  # text for text may fit the schema and then is no fault of it
        if place[-1] in {"enable", "host"}:
            return None
        parent[place[-1]] = nonsense
        return place

    assert rest_after(spoil) == []


def test_a_misspelt_key_is_taken_for_the_one_that_was_meant():
    def misspell(parent, place):
        if field_at(Site, place) is None or place == ("devices",):
            return None  # an id: what refers to it is then worth naming
        parent[place[-1] + "x"] = parent.pop(place[-1])
        return place

    assert rest_after(misspell) == []


def test_a_contradiction_beside_a_schema_fault_is_still_found():
    raw = copy.deepcopy(GOOD)
    raw["stations"]["air"]["machines"]["c1"]["full_power_kw"] = "lots"
    raw["stations"]["air"]["machines"]["c1"]["dead_man_s"] = 1.0
    raw["stations"]["air"]["pressure_max_bar_g"] = 12.0
    merged = merge_profiles(raw, DEMO.parent)

    places_of_faults = {fault.place for fault in faults_of_the_rest(raw, merged.unusable)}

    assert places_of_faults == {
        ("stations", "air", "machines", "c1", "dead_man_s"),
        ("stations", "air", "pressure_max_bar_g"),
    }


def test_the_file_as_it_was_read_is_not_changed_by_the_mending():
    raw = copy.deepcopy(GOOD)
    raw["tick_s"] = "fast"
    before = copy.deepcopy(raw)

    faults_of_the_rest(raw, ())

    assert raw == before
