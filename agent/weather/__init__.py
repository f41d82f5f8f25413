"""Weather forecasts from outside: read, kept, and handed to whoever plans."""
