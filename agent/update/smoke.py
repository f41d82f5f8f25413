"""`python -m agent.update.smoke`: a fresh release finds everything it will ever import. Run before it may be started.

What the agent imports late would otherwise be missed first on the day it is needed.
"""

from __future__ import annotations

from importlib import import_module

NEEDED = (
    "agent.cli",
    "agent.daemon.command",
    "agent.drivers.modbus",
    "agent.drivers.opcua",
    "agent.inference.runtime",
    "scipy.optimize",
    "tuf.ngclient",
)


def main() -> int:
    """Import all of it; an ImportError ends the process with a traceback that names what is missing."""
    for name in NEEDED:
        import_module(name)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
