"""A start costs what keeps their number near the site's habit, and never more than its bound."""

import pytest

from agent.control.start_price import StartHabit, StartPrice

HOUR_S = 3600.0


def days(price: StartPrice, count: int, starts_a_day: int, demand_m3_min: float = 10.0) -> None:
    """Evenly over each day."""
    for hour in range(24 * count):
        due = (hour + 1) * starts_a_day // 24 - hour * starts_a_day // 24
        price.see(due, demand_m3_min, HOUR_S)


def test_price_stays_where_no_habit_is_known():
    price = StartPrice(8.0, None)

    days(price, 7, 40)

    assert price.factor == 1.0


def test_price_rises_with_starts_beyond_the_budget_and_falls_back_in_quiet_days():
    price = StartPrice(8.0, 6.0)

    days(price, 1, 6)
    assert price.factor == pytest.approx(1.0, abs=0.2)
    days(price, 1, 9)
    # A third of 9 starts is half a day's budget of 6 too many: e^(2 * 0.5), less what was saved.
    assert 1.6 < price.factor < 3.0
    days(price, 2, 0)
    assert price.factor == 1.0


def test_price_is_bounded_where_a_site_asks_for_fewer_starts_and_tighter_where_it_is_habit():
    asked, habit = StartPrice(8.0, 2.0), StartPrice(8.0, None)
    habit.learn(StartHabit(2.0, 10.0))

    days(asked, 3, 50)
    days(habit, 3, 50)

    assert asked.factor == pytest.approx(5.0)  # 40 of 8 minutes
    assert 1.0 < habit.factor < asked.factor


def test_what_was_overspent_is_made_good_for_before_the_price_falls():
    price = StartPrice(8.0, 6.0)

    days(price, 1, 12)
    days(price, 1, 6)

    # A day's budget too many, and a day that kept to it: still owed, so the dearest price stands.
    assert price.factor == pytest.approx(5.0)
    days(price, 1, 0)
    assert price.factor < 1.5


def test_what_the_site_asks_for_wins_over_its_habit():
    price = StartPrice(8.0, 12.0)
    price.learn(StartHabit(3.0, 10.0))

    assert price.budget_per_day == 12.0


def test_budget_accrues_with_the_air_that_is_taken():
    # Seven starts a week, five working days: 1.4 on each, none at the week-end.
    price = StartPrice(8.0, None)
    price.learn(StartHabit(1.0, 10.0))

    for _ in range(5):
        price.see(1, 14.0, 24 * HOUR_S)

    assert price.factor == 1.0
