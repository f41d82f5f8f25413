"""Air handler, chiller plant and ventilation of the twin: their physics, their traps, and the agent on their wire."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agent.clock import SimClock
from agent.config.load import load_site
from agent.config.site import Site
from agent.daemon.loop import Daemon
from agent.drivers.build import build_driver
from agent.store.history import History
from agent.store.ledger import Ledger
from tests.twin.wire_plant import free_port
from twin.hvac import HvacTwin
from twin.plant import TwinPlant
from twin.servers import TwinServers
from twin.weather import Conditions, Weather

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "hvac_plant" / "site.toml"
MONDAY = datetime(2026, 7, 6, 6, tzinfo=UTC)  # 08:00 on site: people are in


class Steady(Weather):
    """The same outdoors at all times."""

    def __init__(self, temp_degc: float, sun_w_m2: float = 0.0) -> None:
        self.now = Conditions(temp_degc, sun_w_m2)

    def at(self, at: datetime) -> Conditions:
        return self.now


def twin_at(temp_degc: float, *, start: datetime = MONDAY, **changes) -> HvacTwin:
    site = load_site(EXAMPLE)
    units = {name: unit.model_copy(update=changes.get(name, {})) for name, unit in site.hvac.units.items()}
    site = site.model_copy(update={"hvac": site.hvac.model_copy(update={"units": units})})
    return HvacTwin(site, start_at=start, seed=1, weather=Steady(temp_degc), model_error=0.0, warm_up_days=1)


def run(twin: HvacTwin, hours: float, *, start: datetime = MONDAY, beats: tuple[str, ...] = ()) -> None:
    for step in range(round(hours * 60)):
        for device in beats:
            twin.write(f"{device}.heartbeat", float(step % 1000 + 1))
        twin.advance_to(start + timedelta(minutes=step + 1))


def test_an_air_handler_moves_more_air_for_warm_zones_and_its_fan_follows_the_cube():
    twin = twin_at(30.0)
    run(twin, 2)
    ahu = twin.units["ahu"]

    assert twin.read("ahu.running") == 1.0
    assert 0.3 <= twin.read("ahu.fan_share") <= 1.0
    # On a chiller's water its own power is the fan's: 9 kW by the cube of the flow.
    assert ahu.power_kw == pytest.approx(9.0 * max(0.15, twin.read("ahu.fan_share") ** 3), rel=1e-6)
    assert twin.read("ahu.supply_temp") == pytest.approx(13.0, abs=0.2)


def test_an_economiser_cools_for_nothing_until_it_is_locked_out():
    cool, mild, warm = (twin_at(t) for t in (12.0, 17.0, 22.0))
    for twin in (cool, mild, warm):
        run(twin, 3)

    assert cool.read("ahu.outdoor_air") > 0.4
    assert warm.read("ahu.outdoor_air") == pytest.approx(0.2)
    assert cool.units["chiller"].load_kw < 0.2 * warm.units["chiller"].load_kw
    assert twin_at(12.0, ahu={"economiser": False}).read("ahu.outdoor_air") == pytest.approx(0.2)


def test_a_chiller_starts_late_keeps_its_timers_and_makes_warmer_water_for_less():
    twin = twin_at(32.0, start=MONDAY - timedelta(hours=4))
    chiller = twin.units["chiller"]
    running, changes = False, []
    for step in range(24 * 60 * 2):
        twin.advance_to(MONDAY - timedelta(hours=4) + timedelta(seconds=30 * (step + 1)))
        if (now := twin.read("chiller.running") == 1.0) != running:
            running = now
            changes.append((step * 30.0, now))
    starts = [at for at, on in changes if on]
    runs = [b - a for (a, on), (b, _) in zip(changes, changes[1:], strict=False) if on]
    stops = [b - a for (a, on), (b, _) in zip(changes, changes[1:], strict=False) if not on]
    # People come at 07:00 local, an hour after this day began: pump first, compressor two minutes later.
    assert starts[0] >= 3600.0 + 120.0
    assert min(runs, default=300.0) >= 300.0
    assert min(stops, default=600.0) >= 600.0
    cold, warm = twin_at(32.0), twin_at(32.0)
    for plant in (cold, warm):
        plant.write("chiller.heartbeat", 1.0)
    assert warm.write("chiller.supply_setpoint", 11.0)
    for plant in (cold, warm):
        run(plant, 2, beats=("chiller",))
    shares = [p.units["chiller"].power_kw / p.units["chiller"].load_kw for p in (cold, warm)]
    assert chiller.starts >= 1
    assert warm.read("chiller.supply_temp") == pytest.approx(11.0, abs=0.3)
    assert shares[1] < 0.95 * shares[0]


def test_ventilation_holds_the_co2_with_people_and_rests_without():
    twin = twin_at(15.0, start=MONDAY - timedelta(hours=3))
    seen = []
    for minute in range(24 * 60):
        twin.advance_to(MONDAY - timedelta(hours=3) + timedelta(minutes=minute + 1))
        seen.append((twin.zones["packing"].occupied, twin.read("vent.co2"), twin.read("vent.fan_share")))

    with_people = [ppm for busy, ppm, _ in seen if busy]
    assert 600.0 < max(with_people) < 1000.0
    assert min(share for busy, _, share in seen[90:600] if busy) >= 0.3
    assert seen[-1][2] == 0.0
    assert twin.units["vent"].starts >= 1


@pytest.mark.parametrize(
    ("tag", "value"), [("chiller.supply_setpoint", 2.0), ("ahu.supply_setpoint", 40.0), ("vent.co2_setpoint", 100.0)]
)  # fmt: skip
def test_what_a_plant_cannot_take_is_refused(tag, value):
    twin = twin_at(20.0)
    before = twin.read(tag)

    assert twin.write(tag, value) is False
    assert twin.read(tag) == before


def test_without_a_heartbeat_each_kind_goes_back_to_its_own_programme():
    twin = twin_at(25.0)
    for device, point, value in (("chiller", "supply_setpoint", 11.0), ("ahu", "supply_setpoint", 17.0), ("vent", "co2_setpoint", 1000.0)):  # fmt: skip
        twin.write(f"{device}.heartbeat", 7.0)
        assert twin.write(f"{device}.{point}", value)
    twin.advance_to(MONDAY + timedelta(seconds=60))
    held = [twin.read(t) for t in ("chiller.supply_setpoint", "ahu.supply_setpoint", "vent.co2_setpoint")]
    twin.advance_to(MONDAY + timedelta(seconds=180))
    back = [twin.read(t) for t in ("chiller.supply_setpoint", "ahu.supply_setpoint", "vent.co2_setpoint")]

    assert held == [11.0, 17.0, 1000.0]
    assert back == [7.0, 13.0, 800.0]


def test_a_rooftop_units_economiser_saves_its_compressors_power():
    plain, free = twin_at(14.0, rtu={"economiser": False}), twin_at(14.0)
    for twin in (plain, free):
        twin.zones["packing"].air_degc = 29.0
        twin.open_books()
        run(twin, 5.0 / 60.0)

    assert free.read("rtu.free_cooling") > 0.5
    assert free.units["rtu"].energy_kwh < 0.8 * plain.units["rtu"].energy_kwh


# ---- over the wire ----------------------------------------------------------------------------------------


def on_free_ports(site: Site) -> Site:
    ports: dict[tuple[str, int], int] = {}
    url = f"opc.tcp://127.0.0.1:{free_port()}/plant/"
    devices = {}
    for name, device in site.devices.items():
        if device.driver == "opcua":
            devices[name] = device.model_copy(update={"url": url})
        else:
            port = ports.setdefault((device.host, device.port), free_port())
            devices[name] = device.model_copy(update={"port": port})
    return site.model_copy(update={"devices": devices})


async def test_the_agent_reads_and_steers_each_kind_over_modbus_and_opc_ua():
    """Two hours and a half of a warm working day: zones get set-points, water and air get warmer, CO2 follows people."""
    logging.getLogger("asyncua").setLevel(logging.ERROR)
    site = on_free_ports(load_site(EXAMPLE))
    units = {n: u.model_copy(update={"dead_man_s": 1800.0}) for n, u in site.hvac.units.items()}
    site = site.model_copy(update={"hvac": site.hvac.model_copy(update={"units": units})})
    start = MONDAY - timedelta(hours=2, minutes=30)  # 05:30 on site
    hvac = HvacTwin(site, start_at=start, seed=1, weather=Steady(24.0))
    plant = TwinPlant(site, demand={}, start_at=start, hvac=hvac)
    servers = TwinServers(site, plant)
    await servers.start()
    clock = SimClock(start)
    drivers = {name: build_driver(name, device, clock) for name, device in site.devices.items()}
    ledger = Ledger(":memory:")
    daemon = Daemon(site, clock, drivers, history=History(":memory:", 30), ledger=ledger)
    seen: list[dict[str, float | None]] = []
    try:
        await daemon.start()
        for minute in range(0, 160, 20):
            at = start + timedelta(minutes=minute)
            clock.advance_to(at)
            await servers.advance_to(at)
            await daemon.tick()
            seen.append({tag: hvac.read(tag) for tag in hvac.tags})
        await daemon.stop("test over")
    finally:
        await servers.stop()

    unknown = [tag for tag, reading in daemon.snapshot.readings.items() if reading.value is None]
    assert unknown in ([], ["vent.supply_temp"])
    before, after = seen[1], seen[-1]  # 05:50 and 07:50 on site
    assert before["vent.co2_setpoint"] == 1000.0
    assert after["vent.co2_setpoint"] == 800.0
    # Nobody calls for more at 24 degC outdoors: supply temperatures go up, in their steps, and never beyond.
    assert 13.0 < after["ahu.supply_setpoint"] <= 18.0
    assert 7.0 < after["chiller.supply_setpoint"] <= 12.0
    assert after["vav1.heating_setpoint"] >= 20.0
    assert after["vav1.cooling_setpoint"] * 2 == round(after["vav1.cooling_setpoint"] * 2)
    for tag in ("ahu.supply_setpoint", "chiller.supply_setpoint"):
        course = [row[tag] for row in seen]
        assert max(abs(b - a) for a, b in zip(course, course[1:], strict=False)) <= 1.0
    assert all(hvac.units[name].panel.enable for name in ("rtu", "ahu", "chiller", "vent"))
    # Handed back on stop.
    assert hvac.read("vent.co2_setpoint") == 800.0
    assert hvac.read("ahu.supply_setpoint") == 13.0
    assert hvac.read("chiller.supply_setpoint") == pytest.approx(7.0)
