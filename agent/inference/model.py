"""A model file, opened with distrust: hash, size, schema, golden vector first; input, time and output each run."""

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime

import numpy as np
from numpy.typing import NDArray

from agent.inference.checks import InputLimits
from agent.inference.contract import Contract, contract_from_meta
from agent.inference.runtime import RuntimeRefusalError, Session

Array = NDArray[np.float64]
F32 = NDArray[np.float32]

MAX_MODEL_BYTES = 8 * 1024 * 1024
# The golden output must come back within this share of the target's scale.
GOLDEN_TOLERANCE = 1e-3


class ModelRefusedError(Exception):
    """The file may not be used; `code` is the reason for telemetry."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


@dataclass(frozen=True)
class Model:
    """An open session with its contract; made by `load_model` only."""

    sha256: str
    contract: Contract
    limits: InputLimits
    scale: float
    trained_to_at: datetime
    max_age_d: float
    meta: Mapping[str, str]
    session: Session
    # The days off that training knew, past and to come: a gateway has no table of holidays of its own.
    holidays: frozenset[date] = frozenset()

    def run(self, y_hist: Array, known: Array | None, cal: F32, offsets: Array | None = None) -> Array:
        """[H, 3] quantiles in the target's unit.

        `y_hist` [L], `known` [L+H, K] or None when K = 0, `cal` [L+H, 4], `offsets` [H, 3] or None.
        Raises ModelRefusedError when the run fails or its output is not finite, not sorted or outside the limits.
        """
        inputs = {"y_hist": y_hist.astype(np.float32), "cal": cal}
        shift = np.zeros((self.contract.horizon, 3)) if offsets is None else offsets
        inputs["cqr"] = shift.astype(np.float32)
        if self.contract.known:
            if known is None:
                known = np.full((len(cal), len(self.contract.known)), np.nan)
            inputs["known"] = known.astype(np.float32)
        try:
            quantiles = np.asarray(self.session.run(inputs)[0], dtype=np.float64)
        except RuntimeRefusalError as error:
            raise ModelRefusedError("run_failed", str(error)) from error
        return _checked_output(quantiles, self.contract)


def load_model(model_bytes: bytes, *, sha256: str | None = None, expected: Contract | None = None) -> Model:
    """Open a model. Raises ModelRefusedError before a single forecast of an unfit file can leave it.

    `sha256` is the hash from the signed manifest; `expected` is the site's own contract: its schema must agree.
    """
    if len(model_bytes) > MAX_MODEL_BYTES:
        raise ModelRefusedError("too_big", f"{len(model_bytes)} bytes, at most {MAX_MODEL_BYTES}")
    digest = hashlib.sha256(model_bytes).hexdigest()
    if sha256 is not None and digest != sha256:
        raise ModelRefusedError("wrong_hash", f"sha256 is {digest}, the manifest says {sha256}")
    try:
        session = Session(model_bytes)
    except RuntimeRefusalError as error:
        raise ModelRefusedError("not_loadable", str(error)) from error
    meta = session.metadata()
    try:
        contract = contract_from_meta(meta)
        train = json.loads(meta["fc.train"])
        checks = json.loads(meta["fc.min_hist"])
        model = Model(
            sha256=digest,
            contract=contract,
            limits=InputLimits(**checks),
            scale=float(meta["fc.scale"]),
            trained_to_at=datetime.fromisoformat(train["to"]).astimezone(UTC),
            max_age_d=float(meta["fc.max_age_d"]),
            meta=meta,
            session=session,
            holidays=frozenset(
                date.fromisoformat(each) for each in json.loads(meta.get("fc.holidays", "[]"))
            ),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ModelRefusedError("bad_metadata", str(error)) from error
    if expected is not None and expected.schema_sha256() != contract.schema_sha256():
        raise ModelRefusedError("wrong_schema", f"the file is for {contract.canonical()}")
    _check_shapes(session, contract)
    _check_golden(model)
    return model


def _check_shapes(session: Session, contract: Contract) -> None:
    total = contract.hist + contract.horizon
    wanted: dict[str, tuple[int | str, ...]] = {
        "y_hist": (contract.hist,),
        "cal": (total, 4),
        "cqr": (contract.horizon, 3),
    }
    if contract.known:
        wanted["known"] = (total, len(contract.known))
    if session.input_shapes() != wanted:
        raise ModelRefusedError("wrong_shape", f"inputs {session.input_shapes()}, the contract says {wanted}")


def _check_golden(model: Model) -> None:
    try:
        golden = json.loads(model.meta["fc.golden"])
        arrays = {name: _unpack(text) for name, text in golden.items()}
        contract = model.contract
        total = contract.hist + contract.horizon
        known = (
            arrays["known"].astype(np.float64).reshape(total, len(contract.known)) if contract.known else None
        )
        got = model.run(arrays["y_hist"].astype(np.float64), known, arrays["cal"].reshape(total, 4))
        wanted = arrays["quantiles"].reshape(contract.horizon, 3)
    except (KeyError, ValueError, TypeError) as error:
        raise ModelRefusedError("bad_metadata", f"golden vector: {error}") from error
    worst = float(np.abs(got - wanted).max())
    if not worst <= GOLDEN_TOLERANCE * model.scale:
        raise ModelRefusedError("golden_differs", f"by {worst:.3g} {contract.unit}")


def pack(array: NDArray[np.float32]) -> str:
    """A float32 array as text for the golden entry."""
    return base64.b64encode(np.ascontiguousarray(array, dtype="<f4").tobytes()).decode()


def _unpack(text: str) -> F32:
    return np.frombuffer(base64.b64decode(text, validate=True), dtype="<f4")


def _checked_output(quantiles: Array, contract: Contract) -> Array:
    if quantiles.shape != (contract.horizon, 3) or not np.isfinite(quantiles).all():
        raise ModelRefusedError("output_not_finite", f"shape {quantiles.shape}")
    slack = 1e-5 * max(1.0, abs(contract.limit_high))
    if (quantiles < contract.limit_low - slack).any() or (quantiles > contract.limit_high + slack).any():
        raise ModelRefusedError(
            "output_out_of_range", f"{quantiles.min():.4g} to {quantiles.max():.4g} {contract.unit}"
        )
    if (np.diff(quantiles, axis=1) < -slack).any():
        raise ModelRefusedError("output_crossing", "quantiles are not in order")
    return quantiles
