"""Names under which the agent keeps what it works out itself, beside the tags of site.toml."""

from __future__ import annotations

from agent.domain import Mode

# As a number, so that it can be kept like a reading.
MODE_CODES = {Mode.OBSERVE: 0.0, Mode.ADVISE: 1.0, Mode.CONTROL: 2.0, Mode.FALLBACK: 3.0}

# Whose weather the zones are planned by, and the age of the last forecast, [h].
WEATHER_CODES = {"unknown": 0.0, "own sensors": 1.0, "provider": 2.0}
WEATHER_TAG, WEATHER_AGE_TAG = "hvac.weather_source", "hvac.weather_age_h"
# The wind of now by the provider's forecast: what a site without a wind sensor has of it, [m/s].
WEATHER_WIND_TAG = "hvac.weather_wind_m_s"


def demand_tag(station_id: str) -> str:
    """The station's estimated free-air demand, [m3/min]."""
    return f"{station_id}.demand_m3_min"


def mode_tag(station_id: str) -> str:
    """The station's mode, by MODE_CODES."""
    return f"{station_id}.mode"


def starts_habit_tag(station_id: str) -> str:
    """Motor starts of all machines on an average day under the old control, kept longer than the days it was seen on."""
    return f"{station_id}.starts_habit_per_day"


def hour_wander_tags(station_id: str) -> tuple[str, str, str]:
    """How far an hour's peak passes what was expected: mean and deviation [share], and comparisons that taught it.

    Another way of learning it gets another version, so that nobody goes on from numbers that mean something else.
    """
    return (
        f"{station_id}.hour_peak_v1_mean_share",
        f"{station_id}.hour_peak_v1_deviation_share",
        f"{station_id}.hour_peak_v1_comparisons",
    )


def usual_demand_tag(station_id: str) -> str:
    """Mean free-air demand on these days, [m3/min]."""
    return f"{station_id}.usual_demand_m3_min"
