"""Another controller on the measured demand: the simulation behind `trimload report`."""
