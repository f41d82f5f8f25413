"""The tick: band, guard, mode and effect, as pure functions of a snapshot."""
