"""Conventional controllers to compare with: pressure cascade and sequencer."""
