"""The job model: what is read, what is refused, which steps exist."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.update.job import (
    BAD_ENDS,
    ENDED,
    TRANSITIONS,
    Assignment,
    IllegalTransitionError,
    Job,
    JobFaultError,
    Kind,
    Progress,
    State,
    Target,
    Timeouts,
    assignment_json,
    job_dict,
    read_assignment,
    read_job,
    require_step,
    time_limit_s,
)

SHA = "ab" * 32


def model_job(**changes) -> Job:
    fields = {
        "id": "r12-demo",
        "kind": Kind.MODEL,
        "site": "demo",
        "counter": 17,
        "release": "air 2026-11-20",
        "targets": (Target("models/demo/air.demand_m3_min.onnx", SHA, 81234),),
        "not_after": datetime(2026, 12, 24, tzinfo=UTC),
    }
    return Job(**fields | changes)


def test_an_assignment_comes_back_as_it_was_written():
    assignment = Assignment("demo", 17, (model_job(),))

    read = read_assignment(assignment_json(assignment), "demo")

    assert read == assignment


@given(
    counter=st.integers(0, 2**40),
    seconds=st.floats(0.001, 1e9),
    before=st.none() | st.datetimes(datetime(2000, 1, 1), timezones=st.just(UTC)),
    names=st.lists(st.from_regex(r"[a-z0-9_][a-z0-9._+-]{0,20}", fullmatch=True), min_size=1, max_size=5),
)
def test_a_job_survives_its_json_form(counter, seconds, before, names):
    whole = None if before is None else before.replace(microsecond=0)
    job = model_job(
        counter=counter,
        not_before=whole,
        timeouts=Timeouts(trial_s=seconds),
        targets=tuple(Target(f"models/demo/{name}", SHA, 1) for name in names),
    )

    assert read_job(json.loads(json.dumps(job_dict(job)))) == job


def test_the_assignment_of_another_site_is_refused():
    content = assignment_json(Assignment("other", 17, ()))

    with pytest.raises(JobFaultError, match="for site 'other', this is 'demo'"):
        read_assignment(content, "demo")


def test_a_job_of_another_site_inside_the_own_assignment_is_refused():
    strange = model_job(site="other", targets=(Target("models/other/a.onnx", SHA, 1),))
    content = assignment_json(Assignment("demo", 17, (strange,)))

    with pytest.raises(JobFaultError, match="another site"):
        read_assignment(content, "demo")


@pytest.mark.parametrize(
    "path",
    [
        "models/other/a.onnx",
        "config/demo/site.toml",
        "models/demo/../../etc/passwd",
        "models/demo//a.onnx",
        "models/demo/.hidden",
        "/models/demo/a.onnx",
        "models/demo/a b.onnx",
    ],
)
def test_a_model_job_takes_files_from_its_own_folder_only(path):
    row = job_dict(model_job()) | {"targets": [{"path": path, "sha256": SHA, "length": 1}]}

    with pytest.raises(JobFaultError, match="may not take"):
        read_job(row)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"id": "../x"}, "no job id"),
        ({"kind": "shell"}, "not known"),
        ({"targets": []}, "no targets"),
        ({"targets": [{"path": "models/demo/a", "sha256": "AB" * 32, "length": 1}]}, "needs path"),
        ({"targets": [{"path": "models/demo/a", "sha256": SHA, "length": True}]}, "needs path"),
        ({"targets": ["models/demo/a"]}, "needs path"),
        ({"counter": -1}, "counter"),
        ({"counter": True}, "counter"),
        ({"not_after": "2026-12-24T00:00:00"}, "time zone"),
        ({"not_after": 5}, "no instant"),
        ({"timeouts": {"trial_s": 0}}, "time-out"),
        ({"timeouts": {"for_ever": 1}}, "timeouts may hold"),
    ],
)
def test_a_job_that_is_not_one_is_refused_with_its_fault(change, said):
    with pytest.raises(JobFaultError, match=said):
        read_job(job_dict(model_job()) | change)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{", "no JSON"),
        (b"[" * 100_000, "no JSON"),
        (b"[]", "not of the format"),
        (b'{"format": "trimload-assign/1", "site": "demo"}', "no list"),
        (b'{"format": "trimload-assign/1", "site": "demo", "counter": 1, "jobs": [1]}', "no table"),
    ],
)
def test_bytes_that_are_no_assignment_are_refused(content, said):
    with pytest.raises(JobFaultError, match=said):
        read_assignment(content, "demo")


def test_two_jobs_of_one_kind_are_refused():
    content = assignment_json(Assignment("demo", 17, (model_job(), model_job(id="r13"))))

    with pytest.raises(JobFaultError, match="two jobs of one kind"):
        read_assignment(content, "demo")


def test_every_open_state_leads_to_an_end_and_the_ends_lead_nowhere_but_back():
    reachable = {State.OFFERED}
    while new := {after for state in reachable for after in TRANSITIONS[state]} - reachable:
        reachable |= new

    assert reachable == set(State)
    assert {state for state in State if not TRANSITIONS[state]} == ENDED - {State.CONFIRMED}
    assert TRANSITIONS[State.CONFIRMED] == {State.ROLLED_BACK}
    assert {State.REJECTED, State.FAILED, State.ROLLED_BACK, State.TIMED_OUT} == BAD_ENDS


def test_a_step_that_no_job_may_take_is_an_error_of_the_program():
    with pytest.raises(IllegalTransitionError, match="offered -> trial"):
        require_step(State.OFFERED, State.TRIAL)

    require_step(State.WAITING, State.WAITING)


def test_only_states_that_can_hang_have_a_time_limit():
    limited = {state for state in State if time_limit_s(state, Timeouts()) is not None}

    assert limited == set(State) - ENDED


def test_progress_says_the_job_the_state_and_the_reason():
    at = datetime(2026, 11, 24, 2, 5, tzinfo=UTC)

    shown = Progress(model_job(), State.WAITING, at, "window: opens at 02:00", "agent", 1.0).as_dict()

    assert shown["since"] == "2026-11-24T02:05:00Z"
    assert (shown["id"], shown["state"], shown["reason"]) == ("r12-demo", "waiting", "window: opens at 02:00")
