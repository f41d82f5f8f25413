"""`trimload doctor`: is this gateway, with this site.toml, fit to run? Looks at everything, changes nothing."""
