"""A model on its way: opened with distrust, replayed, run in the shadow, and only then allowed to plan."""

from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest

from agent.inference.model import load_model
from agent.update.job import Timeouts
from agent.update.replay import replay
from tests.update.conftest import START_AT
from tests.update.site_under_test import Site
from training.dataset import Frame
from training.fit import fit_target

TARGET = "air.demand_m3_min"
STEPS_A_DAY = 96
DAYS = 30
FIRST_AT = START_AT.replace(hour=0) - timedelta(days=DAYS)


def demand(seed: int = 5) -> np.ndarray:
    """Quarter hours up to START_AT: 12 m3/min at night, 30 from six to eighteen, noise of 1."""
    steps = np.arange(DAYS * STEPS_A_DAY + 32)
    works = (steps % STEPS_A_DAY >= 24) & (steps % STEPS_A_DAY < 72)
    return 12.0 + 18.0 * works + np.random.default_rng(seed).normal(0, 1, len(steps))


def fitted(values: np.ndarray) -> bytes:
    return fit_target(
        Frame(FIRST_AT, 900, {TARGET: values}),
        target=TARGET,
        unit="m3/min",
        step_s=900,
        horizon=STEPS_A_DAY,
        tz="Europe/Berlin",
        seed=1,
        quick=True,
        limits=(0.0, 70.68),
        train_end=FIRST_AT + timedelta(days=18),
    )


@pytest.fixture(scope="module")
def good_model() -> bytes:
    return fitted(demand())


@pytest.fixture(scope="module")
def bad_model() -> bytes:
    """Trained on noise: it expects anything at any time."""
    return fitted(np.random.default_rng(9).uniform(0.0, 70.0, len(demand())))


@pytest.fixture
async def site(fleet, tmp_path):
    site = Site(tmp_path / "site", fleet)
    await site.begin()
    site.daemon.stations["air"].foresight.history.load(FIRST_AT, list(demand()))
    yield site
    await site.end()


def model(fleet, content: bytes, name: str = TARGET, **fields):
    target = fleet.publish(f"models/demo/{name}.onnx", content)
    return fleet.assign(target, **{"timeouts": Timeouts(trial_s=3600.0)} | fields), target


async def test_a_good_model_plans_only_after_its_shadow_run_and_is_confirmed(fleet, site, good_model):
    for _ in range(10):
        await site.turn()
    _, target = model(fleet, good_model)
    site.look()

    trial = await site.until("trial")
    assert site.service.host.live(TARGET) is None
    while site.service.host.live(TARGET) is None:
        await site.turn()
    assert (site.clock.now() - START_AT).total_seconds() > 60
    confirmed = await site.until("confirmed", turns=400)

    assert trial["kind"] == confirmed["kind"] == "model"
    assert site.service.host.live(TARGET).sha256 == target.sha256
    assert site.service.running()["models"] == {TARGET: {"sha256": target.sha256, "source": "update"}}
    await site.restart()
    assert site.service.host.live(TARGET).sha256 == target.sha256

    assert (await site.ask("rollback", "model"))["ok"]
    assert site.service.host.live(TARGET) is None


async def test_a_model_that_loses_on_the_sites_last_days_never_plans(fleet, site, bad_model):
    model(fleet, bad_model)

    failed = await site.until("failed")

    assert "of the present model's" in failed["reason"]
    assert site.service.host.live(TARGET) is None


@pytest.mark.parametrize(
    ("content", "name", "said"),
    [
        (b"no ONNX at all", TARGET, "not_loadable"),
        (b"no ONNX at all", "water.demand_m3_min", "the site forecasts no"),
    ],
)
async def test_a_file_that_is_no_model_of_this_site_fails(fleet, site, content, name, said):
    model(fleet, content, name)

    assert said in (await site.until("failed"))["reason"]


async def test_a_model_for_another_time_zone_fails(fleet, site, good_model, tmp_path):
    from tests.update.site_under_test import site_text

    other = Site(tmp_path / "elsewhere", fleet, site_text(("Europe/Berlin", "Europe/London")))
    await other.begin()
    model(fleet, good_model)

    assert "the file is for" in (await other.until("failed"))["reason"]
    await other.end()


def test_replay_judges_only_what_the_model_was_not_trained_on(good_model, bad_model):
    from agent.daemon.outlook import demand_spec
    from agent.inference.series import Series
    from tests.update.site_under_test import EXAMPLE, ROOT

    site = _station(EXAMPLE, ROOT)
    spec = demand_spec("air", site.stations["air"], "Europe/Berlin")
    history = Series(FIRST_AT, 900, demand())

    good = replay(spec, load_model(good_model), None, history)
    bad = replay(spec, load_model(bad_model), None, history)
    none = replay(spec, load_model(good_model), None, Series(FIRST_AT, 900, demand()[: 17 * STEPS_A_DAY]))

    # 16 origins of 13 h each reach 8.7 days back, the training ended 12.3 days ago; two have no whole day after.
    assert (good.made, good.judged) == (16, 15)
    assert good.ratio < 1.1
    assert bad.loses
    assert (none.made, none.judged) == (0, 0)


def _station(text, root):
    from agent.config.load import parse_site

    return parse_site(text, root)
