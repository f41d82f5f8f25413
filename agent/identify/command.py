"""`trimload identify SITE.toml --history PAST.csv --out models/`: the zones' models from the site's own past."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from agent.config.hvac_models import HvacModels, write_models
from agent.config.load import load_site
from agent.config.site import Hvac, Site
from agent.daemon.history_csv import history_rows
from agent.daemon.hvac_memory import LEARNED_DAYS, learned, site_past
from agent.errors import ConfigError, DataError
from agent.identify.page import page
from agent.planner.hvac_identify import held_back_course, held_back_from
from agent.planner.hvac_past import STEP_S, SitePast, unit_past
from agent.store.history import History

MODELS, REPORT = "hvac-models.json", "hvac-models.html"


def command(argv: Sequence[str]) -> int:
    """Exit 0 when every zone has a model, 1 when one was refused, 2 when the site or its past cannot be used."""
    parser = argparse.ArgumentParser(
        prog="trimload identify",
        description="Fit a two-node model of every zone on a CSV of its past: temperature, set-points, unit power, "
        "outdoor temperature, and sun and occupancy where there are sensors. The last quarter of the days is held "
        "back and judges the model. A zone whose past cannot support one is refused with the reason.",
        epilog="The CSV: a column `time` (ISO 8601 with zone) and one column a tag of site.toml, in any order; empty is "
        "unknown. Rows every 15 min or oftener, a week at least, four are better.\n"
        f'Writes {MODELS} (name it in site.toml: [hvac] models = "models/{MODELS}") and {REPORT}.',
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("site", type=Path, help="the site's configuration")
    parser.add_argument("--history", type=Path, required=True, help="CSV of the past")
    parser.add_argument("--out", type=Path, required=True, help="folder for the models and the report")
    parser.add_argument(
        "--days",
        type=float,
        default=float(LEARNED_DAYS),
        help=f"how much of it, from its end ({LEARNED_DAYS})",
    )
    parser.add_argument("--json", action="store_true", help="print the outcome for machines")
    options = parser.parse_args(argv)
    site = load_site(options.site)
    if site.hvac is None or not site.hvac.zones:
        raise ConfigError("the site has no zones", where=f"{options.site} [hvac.zones]", fix="add a zone")
    history = History(":memory:", 400)
    history.load(history_rows(options.history, site))
    span = history.span()
    if span is None:
        raise DataError(
            f"{options.history} holds no value", where=str(options.history), fix="write one column a tag"
        )
    ends_at = datetime.fromtimestamp(span[1].timestamp() // 900 * 900, UTC)
    days = min(options.days, (ends_at - span[0]) / timedelta(days=1))
    past = site_past(site, history, ends_at, days, looks=True)
    models = learned(site, past, None, ends_at)
    try:
        # Both or neither: what can fail comes before the first file.
        judged = ends_at - (past.size - held_back_from(past.size)) * timedelta(seconds=STEP_S)
        report = page(site, models, _courses(site, past, models), judged, ends_at)
        options.out.mkdir(parents=True, exist_ok=True)
        write_models(options.out / MODELS, models)
        (options.out / REPORT).write_text(report, encoding="utf-8")
    except OSError as error:
        raise DataError(
            f"the models cannot be written: {error.strerror}", where=str(options.out), fix="name a folder"
        ) from None
    _say(site, models, options.out, machine=options.json)
    return 1 if models.refused else 0


def _courses(site: Site, past: SitePast, models: HvacModels) -> dict[str, tuple[list[float], list[float]]]:
    hvac = site.hvac or Hvac()
    out = {}
    for name, found in models.zones.items():
        unit = unit_past(hvac, hvac.zones[name].unit, past)
        assert unit is not None
        measured, foreseen = held_back_course(hvac, name, past, unit, found.model)
        out[name] = (measured.tolist(), foreseen.tolist())
    return out


def _say(site: Site, models: HvacModels, out: Path, *, machine: bool) -> None:
    if machine:
        body = {
            "site": site.site.id,
            "models": str(out / MODELS),
            "report": str(out / REPORT),
            "zones": {
                name: {
                    "rmse_k": zone.rmse_k,
                    "alone_rmse_k": zone.alone_rmse_k,
                    "naive_rmse_k": zone.naive_rmse_k,
                    "days": round(zone.days, 1),
                }
                for name, zone in models.zones.items()
            },
            "refused": models.refused,
        }
        print(json.dumps(body))
        return
    if models.zones:
        print("error of an open-loop prediction on days held back, RMSE in K (nothing changes: in brackets)")
    for name, zone in models.zones.items():
        leads = ", ".join(
            f"{lead} {zone.rmse_k[lead]:.2f} ({zone.naive_rmse_k[lead]:.2f})" for lead in zone.rmse_k
        )
        print(f"  {name}: {leads}; {zone.days:.0f} days")
    for name, why in models.refused.items():
        print(f"  {name}: no model: {why}", file=sys.stderr)
    print(f"models: {out / MODELS}\nreport: {out / REPORT}")
