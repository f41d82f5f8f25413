"""What a model file promises: its inputs, its output, and the schema both sides hash.

Contract v1, all float32, fixed shapes, NaN = missing, L = hist, H = horizon, K = number of known columns:
  y_hist[L], known[L+H, K] (absent when K = 0), cal[L+H, 4], cqr[H, 3]  ->  quantiles[H, 3]
`cqr` are the gateway's own additive offsets (zeros when there are none); the quantiles leave the graph sorted
and inside the physical limits.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from agent.inference.calendar import CALENDAR_VERSION

CONTRACT_VERSION = 1
QUANTILES = (0.1, 0.5, 0.9)
Meta = Mapping[str, str]


@dataclass(frozen=True)
class KnownColumn:
    """A series that is known ahead: its name and unit, and the range seen in training."""

    name: str
    unit: str
    low: float
    high: float


@dataclass(frozen=True)
class Contract:
    """The schema of one model. `hist` and `horizon` count steps of `step_s`; limits are in `unit`."""

    target: str
    unit: str
    step_s: int
    hist: int
    horizon: int
    tz: str
    limit_low: float
    limit_high: float
    known: tuple[KnownColumn, ...] = ()

    @property
    def steps_per_day(self) -> int:
        return 86_400 // self.step_s

    def canonical(self) -> str:
        """The text that is hashed: canonical JSON with every field that changes what an input means."""
        body = asdict(self) | {"io": CONTRACT_VERSION, "calendar": CALENDAR_VERSION, "quantiles": QUANTILES}
        # The ranges seen in training are knowledge about the data, not part of what an input means.
        body["known"] = [{"name": each.name, "unit": each.unit} for each in self.known]
        return json.dumps(body, sort_keys=True, separators=(",", ":"))

    def schema_sha256(self) -> str:
        return hashlib.sha256(self.canonical().encode()).hexdigest()

    def to_meta(self) -> dict[str, str]:
        """The contract as the file's metadata entries."""
        return {
            "fc.io": str(CONTRACT_VERSION),
            "fc.calendar": str(CALENDAR_VERSION),
            "fc.target": self.target,
            "fc.unit": self.unit,
            "fc.step_s": str(self.step_s),
            "fc.hist": str(self.hist),
            "fc.horizon": str(self.horizon),
            "fc.quantiles": json.dumps(QUANTILES),
            "fc.tz": self.tz,
            "fc.clip": json.dumps([self.limit_low, self.limit_high]),
            "fc.known": json.dumps([asdict(each) for each in self.known]),
            "fc.schema_sha256": self.schema_sha256(),
        }


def contract_from_meta(meta: Meta) -> Contract:
    """The contract written in a file. Raises ValueError when an entry is missing or does not fit this version."""
    try:
        if int(meta["fc.io"]) != CONTRACT_VERSION or int(meta["fc.calendar"]) != CALENDAR_VERSION:
            raise ValueError(
                f"contract {meta['fc.io']}, calendar {meta['fc.calendar']}: this agent reads 1 and 1"
            )
        low, high = json.loads(meta["fc.clip"])
        contract = Contract(
            target=meta["fc.target"],
            unit=meta["fc.unit"],
            step_s=int(meta["fc.step_s"]),
            hist=int(meta["fc.hist"]),
            horizon=int(meta["fc.horizon"]),
            tz=meta["fc.tz"],
            limit_low=float(low),
            limit_high=float(high),
            known=tuple(KnownColumn(**each) for each in json.loads(meta["fc.known"])),
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"metadata entry missing or malformed: {error}") from error
    if contract.schema_sha256() != meta.get("fc.schema_sha256"):
        raise ValueError("fc.schema_sha256 does not match the other entries")
    return contract
