"""The machines' own gauges as second witnesses of the header's pressure, where a site reads them.

A gauge sits before dryer and filter and shows more than the header, by what these lose and by its own error. That
difference is learned for each machine while the header sensor is believed, and only while the machine delivers.
"""

from __future__ import annotations

from math import isfinite
from statistics import median

from agent.control.view import Fleet, StationView
from agent.domain import Snapshot

# They are looked at this often; what a gauge differs by settles over some tens of looks.
_LOOK_S = 10.0
_GAIN = 0.05
_LEAST_LOOKS = 6
# The header sensor is believed again after the gauges have agreed with it for this long ...
_AGREED_S = 60.0
# ... to within half of the jump and this: dryers lose more when more flows.
_CLOSE_BAR = 0.2


class Gauges:
    """What each machine's `discharge_pressure` shows beyond the header, and whether both agree now."""

    def __init__(self, fleet: Fleet) -> None:
        self._tags = tuple(machine.tag("discharge_pressure") for machine in fleet.machines)
        self._beyond_bar = [0.0] * fleet.count
        self._looks = [0] * fleet.count
        self._looked_s = float("-inf")
        self._agreed_s = 0.0

    def agree(self, view: StationView, snapshot: Snapshot, off_bar: float) -> bool:
        """Take in one tick. Whether a header sensor that jumped by `off_bar` (0: believed) has been borne out by now.

        A sensor that shows what is not there never is; one that was exchanged or set right is not either, since the
        gauges were compared with what it showed before: that takes a person's word.
        """
        if not off_bar:
            self._agreed_s = 0.0
        elapsed_s = view.at_s - self._looked_s
        header = view.pressure_bar_g
        if header is None or not isfinite(header) or 0.0 <= elapsed_s < _LOOK_S:
            return False
        self._looked_s = view.at_s
        shown: list[float] = []
        for index, tag in enumerate(self._tags):
            if not view.machines[index].loaded:
                continue
            gauge = snapshot.value(tag)
            if gauge is None or not isfinite(gauge):
                continue
            if not off_bar:
                gain = max(1.0 / (self._looks[index] + 1.0), _GAIN)
                self._beyond_bar[index] += (gauge - header - self._beyond_bar[index]) * gain
                self._looks[index] += 1
            elif self._looks[index] >= _LEAST_LOOKS:
                shown.append(gauge - self._beyond_bar[index])
        if not shown:
            return False
        close = abs(header - median(shown)) <= min(_CLOSE_BAR, 0.5 * abs(off_bar))
        self._agreed_s = self._agreed_s + min(elapsed_s, 2.0 * _LOOK_S) if close else 0.0
        return self._agreed_s >= _AGREED_S
