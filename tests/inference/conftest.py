import pytest

from tests.inference.load_plant import STEP_S, plant_frame
from training.fit import fit_target


@pytest.fixture(scope="session")
def model_bytes() -> bytes:
    """A model of the plant, trained on six weeks with its temperature known ahead."""
    return fit_target(
        plant_frame(42),
        target="load",
        unit="kW",
        step_s=STEP_S,
        horizon=24,
        tz="UTC",
        seed=1,
        quick=True,
        known=["temp"],
        known_units=["degC"],
        limits=(0.0, 60.0),
    )
