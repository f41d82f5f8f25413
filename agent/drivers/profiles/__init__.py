"""Device profiles: one TOML file a make and model, read by agent/config/profiles.py."""
