"""The gateway daemon: reads the machines, forecasts, plans, controls, reports."""
