"""The forecast models that site.toml names, loaded where they are sound, left out aloud where not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from agent.config.site import Site
from agent.inference.model import Model, ModelRefusedError, load_model
from agent.log import get_logger

log = get_logger(__name__)


def load_models(
    site: Site, elapsed: Callable[[], float], instead: Mapping[str, Path] | None = None
) -> dict[str, Model]:
    """Models by station id. A model that is missing or refused is logged, and the naive rule forecasts.

    `instead` are the files that updates brought, by target.
    """
    out: dict[str, Model] = {}
    for target, path in {**site.models, **(instead or {})}.items():
        station = target.removesuffix(".demand_m3_min")
        began_s = elapsed()
        try:
            out[station] = load_model(path.read_bytes())
        except OSError as error:
            log.warning("model_missing", target=target, path=str(path), reason=error.strerror)
        except ModelRefusedError as error:
            log.warning("model_refused", target=target, path=str(path), reason=str(error))
        else:
            log.info("model_loaded", target=target, path=str(path), ms=round((elapsed() - began_s) * 1000))
    return out
