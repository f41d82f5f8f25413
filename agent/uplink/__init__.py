"""Telemetry from the outbox to the broker."""
