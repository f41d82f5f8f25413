"""Planning: what should run when, as pure functions of a problem (docs/planner.md)."""
