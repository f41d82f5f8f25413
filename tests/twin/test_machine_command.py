from __future__ import annotations

import io
import json
from xml.etree import ElementTree as ET

import pytest

from agent.cli import main
from tests.twin.machine_plates import CATALOGUE, catalogue
from twin.machine_curve import power_kw
from twin.machine_file import MachineFileError, parse_machine, plate_of
from twin.machine_plate import MACHINE_TYPES

SCREW = CATALOGUE["629"]


def written(tmp_path, body):
    path = tmp_path / "machine.json"
    path.write_text(body if isinstance(body, str) else json.dumps(body), encoding="utf-8")
    return str(path)


def test_json_gives_a_point_for_each_share_asked_for(tmp_path, capsys):
    code = main(["machine-curve", written(tmp_path, SCREW), "--at", "0.09,0.91,1", "--json"])

    points = json.loads(capsys.readouterr().out)["points"]
    assert code == 0
    assert [point["capacity_fraction"] for point in points] == [0.09, 0.91, 1.0]
    assert [point["power_kw"] for point in points] == pytest.approx([60.40, 86.61, 85.4], abs=0.01)


def test_a_machine_comes_from_standard_input_too(monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(CATALOGUE["vfd"])))

    code = main(["machine-curve", "-", "--at", "0.31", "--json"])

    assert code == 0
    assert json.loads(capsys.readouterr().out)["points"][0]["power_kw"] == pytest.approx(72.0695, abs=1e-3)


def test_without_json_a_person_reads_a_table_of_tenths(tmp_path, capsys):
    code = main(["machine-curve", written(tmp_path, CATALOGUE["centrifugal load/unload"])])

    out = capsys.readouterr().out
    assert code == 0
    assert "centrifugal-load-unload, 452.3 kW" in out
    assert "100.0%" in out
    assert "452.30" in out


def test_si_and_us_units_describe_the_same_machine():
    si = {
        "type": "load-unload",
        "full_load_kw": 85.4,
        "capacity_m3_min": 535 * 0.028316846592,
        "max_full_flow_kw": 90.1,
        "no_load_kw": 17.6,
        "load_pressure_bar_g": 6.89475729,
        "unload_pressure_bar_g": 7.58423302,
        "unload_point_share": 1.0,
        "unloaded_sump_bar_g": 1.03421359,
        "storage_m3": 13.400145795431047 * 0.028316846592,
        "atmosphere_bar_a": 1.01352932,
    }

    metric, us = plate_of(si, where="si"), catalogue("629")

    assert power_kw(metric, 0.3) == pytest.approx(power_kw(us, 0.3), rel=1e-6)


@pytest.mark.parametrize("kind", MACHINE_TYPES)
def test_a_few_numbers_are_enough_for_every_type(kind):
    body = {
        "type": kind,
        "full_load_kw": 100,
        "capacity_m3_min": 16,
        "storage_m3": 5,
        "unload_point_percent": None,
    }
    if kind.startswith("centrifugal"):
        body["unload_point_percent"] = 70

    plate = plate_of(body, where="short")

    powers = [power_kw(plate, f) for f in (0.0, 0.2, 0.6, 1.0)]
    assert powers == sorted(powers)
    assert 0.0 <= powers[0] < 95.0
    assert powers[-1] == pytest.approx(100.0, rel=0.03)


def test_the_surge_point_of_a_blow_off_machine_may_be_given_three_ways():
    # 80 % flow and 82 % power, which is 10 % and 90 % of the way: 0.1 + 0.9 x 0.8 = 0.82.
    base = {"type": "centrifugal-blow-off", "full_load_kw": 500, "capacity_acfm": 3000}

    plates = [
        plate_of({**base, **more}, where="three")
        for more in (
            {"turndown_acfm": 2400, "turndown_kw": 410},
            {"unload_point_percent": 80, "fully_modulated_power_share": 0.1},
            {"unload_point_percent": 80, "no_load_kw": 410},
        )
    ]

    assert [power_kw(plate, 0.3) for plate in plates] == pytest.approx([410.0, 410.0, 410.0])
    assert [power_kw(plate, 0.9) for plate in plates] == pytest.approx([455.0, 455.0, 455.0])


# What is wrong, words of the message, the key that `where` names.
WRONG = [
    ({"full_load_kv": 85.4}, "unknown key full_load_kv", "full_load_kv"),
    ({"colour": "blue"}, "unknown key colour", "colour"),
    ({"capacity_m3_min": 15.0}, "capacity_acfm and capacity_m3_min give the same", "capacity_m3_min"),
    ({"full_load_kw": "85"}, "no number", "full_load_kw"),
    ({"full_load_kw": True}, "no number", "full_load_kw"),
    ({"full_load_kw": -3}, "out of range", "full_load_kw"),
    ({"full_load_kw": None}, "no full_load_kw", "full_load_kw"),
    ({"storage_ft3": None}, "no storage_ft3", "storage_ft3"),
    ({"type": None}, "no type", "type"),
    ({"type": "load/unload"}, "is not known", "type"),
    ({"type": ["vsd"]}, "is not known", "type"),
    ({"lubricant": "water"}, "lubricant = 'water'", "lubricant"),
    ({"no_load_kw": 90}, "no_load_kw = 90 is not below", "no_load_kw"),
    ({"unload_pressure_psig": 95}, "not above its load pressure", "unload_pressure_psig"),
    ({"max_full_flow_kw": 80}, "below full_load_kw", "max_full_flow_kw"),
    ({"unload_point_percent": 140}, "out of range", "unload_point_percent"),
    ({"atmosphere_psia": 1.0}, "out of range", "atmosphere_psia"),
]


@pytest.mark.parametrize(("change", "words", "key"), WRONG)
def test_a_wrong_key_is_named_with_a_way_out(change, words, key):
    with pytest.raises(MachineFileError) as caught:
        plate_of({**SCREW, **change}, where="m.json")

    assert words in caught.value.what
    assert caught.value.where == f"m.json, key {key}"
    assert caught.value.fix


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("vfd", {"turndown_kw": None}, "half a turndown point"),
        ("vfd", {"mid_turndown_acfm": None}, "half a middle point"),
        ("vfd", {"mid_turndown_acfm": 150}, "middle point does not lie between"),
        ("vfd", {"turndown_acfm": 1200}, "flows do not rise"),
        ("vfd", {"no_load_kw": 60}, "does not lie between no load"),
        ("blow-off", {"turndown_acfm": None, "turndown_kw": None}, "no surge point"),
        (
            "blow-off",
            {"turndown_acfm": None, "turndown_kw": None, "unload_point_percent": 80, "no_load_kw": 71.3},
            "cannot be the power while 80% of full flow is blown off",
        ),
        ("centrifugal modulation", {"max_full_flow_acfm": 2000}, "flows do not rise"),
        ("737", {"modulating_range_psi": 0}, "throttles down to its unload point"),
        ("737", {"unload_point_percent": 0}, "does not unload"),
        ("737", {"unload_point_percent": 100}, "never stays loaded"),
    ],
)
def test_what_contradicts_itself_is_an_error(name, change, words):
    with pytest.raises(MachineFileError, match=words):
        catalogue(name, **change)


def test_an_error_names_the_key_as_it_was_written():
    with pytest.raises(MachineFileError) as caught:
        catalogue("vfd", turndown_acfm=None, turndown_m3_min=40.0)

    assert caught.value.where == "vfd, key turndown_m3_min"


def test_a_key_given_twice_is_an_error():
    with pytest.raises(MachineFileError, match="full_load_kw is given twice"):
        parse_machine('{"type": "vsd", "full_load_kw": 1, "full_load_kw": 2}', where="m.json")


@pytest.mark.parametrize("text", ["", "{", "[1]", "null", '{"type": "vsd",}'])
def test_what_is_no_object_is_bad_input(text, tmp_path, capsys):
    code = main(["machine-curve", written(tmp_path, text)])

    assert code == 2
    assert "fix:" in capsys.readouterr().err


@pytest.mark.parametrize("at", ["1.2", "-0.1", "nan", "a", "", "0.1,,0.2"])
def test_a_share_outside_nought_to_one_is_bad_input(at, tmp_path, capsys):
    code = main(["machine-curve", written(tmp_path, SCREW), f"--at={at}", "--json"])

    captured = capsys.readouterr()
    assert code == 2
    assert captured.out == ""
    assert "--at" in captured.err


def test_a_file_that_is_not_there_is_bad_input(tmp_path, capsys):
    code = main(["machine-curve", str(tmp_path / "none.json")])

    assert code == 2
    assert "none.json" in capsys.readouterr().err


@pytest.mark.parametrize("suffix", ["svg", "html"])
def test_a_plot_draws_the_curve_and_marks_what_was_asked_for(suffix, tmp_path, capsys):
    picture = tmp_path / f"curve.{suffix}"

    code = main(["machine-curve", written(tmp_path, SCREW), "--at", "0.3,0.6", "--plot", str(picture)])

    capsys.readouterr()
    text = picture.read_text(encoding="utf-8")
    svg = ET.fromstring(text[text.index("<svg") : text.index("</svg>") + 6])
    names = [element.tag.rpartition("}")[2] for element in svg.iter()]
    assert code == 0
    assert (names.count("circle"), names.count("polyline")) == (2, 2)
    assert len(svg.findall(".//{*}polyline")[1].attrib["points"].split()) == 201


def test_a_plot_of_an_unknown_kind_is_bad_input(tmp_path, capsys):
    code = main(["machine-curve", written(tmp_path, SCREW), "--plot", str(tmp_path / "curve.png")])

    assert code == 2
    assert ".html or .svg" in capsys.readouterr().err
