"""Roll-outs by rings: a pure core (`plan`, `decide`), its record, and the shell that acts on repository and broker."""
