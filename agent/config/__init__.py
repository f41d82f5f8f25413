"""From site.toml to a typed, immutable Site, with every fault named at once."""
