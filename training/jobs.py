"""One site's training as one job with a plain contract: paths in, a row of results out, in any process."""

import json
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

from agent.clock import cpu_s
from agent.errors import DataError, TrimloadError
from agent.inference.model import load_model
from agent.units import CONVERSIONS
from training.ahead import add_ahead, made_here
from training.dataset import country_holidays, load_frame
from training.fit import fit_target

Tick = Callable[[str], None]

# A model tells its gateway the holidays to come for longer than it may be used.
HOLIDAYS_AHEAD_DAYS = 400


@dataclass(frozen=True)
class FitJob:
    """Everything one fit needs; picklable. `site` is None for bare data without a site file."""

    data: Path
    target: str
    out: Path
    time_column: str
    tz: str
    step_s: int
    horizon: int
    known: tuple[str, ...] = ()
    known_units: tuple[str, ...] = ()
    unit: str = ""
    country: str | None = None
    closed_days: frozenset[date] = frozenset()
    hist_days: int | None = None
    limits: tuple[float, float] | None = None
    train_end: datetime | None = None
    seed: int = 1
    quick: bool = False
    name: str = ""
    plan: Path | None = None
    site: Path | None = None


@dataclass(frozen=True)
class JobResult:
    """What came of a job. `error` is None on success; `tries` counts attempts; a `transient` error may pass by itself."""

    name: str
    target: str
    model: str | None = None
    model_sha256: str | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)
    error: str | None = None
    fix: str | None = None
    tries: int = 1
    transient: bool = False
    cpu_s: float = 0.0


def run_job(job: FitJob, tick: Tick = lambda _: None) -> JobResult:
    """Fit, write OUT/TARGET.onnx atomically, say how it went. A fault of the data is a result, not an exception."""
    began_s = cpu_s()
    try:
        made = made_here(job.known, job.plan, job.site)
        frame = load_frame(
            job.data,
            time_column=job.time_column,
            columns=(job.target,),
            known=[name for name in job.known if name not in made],
            step_s=job.step_s,
            tz=job.tz,
        )
        frame = add_ahead(frame, made, tz=job.tz, plan=job.plan, site=job.site, target=job.target)
        holidays = (
            country_holidays(
                job.country, frame.first_at.date(), frame.end_at.date() + timedelta(days=HOLIDAYS_AHEAD_DAYS)
            )
            if job.country
            else frozenset()
        )
        model_bytes = fit_target(
            frame,
            target=job.target,
            unit=job.unit,
            step_s=job.step_s,
            horizon=job.horizon,
            tz=job.tz,
            seed=job.seed,
            quick=job.quick,
            known=job.known,
            known_units=job.known_units,
            hist_days=job.hist_days,
            limits=job.limits,
            holidays=holidays | job.closed_days,
            train_end=job.train_end,
            tick=tick,
        )
        path = job.out / f"{_file_name(job.target)}.onnx"
        write_atomically(path, model_bytes)
    except (TrimloadError, OSError) as error:
        fix = error.fix if isinstance(error, TrimloadError) else "check the path and its permissions"
        text = error.what if isinstance(error, TrimloadError) else str(error)
        return JobResult(
            job.name,
            job.target,
            error=text,
            fix=fix,
            transient=isinstance(error, OSError),
            cpu_s=round(cpu_s() - began_s, 2),
        )
    return JobResult(
        job.name,
        job.target,
        str(path),
        sha256(model_bytes).hexdigest(),
        json.loads(load_model(model_bytes).meta["fc.metrics"]),
        cpu_s=round(cpu_s() - began_s, 2),
    )


def closed_days(path: Path) -> frozenset[date]:
    """The site's own days off, `closed_days` of its file. Raises DataError when it cannot be read."""
    days = _site(path).get("site", {}).get("closed_days", [])
    return frozenset(each if isinstance(each, date) else date.fromisoformat(str(each)) for each in days)


def site_facts(path: Path, target: str) -> dict[str, str]:
    """Time zone, country and canonical unit that a site file gives for a target `device.point`.

    The unit is there when the point stands in the site file itself; a point from a device profile needs --unit.
    Raises DataError when the file cannot be read.
    """
    site = _site(path)
    identity = site.get("site", {})
    found = {
        name: str(identity[key])
        for name, key in (("tz", "timezone"), ("country", "country"))
        if identity.get(key)
    }
    device, _, point = target.partition(".")
    unit = site.get("devices", {}).get(device, {}).get("points", {}).get(point, {}).get("unit")
    if unit in CONVERSIONS:
        # History is kept in the canonical unit: the driver converts once, before anything is stored.
        found["unit"] = CONVERSIONS[unit].canonical
    return found


def _site(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text())
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise DataError(
            f"cannot read the site file: {error}", where=str(path), fix="run trimload check on it"
        ) from error


def write_atomically(path: Path, content: bytes) -> None:
    """A reader sees the old file or the new one, never half of one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(content)
    partial.replace(path)


def _file_name(target: str) -> str:
    return "".join(sign if sign.isalnum() or sign in "._-" else "_" for sign in target)
