"""What the parts of site.toml share: strictness, ids, times of the week, points and devices."""

from __future__ import annotations

from datetime import time
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator, model_validator

from agent.units import CONVERSIONS

Identifier = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,47}$")]
TagId = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,47}\.[A-Za-z][A-Za-z0-9_.-]{0,63}$")
]
FilePath = Annotated[Path, Field(strict=False)]  # TOML has text for it
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class Part(BaseModel):
    """A table of site.toml: immutable; an unknown key is an error, and so is a number in quotes."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, strict=True)


class WeekTime(Part):
    """A span of the week in the site's time zone. `to = "24:00"` is the end of the day."""

    days: str = Field(default="mon-sun", description='Days: "mon-fri", "sat,sun", "mon-sun".')
    from_: str = Field(default="00:00", alias="from", description="Start of the span, HH:MM local time.")
    to: str = Field(default="24:00", description="End of the span, HH:MM local time, 24:00 for midnight.")

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    @field_validator("days")
    @classmethod
    def _days_are_known(cls, text: str) -> str:
        weekday_set(text)
        return text

    @field_validator("from_", "to")
    @classmethod
    def _time_is_clock_time(cls, text: str) -> str:
        minute_of_day(text)
        return text

    @model_validator(mode="after")
    def _span_runs_forward(self) -> Self:
        if minute_of_day(self.from_) >= minute_of_day(self.to):
            msg = f"from {self.from_} is not before to {self.to}; write a night as two spans"
            raise ValueError(msg)
        return self

    def contains(self, weekday: int, minute: float) -> bool:
        """Whether local `weekday` (Monday 0) and `minute` of the day lie inside."""
        return weekday in weekday_set(self.days) and minute_of_day(self.from_) <= minute < minute_of_day(
            self.to
        )


def weekday_set(text: str) -> frozenset[int]:
    """Weekdays of "mon-fri" or "sat,sun", Monday 0. ValueError names the word that is no day."""
    days: set[int] = set()
    for part in text.split(","):
        first, _, last = part.strip().partition("-")
        for name in (first, last or first):
            if name not in WEEKDAYS:
                msg = f"{name!r} is not one of {', '.join(WEEKDAYS)}"
                raise ValueError(msg)
        low, high = WEEKDAYS.index(first), WEEKDAYS.index(last or first)
        if low > high:
            msg = f"{part!r} runs backwards; write two spans"
            raise ValueError(msg)
        days.update(range(low, high + 1))
    return frozenset(days)


def minute_of_day(text: str) -> int:
    """Minutes since local midnight of "HH:MM"; "24:00" is 1440."""
    if text == "24:00":
        return 1440
    try:
        clock = time.fromisoformat(text)
    except ValueError:
        msg = f'{text!r} is not a time of day such as "06:30"'
        raise ValueError(msg) from None
    return clock.hour * 60 + clock.minute


RegisterType = Literal["bool", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64"]
Unit = Annotated[str, Field(json_schema_extra={"enum": sorted(CONVERSIONS)})]


class Point(Part):
    """One value of a device, and where it stands there."""

    unit: Unit = Field(default="", description="Unit in the device; it is converted once, at the driver.")
    type: RegisterType = Field(default="uint16", description="How the value is coded in the device.")
    register_: Literal["holding", "input", "coil", "discrete"] | None = Field(
        default=None, alias="register", description="Modbus table."
    )
    address: int | None = Field(
        default=None, ge=0, le=65535, description="Modbus address as on the wire, 0-based."
    )
    bit: int | None = Field(default=None, ge=0, le=15, description="Bit of a 16-bit register, 0 = least.")
    word_order: Literal["big", "little"] = Field(
        default="big", description="Order of the registers of a long value."
    )
    byte_order: Literal["big", "little"] = Field(
        default="big", description="Order of the bytes in a register."
    )
    node: str | None = Field(default=None, description='OPC UA node id, "ns=2;s=Hall.Temperature".')
    scale: float = Field(default=1.0, description="value = raw * scale + offset, in `unit`.")
    offset: float = Field(default=0.0, description="See scale.")
    writable: bool = Field(default=False, description="The device lets this point be written.")
    write_min: float | None = Field(
        default=None, description="Least value that may be written, canonical unit."
    )
    write_max: float | None = Field(
        default=None, description="Greatest value that may be written, canonical unit."
    )
    tolerance: float = Field(
        default=0.01, ge=0, description="Read-back may differ by this much, canonical unit."
    )
    min_write_interval_s: float = Field(
        default=0.0,
        ge=0,
        description="At least this long between two writes (set-points kept in EEPROM wear).",
    )

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    @model_validator(mode="before")
    @classmethod
    def _single_bit_is_bool(cls, given: object) -> object:
        """A coil, a discrete input or one bit of a register is a bool unless the file says otherwise."""
        if isinstance(given, dict) and "type" not in given:
            table = given.get("register", given.get("register_"))
            if table in ("coil", "discrete") or given.get("bit") is not None:
                return {**given, "type": "bool"}
        return given

    @field_validator("unit")
    @classmethod
    def _unit_is_known(cls, text: str) -> str:
        if text not in CONVERSIONS:
            msg = f'unit "{text}" is not known; known: {", ".join(sorted(u for u in CONVERSIONS if u))}'
            raise ValueError(msg)
        return text


class Device(Part):
    """Something with an address: a controller, a PLC, a meter."""

    driver: Literal["modbus-tcp", "opcua", "lines"] = Field(description="Protocol.")
    host: str = Field(default="", description="Modbus: host name or address.")
    port: int = Field(default=502, ge=1, le=65535, description="Modbus: TCP port.")
    unit_id: int = Field(default=1, ge=0, le=255, description="Modbus: unit id (slave address).")
    url: str = Field(default="", description='OPC UA: "opc.tcp://host:4840/path".')
    profile: str | None = Field(
        default=None, description="Make and model: a file of agent/drivers/profiles or beside site.toml."
    )
    points: dict[str, Point] = Field(
        default_factory=dict, description="Own points, or changes to the profile's."
    )
    timeout_s: float = Field(default=1.0, gt=0, le=30, description="How long to wait for an answer.")
    stale_after_s: float = Field(default=10.0, gt=0, description="A value older than this is STALE.")
    max_registers: int = Field(
        default=100, ge=1, le=125, description="Modbus: most registers in one request."
    )
    max_gap: int = Field(
        default=20, ge=0, le=120, description="Modbus: unused registers read along to save a request."
    )
