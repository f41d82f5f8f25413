"""Reading a site: paths, profiles, lines, and what must not be taken for a fault."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest

from agent.config.command import check_command, review
from agent.config.contradictions import contradictions
from agent.config.load import SiteErrors, load_site, parse_site
from agent.config.where import line_numbers, line_of, nearest, place_text

DEMO = Path(__file__).parents[2] / "examples" / "demo" / "site.toml"
TEXT = DEMO.read_text(encoding="utf-8")


def demo_with(*changes: tuple[str, str], more: str = ""):
    """The demo site with each `old` text replaced once, and tables added at the end."""
    text = TEXT
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    return parse_site(text + more, DEMO.parent)


def words_of(site) -> list[str]:
    return [error.what for error in contradictions(site)]


def test_relative_paths_stand_beside_site_toml():
    site = load_site(DEMO)

    assert site.storage.directory == DEMO.parent / "state"


def test_days_on_which_the_site_is_closed_are_written_as_a_list_of_dates():
    site = demo_with(("[site]\n", "[site]\nclosed_days = [2026-12-24, 2026-12-25]\n"))

    assert site.site.closed_days == (date(2026, 12, 24), date(2026, 12, 25))
    with pytest.raises(SiteErrors, match="closed_days"):
        demo_with(("[site]\n", '[site]\nclosed_days = ["the 24th"]\n'))


def test_absolute_paths_stay():
    site = demo_with(('"./state"', '"/var/lib/trimload"'))

    assert site.storage.directory == Path("/var/lib/trimload")


def test_a_missing_file_is_a_fault_with_the_three_answers(tmp_path):
    with pytest.raises(SiteErrors) as caught:
        load_site(tmp_path / "site.toml")

    assert caught.value.where == str(tmp_path / "site.toml")
    assert "cannot be read" in caught.value.what


def test_a_file_that_is_no_text_is_a_fault(tmp_path):
    (tmp_path / "site.toml").write_bytes(b"[site]\nid = \xff\xfe")

    with pytest.raises(SiteErrors, match="UTF-8"):
        load_site(tmp_path / "site.toml")


def test_load_site_refuses_a_contradiction_with_its_line(tmp_path):
    text = TEXT.replace("pressure_max_bar_g = 8.0", "pressure_max_bar_g = 12.0")
    (tmp_path / "site.toml").write_text(text, encoding="utf-8")
    line = text.splitlines().index("pressure_max_bar_g = 12.0") + 1

    with pytest.raises(SiteErrors) as caught:
        load_site(tmp_path / "site.toml")

    assert [error.where for error in caught.value.errors] == [
        f"site.toml:{line} [stations.air] pressure_max_bar_g"
    ]


def test_a_profile_beside_site_toml_is_found_and_a_device_lays_its_changes_over_it(tmp_path):
    (tmp_path / "meter.toml").write_text(
        '[profile]\ndriver = "modbus-tcp"\n'
        '[points.power]\nregister = "input"\naddress = 4\nunit = "W"\nscale = 10.0\n'
    )
    text = '[site]\nid = "w"\n[devices.m]\ndriver = "modbus-tcp"\nhost = "h"\nprofile = "meter"\n'

    plain = parse_site(text, tmp_path).points["m.power"]
    changed = parse_site(text + "[devices.m.points.power]\nscale = 1.0\n", tmp_path).points["m.power"]

    assert (plain.scale, plain.address, plain.unit) == (10.0, 4, "W")
    assert (changed.scale, changed.address, changed.unit) == (1.0, 4, "W")


def test_a_profile_name_cannot_leave_the_folder(tmp_path):
    (tmp_path / "secret.toml").write_text('[profile]\ndriver = "lines"\n[points.a]\n')
    (tmp_path / "site").mkdir()
    text = '[site]\nid = "w"\n[devices.m]\ndriver = "lines"\nprofile = "../secret"\n'

    with pytest.raises(SiteErrors, match=r"there is no profile '\.\./secret'"):
        parse_site(text, tmp_path / "site")


def test_a_single_bit_is_a_bool_without_being_told():
    site = demo_with(
        more='[devices.header.points.fault]\nregister = "input"\naddress = 9\nbit = 2\n'
        '[devices.header.points.valve]\nregister = "coil"\naddress = 1\n'
    )

    assert site.points["header.fault"].type == "bool"
    assert site.points["header.valve"].type == "bool"


def test_a_status_word_may_be_read_whole_beside_its_bits():
    site = demo_with(more='[devices.c1.points.status]\nregister = "input"\naddress = 0\n')

    assert words_of(site) == []


def test_a_word_that_is_written_may_not_share_a_register_with_a_bit():
    site = demo_with(
        more='[devices.c1.points.remote]\nregister = "holding"\naddress = 100\nbit = 3\n',
    )

    assert words_of(site) == ["c1.enable and c1.remote both stand on holding register 100"]


def test_one_ready_contact_may_speak_for_two_machines():
    site = demo_with(('device = "c2"\n', 'device = "c2"\ntags = { ready = "c1.ready" }\n'))

    assert words_of(site) == []


def test_one_power_meter_may_not_be_counted_for_two_machines():
    site = demo_with(('device = "c2"\n', 'device = "c2"\ntags = { power_kw = "c1.power_kw" }\n'))

    assert words_of(site) == [
        "'power_kw' of machine 'c2': tag c1.power_kw is already taken by 'power_kw' of machine 'c1'"
    ]


def test_a_locked_out_machine_needs_no_dead_man():
    site = demo_with(("priority = 1\ndead_man_s = 30", "priority = 1\nlocked_out = true"))

    assert words_of(site) == []


def test_an_observed_station_needs_neither_dead_man_nor_allow_list():
    site = demo_with(
        ('mode = "control"', 'mode = "observe"'),
        ("priority = 1\ndead_man_s = 30", "priority = 1"),
        ('allow_writes = ["c1.*", "c2.*", "c3.*", "c4.*", ', "allow_writes = ["),
    )

    assert words_of(site) == []


def test_a_dead_man_shorter_than_three_ticks_is_a_fault():
    site = demo_with(("dead_man_s = 30", "dead_man_s = 29.9"))

    # tick_s = 10: three ticks are 30 s
    assert len(words_of(site)) == 1
    assert "one lost write would trip it" in words_of(site)[0]


def test_the_band_may_reach_exactly_to_the_maximum():
    fits = demo_with(("pressure_max_bar_g = 8.0", "pressure_max_bar_g = 6.75\nband_width_bar = 0.37"))
    beyond = demo_with(("pressure_max_bar_g = 8.0", "pressure_max_bar_g = 6.74\nband_width_bar = 0.37"))

    # 6.3 + 0.08 + 0.37 = 6.75
    assert words_of(fits) == []
    assert any("the band does not fit" in what for what in words_of(beyond))


def test_two_prices_on_different_days_do_not_shadow_each_other():
    site = demo_with(
        (
            "periods = [",
            'periods = [{ days = "sat,sun", from = "07:00", to = "20:00", energy_price_per_kwh = 0.1 }, ',
        )
    )

    assert words_of(site) == []


def test_warnings_do_not_make_a_site_faulty(tmp_path, capsys):
    text = TEXT.replace("receiver_rated_bar_g = 11\n", "").replace("receiver_m3 = 15", "receiver_m3 = 2")
    (tmp_path / "site.toml").write_text(text, encoding="utf-8")

    status = check_command([str(tmp_path / "site.toml")])

    out = capsys.readouterr().out
    assert status == 0
    # 2 m3 x 0.25 bar / (1.013 bar x 16.6/60 m3/s) = 1.8 s, against a tick of 10 s and 3 s to load
    assert "Warning: the largest machine crosses the band of station 'air' in 1.8 s" in out
    assert "nothing says what its receiver stands" in out


def test_a_model_that_is_not_there_is_a_warning(tmp_path):
    (tmp_path / "site.toml").write_text(TEXT + '[models]\nair = "demand.onnx"\n', encoding="utf-8")

    found = review(tmp_path / "site.toml")

    assert found.site is not None
    assert [doubt.what for doubt in found.warnings] == [
        f"there is no model {tmp_path / 'demand.onnx'}: until it comes, 'air' is forecast by the naive rule"
    ]


def test_check_prints_json_with_the_three_answers(tmp_path, capsys):
    (tmp_path / "site.toml").write_text(TEXT.replace("Europe/Berlin", "Europe/Berlni"), encoding="utf-8")

    status = check_command([str(tmp_path / "site.toml"), "--json"])

    answer = json.loads(capsys.readouterr().out)
    assert status == 2
    assert answer["good"] is False
    assert answer["errors"][0]["fix"] == 'write timezone = "Europe/Berlin"'


def test_check_says_what_was_found_good(capsys):
    status = check_command([str(DEMO)])

    # four screws and two rooftop units with commands: 4 x 5 + 2 x 4 = 28 points to write
    assert status == 0
    assert capsys.readouterr().out == (
        f"{DEMO} is good: station 'air' with 4 machines (control); 2 zones on 2 units (control); "
        "82 tags on 8 devices, 28 of which may be written.\n"
    )


@pytest.mark.parametrize(
    ("place", "text"),
    [
        (("stations", "air", "machines", "c1", "full_power_kw"), "[stations.air.machines.c1] full_power_kw"),
        (("tariff", "periods", 0, "from"), "[tariff] periods[0].from"),
        (("tick_s",), "tick_s"),
        (("devices", "c 1", "host"), '[devices."c 1"] host'),
        ((), ""),
    ],
)
def test_a_place_is_named_in_the_words_of_the_file(place, text):
    assert place_text(place) == text


def test_lines_are_found_for_keys_tables_lists_and_what_stands_inside_a_line():
    text = (
        "tick_s = 1.0\n"  # 1
        "[site] # who\n"  # 2
        'id = "w"\n'  # 3
        "[[stations.air.shift_hours]]\n"  # 4
        'days = "mon"\n'  # 5
        "[[stations.air.shift_hours]]\n"  # 6
        'days = "tue"\n'  # 7
        "[devices.m.points]\n"  # 8
        'power = { unit = "kW" }\n'  # 9
        'peak.unit = "kW"\n'  # 10
    )

    lines = line_numbers(text)

    assert line_of(("tick_s",), lines) == 1
    assert line_of(("site", "id"), lines) == 3
    assert line_of(("stations", "air", "shift_hours", 1, "days"), lines) == 7
    assert line_of(("devices", "m", "points", "power", "unit"), lines) == 9
    assert line_of(("devices", "m", "points", "peak", "unit"), lines) == 10
    assert line_of(("hvac", "mode"), lines) is None


def test_the_nearest_word_is_found_without_regard_to_case_and_none_if_nothing_is_near():
    assert nearest("Full_Power", ["full_power_kw", "full_flow_m3_min"]) == "full_power_kw"
    assert nearest("colour", ["name", "mode"]) is None


def test_two_devices_on_one_controller_are_good_as_long_as_their_registers_differ():
    more = (
        '[devices.dryer]\ndriver = "modbus-tcp"\nhost = "127.0.0.1"\nport = 15020\nstale_after_s = 30\n'
        '[devices.dryer.points.dew_point]\nregister = "input"\naddress = {}\nunit = "degC"\n'
    )

    # the header's flow takes input registers 2 and 3
    apart = demo_with(more=more.format(4))
    together = demo_with(more=more.format(3))

    assert words_of(apart) == []
    assert words_of(together) == [
        "devices 'header' and 'dryer' are the same controller (127.0.0.1 port 15020 unit 1) and have 1 register "
        "in common"
    ]


def test_a_file_saved_by_a_windows_editor_reads_the_same(tmp_path):
    (tmp_path / "site.toml").write_bytes(b"\xef\xbb\xbf" + TEXT.replace("\n", "\r\n").encode())

    site = load_site(tmp_path / "site.toml")

    assert site.points == load_site(DEMO).points
