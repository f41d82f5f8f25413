"""An OPC UA server whose nodes are the simulated plant.

Node values are written after each step of the plant, so that reads and subscriptions see the same.
A client's write goes to the plant first; what the plant refuses is answered with a Bad status and
leaves the node as it was.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agent.config.parts import Device, Point
from agent.units import from_canonical, to_canonical
from twin.protocol import SimulatedPlant

# Point type -> OPC UA built-in type, and the range of the integers.
VARIANTS = {
    "bool": "Boolean",
    "uint16": "UInt16",
    "int16": "Int16",
    "uint32": "UInt32",
    "int32": "Int32",
    "uint64": "UInt64",
    "int64": "Int64",
    "float32": "Float",
    "float64": "Double",
}


@dataclass(frozen=True, slots=True)
class _Item:
    tag: str
    point: Point
    type: str
    node_id: Any


class OpcUaServer:
    """One endpoint with the nodes of one or more devices."""

    def __init__(self, url: str, devices: Mapping[str, Device], plant: SimulatedPlant) -> None:
        self.url = url
        self._plant = plant
        self._points = {
            f"{name}.{p}": point
            for name, device in devices.items()
            for p, point in device.points.items()
            if point.node
        }
        # By node id. Any, because asyncua.ua does not declare most of what it exports.
        self._items: dict[Any, _Item] = {}
        self._expected: set[Any] = set()
        self._refused: dict[Any, int] = {}
        self._ua: Any = None
        self._server: Any = None

    async def start(self) -> None:
        """Build the address space and open the port. OSError when it is taken."""
        # asyncua costs 0.7 s and 24 MiB; a site without OPC UA does not pay it.
        from asyncua.common.callback import CallbackType
        from asyncua.server.server import Server

        self._ua = ua = importlib.import_module("asyncua.ua")

        server = Server()
        await server.init()
        server.set_endpoint(self.url)
        server.set_server_name("Trimload twin")
        server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
        node_ids = {tag: ua.NodeId.from_string(str(point.node)) for tag, point in self._points.items()}
        highest = max((node_id.NamespaceIndex for node_id in node_ids.values()), default=0)
        for index in range(2, highest + 1):  # 0 is OPC UA's own, 1 the server's
            await server.register_namespace(f"urn:trimload:twin:{index}")
        for tag, point in self._points.items():
            item = _Item(tag, point, variant_name(point), node_ids[tag])
            self._items[item.node_id] = item
            variant = getattr(ua.VariantType, item.type)
            name = ua.QualifiedName(tag, item.node_id.NamespaceIndex)
            node = await server.nodes.objects.add_variable(item.node_id, name, self._raw(item) or 0, variant)
            if point.writable:
                await node.set_writable()
            server.set_attribute_value_setter(item.node_id, self._set)
        server.subscribe_server_callback(CallbackType.PostWrite, self._after_write)
        self._server = server
        await self.refresh()
        await server.start()

    async def stop(self) -> None:
        """Close the port and every session."""
        if self._server is not None:
            await self._server.stop()
            self._server = None
            self._items.clear()

    async def refresh(self) -> None:
        """Show the plant's present values."""
        if self._server is not None:
            for item in self._items.values():
                await self._show(item)

    async def _show(self, item: _Item) -> None:
        ua = self._ua
        value = self._raw(item)
        good = value is not None
        variant = ua.Variant(value, getattr(ua.VariantType, item.type)) if good else ua.Variant()
        status = ua.StatusCode(ua.StatusCodes.Good if good else ua.StatusCodes.BadSensorFailure)
        shown = ua.DataValue(variant, status, self._plant.at, self._plant.at)
        self._expected.add(item.node_id)
        await self._server.write_attribute_value(item.node_id, shown)
        self._expected.discard(item.node_id)

    def _set(self, node: Any, attribute: Any, value: Any) -> None:
        """Take a value into the address space: ours as it is, a client's by way of the plant."""
        if node.nodeid in self._expected:
            self._expected.discard(node.nodeid)
            node.attributes[attribute].value = value
            return
        ua = self._ua
        item = self._items[node.nodeid]
        raw = value.Value.Value if value.Value is not None else None
        if not item.point.writable:  # asyncua lets an anonymous client write everything
            self._refused[item.node_id] = ua.StatusCodes.BadNotWritable
        elif not isinstance(raw, bool | int | float) or not math.isfinite(raw):
            self._refused[item.node_id] = ua.StatusCodes.BadOutOfRange
        elif not self._plant.write(item.tag, canonical_value(item.point, float(raw))):
            self._refused[item.node_id] = ua.StatusCodes.BadInvalidState

    async def _after_write(self, event: Any, _dispatcher: Any = None) -> None:
        """Tell the client which of its values the plant refused, and show what stands there now."""
        ua = self._ua
        for index, written in enumerate(event.request_params.NodesToWrite):
            item = self._items.get(written.NodeId)
            if item is None or written.AttributeId != ua.AttributeIds.Value:
                continue
            refusal = self._refused.pop(item.node_id, None)
            if refusal is not None:
                event.response_params[index] = ua.StatusCode(refusal)
            await self._show(item)

    def _raw(self, item: _Item) -> bool | int | float | None:
        value = self._plant.read(item.tag)
        if value is None:
            return None
        raw = (from_canonical(value, item.point.unit) - item.point.offset) / item.point.scale
        if item.type == "Boolean":
            return bool(raw >= 0.5)
        if item.type in {"Float", "Double"}:
            return raw
        signed = not item.type.startswith("U")
        bits = int(item.type[-2:])
        low = -(1 << bits - 1) if signed else 0
        high = low + (1 << bits) - 1
        return min(max(round(raw), low), high)


def canonical_value(point: Point, raw: float) -> float:
    """What a client wrote, in the canonical unit."""
    return to_canonical(raw * point.scale + point.offset, point.unit)


def variant_name(point: Point) -> str:
    """OPC UA type of a node: as configured; Double where site.toml says nothing, since a node
    knows its own type and the default there is meant for registers.
    """
    return VARIANTS[point.type] if "type" in point.model_fields_set else "Double"
