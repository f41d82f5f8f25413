"""How much work a plan may cost, counted in programmes solved and sweeps made, never in seconds.

The same problem with the same budget gives the same plan on any machine.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Budget:
    """`lps`: dispatch programmes; `sweeps`: passes of set, pair or one-machine programmes.

    `group`: machines in one set programme of a large station; `kicks`: forced changes in a round;
    `pair_turns`: sweeps over pairs in a row after a set programme; `levels`: pressures spread over the
    band in the first programme with the receiver.
    """

    lps: int
    sweeps: int
    group: int = 8
    kicks: int = 16
    pair_turns: int = 100
    levels: int = 9

    @staticmethod
    def quick() -> Budget:
        """For the control loop: tens of milliseconds."""
        return Budget(lps=6, sweeps=3, group=6, kicks=0, pair_turns=0, levels=5)

    @staticmethod
    def greedy_only() -> Budget:
        """Greedy commitment and one dispatch."""
        return Budget(lps=1, sweeps=0, kicks=0)

    @staticmethod
    def full(machines: int) -> Budget:
        """The everyday plan: under 0.1 s of CPU for a handful of machines, about 1 s for twenty."""
        if machines <= 6:
            return Budget(lps=30, sweeps=20, kicks=4)
        if machines <= 9:
            return Budget(lps=40, sweeps=30, kicks=4)
        if machines <= 14:
            return Budget(lps=60, sweeps=60, kicks=10)
        if machines <= 25:
            return Budget(lps=80, sweeps=50, kicks=8)
        return Budget(lps=200, sweeps=115, kicks=4)

    @staticmethod
    def deep() -> Budget:
        """For studies: several times the everyday plan, more kicks."""
        return Budget(lps=2000, sweeps=2000, kicks=60)

    def tenth(self) -> Budget:
        """About a tenth of this budget's time: two programmes over sets, no pairs, a coarse receiver."""
        return Budget(
            lps=max(6, self.lps // 10),
            sweeps=max(2, self.sweeps // 12),
            group=6,
            kicks=0,
            pair_turns=0,
            levels=5,
        )
