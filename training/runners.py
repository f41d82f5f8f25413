"""Where the jobs of many sites run: processes of this machine, or a Ray cluster. Same jobs, same results."""

import importlib
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import replace
from multiprocessing import get_context
from typing import Any

from agent.errors import DataError
from training.jobs import FitJob, JobResult, run_job

Work = Callable[[FitJob], JobResult]
# One job's place among the jobs, and what came of it: a result, or that its process was lost.
Outcome = tuple[int, JobResult | str]
Runner = Callable[[Sequence[tuple[int, FitJob]], Work], Iterator[Outcome]]


def run_jobs(
    jobs: Sequence[FitJob], runner: Runner, *, retries: int = 1, work: Work = run_job
) -> Iterator[JobResult]:
    """A result for each job, as they come.

    A job whose process was lost, or that failed to read or write, is tried `retries` times more; wrong data are wrong
    the next time as well. No job's failure touches another.
    """
    waiting = list(enumerate(jobs))
    for attempt in range(1, retries + 2):
        again: list[tuple[int, FitJob]] = []
        for place, outcome in runner(waiting, work):
            lost = isinstance(outcome, str)
            result = _lost(jobs[place], outcome) if isinstance(outcome, str) else outcome
            if attempt <= retries and (lost or result.transient):
                again.append((place, jobs[place]))
            else:
                yield replace(result, tries=attempt)
        if not again:
            return
        waiting = sorted(again, key=lambda each: each[0])


def local_pool(processes: int) -> Runner:
    """Processes of this machine, each with jobs of its own: one that dies takes its present job along and no other."""

    def run(jobs: Sequence[tuple[int, FitJob]], work: Work) -> Iterator[Outcome]:
        waiting = deque(jobs)
        # spawn: a forked child would inherit onnxruntime's and LightGBM's threads half-way.
        slots = [_process() for _ in range(max(1, min(processes, len(jobs))))]
        running: dict[Future[JobResult], tuple[int, int]] = {}

        def next_on(slot: int) -> None:
            if waiting:
                place, job = waiting.popleft()
                running[slots[slot].submit(work, job)] = (place, slot)

        try:
            for slot in range(len(slots)):
                next_on(slot)
            while running:
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    place, slot = running.pop(future)
                    crash = future.exception()
                    if crash is not None:
                        slots[slot].shutdown(wait=False, cancel_futures=True)
                        slots[slot] = _process()
                    next_on(slot)
                    yield place, future.result() if crash is None else repr(crash)
        finally:
            for each in slots:
                each.shutdown(cancel_futures=True)

    return run


def ray_cluster(address: str | None, processes: int) -> Runner:
    """Workers of the Ray cluster at `address`, or of one that is begun here with so many of them.

    Every node needs this package, with the same version, and the paths of data and output. Raises DataError where
    Ray is not installed or the cluster does not answer.
    """
    # Ray reports its usage to its makers unless told not to before it starts.
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    try:
        ray: Any = importlib.import_module("ray")
    except ImportError as error:
        raise DataError(
            "Ray is not installed", where="--runner ray", fix='pip install "trimload[train-ray]"'
        ) from error

    def run(jobs: Sequence[tuple[int, FitJob]], work: Work) -> Iterator[Outcome]:
        try:
            if not ray.is_initialized():
                mine = (
                    {"address": address} if address else {"num_cpus": processes, "include_dashboard": False}
                )
                ray.init(log_to_driver=False, logging_level="error", **mine)
        except (ConnectionError, OSError, RuntimeError, ValueError) as error:
            raise DataError(
                f"the Ray cluster cannot be reached: {error}",
                where=f"--ray-address {address or 'none: begun here'}",
                fix="start it with: ray start --head; then give HOST:6379 or ray://HOST:10001",
            ) from error
        # No retries of Ray's own: they are counted and told by run_jobs, the same as in the pool.
        task = ray.remote(num_cpus=1, max_retries=0)(work)
        running = {task.remote(job): place for place, job in jobs}
        while running:
            done, _ = ray.wait(list(running), num_returns=1)
            for reference in done:
                place = running.pop(reference)
                try:
                    yield place, ray.get(reference)
                except ray.exceptions.RayError as crash:
                    yield place, str(crash).strip().splitlines()[0]

    return run


def _process() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(1, mp_context=get_context("spawn"))


def _lost(job: FitJob, why: str) -> JobResult:
    return JobResult(
        job.name,
        job.target,
        error=f"the job's process was lost: {why}",
        fix="look for the out-of-memory killer, then run this site alone",
    )
