"""A new forecast model: checked, replayed, run beside the one in force, and only then allowed to plan."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from agent.inference.forecaster import Forecaster, TargetSpec
from agent.inference.model import Model, ModelRefusedError, load_model
from agent.inference.series import Series
from agent.update.active import (
    GOOD,
    ROLLED_BACK,
    ActiveFiles,
    confirmed,
    model_key,
    on_trial,
    rolled_back,
)
from agent.update.job import Job, Progress
from agent.update.replay import replay
from agent.update.taking import Files, Finding, Verdict, fetch_all

if TYPE_CHECKING:
    from agent.update.trust import Look

_FAULTS = frozenset(
    {"run_failed", "output_not_finite", "output_out_of_range", "output_crossing", "slow_run", "wrong_schema"}
)


class ModelHost(Protocol):
    """What a model needs of the agent that runs."""

    def specs(self) -> Mapping[str, TargetSpec]:
        """What the site forecasts."""
        ...

    def live(self, target: str) -> Model | None:
        """The model in force."""
        ...

    def own(self, target: str) -> Model | None:
        """The model that site.toml names."""
        ...

    def history(self, target: str) -> Series | None:
        """What was measured."""
        ...

    def known(self, target: str, model: Model, at: datetime) -> Series | None:
        """What is known ahead of the model's columns."""
        ...

    def forecast_at(self, target: str) -> datetime | None:
        """When the forecast in force was made."""
        ...

    def adopt(self, target: str, model: Model | None) -> None:
        """Forecast with this model from now on."""
        ...

    def now(self) -> datetime:
        """The present instant."""
        ...

    def boot(self) -> tuple[str, float]:
        """Name of the machine's present start, and seconds since it."""
        ...


@dataclass
class _Shadow:
    target: str
    sha256: str
    forecaster: Forecaster
    forecasts: int = 0
    last_at: datetime | None = None
    fault: str = ""


class ModelTaker:
    """Takes the jobs of kind `model`: one or more ONNX files named by their target."""

    hands_back = False

    def __init__(
        self, host: ModelHost, active: ActiveFiles, *, shadow_s: float, elapsed: Callable[[], float]
    ) -> None:
        self._host, self._active = host, active
        self.shadow_s, self._elapsed = shadow_s, elapsed
        self._shadows: dict[str, list[_Shadow]] = {}

    def fetch(self, seen: Look, job: Job, folder: Path, on_bytes: Callable[[int], None]) -> Files:
        return fetch_all(seen, job, folder, on_bytes)

    def examine(self, job: Job, files: Files) -> Finding:
        notes = []
        for target in job.targets:
            name = _target_of(target.path)
            spec = self._host.specs().get(name)
            if spec is None:
                return Finding(f"the site forecasts no {name!r}")
            try:
                model = load_model(files[target.path].read_bytes(), sha256=target.sha256)
            except (ModelRefusedError, OSError, KeyError) as error:
                return Finding(f"{name}: {error}")
            contract = model.contract
            stated = (contract.target, contract.unit, contract.step_s, contract.horizon, contract.tz)
            if stated != (spec.target, spec.unit, spec.step_s, spec.horizon, spec.tz):
                return Finding(f"{name}: the file is for {contract.canonical()}")
            history = self._host.history(name)
            if history is None:
                notes.append(f"{name}: no history to replay it on")
                continue
            try:
                seen = replay(
                    spec,
                    model,
                    self._host.live(name),
                    history,
                    lambda each, at, name=name: self._host.known(name, each, at),  # type: ignore[misc]
                )
            except ModelRefusedError as error:
                return Finding(f"{name}: {error} in its replay")
            notes.append(
                f"{name}: {seen.made} replayed, {seen.judged} judged, loss {seen.ratio:.2f} of the present"
            )
            if seen.loses:
                return Finding(
                    f"{name}: its loss on the site's last days is {seen.ratio:.2f} of the present model's"
                )
        return Finding(notes=tuple(notes))

    def install(self, job: Job, files: Files) -> None:
        for target in job.targets:
            self._active.take_in(files[target.path], target.sha256)

    def installed(self, job: Job) -> Verdict:
        there = all(self._active.holds(target.sha256) for target in job.targets)
        return Verdict("good" if there else "on")

    def trial(self, progress: Progress) -> Verdict:
        job = progress.job
        entries = self._active.read()
        mine = [entries.get(model_key(_target_of(target.path))) for target in job.targets]
        failed = [
            entry
            for entry in mine
            if entry is not None and entry.job == job.id and entry.state == ROLLED_BACK
        ]
        if failed:
            return Verdict("bad", failed[0].reason)
        if all(entry is not None and entry.job == job.id for entry in mine):
            return self._planning(job)
        return self._shadowing(progress)

    def _planning(self, job: Job) -> Verdict:
        for target in job.targets:
            live = self._host.live(_target_of(target.path))
            if live is None or live.sha256 != target.sha256:
                return Verdict("bad", f"{_target_of(target.path)} could not be loaded")
        return Verdict("good", "it plans")

    def _shadowing(self, progress: Progress) -> Verdict:
        job = progress.job
        if job.id not in self._shadows:
            try:
                self._shadows[job.id] = [self._shadow(t.path, t.sha256) for t in job.targets]
            except (ModelRefusedError, OSError) as error:
                return Verdict("bad", str(error))
        shadows = self._shadows[job.id]
        for shadow in shadows:
            self._look_at(shadow)
            if shadow.fault:
                return Verdict("bad", f"{shadow.target}: {shadow.fault} in its shadow run")
        least = min(shadow.forecasts for shadow in shadows)
        if least == 0 or self._host.now() < progress.since_at + timedelta(seconds=self.shadow_s):
            return Verdict("on", f"shadow: {least} forecasts")
        boot_id, boot_s = self._host.boot()
        for shadow in shadows:
            key = model_key(shadow.target)
            before = self._active.read().get(key)
            entry = on_trial(
                shadow.sha256,
                job.id,
                before.sha256 if before is not None else "",
                trial_s=job.timeouts.trial_s,
                boot_id=boot_id,
                now_boot_s=boot_s,
            )
            # On the disk before it plans: what kills the agent must be found on trial at the next start.
            self._active.put(key, entry)
            self._host.adopt(shadow.target, shadow.forecaster.model)
        self._shadows.pop(job.id)
        return Verdict("on", "it plans")

    def _shadow(self, path: str, sha256: str) -> _Shadow:
        target = _target_of(path)
        model = load_model(self._active.path(sha256).read_bytes(), sha256=sha256)
        spec = self._host.specs()[target]
        return _Shadow(target, sha256, Forecaster(spec, model, self._elapsed))

    def _look_at(self, shadow: _Shadow) -> None:
        """Forecast once for each forecast that the model in force makes, from the same history."""
        at, history = self._host.forecast_at(shadow.target), self._host.history(shadow.target)
        if at is None or history is None or at == shadow.last_at:
            return
        shadow.last_at = at
        model = shadow.forecaster.model
        known = None if model is None else self._host.known(shadow.target, model, at)
        made = shadow.forecaster.forecast(history, known, at)
        faults = [reason for reason in made.reasons if reason in _FAULTS]
        shadow.fault = faults[0] if faults else ""
        shadow.forecasts += 1

    def confirm(self, job: Job) -> Verdict:
        for key, entry in self._active.read().items():
            if entry.job == job.id:
                self._active.put(key, confirmed(entry))
        return Verdict("good")

    def undo(self, job: Job, why: str) -> None:
        self._shadows.pop(job.id, None)
        for key, entry in self._active.read().items():
            if entry.job != job.id or entry.state == ROLLED_BACK:
                continue
            back = rolled_back(entry, why)
            self._active.put(key, back)
            target = key.partition(":")[2]
            self._host.adopt(target, self._before(target, back.sha256))

    def _before(self, target: str, sha256: str) -> Model | None:
        if not sha256:
            return self._host.own(target)
        try:
            return load_model(self._active.path(sha256).read_bytes(), sha256=sha256)
        except (ModelRefusedError, OSError):
            return self._host.own(target)

    def last_job(self) -> str:
        jobs = [e.job for k, e in self._active.read().items() if k.startswith("model:") and e.state == GOOD]
        return jobs[-1] if jobs else ""


def _target_of(path: str) -> str:
    return path.rpartition("/")[2].removesuffix(".onnx")
