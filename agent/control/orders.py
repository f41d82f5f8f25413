"""What the band wants of the machines, and what the guard lets out."""

from __future__ import annotations

from typing import NamedTuple


class Order(NamedTuple):
    """One machine's order. `share` is the VSD's flow as a share of full flow, None for the others."""

    run: bool
    load: bool
    share: float | None = None


STOP = Order(run=False, load=False)
# All that can be said to a machine without a speed: the same objects every tick.
LOADED, UNLOADED = Order(run=True, load=True), Order(run=True, load=False)
