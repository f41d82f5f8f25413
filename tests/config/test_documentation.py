"""docs/configuration.md and the JSON Schema say what the code says."""

from __future__ import annotations

import json
import re
from pathlib import Path

from agent.config.command import schema_command
from agent.config.load import parse_site
from agent.config.reference import key_tables

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")


def test_the_pages_tables_are_those_of_the_schema():
    marked = re.search(
        r"<!-- trimload schema --markdown: begin -->\n(.*)<!-- trimload schema --markdown: end -->",
        PAGE,
        re.DOTALL,
    )

    assert marked is not None
    assert marked[1].strip() == key_tables().strip(), (
        "put the output of `trimload schema --markdown` between the marks of docs/configuration.md"
    )


def test_every_link_of_the_page_leads_to_a_file():
    links = re.findall(r"\]\((\.\./[^)]+)\)", PAGE)

    assert links
    assert [link for link in links if not (ROOT / "docs" / link).resolve().is_file()] == []


def test_the_toml_of_the_page_fits_the_schema():
    snippets = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    snippets = [re.sub(r"(?m)^   ", "", snippet) for snippet in snippets]
    header, machine, change = snippets
    rest = (
        '[site]\nid = "works"\n[stations.air]\npressure = "header.pressure"\npressure_min_bar_g = 6.3\n'
        'pressure_max_bar_g = 8.0\nreceiver_m3 = 15\n[devices.c1]\ndriver = "modbus-tcp"\nhost = "h"\n'
        'profile = "trimload-screw"\n'
    )
    nameplate = "full_flow_m3_min = 16.3\nfull_power_kw = 98\nunloaded_power_kw = 20.5\n"

    site = parse_site(rest + header + machine + nameplate + change, Path("/nowhere"))

    assert site.stations["air"].machines["c2"].tag("running") == "plc.k2_running"
    # the change replaces the profile's scale of 0.1 and keeps its address
    assert (site.points["c1.power_kw"].scale, site.points["c1.power_kw"].address) == (1.0, 1)


def test_schema_command_prints_a_json_schema_with_the_names_of_the_file(capsys):
    status = schema_command([])

    schema = json.loads(capsys.readouterr().out)
    assert status == 0
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert "register" in schema["$defs"]["Point"]["properties"]
    assert schema["required"] == ["site", "devices"]


def test_schema_command_prints_the_tables_for_people(capsys):
    schema_command(["--markdown"])

    assert capsys.readouterr().out.strip() == key_tables().strip()
