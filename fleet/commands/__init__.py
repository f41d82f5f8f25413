"""Commands of `trimload-fleet`: each a function `command(argv) -> int`."""
