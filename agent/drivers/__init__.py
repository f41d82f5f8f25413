"""Field protocols behind one Driver protocol, and the device profiles."""
