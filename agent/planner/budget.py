"""How much work a plan may cost, counted in programmes solved and sweeps made, never in seconds.

The same problem with the same budget gives the same plan on any machine.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Budget:
    """`lps`: dispatch programmes; `sweeps`: passes of set, pair or one-machine programmes."""

    lps: int
    sweeps: int
    group: int = 8

    @staticmethod
    def quick() -> Budget:
        """For the control loop: tens of milliseconds."""
        return Budget(lps=6, sweeps=12, group=6)

    @staticmethod
    def greedy_only() -> Budget:
        """Greedy commitment and one dispatch."""
        return Budget(lps=1, sweeps=0)

    @staticmethod
    def full(machines: int) -> Budget:
        """The everyday plan: about 0.1 s for a handful of machines, 1 s for twenty."""
        if machines <= 4:
            return Budget(lps=200, sweeps=200)
        if machines <= 6:
            return Budget(lps=200, sweeps=200)
        if machines <= 9:
            return Budget(lps=200, sweeps=200)
        if machines <= 14:
            return Budget(lps=200, sweeps=200)
        return Budget(lps=200, sweeps=200)

    def tenth(self) -> Budget:
        """A tenth of this budget."""
        return Budget(lps=max(1, self.lps // 10), sweeps=max(1, self.sweeps // 10), group=6)
