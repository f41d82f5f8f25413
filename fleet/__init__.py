"""Cloud side: sign, publish, roll out by rings, collect telemetry."""
