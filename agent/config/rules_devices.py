"""Rules about devices and their points: addresses that are there, fit, and belong to one value each."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import urlsplit

from agent.config.fault import Fault
from agent.config.parts import Device, Point
from agent.config.site import Site
from agent.config.where import Place
from agent.units import from_canonical

REGISTERS = {"uint32": 2, "int32": 2, "float32": 2, "uint64": 4, "int64": 4, "float64": 4}
WHOLE = {
    "bool": (0.0, 1.0),
    "uint16": (0.0, 2.0**16 - 1),
    "int16": (-(2.0**15), 2.0**15 - 1),
    "uint32": (0.0, 2.0**32 - 1),
    "int32": (-(2.0**31), 2.0**31 - 1),
}
BIT_TABLES = ("coil", "discrete")
READ_ONLY = ("input", "discrete")
_NODE = re.compile(r"^(ns=\d+;|nsu=[^;]+;)?[isgb]=.+$")


def device_faults(site: Site) -> Iterator[Fault]:
    """Faults of each device by itself, then between devices."""
    for name, device in site.devices.items():
        yield from _address(name, device, site.tick_s)
        for key, point in device.points.items():
            place: Place = ("devices", name, "points", key)
            tag = f"{name}.{key}"
            if device.driver == "modbus-tcp":
                yield from _modbus_point(place, tag, point)
            elif device.driver == "opcua":
                yield from _opcua_point(place, tag, point)
            yield from _write_range(place, tag, point, coded=device.driver != "lines")
    yield from _overlaps(site)
    yield from _between(site)


def _address(name: str, device: Device, tick_s: float) -> Iterator[Fault]:
    place: Place = ("devices", name)
    if device.driver == "modbus-tcp":
        if not device.host:
            yield Fault(
                place, f"device '{name}' has no host", 'add host = "192.168.0.10" or its name', table=True
            )
        elif "/" in device.host or (":" in device.host.strip("[]") and device.host.count(":") == 1):
            yield Fault(
                (*place, "host"),
                f'host = "{device.host}" is not a host name or address',
                "write the bare name or address; the port has its own key",
            )
        if device.url:
            yield Fault(
                (*place, "url"), 'url belongs to driver "opcua"', 'take it out, or set driver = "opcua"'
            )
    if device.driver == "opcua":
        if not device.url:
            yield Fault(
                place, f"device '{name}' has no url", 'add url = "opc.tcp://host:4840/path"', table=True
            )
        elif not _is_url(device.url, ("opc.tcp",)):
            yield Fault(
                (*place, "url"),
                f'url = "{device.url}" is not an OPC UA address',
                'write it as "opc.tcp://host:4840/path"',
            )
        if device.host:
            yield Fault(
                (*place, "host"),
                'host belongs to driver "modbus-tcp"',
                'take it out, or set driver = "modbus-tcp"',
            )
    if not device.points:
        yield Fault(
            place,
            f"device '{name}' has no points, so nothing is read from it",
            f'add a profile = "...", or [devices.{name}.points.X]',
            table=True,
        )
    # A simulator on JSON lines answers at every tick by what it is.
    if device.driver != "lines" and device.stale_after_s < 2 * tick_s:
        yield Fault(
            (*place, "stale_after_s"),
            f"a value of '{name}' is stale after {device.stale_after_s:g} s, but is read every {tick_s:g} s: "
            "one lost answer and it is gone",
            f"set stale_after_s = {2 * tick_s:g} or more, or a shorter tick_s",
        )


def _is_url(text: str, schemes: tuple[str, ...]) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in schemes and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        return False


def _modbus_point(place: Place, tag: str, point: Point) -> Iterator[Fault]:
    lacking = [
        key for key, value in (("register", point.register_), ("address", point.address)) if value is None
    ]
    if point.node is not None:
        yield Fault((*place, "node"), 'node belongs to driver "opcua"', "give register and address instead")
    if lacking:
        yield Fault(
            place,
            f"{tag} has no {' and no '.join(lacking)}",
            f"add {' and '.join(lacking)}: Modbus table and address as on the wire, 0-based",
            table=True,
        )
        return
    assert point.address is not None
    end = point.address + _size(point)
    if end > 65536:
        yield Fault(
            (*place, "address"),
            f"{tag} begins at {point.address} and needs {_size(point)} registers: they end beyond 65535",
            f"set address = {65536 - _size(point)} or less, or a shorter type",
        )
    if point.register_ in BIT_TABLES:
        if point.type != "bool":
            yield Fault(
                (*place, "type"),
                f'{tag} is a {point.register_}, one bit, but has type "{point.type}"',
                'set type = "bool"',
            )
        if point.bit is not None:
            yield Fault(
                (*place, "bit"), f"{tag} is a {point.register_}, which has no bits of its own", "take bit out"
            )
    elif point.bit is not None and point.type != "bool":
        yield Fault(
            (*place, "type"),
            f'{tag} is bit {point.bit} of a register, but has type "{point.type}"',
            'set type = "bool", or take bit out',
        )
    if point.writable and point.register_ in READ_ONLY:
        other = "holding" if point.register_ == "input" else "coil"
        yield Fault(
            (*place, "writable"),
            f"{tag} is writable, but Modbus {point.register_} values can only be read",
            f'set register = "{other}", or writable = false',
        )


def _opcua_point(place: Place, tag: str, point: Point) -> Iterator[Fault]:
    for key, value in (("register", point.register_), ("address", point.address), ("bit", point.bit)):
        if value is not None:
            yield Fault(
                (*place, key), f'{key} belongs to driver "modbus-tcp"', "take it out; give node instead"
            )
    if point.node is None:
        yield Fault(place, f"{tag} has no node", 'add node = "ns=2;s=Hall.Temperature"', table=True)
    elif not _NODE.match(point.node):
        yield Fault(
            (*place, "node"),
            f'node = "{point.node}" is not an OPC UA node id',
            'write it as "ns=2;s=Hall.Temperature" or "ns=2;i=1001"',
        )


def _write_range(place: Place, tag: str, point: Point, *, coded: bool) -> Iterator[Fault]:
    if point.scale == 0:
        yield Fault(
            (*place, "scale"), f"{tag} has scale = 0: every value would be {point.offset:g}", "correct scale"
        )
        return
    low, high = point.write_min, point.write_max
    if low is not None and high is not None and low > high:
        yield Fault(
            (*place, "write_min"),
            f"{tag}: write_min = {low:g} is above write_max = {high:g}",
            "exchange them, or correct one",
        )
        return
    if not coded or not point.writable or point.type not in WHOLE:
        return
    least, most = WHOLE[point.type]
    for key, value in (("write_min", low), ("write_max", high)):
        if value is None:
            continue
        raw = (from_canonical(value, point.unit) - point.offset) / point.scale
        if not least - 0.5 <= raw <= most + 0.5:
            yield Fault(
                (*place, key),
                f"{tag}: {key} = {value:g} is {raw:g} in the device, which does not fit into {point.type} "
                f"({least:g} to {most:g})",
                f"correct {key} (canonical unit), scale, unit or type",
            )


def _size(point: Point) -> int:
    return 1 if point.register_ in BIT_TABLES or point.bit is not None else REGISTERS.get(point.type, 1)


class _Placed(NamedTuple):
    """A value and the registers it stands on: `start` up to, not including, `end`."""

    table: str
    start: int
    end: int
    device: str
    key: str
    point: Point


def _overlaps(site: Site) -> Iterator[Fault]:
    """Two values on one register of a controller, whether in one device of site.toml or in two."""
    controllers: dict[tuple[str, int, int], list[_Placed]] = defaultdict(list)
    for name, device in site.devices.items():
        if device.driver == "modbus-tcp":
            controllers[device.host.lower() or name, device.port, device.unit_id] += [
                _Placed(p.register_, p.address, p.address + _size(p), name, key, p)
                for key, p in device.points.items()
                if p.register_ is not None and p.address is not None
            ]
    same: dict[tuple[str, str], int] = defaultdict(int)
    for placed in controllers.values():
        for one, other in _clashes(placed):
            if one.device != other.device:
                first, second = sorted((one.device, other.device), key=list(site.devices).index)
                same[first, second] += 1
                continue
            bit = (
                f", bit {one.point.bit}"
                if one.point.bit is not None and one.point.bit == other.point.bit
                else ""
            )
            yield Fault(
                ("devices", other.device, "points", other.key),
                f"{one.device}.{one.key} and {other.device}.{other.key} both stand on {other.table} register "
                f"{other.start}{bit}",
                "correct the address of one, or the type of the longer one",
                table=True,
            )
    for (first, second), count in same.items():
        device = site.devices[second]
        yield Fault(
            ("devices", second),
            f"devices '{first}' and '{second}' are the same controller ({device.host} port {device.port} unit "
            f"{device.unit_id}) and have {count} register{'s' if count > 1 else ''} in common",
            "correct host, port or unit_id, or the addresses",
            table=True,
        )


def _clashes(placed: list[_Placed]) -> Iterator[tuple[_Placed, _Placed]]:
    """Pairs that overlap and may not, the one that begins first before the other."""
    in_order = sorted(placed, key=lambda p: p[:3])
    for at, one in enumerate(in_order):
        for other in in_order[at + 1 :]:
            if other.table != one.table or other.start >= one.end:
                break
            if not _may_share(one.point, other.point):
                yield one, other


def _may_share(one: Point, other: Point) -> bool:
    """Bits of a word, and a word beside its bits as long as neither is written."""
    if one.bit is not None and other.bit is not None:
        return one.bit != other.bit
    word_and_bit = (one.bit is None) != (other.bit is None)
    return word_and_bit and not one.writable and not other.writable


def _between(site: Site) -> Iterator[Fault]:
    nodes: dict[tuple[str, str], str] = {}
    for name, device in site.devices.items():
        if device.driver == "opcua":
            for point_id, point in device.points.items():
                if point.node is None:
                    continue
                tag = f"{name}.{point_id}"
                first = nodes.setdefault((device.url, point.node), tag)
                if first != tag:
                    yield Fault(
                        ("devices", name, "points", point_id),
                        f"{first} and {tag} both stand on node {point.node}",
                        "correct one node id; in a profile write {device} where the units differ",
                        table=True,
                    )
    drivers = {device.driver for device in site.devices.values()}
    if "lines" in drivers and len(drivers) > 1:
        for name, device in site.devices.items():
            if device.driver == "lines":
                yield Fault(
                    ("devices", name, "driver"),
                    f"device '{name}' has driver \"lines\", which a site may mix with nothing else",
                    'set driver = "lines" for every device (trimload cosim), or for none',
                )
