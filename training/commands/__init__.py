"""The commands of trimload-train, one module each."""
