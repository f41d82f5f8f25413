"""The fleet as a web page: rendered here, read-only, without scripts and without anything from elsewhere."""
