"""The twin's OPC UA server, read and written by a client of its own kind over a real port."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
import pytest_asyncio
from asyncua import Client, ua

from agent.config.site import Site
from tests.twin.wire_plant import START, WirePlant, free_port
from twin.servers import TwinServers


def hall_site(port: int) -> Site:
    points = {
        "temp": {"node": "ns=2;s=Hall.Temperature", "unit": "degF"},
        "count": {"node": "ns=3;i=17", "type": "int16", "scale": 0.1},
        "setpoint": {"node": "ns=2;s=Hall.SetPoint", "unit": "degC", "type": "float32", "writable": True},
        "fan": {"node": "ns=2;s=Hall.Fan", "type": "bool", "writable": True},
    }
    device = {"driver": "opcua", "url": f"opc.tcp://127.0.0.1:{port}/hall", "points": points}
    return Site.model_validate({"site": {"id": "s"}, "devices": {"hall": device}})


# The address space takes 1.5 s to build: one server for all tests, the plant anew for each.
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served():
    site = hall_site(free_port())
    plant = WirePlant(dict.fromkeys(site.points, 0.0))
    servers = TwinServers(site, plant)
    await servers.start()
    async with Client(site.devices["hall"].url, timeout=5) as client:
        yield plant, servers, client
    await servers.stop()


@pytest_asyncio.fixture(loop_scope="module")
async def wired(served):
    plant, servers, _ = served
    fresh = {"hall.temp": 20.0, "hall.count": 1.2, "hall.setpoint": 24.0, "hall.fan": 1.0}
    plant.values, plant.refused, plant.written = fresh, {"hall.fan"}, []
    await servers.advance_to(START)
    return served


async def test_a_node_shows_the_plant_in_the_device_s_own_unit_and_type(wired):
    _, _, client = wired

    temp = await client.get_node("ns=2;s=Hall.Temperature").read_data_value()
    count = await client.get_node("ns=3;i=17").read_data_value()

    assert temp.Value.VariantType == ua.VariantType.Double
    assert temp.Value.Value == pytest.approx(68.0)  # 20 degC
    assert count.Value.VariantType == ua.VariantType.Int16
    assert count.Value.Value == 12  # 1.2 / 0.1
    assert temp.SourceTimestamp == START


async def test_a_node_follows_the_plant_after_each_advance(wired):
    plant, servers, client = wired
    plant.values["hall.temp"] = 25.0

    await servers.advance_to(START + timedelta(seconds=5))

    shown = await client.get_node("ns=2;s=Hall.Temperature").read_data_value()
    assert shown.Value.Value == pytest.approx(77.0)
    assert shown.SourceTimestamp == START + timedelta(seconds=5)


async def test_a_sensor_that_shows_nothing_is_bad_and_comes_back(wired):
    plant, servers, client = wired
    node = client.get_node("ns=2;s=Hall.Temperature")

    plant.values["hall.temp"] = None
    await servers.advance_to(START + timedelta(seconds=1))
    lost = await node.read_data_value(raise_on_bad_status=False)
    plant.values["hall.temp"] = 20.0
    await servers.advance_to(START + timedelta(seconds=2))
    found = await node.read_data_value()

    assert lost.StatusCode.is_bad()
    assert found.Value.Value == pytest.approx(68.0)


async def test_a_client_s_write_reaches_the_plant_and_stands_in_the_node(wired):
    plant, _, client = wired
    node = client.get_node("ns=2;s=Hall.SetPoint")

    await node.write_value(ua.DataValue(ua.Variant(22.5, ua.VariantType.Float)))

    assert plant.written == [("hall.setpoint", 22.5)]
    assert await node.read_value() == 22.5


async def test_a_refused_write_is_answered_bad_and_leaves_the_node_as_it_was(wired):
    plant, _, client = wired
    node = client.get_node("ns=2;s=Hall.Fan")

    with pytest.raises(ua.UaStatusCodeError) as refusal:
        await node.write_value(ua.DataValue(ua.Variant(False, ua.VariantType.Boolean)))

    assert refusal.value.code == ua.StatusCodes.BadInvalidState
    assert await node.read_value() is True
    assert plant.values["hall.fan"] == 1.0


async def test_a_read_only_node_is_not_written(wired):
    plant, _, client = wired
    node = client.get_node("ns=3;i=17")

    with pytest.raises(ua.UaStatusCodeError):
        await node.write_value(ua.DataValue(ua.Variant(3, ua.VariantType.Int16)))

    assert plant.written == []
    assert await node.read_value() == 12


async def test_a_subscriber_is_told_of_a_change(wired):
    plant, servers, client = wired
    seen: asyncio.Queue[float] = asyncio.Queue()

    class Listener:
        def datachange_notification(self, node, value, data):
            seen.put_nowait(value)

    subscription = await client.create_subscription(50, Listener())
    await subscription.subscribe_data_change(client.get_node("ns=2;s=Hall.Temperature"))
    first = await asyncio.wait_for(seen.get(), 5)
    plant.values["hall.temp"] = 30.0
    await servers.advance_to(START + timedelta(seconds=1))
    second = await asyncio.wait_for(seen.get(), 5)
    await subscription.delete()

    assert first == pytest.approx(68.0)
    assert second == pytest.approx(86.0)
