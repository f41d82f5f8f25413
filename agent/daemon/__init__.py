"""The rim of the agent: what reads, writes, plans and reports around the pure control."""
