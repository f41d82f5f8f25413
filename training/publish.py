"""Put a model where gateways fetch it from, if it beats the naive rule and the model in force on the last weeks."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, date, timedelta
from hashlib import sha256
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agent.errors import DataError
from agent.inference.forecaster import Forecaster, TargetSpec
from agent.inference.model import Model, ModelRefusedError, load_model
from agent.inference.series import Series
from training.dataset import Frame
from training.gate import Verdict, judge
from training.jobs import write_atomically

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Published:
    verdict: Verdict
    manifest: Path | None


def open_model(path: Path) -> tuple[bytes, Model]:
    """Raises DataError when the file cannot be read or a gateway would refuse it."""
    try:
        model_bytes = path.read_bytes()
        return model_bytes, load_model(model_bytes)
    except OSError as error:
        raise DataError(
            f"cannot read the model: {error}", where=str(path), fix="name a file made by trimload-train fit"
        ) from error
    except ModelRefusedError as error:
        raise DataError(
            f"a gateway would refuse this model: {error}", where=str(path), fix="fit it again"
        ) from error


def publish(
    frame: Frame,
    challenger_path: Path,
    champion_path: Path | None,
    to: Path,
    *,
    origins: int = 60,
    holidays: frozenset[date] = frozenset(),
    tick: Callable[[str], None] = lambda _: None,
) -> Published:
    """Judge on the rows after both models' training; write TO/<target>.onnx and its manifest when it may be published.

    Raises DataError when no data after the training span are there to judge by.
    """
    model_bytes, challenger = open_model(challenger_path)
    champion = open_model(champion_path)[1] if champion_path is not None else None
    contract = challenger.contract
    if champion is not None and _forecasts(champion) != _forecasts(challenger):
        raise DataError(
            "the model in force forecasts something else",
            where=str(champion_path),
            fix="name the one of the same target, unit, step, horizon and time zone",
        )
    trained_to_at = max(m.trained_to_at for m in (challenger, champion) if m is not None)
    first = max(0, frame.row_of(trained_to_at))
    last = frame.rows - contract.horizon
    y = frame.columns[contract.target]
    spread = (
        np.unique(np.linspace(first, last, origins).astype(int)) if last > first else np.array([], dtype=int)
    )
    rows = [int(o) for o in spread if np.isfinite(y[o : o + contract.horizon]).mean() > 0.5]
    if not rows:
        raise DataError(
            "no target values after the models' training span",
            where=str(challenger_path),
            fix="fit with an earlier --train-end, or give newer data",
        )
    truth = np.stack([y[o : o + contract.horizon] for o in rows])
    quantiles, naive = _replay(frame, challenger, rows, holidays, tick)
    rival = _replay(frame, champion, rows, holidays, tick)[0] if champion is not None else None
    verdict = judge(truth, quantiles, naive, rival, model_bytes=len(model_bytes))
    if not verdict.publish:
        return Published(verdict, None)
    name = challenger_path.name
    write_atomically(to / name, model_bytes)
    manifest = {
        "file": name,
        "sha256": sha256(model_bytes).hexdigest(),
        "bytes": len(model_bytes),
        "target": contract.target,
        "unit": contract.unit,
        "schema_sha256": contract.schema_sha256(),
        "trained_to": challenger.trained_to_at.astimezone(UTC).isoformat(),
        "verdict": asdict(verdict),
    }
    path = to / f"{challenger_path.stem}.json"
    write_atomically(path, json.dumps(manifest, indent=2).encode())
    return Published(verdict, path)


def known_of(*models: Model | None) -> tuple[str, ...]:
    """The known columns that any of the models asks for, in order."""
    return tuple(dict.fromkeys(each.name for m in models if m is not None for each in m.contract.known))


def _forecasts(model: Model) -> tuple[object, ...]:
    """What two models must have in common to be compared; what they know ahead may differ."""
    contract = model.contract
    return contract.target, contract.unit, contract.step_s, contract.horizon, contract.tz


def _replay(
    frame: Frame, model: Model, rows: list[int], holidays: frozenset[date], tick: Callable[[str], None]
) -> tuple[Array, Array]:
    """The gateway's forecasts in time order with the model, and those without one."""
    contract = model.contract
    spec = TargetSpec(
        contract.target,
        contract.unit,
        contract.step_s,
        contract.horizon,
        contract.tz,
        contract.limit_low,
        contract.limit_high,
        holidays,
    )
    with_model, without = Forecaster(spec, model), Forecaster(spec)
    y = frame.columns[contract.target]
    out, naive = [], []
    for row in rows:
        history = Series(frame.first_at, frame.step_s, y[:row])
        known = None
        if contract.known:
            ahead = min(frame.rows, row + contract.horizon)
            known = Series(
                frame.first_at,
                frame.step_s,
                np.stack([frame.columns[c.name][:ahead] for c in contract.known], axis=1),
            )
        at = frame.first_at + timedelta(seconds=row * frame.step_s)
        out.append(with_model.forecast(history, known, at).quantiles)
        naive.append(without.forecast(history, None, at).quantiles)
        tick("judging")
    return np.stack(out), np.stack(naive)
