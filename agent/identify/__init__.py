"""Models of zones from a CSV of their past: `trimload identify`."""
