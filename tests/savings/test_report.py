"""The report without a twin, as a gateway gives it: figures and regression, a loss shown as one, refusals in words."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from agent.config.load import load_site
from agent.errors import ConfigError, DataError, StoreError
from agent.savings.as_json import as_dict
from agent.savings.command import command
from agent.savings.counterfactual import StationFit, TwinRun
from agent.savings.counterfactual import fit as fit_station
from agent.savings.counterfactual import saving as simulated_saving
from agent.savings.figure import Saving, Unsupported
from agent.savings.html import page
from agent.savings.measured import StationMinutes
from agent.savings.report import Ask, Counterfactual, Report, make_report
from agent.store.history import History
from tests.savings.minutes import START, day, minutes

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "station_7bar" / "site.toml"
SITE = load_site(EXAMPLE).model_copy(
    update={"site": load_site(EXAMPLE).site.model_copy(update={"timezone": "UTC"})}
)


def two_weeks(factor: float) -> StationMinutes:
    """Ten days in OBSERVE at 20 kW + 4 kW per m3/min, then four in CONTROL at `factor` times that."""
    days, ruled = 14, np.repeat(np.arange(14) >= 10, 1440)
    air = np.repeat([10.0, 12.0, 8.0, 14.0, 11.0, 5.0, 3.0] * 2, 1440)
    wobble = np.repeat([3.0, -2.0, 1.0, -3.0, 2.0, -1.0, 0.5] * 2, 1440)
    power = (20.0 + 4.0 * air + wobble) * np.where(ruled, factor, 1.0)
    given = minutes(days * 1440, power_a=power, demand=air, flow=air, mode=np.where(ruled, 2.0, 0.0))
    # The site has four machines; the other three stand.
    still = np.zeros((given.count, 2))
    wide = {
        key: np.hstack([getattr(given, key), still])
        for key in ("power_kw", "running", "loaded", "output_share")
    }
    return StationMinutes(
        START, ("c1", "c2", "c3", "c4"), **wide, pressure_bar_g=given.pressure_bar_g,
        demand_m3_min=given.demand_m3_min, flow_m3_min=given.flow_m3_min, mode=given.mode,
    )  # fmt: skip


def report(factor: float, ask: Ask | None = None) -> Report:
    return make_report(SITE, "air", two_weeks(factor), ask or Ask(), None)


def test_report_begins_with_the_first_day_in_control_and_fits_on_the_days_before():
    found = report(0.9)

    assert found.kind == "saved"
    assert [d.period.label for d in found.days] == ["2026-03-12", "2026-03-13", "2026-03-14", "2026-03-15"]
    assert len(found.baseline_days) == 10


def test_gateway_gives_the_regression_and_says_why_there_is_no_simulation():
    found = as_dict(report(0.9))

    # A tenth less than the line, apart from the wobble of a few kW in 60.
    assert found["regression"]["saving"]["share"] == pytest.approx(0.1, abs=0.02)
    low, high = found["regression"]["saving"]["share_interval"]
    assert low < 0.1 < high
    assert found["counterfactual"]["available"] is False
    assert "twin is not installed" in found["counterfactual"]["why"]


def test_loss_is_shown_as_one_in_the_colours_and_the_place_of_a_saving():
    gain, loss = page([report(0.9)]), page([report(1.1)])

    shown = re.search(r'<div class="share">(.*?)</div>', loss)
    assert shown is not None
    assert shown[1].startswith("−")
    assert float(shown[1].replace("−", "-").split()[0]) == pytest.approx(-10.0, abs=2.0)

    def skeleton(html: str) -> list[str]:
        return re.findall(
            r'class="([^"]+)"', html[: html.index("</section>")].split("Energy per day", maxsplit=1)[0]
        )

    assert skeleton(loss) == skeleton(gain)


def test_observed_days_alone_have_no_regression_saving_without_a_twin():
    found = as_dict(report(0.9, Ask(to_at=START + timedelta(days=10))))

    assert found["kind"] == "would have saved"
    assert found["counterfactual"]["available"] is False
    assert found["regression"]["available"] is False
    assert found["regression"]["model"]["days"] == 10


def test_span_outside_the_store_is_an_error_that_names_what_there_is():
    with pytest.raises(DataError, match="holds nothing") as caught:
        report(0.9, Ask(from_at=START + timedelta(days=60)))

    assert "2026-03-02 00:00 to 2026-03-16 00:00" in caught.value.fix


def test_days_in_part_are_left_out_of_the_saving():
    given = two_weeks(0.9)
    given.power_kw[11 * 1440 : 11 * 1440 + 300] = np.nan

    found = make_report(SITE, "air", given, Ask(), None)

    # 1140 of 1440 minutes are 79 %.
    assert [d.counts for d in found.days] == [True, False, True, True]
    assert found.days[1].coverage == pytest.approx(1140 / 1440)
    assert page([found])


def perfect_twin(error_kwh_day: float):
    """A twin that knows the plant's law, off by a constant."""

    def twin(site, station_id, given, *, fit_on, spans) -> TwinRun:
        assert fit_on.sum() == 10 * 1440
        power = 20.0 + 4.0 * given.demand_m3_min + error_kwh_day / 24.0
        return TwinRun("the law", dict.fromkeys(spans, power), {}, 15.0, 15.0, 1.0, ())

    return twin


def test_simulation_is_fitted_to_the_observed_days_and_its_error_shown():
    found = make_report(SITE, "air", two_weeks(0.9), Ask(), perfect_twin(240.0))

    assert isinstance(found.counterfactual, Counterfactual)
    fitted = found.counterfactual.fitted
    # The law's days mean 24 x 56.2 + wobble 0.05: the twin is 240 above.
    assert fitted.bias_before == pytest.approx(240.0 / (24.0 * 55.95), abs=0.01)
    assert fitted.with_offset
    # Control days at 14, 11, 5 and 3 m3/min: 24 x (4 x 20 + 4 x 33), the 240 a day taken off again.
    assert found.counterfactual.expected_kwh.sum() == pytest.approx(24.0 * 212.0, rel=0.02)
    low, high = found.counterfactual.saving.share_interval
    assert low < 0.1 < high
    assert found.headline == found.counterfactual.saving


def test_simulated_saving_by_hand_with_a_scale_alone():
    # Measured 90 and 110 % of 100 in turn: the scale is 1 and the residuals +-10.
    days = [day(i, 110.0 if i % 2 else 90.0, 100.0) for i in range(8)]
    fitted = fit_station(days, np.full(8, 100.0))
    assert isinstance(fitted, StationFit)

    found = simulated_saving(fitted, [day(20, 80.0, 100.0)], np.array([100.0]), simulated_is="baseline")
    would = simulated_saving(fitted, [day(20, 100.0, 100.0)], np.array([80.0]), simulated_is="agent")

    assert fitted.scale == pytest.approx(1.0)
    # Leaving one of eight equal days out moves the mean by an eighth: 10 x 8/7 of 100.
    assert fitted.cv_rmse == pytest.approx(0.1 * 8.0 / 7.0)
    assert found.saved_kwh == pytest.approx(20.0)
    assert found.share == pytest.approx(0.2)
    assert would.saved_kwh == pytest.approx(20.0)
    assert would.baseline_kwh == pytest.approx(100.0)
    # A single day is off by 11.4, and t(7) is 1.2 times the normal's: about 14 to either side.
    assert 10.0 < found.high_kwh - found.saved_kwh < 20.0


def test_six_days_do_not_fit_a_twin():
    refused = fit_station([day(i, 100.0, 100.0) for i in range(6)], np.full(6, 100.0))

    assert isinstance(refused, Unsupported)


@pytest.fixture(scope="module")
def state(tmp_path_factory) -> Path:
    """Nine days in OBSERVE and three in CONTROL that use a tenth more, in a store on disk."""
    tmp_path = tmp_path_factory.mktemp("state")
    start = datetime(2026, 3, 1, 23, tzinfo=UTC)
    rows: list[tuple[datetime, str, float | None]] = []
    for minute in range(12 * 1440):
        at, number = start + timedelta(minutes=minute), minute // 1440
        air = 10.0 + 5.0 * (number % 3) + (number % 2)
        power = (20.0 + 4.0 * air + (number % 4)) * (1.1 if number >= 9 else 1.0)
        rows += [
            (at, "air.demand_m3_min", air),
            (at, "air.mode", 2.0 if number >= 9 else 0.0),
            (at, "c1.power_kw", power),
            *((at, f"c{i}.power_kw", 0.0) for i in (2, 3, 4)),
        ]
    with closing(History(tmp_path / "history.db", 60)) as history:
        history.load(rows)
    (tmp_path / "site.toml").write_text(EXAMPLE.read_text(encoding="utf-8"), encoding="utf-8")
    return tmp_path


def test_command_on_a_machine_with_the_agent_alone_reports_a_loss_with_exit_code_1(state: Path):
    # The daemon may hold the store at the same time: nothing of this locks it.
    program = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("twin", "rich"):
            raise ModuleNotFoundError(name, name=name)
sys.meta_path.insert(0, Absent())
from agent.cli import main
sys.exit(main(sys.argv[1:]))
"""
    with closing(History(state / "history.db", 60)):
        run = subprocess.run(
            [sys.executable, "-c", program, "report", str(state), "--by", "week", "--json"],
            capture_output=True,
            text=True,
            timeout=60,
        )

    assert run.stderr == ""
    assert run.returncode == 1
    found = json.loads(run.stdout)
    assert found["regression"]["saving"]["share"] == pytest.approx(-0.1, abs=0.02)
    assert "twin is not installed" in found["counterfactual"]["why"]
    # What was never recorded is unknown, not zero.
    assert found["total"]["mean_pressure_bar_g"] is None
    assert found["total"]["starts"] == {"c1": None, "c2": None, "c3": None, "c4": None}
    assert found["total"]["idle_share"] is None


def test_command_prints_a_table_and_the_saving_for_people(state: Path, capsys):
    command([str(state), "--from", "2026-03-11", "--station", "air"])

    said = capsys.readouterr().out
    assert "2026-03-11" in said
    assert "against the energy baseline: -" in said
    assert "%; 95 % interval" in said


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        (["{tmp}"], ConfigError, "holds no site.toml"),
        ([str(EXAMPLE), "--state", "{tmp}"], StoreError, "there is no history"),
        ([str(EXAMPLE), "--station", "water"], ConfigError, "no station 'water'"),
    ],
)
def test_command_says_what_is_missing(tmp_path: Path, arguments, error, says):
    with pytest.raises(error, match=says):
        command([argument.format(tmp=tmp_path) for argument in arguments])


def test_saving_shares_are_of_the_baseline():
    found = Saving(saved_kwh=-50.0, low_kwh=-80.0, high_kwh=-20.0, baseline_kwh=1000.0, actual_kwh=1050.0)

    assert found.share == -0.05
    assert found.share_interval == (-0.08, -0.02)
