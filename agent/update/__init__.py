"""Signed updates: verify, stage, switch, confirm or roll back."""
