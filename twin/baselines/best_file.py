"""best.json: the settings that `trimload tune-baseline` found, and for which station."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from agent.config.site import Station
from agent.errors import DataError
from twin.baselines.sequencer import SequencerSettings
from twin.baselines.tune import Tuned

FORMAT = "sequencer-best/1"
_FIX = "make it anew with trimload tune-baseline"


def station_fingerprint(station: Station) -> str:
    """What of a station a tuning depends on, as 16 hex digits: machines, receiver and pressures."""
    kept = {"machines", "receiver_m3", "pressure_min_bar_g", "pressure_max_bar_g", "atmosphere_bar", "flow"}
    text = json.dumps(station.model_dump(mode="json", include=kept), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def best_body(station_id: str, station: Station, tuned: Tuned, *, seed: int, span: str) -> dict[str, Any]:
    """The content of best.json."""
    return {
        "format": FORMAT,
        "station": station_id,
        "fingerprint": station_fingerprint(station),
        "settings": asdict(tuned.settings),
        "tuned_on": span,
        "samples": tuned.samples,
        "seed": seed,
        "energy_corrected_kwh": round(tuned.energy_corrected_kwh, 3),
        "typical_kwh": round(tuned.typical_kwh, 3),
        "limits_excess": round(tuned.excess, 6),
    }


def read_best(path: Path, station: Station) -> SequencerSettings:
    """The settings of a best.json made for this station. Raises DataError."""
    where = str(path)
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}", where=where, fix=_FIX) from None
    except ValueError:
        raise DataError(f"{path} is not JSON", where=where, fix=_FIX) from None
    if not isinstance(body, dict) or body.get("format") != FORMAT:
        raise DataError(f'{path} has no "format": "{FORMAT}"', where=where, fix=_FIX)
    if body.get("fingerprint") != station_fingerprint(station):
        raise DataError(
            f"{path} was tuned for another station, or this one's machines have changed since",
            where=where,
            fix=_FIX,
        )
    return _settings(body.get("settings"), station, where)


def _settings(given: Any, station: Station, where: str) -> SequencerSettings:
    known = {field.name: field for field in fields(SequencerSettings)}
    if not isinstance(given, dict) or set(given) != set(known):
        raise DataError(f"settings are not just {', '.join(known)}", where=where, fix=_FIX)
    default = asdict(SequencerSettings())
    for name, value in given.items():
        wanted = type(default[name])
        kind: tuple[type, ...] = (
            (list,) if wanted is tuple else (float, int) if wanted is float else (wanted,)
        )
        if not isinstance(value, kind) or (wanted is float and isinstance(value, bool)):
            raise DataError(f"settings {name} = {value!r} cannot be used", where=where, fix=_FIX)
    order = tuple(given["order"])
    if order and sorted(order) != sorted(station.machines):
        raise DataError("settings order does not name every machine once", where=where, fix=_FIX)
    return SequencerSettings(**{**given, "order": order})
