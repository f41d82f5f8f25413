"""The file of identified zone models: what a refit or `trimload identify` leaves for the agent."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from agent.config.parts import Identifier, Part
from agent.config.site import Hvac, ZoneModel
from agent.errors import DataError

FORMAT: Literal["trimload-hvac-models/1"] = "trimload-hvac-models/1"


class LearnedZone(Part):
    """A zone's figures, and what they missed on days they had not seen."""

    model: ZoneModel
    rmse_k: dict[Literal["1h", "4h", "24h"], float] = Field(
        description="A day ahead in one go, with what was not explained until then, as the plan has it; by lead."
    )
    alone_rmse_k: dict[Literal["1h", "4h", "24h"], float] = Field(
        default_factory=dict, description="Likewise without: the model alone."
    )
    naive_rmse_k: dict[Literal["1h", "4h", "24h"], float] = Field(description="Of saying: nothing changes.")
    days: float = Field(ge=0, description="Days of past that it was fitted on.")


class LearnedUnit(Part):
    """Electrical constants of a unit, and the thermal power it was seen to reach, by nameplate COP."""

    fan_kw: float = Field(ge=0)
    standby_kw: float = Field(ge=0)
    cooling_kw: float = Field(ge=0)
    heating_kw: float = Field(ge=0)


class PresentZone(Part):
    """The set-points that stood in a zone while the agent did not write, by slot of agent/planner/hvac_present.py.

    None is unknown.
    """

    heating_degc: list[float | None] = Field(min_length=288, max_length=288)
    cooling_degc: list[float | None] = Field(min_length=288, max_length=288)


class HvacModels(Part):
    """All that was learned of a site's zones and units."""

    format: Literal["trimload-hvac-models/1"] = FORMAT
    site: str
    made_at: datetime
    zones: dict[Identifier, LearnedZone] = Field(default_factory=dict)
    units: dict[Identifier, LearnedUnit] = Field(default_factory=dict)
    refused: dict[Identifier, str] = Field(default_factory=dict, description="Zone -> why it has no model.")
    present: dict[Identifier, PresentZone] = Field(
        default_factory=dict, description="The schedule of the site without the agent."
    )


def read_models(path: Path, hvac: Hvac) -> HvacModels:
    """The models of `path`, checked against the site. Raises DataError where they cannot be used."""
    fix = "make it anew: trimload identify SITE.toml --history PAST.csv --out models/"
    try:
        models = HvacModels.model_validate_json(path.read_text(encoding="utf-8"), strict=False)
    except OSError as error:
        raise DataError(f"no models can be read: {error.strerror}", where=str(path), fix=fix) from None
    except UnicodeDecodeError:
        raise DataError("the models are not text in UTF-8", where=str(path), fix=fix) from None
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise DataError(f"models are wrong at {place}: {first['msg']}", where=str(path), fix=fix) from None
    strangers = sorted((set(models.zones) | set(models.present)) - set(hvac.zones)) + sorted(
        set(models.units) - set(hvac.units)
    )
    if strangers:
        raise DataError(f"models are of another site: it has no {strangers[0]!r}", where=str(path), fix=fix)
    return models


def write_models(path: Path, models: HvacModels) -> None:
    """Put the models into a file, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(path.suffix + ".new")
    fresh.write_text(models.model_dump_json(indent=1) + "\n", encoding="utf-8")
    fresh.replace(path)


def with_models(hvac: Hvac, models: HvacModels | None) -> Hvac:
    """The zones and units as they were learned; those without keep what site.toml says."""
    if models is None:
        return hvac
    zones = {
        name: zone.model_copy(update={"model": models.zones[name].model}) if name in models.zones else zone
        for name, zone in hvac.zones.items()
    }
    units = {}
    for name, unit in hvac.units.items():
        learned = models.units.get(name)
        units[name] = (
            unit
            if learned is None
            else unit.model_copy(
                update={
                    "fan_kw": learned.fan_kw,
                    "cooling_kw": learned.cooling_kw,
                    "heating_kw": learned.heating_kw,
                }
            )
        )
    return hvac.model_copy(update={"zones": zones, "units": units})
