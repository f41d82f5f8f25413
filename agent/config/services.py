"""What the agent needs beside the plant: the broker, updates, the production plan, the disk."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from agent.config.parts import FilePath, Identifier, Part, WeekTime


class Uplink(Part):
    """[uplink]: the broker. Without it the agent keeps everything on site."""

    broker: str = Field(description='"mqtt://host:1883" or "mqtts://host:8883".')
    topic_root: str = Field(default="trimload", description="First level of every topic.")
    username: str | None = Field(
        default=None, description="User; the password comes as credential mqtt_password."
    )
    interval_s: float = Field(default=10.0, ge=1, le=3600, description="One message of telemetry each.")
    ca_file: FilePath | None = Field(default=None, description="Certificate authority for mqtts.")
    cert_file: FilePath | None = Field(default=None, description="Client certificate.")
    key_file: FilePath | None = Field(default=None, description="Client key.")


class Updates(Part):
    """[updates]: signed models, configurations and releases. Without it nothing on site is ever replaced."""

    root_file: FilePath = Field(
        default=Path("trust/root.json"),
        description="Trusted root that came with the agent; newer ones follow from it.",
    )
    kinds: tuple[Literal["model", "config", "agent"], ...] = Field(
        default=("model", "config", "agent"), strict=False, description="What may be replaced."
    )
    window: tuple[WeekTime, ...] = Field(
        default=(), strict=False, description="When something may be changed, site time; empty is always."
    )
    check_every_s: float = Field(default=3600.0, ge=30, le=86400, description="How often to look for news.")
    rate_kb_s: float = Field(default=500.0, ge=5, le=1e6, description="Most that a download takes.")
    daily_mb: float = Field(default=500.0, ge=1, le=1e6, description="Most that is fetched in a day.")
    block_kb: int = Field(default=60, ge=1, le=1000, description="Size of one MQTT message of a download.")
    shadow_s: float = Field(
        default=3600.0, ge=0, le=604800, description="A new model forecasts beside the old one for this long."
    )
    healthy_s: float = Field(
        default=600.0, ge=0, le=86400, description="Healthy without a break for this long confirms an update."
    )


class Production(Part):
    """[production]: what the plant plans to make, known ahead to the forecasts (docs/forecasting.md)."""

    file: FilePath | None = Field(
        default=None, description="CSV of time, line, planned_rate; read again whenever it changes."
    )
    topic: Identifier | None = Field(
        default=None,
        description="The same as a message on TOPIC_ROOT/SITE/down/TOPIC of the uplink's broker.",
    )


class Storage(Part):
    """[storage]: what stays on site."""

    directory: FilePath = Field(default=Path("/var/lib/trimload"), description="Databases, models.")
    history_days: int = Field(default=60, ge=7, le=400, description="Readings kept, one row a minute.")
    outbox_mb: int = Field(
        default=256, ge=8, le=8192, description="Most that waits for the uplink; oldest goes first."
    )
