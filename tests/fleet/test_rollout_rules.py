"""Rings, thresholds and time-outs of a roll-out, on data alone."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import DataError
from agent.update.job import Kind, State, Target, Timeouts
from fleet.rollout.decide import (
    OVER,
    Phase,
    Rollout,
    Row,
    Verdict,
    Wish,
    abort,
    approve,
    counts,
    heard,
    judge,
    pause,
    resume,
    waits_for_approval,
    where_it_stands,
)
from fleet.rollout.plan import Plan, Ring, approvals, require_sound, rings_of
from fleet.standing import read_standing

AT = datetime(2026, 12, 1, 8, 0, tzinfo=UTC)
TARGETS = (Target("agent/1.1.0-0a0b0c0d/manifest.json", "a" * 64, 100),)
RELEASE = "1.1.0-0a0b0c0d"


def later(seconds: float) -> datetime:
    return AT + timedelta(seconds=seconds)


def begun(*sizes: int, **options) -> Rollout:
    """A roll-out with rings of these sizes: sites a0, a1 in the first, b0 in the second."""
    rings = tuple(
        Ring(str(size), tuple(f"{'abcd'[number]}{n}" for n in range(size)))
        for number, size in enumerate(sizes)
    )
    plan = Plan("r1", Kind.AGENT, RELEASE, rings, **({"soak_s": 100.0, "per_minute": 1000} | options))
    rows = {site: Row(site, number, TARGETS) for number, ring in enumerate(rings) for site in ring.sites}
    return Rollout(plan, rows, since_at=AT)


def word(
    rollout: Rollout, site: str, state: str, *, job: str | None = None, runs: str = RELEASE, reason: str = ""
):
    row = {
        "id": job or rollout.plan.job_id(site),
        "kind": "agent",
        "counter": 1,
        "state": state,
        "reason": reason,
    }
    return read_standing({"running": {"agent": {"version": "1.1.0", "release": runs}}, "jobs": [row]})


def say(rollout: Rollout, now: datetime, **states: str) -> Rollout:
    rows = dict(rollout.rows)
    for site, state in states.items():
        runs = RELEASE if state in {"trial", "confirmed"} else "1.0.0-00000000"
        rows[site] = heard(rollout.plan, rows[site], word(rollout, site, state, runs=runs), now)
    return replace(rollout, rows=rows)


def given_to(rollout: Rollout) -> set[str]:
    return {site for site, row in rollout.rows.items() if row.given_at is not None}


def test_only_the_canary_is_given_the_job_at_first():
    rollout = judge(begun(1, 3), AT).rollout

    assert given_to(rollout) == {"a0"}
    assert rollout.rows["a0"].wish is Wish.GIVE


def test_the_next_ring_begins_after_success_and_soak():
    rollout = say(judge(begun(1, 3), AT).rollout, later(10), a0="confirmed")

    rollout = judge(rollout, later(20)).rollout
    soaking = judge(rollout, later(119)).rollout
    after = judge(judge(rollout, later(121)).rollout, later(122)).rollout

    assert "soaks until 2026-12-01T08:02:00Z" in where_it_stands(soaking, later(119))
    assert given_to(soaking) == {"a0"}
    assert given_to(after) == {"a0", "b0", "b1", "b2"}


def test_a_canary_that_rolls_back_stops_the_rollout():
    rollout = say(judge(begun(1, 3), AT).rollout, later(10), a0="rolled_back")

    rollout = judge(rollout, later(11)).rollout

    assert (rollout.phase, rollout.reason) == (Phase.STOPPED, "ring 1: 1 of 1 failed, 5% may")
    assert given_to(judge(rollout, later(10_000)).rollout) == {"a0"}


def test_stopping_takes_back_what_is_not_over_and_nothing_else():
    rollout = say(judge(begun(3), AT).rollout, later(10), a0="failed", a1="confirmed", a2="waiting")

    rollout = judge(rollout, later(11)).rollout

    wishes = {site: row.wish for site, row in rollout.rows.items()}
    assert wishes == {"a0": Wish.GIVE, "a1": Wish.GIVE, "a2": Wish.TAKE_BACK}


def test_a_failure_within_the_share_does_not_stop():
    """5 % of 40 are 2 sites; 95 % of 40 are 38 confirmed."""
    rollout = judge(begun(40, 1), AT).rollout
    rollout = say(rollout, later(10), a0="failed", a1="rejected")
    rollout = say(rollout, later(10), **{f"a{n}": "confirmed" for n in range(2, 40)})

    rollout = judge(rollout, later(11)).rollout

    assert rollout.phase is Phase.RUNNING
    assert rollout.passed_at == later(11)


def test_the_count_of_errors_stops_where_the_share_would_not():
    rollout = say(judge(begun(40, 1, error_count=1), AT).rollout, later(10), a0="failed")

    assert judge(rollout, later(11)).rollout.reason == "1 sites failed, fewer than 1 may"


def test_a_ring_that_is_over_without_enough_success_stops():
    """Half may fail, and half does: 2 of 4 confirmed are fewer than the 95 % wanted."""
    rollout = judge(begun(4, 1, error_share=0.5), AT).rollout
    rollout = say(rollout, later(10), a0="failed", a1="failed", a2="confirmed", a3="confirmed")

    assert judge(rollout, later(11)).rollout.reason == "ring 4: 2 of 4 confirmed, 4 wanted"


def test_a_site_that_was_never_heard_of_counts_as_failed_after_its_limit():
    rollout = begun(1, 1, timeouts=Timeouts(100, 200, 50, 50), grace_s=10)
    rollout = judge(rollout, AT).rollout

    in_time = judge(rollout, later(110)).rollout
    late = judge(rollout, later(111)).rollout

    assert in_time.rows["a0"].verdict is Verdict.OPEN
    assert (late.rows["a0"].verdict, late.rows["a0"].reason) == (Verdict.BAD, "timed out: never heard of")
    assert late.rows["a0"].wish is Wish.TAKE_BACK
    assert late.phase is Phase.STOPPED


@pytest.mark.parametrize(
    ("state", "limit_s"), [("downloading", 100), ("waiting", 200), ("installing", 50), ("trial", 50)]
)
def test_a_site_that_stays_in_a_state_beyond_its_limit_counts_as_failed(state, limit_s):
    rollout = judge(begun(1, 1, timeouts=Timeouts(100, 200, 50, 50), grace_s=10), AT).rollout
    rollout = say(rollout, later(5), a0=state)

    assert judge(rollout, later(5 + limit_s + 10)).rollout.rows["a0"].verdict is Verdict.OPEN
    assert judge(rollout, later(5 + limit_s + 11)).rollout.rows["a0"].verdict is Verdict.BAD


def test_a_site_that_takes_too_long_in_all_counts_as_failed_though_no_state_is_overdue():
    """100 + 200 + 50 + 50 s, and 10 s of silence."""
    rollout = judge(begun(1, timeouts=Timeouts(100, 200, 50, 50), grace_s=10), AT).rollout
    for at_s, state in ((90, "accepted"), (180, "downloading"), (270, "verified"), (360, "waiting")):
        rollout = judge(say(rollout, later(at_s), a0=state), later(at_s)).rollout

    assert judge(rollout, later(410)).rollout.rows["a0"].verdict is Verdict.OPEN
    late = judge(rollout, later(411)).rollout.rows["a0"]

    assert (late.verdict, late.reason) == (Verdict.BAD, "timed out: not over after 411 s")


def test_a_site_whose_job_was_withdrawn_by_hand_is_out():
    rollout = say(judge(begun(1, 1), AT).rollout, later(5), a0="cancelled")

    assert rollout.rows["a0"].verdict is Verdict.OUT
    assert judge(rollout, later(6)).rollout.reason == "ring 1: 0 of 0 confirmed, 1 wanted"


def test_a_ring_that_loses_its_success_again_soaks_anew():
    """19 of 20 are wanted, 2 may fail: one taken back by hand, and the twentieth confirmed 90 s later."""
    rollout = judge(begun(20, 1, error_share=0.1), AT).rollout
    rollout = judge(say(rollout, AT, **{f"a{n}": "confirmed" for n in range(19)}), later(1)).rollout
    rollout = judge(say(rollout, later(50), a0="rolled_back"), later(50)).rollout
    assert rollout.passed_at is None

    rollout = judge(say(rollout, later(90), a19="confirmed"), later(90)).rollout

    assert rollout.passed_at == later(90)
    assert given_to(judge(rollout, later(189)).rollout) == set(rollout.plan.rings[0].sites)


def test_the_same_state_for_another_reason_does_not_begin_its_time_anew():
    rollout = judge(begun(1, timeouts=Timeouts(100, 200, 50, 50), grace_s=10), AT).rollout
    rollout = say(rollout, later(5), a0="trial")
    row = heard(rollout.plan, rollout.rows["a0"], word(rollout, "a0", "trial", reason="no plan"), later(60))

    assert (row.reason, row.state_at) == ("no plan", later(5))


def test_a_site_that_says_confirmed_and_runs_something_else_is_not_believed():
    rollout = judge(begun(1, 1), AT).rollout

    row = heard(
        rollout.plan, rollout.rows["a0"], word(rollout, "a0", "confirmed", runs="1.0.0-00000000"), later(5)
    )

    assert (row.verdict, row.reason) == (Verdict.OPEN, "confirmed, but something else runs there")


def test_a_site_that_is_taken_back_by_hand_later_counts_as_failed():
    rollout = say(judge(begun(1, 3), AT).rollout, later(10), a0="confirmed")
    rollout = judge(judge(judge(rollout, later(11)).rollout, later(112)).rollout, later(113)).rollout
    assert len(given_to(rollout)) == 4

    rollout = judge(say(rollout, later(200), a0="rolled_back"), later(201)).rollout

    assert rollout.phase is Phase.STOPPED
    assert rollout.rows["b0"].wish is Wish.TAKE_BACK


def test_the_word_of_another_job_changes_nothing_before_our_own_was_heard_of():
    rollout = judge(begun(1), AT).rollout
    row = rollout.rows["a0"]

    assert heard(rollout.plan, row, word(rollout, "a0", "confirmed", job="old"), later(5)) is row


def test_a_site_whose_job_was_superseded_is_out_and_counts_neither_way():
    rollout = say(judge(begun(2, 1), AT).rollout, later(5), a0="waiting", a1="confirmed")
    rows = dict(rollout.rows)
    rows["a0"] = heard(rollout.plan, rows["a0"], word(rollout, "a0", "offered", job="by-hand"), later(6))

    rollout = judge(replace(rollout, rows=rows), later(7)).rollout

    assert rollout.rows["a0"].verdict is Verdict.OUT
    assert rollout.passed_at == later(7)


def test_the_pace_holds_within_any_minute():
    rollout = begun(50, per_minute=20)

    rollout = judge(rollout, AT).rollout
    assert len(given_to(rollout)) == 20
    assert len(given_to(judge(rollout, later(59)).rollout)) == 20
    rollout = judge(rollout, later(61)).rollout
    assert len(given_to(rollout)) == 40


def test_a_paused_rollout_gives_nobody_the_job_and_goes_on_when_resumed():
    rollout = pause(begun(1, 1), "anna: a visitor", AT)

    assert given_to(judge(rollout, later(1)).rollout) == set()
    assert where_it_stands(rollout, AT) == "paused: anna: a visitor"
    assert given_to(judge(resume(rollout, later(2)), later(2)).rollout) == {"a0"}


def test_a_failure_stops_a_paused_rollout_too():
    rollout = pause(judge(begun(1, 1), AT).rollout, "lunch", AT)

    assert judge(say(rollout, later(5), a0="failed"), later(6)).rollout.phase is Phase.STOPPED


def test_an_aborted_rollout_takes_open_jobs_back_and_never_goes_on():
    rollout = abort(judge(begun(1, 1), AT).rollout, "anna: wrong release", AT)

    assert rollout.rows["a0"].wish is Wish.TAKE_BACK
    assert judge(say(rollout, later(9), a0="confirmed"), later(1e6)).rollout.phase is Phase.ABORTED


def test_a_ring_that_wants_approval_waits_for_it():
    rollout = begun(1, 2, 3, approve=approvals("canary", 3))
    rollout = judge(say(judge(rollout, AT).rollout, later(1), a0="confirmed"), later(2)).rollout

    waiting = judge(rollout, later(1000)).rollout
    assert waits_for_approval(waiting)
    assert "waits for approval" in where_it_stands(waiting, later(1000))
    assert given_to(waiting) == {"a0"}

    gone_on = judge(judge(approve(waiting), later(1001)).rollout, later(1002)).rollout
    assert given_to(gone_on) == {"a0", "b0", "b1"}
    assert not waits_for_approval(gone_on)


def test_a_rollout_is_done_when_every_site_has_come_to_an_end():
    rollout = judge(begun(20, error_share=0.05), AT).rollout
    rollout = say(rollout, later(10), **{f"a{n}": "confirmed" for n in range(19)})
    rollout = judge(judge(rollout, later(11)).rollout, later(200)).rollout
    assert rollout.phase is Phase.RUNNING

    rollout = judge(say(rollout, later(300), a19="failed"), later(301)).rollout

    assert (rollout.phase, rollout.reason) == (Phase.DONE, "19 of 20 confirmed")


def test_rings_are_counts_and_shares_of_all_with_the_canaries_first():
    sites = [f"s{n:02d}" for n in range(40)]

    rings = rings_of(sites, "2,10%,50%", canaries=["s07"], seed="r1")

    assert [(ring.name, len(ring.sites)) for ring in rings] == [
        ("2", 2),
        ("10%", 2),
        ("50%", 16),
        ("100%", 20),
    ]
    assert rings[0].sites[0] == "s07"
    assert sorted(site for ring in rings for site in ring.sites) == sites
    assert rings == rings_of(list(reversed(sites)), "2,10%,50%", canaries=["s07"], seed="r1")


def test_rings_that_bring_nobody_new_are_left_out():
    assert [ring.name for ring in rings_of(["a", "b", "c"], "1,10%,50%,100%")] == ["1", "50%", "100%"]


@pytest.mark.parametrize("text", ["", "x", "0", "-1", "50%,10%", "110%", "1,,100%", "nan%"])
def test_rings_that_make_no_sense_are_refused(text):
    with pytest.raises(DataError):
        rings_of([f"s{n}" for n in range(40)], text)


@pytest.mark.parametrize(
    "fault",
    [
        {"id": "r 1"},
        {"id": "r-1"},
        {"rings": ()},
        {"rings": (Ring("1", ("s" * 78,)),)},
        {"success_share": 0.0},
        {"error_share": 1.0},
        {"error_count": 0},
        {"soak_s": -1.0},
        {"per_minute": 0},
        {"grace_s": 0.0},
        {"timeouts": Timeouts(trial_s=0)},
    ],
)
def test_a_plan_that_could_not_do_what_it_says_is_refused(fault):
    with pytest.raises(DataError):
        require_sound(replace(begun(1).plan, **fault))


STATES = st.sampled_from([state.value for state in State])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("wait"), st.sampled_from([1.0, 50.0, 101.0, 700.0])),
        st.tuples(st.sampled_from(["a0", "a1", "b0", "b1", "b2", "c0"]), STATES),
        st.tuples(st.sampled_from(["pause", "resume", "approve", "abort"]), st.none()),
    ),
    max_size=60,
)


@given(STEPS)
def test_whatever_happens_no_ring_begins_before_its_time_and_no_site_is_asked_twice(steps):
    rollout, now = begun(2, 3, 1, approve=frozenset({2}), timeouts=Timeouts(300, 300, 300, 300)), AT
    given_at: dict[str, datetime] = {}
    approved = False
    for what, argument in steps:
        before = rollout
        if what == "wait":
            now += timedelta(seconds=argument)
        elif what == "pause" and rollout.phase not in OVER:
            rollout = pause(rollout, "", now)
        elif what == "resume" and rollout.phase is Phase.PAUSED:
            rollout = resume(rollout, now)
        elif what == "approve" and waits_for_approval(rollout):
            approved = True
            rollout = approve(rollout)
        elif what == "abort" and rollout.phase not in OVER:
            rollout = abort(rollout, "", now)
        elif what in rollout.rows:
            rollout = say(rollout, now, **{what: argument})
        may_give = rollout.phase is Phase.RUNNING
        rollout = judge(rollout, now).rollout

        for site in given_to(rollout):
            assert given_at.setdefault(site, rollout.rows[site].given_at) == rollout.rows[site].given_at
        if given_to(rollout) - given_to(before):
            assert may_give
        if before.phase in OVER:
            assert rollout.phase is before.phase
        rings = counts(rollout)
        for number, ring in enumerate(rings[1:], start=1):
            if ring.given and not rings[number - 1].out:
                # It had passed then; since then a confirmed site may have been taken back by hand.
                assert rings[number - 1].given == rings[number - 1].sites
        if rings[2].given:
            assert approved
        assert all(ring.bad <= 0.05 * ring.sites for ring in rings) or rollout.phase in OVER
