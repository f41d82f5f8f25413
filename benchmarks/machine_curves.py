"""Part-load curves of all kinds of compressor: the simulated machine against the equations, and those against the tool.

    benchmarks/machine_curves.py [--step-s 1]

Bars: 1 % of full-load power between our equations and the values that the national laboratories'
tool suite publishes in its own tests; 2 % between the machine simulated over whole cycles and the
equations, over 0 to 100 % of capacity.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.twin.machine_plates import GALLON_FT3, catalogue
from tests.twin.test_machine_curve import PUBLISHED
from twin.machine_curve import power_kw
from twin.machine_trial import simulated_power_kw

STATIC_BAR, DYNAMIC_BAR = 1.0, 2.0
# Close to full flow too: there the cycles get long, and a machine whose flow falls with pressure has its trouble.
FRACTIONS = (*(step / 20.0 for step in range(20)), 0.97, 0.99, 0.993, 0.996, 0.998, 1.0)


def machines() -> dict[str, tuple[str, dict[str, object]]]:
    """Name -> (catalogue machine, changes)."""

    def storage(flow_acfm: float, gallons: float) -> dict[str, object]:
        return {"storage_ft3": flow_acfm * gallons * GALLON_FT3}

    rows: dict[str, tuple[str, dict[str, object]]] = {}
    for gallons in (1, 3, 5, 10):
        rows[f"load/unload, {gallons} gal/acfm"] = ("629", storage(535, gallons))
    rows["load/unload oil-free, 3 gal/acfm"] = ("861", {**storage(535, 3), "no_load_kw": 17.6})
    rows["modulation to 50 %, 3 gal/acfm"] = ("737", storage(1167, 3))
    rows["variable displacement, 3 gal/acfm"] = ("728", storage(1390, 3))
    rows["modulation"] = ("701", {})
    rows["start/stop, 6 starts/h"] = ("629 start/stop", {})
    rows["VSD"] = ("vfd", {})
    rows["centrifugal, blow-off"] = ("blow-off", {})
    rows["centrifugal, load/unload"] = ("centrifugal load/unload", {})
    rows["centrifugal, modulation"] = ("centrifugal modulation", {"max_full_flow_acfm": None})
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--step-s", type=float, default=1.0, help="step of the simulation, 1 to 10 s")
    options = parser.parse_args()
    worst = 0.0
    for name, fraction, published_kw in PUBLISHED:
        plate = catalogue(name)
        worst = max(worst, 100.0 * abs(power_kw(plate, fraction) - published_kw) / plate.full_load_kw)
    print(
        f"equations against {len(PUBLISHED)} published values: at most {worst:.3f} % (bar {STATIC_BAR:g} %)\n"
    )
    print(
        f"simulated against equations, steps of {options.step_s:g} s, % of full-load power (bar {DYNAMIC_BAR:g} %)"
    )
    print(f"{'machine':<36}{'below full flow':>16}{'at':>7}{'at full flow':>14}")
    for label, (name, changes) in machines().items():
        plate = catalogue(name, **changes)
        gaps = {
            f: 100.0
            * (simulated_power_kw(plate, f, step_s=options.step_s) - power_kw(plate, f))
            / plate.full_load_kw
            for f in FRACTIONS
        }
        below = max((f for f in FRACTIONS if f < 1.0), key=lambda f: abs(gaps[f]))
        over = "" if max(abs(gaps[below]), abs(gaps[1.0])) <= DYNAMIC_BAR else "   OVER"
        print(f"{label:<36}{gaps[below]:>16.2f}{below:>7.1%}{gaps[1.0]:>14.2f}{over}")


if __name__ == "__main__":
    main()
