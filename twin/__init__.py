"""The simulated plant behind real Modbus and OPC UA servers."""
