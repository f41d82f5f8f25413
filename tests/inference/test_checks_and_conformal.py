import numpy as np

from agent.inference.checks import InputLimits, check_history, longest_flat_run
from agent.inference.conformal import BOUND, PastForecast, offsets
from tests.inference.load_plant import STEP_S, plant

LIMITS = InputLimits(seen_low=5.0, seen_high=35.0, max_flat_steps=2)


def test_a_sound_history_passes():
    checked = check_history(plant(7), LIMITS, step_s=STEP_S)

    assert checked.reason is None
    assert np.isfinite(checked.values).all()


def test_a_frozen_sensor_is_found_and_its_values_are_dropped():
    history = plant(7)
    history[-5:] = history[-5]

    checked = check_history(history, LIMITS, step_s=STEP_S)

    assert checked.reason == "input_frozen"
    assert np.isnan(checked.values[-5:]).all()
    assert np.isfinite(checked.values[:-5]).all()


def test_a_tenfold_unit_error_is_found():
    history = plant(7)
    history[-24:] *= 10

    checked = check_history(history, LIMITS, step_s=STEP_S)

    assert checked.reason == "input_out_of_range"
    assert np.isnan(checked.values[-24:]).all()


def test_values_that_stand_for_more_than_a_day_or_at_the_bottom_are_kept_for_the_naive_rule():
    long, off = plant(7), plant(7)
    long[-30:] = 21.0
    off[-5:] = 5.2

    for history in (long, off):
        checked = check_history(history, LIMITS, step_s=STEP_S)

        assert checked.reason == "input_frozen"
        assert np.isfinite(checked.values).all()


def test_a_plant_that_has_grown_for_two_days_is_followed_by_the_naive_rule():
    history = plant(7)
    history[-48:] += 60

    checked = check_history(history, LIMITS, step_s=STEP_S)

    assert checked.reason == "input_out_of_range"
    assert np.isfinite(checked.values).all()


def test_missing_days_and_missing_last_hours_have_their_own_reasons():
    day, hours = plant(7), plant(7)
    day[-20:] = np.nan
    hours[-2:] = np.nan

    assert check_history(day, LIMITS, step_s=STEP_S).reason == "input_missing"
    assert check_history(hours, LIMITS, step_s=STEP_S).reason == "input_missing_recent"


def test_the_longest_flat_run_ignores_gaps():
    values = np.array([1, 2, 2, 2, np.nan, np.nan, np.nan, np.nan, np.nan, 3, 3])

    assert longest_flat_run(values) == 3


def band(level=10.0, half=1.0, horizon=24):
    return np.tile([level - half, level, level + half], (horizon, 1))


def test_no_past_means_no_offset():
    assert not offsets([], band(), step_s=STEP_S, floor=0.01).any()


def test_offsets_move_a_biased_forecast_towards_the_truth():
    past = [PastForecast(float(day), band(), np.full(24, 10.8)) for day in range(1, 15)]

    shift = offsets(past, band(), step_s=STEP_S, floor=0.01)

    # The median was 0.8 too low on each of 14 days; shrinkage leaves most of it.
    assert 0.4 < shift[0, 1] <= 0.8


def test_offsets_are_bounded_however_wild_the_errors():
    past = [PastForecast(float(day), band(), np.full(24, 1e6)) for day in range(1, 15)]

    shift = offsets(past, band(half=2.0), step_s=STEP_S, floor=0.01)

    assert np.abs(shift).max() <= BOUND * 2.0 + 1e-12


def test_a_band_that_is_too_narrow_widens_until_it_covers():
    rng = np.random.default_rng(1)
    past = [PastForecast(float(day), band(half=0.5), 10 + rng.normal(0, 1, 24)) for day in range(1, 15)]

    fixed = band(half=0.5) + offsets(past, band(half=0.5), step_s=STEP_S, floor=0.01)
    truth = 10 + rng.normal(0, 1, (200, 24))

    before = ((truth >= 9.5) & (truth <= 10.5)).mean()
    after = ((truth >= fixed[:, 0]) & (truth <= fixed[:, 2])).mean()
    assert before < 0.45
    assert 0.60 < after < 0.85
