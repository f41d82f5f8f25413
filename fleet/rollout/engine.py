"""The shell around the roll-out's judgement: hear sites, judge, keep, act on the repository. Killed anywhere, it goes on.

What is decided is in the database before anything is done about it, and doing it again changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from agent.clock import Clock
from agent.log import get_logger
from fleet.database import FleetDatabase
from fleet.rollout.decide import Rollout, Verdict, Wish, heard, judge
from fleet.rollout.place import Placed, place
from fleet.rollout.record import ids, turn
from fleet.signing import Repository
from fleet.standing import Standing

log = get_logger(__name__)

_HINT_EVERY = timedelta(minutes=5)
_PENDING = frozenset({Wish.GIVE, Wish.TAKE_BACK})


class RolloutEngine:
    """`hear` what sites say, `step` every few seconds. `hint(site)` tells a site that there may be news."""

    def __init__(
        self, database: FleetDatabase, repository: Repository, hint: Callable[[str], None], clock: Clock
    ) -> None:
        self._database, self._repository, self._hint, self._clock = database, repository, hint, clock
        self._standings: dict[str, Standing] = {}
        self._hinted_at: dict[str, datetime] = {}

    def hear(self, site: str, standing: Standing) -> None:
        """A site's latest word."""
        self._standings[site] = standing

    def step(self) -> int:
        """Every roll-out on which something may happen, one step on; how many there are."""
        unfinished = ids(self._database, unfinished=True)
        for rollout_id in reversed(unfinished):
            rollout = self._judge(rollout_id)
            self._hint_the_silent(rollout)
            if any(row.wish in _PENDING for row in rollout.rows.values()):
                self._act(rollout)
        return len(unfinished)

    def _judge(self, rollout_id: str) -> Rollout:
        now = self._clock.now()
        with turn(self._database, rollout_id) as held:
            plan, before = held.rollout.plan, held.rollout
            rows = {
                site: heard(plan, row, self._standings[site], now) if site in self._standings else row
                for site, row in before.rows.items()
            }
            judged = judge(replace(before, rows=rows), now)
            said: tuple[str, ...] = ()
            while judged.said:
                # A ring that is passed may have soaked, and the next one may begin at once.
                said += judged.said
                judged = judge(judged.rollout, now)
            after = judged.rollout
            failed = [
                f"{site} failed: {row.reason}"
                for site, row in after.rows.items()
                if row.verdict is Verdict.BAD and before.rows[site].verdict is not Verdict.BAD
            ]
            held.put(after, now, said=(*failed, *said))
        for what in (*failed, *said):
            log.info("rollout", rollout=rollout_id, what=what)
        return after

    def _hint_the_silent(self, rollout: Rollout) -> None:
        """A hint may get lost, and so may we between a job and its hint."""
        now = self._clock.now()
        for row in rollout.rows.values():
            unheard = row.wish is Wish.GIVEN and row.state is None and row.verdict is Verdict.OPEN
            if unheard and now - self._hinted_at.get(row.site, now - _HINT_EVERY) >= _HINT_EVERY:
                self._hinted_at[row.site] = now
                self._hint(row.site)

    def _act(self, rollout: Rollout) -> None:
        with self._repository.lock():
            wished = [row for row in rollout.rows.values() if row.wish in _PENDING]
            placed = place(self._repository, rollout.plan, wished)
        with turn(self._database, rollout.plan.id) as held:
            # Somebody may have aborted it in between: a wish that is another one by now stands.
            wishes = {row.site: row.wish for row in wished}
            rows = dict(held.rollout.rows)
            for done in placed:
                if rows[done.site].wish is wishes[done.site]:
                    rows[done.site] = replace(rows[done.site], wish=done.wish)
                if done.why_not:
                    rows[done.site] = replace(rows[done.site], verdict=Verdict.BAD, reason=done.why_not)
            said = tuple(f"{done.site} failed: {done.why_not}" for done in placed if done.why_not)
            held.put(replace(held.rollout, rows=rows), self._clock.now(), said=said)
        for done in placed:
            self._hinted_at[done.site] = self._clock.now()
            self._hint(done.site)
        log.info("jobs_placed", rollout=rollout.plan.id, **_numbers(placed))


def _numbers(placed: list[Placed]) -> dict[str, int]:
    return {
        "given": sum(done.wish is Wish.GIVEN for done in placed),
        "taken_back": sum(done.wish is Wish.TAKEN_BACK and not done.why_not for done in placed),
        "failed": sum(bool(done.why_not) for done in placed),
    }
