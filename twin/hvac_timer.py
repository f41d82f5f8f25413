"""The short-cycle timers of a compressor: start delay, least run and least stop time."""

from __future__ import annotations

from agent.config.site import Unit


class CompressorTimer:
    """Whether a compressor may run now. Counts its starts."""

    def __init__(self, unit: Unit, start_delay_s: float) -> None:
        self._unit, self._delay_s = unit, start_delay_s
        self.running = False
        self.starts = 0
        self._since_s = 1e9
        self.called_s = 0.0  # how long it has been called for while it stood

    def step(self, step_s: float, *, called: bool) -> bool:
        """Live for `step_s` under a call or without one; whether it runs."""
        self._since_s += step_s
        if self.running:
            if not called and self._since_s >= self._unit.min_run_s:
                self.running, self._since_s, self.called_s = False, 0.0, 0.0
            return self.running
        self.called_s = self.called_s + step_s if called else 0.0
        if called and self.called_s > self._delay_s and self._since_s >= self._unit.min_stop_s:
            self.running, self._since_s = True, 0.0
            self.starts += 1
        return self.running
