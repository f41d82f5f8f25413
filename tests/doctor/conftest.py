"""The fixtures of those rooms that the doctor looks into."""

from tests.daemon.conftest import site_file, start_twin
from tests.service.conftest import place
from tests.update.conftest import fleet, made_once
from tests.uplink.conftest import mosquitto

__all__ = ["fleet", "made_once", "mosquitto", "place", "site_file", "start_twin"]
