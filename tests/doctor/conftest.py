"""The fixtures of those rooms that the doctor looks into."""

from tests.daemon.conftest import site_file, start_twin
from tests.service.conftest import place
from tests.uplink.conftest import mosquitto

__all__ = ["mosquitto", "place", "site_file", "start_twin"]
