"""Rules about references: tags that exist, in the right unit, used once, and writable where commanded."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from agent.config.fault import Fault
from agent.config.parts import Point
from agent.config.site import READ_ROLES, WRITE_ROLES, Site, names_tag
from agent.config.uses import Use, uses
from agent.config.where import Place, nearest
from agent.units import CONVERSIONS


def tag_faults(site: Site) -> Iterator[Fault]:
    """Faults of every reference to a tag, then of the list of tags that may be written."""
    found = uses(site)
    yield from _absent_devices(site, found)
    for use in found:
        if not _device_has_points(site, use.tag):
            continue
        point = site.points.get(use.tag)
        if point is None:
            yield from _missing(site, use)
            continue
        yield from _unit(use, point)
        if use.written and use.armed:
            yield from _command_point(use, point)
    yield from _shared([use for use in found if use.tag in site.points])
    yield from _not_allowed(site, found)
    yield from _allow_list(site)
    for target in site.models:
        known = {*site.points, *site.stations}
        if target not in known:
            yield Fault(
                ("models", target),
                f"'{target}' is neither a station nor a tag, so nothing can be forecast for it",
                _write(nearest(target, known), "the id of a station or a tag"),
            )


def _device_has_points(site: Site, tag: str) -> bool:
    device = site.devices.get(tag.partition(".")[0])
    return device is not None and bool(device.points)


def _absent_devices(site: Site, found: list[Use]) -> Iterator[Fault]:
    """Devices that tags name and nobody describes: one fault each, at the first tag."""
    absent: dict[str, list[Use]] = defaultdict(list)
    for use in found:
        device = use.tag.partition(".")[0]
        if device not in site.devices:
            absent[device].append(use)
    owners = [unit.device for unit in site.hvac.units.values()] if site.hvac is not None else []
    for device, named in absent.items():
        if device in owners:
            continue  # the unit's own key is named already
        close = nearest(device, site.devices)
        more = f" (and {len(named) - 1} more tags)" if len(named) > 1 else ""
        yield Fault(
            named[0].place,
            f"{named[0].purpose}: device '{device}' of tag {named[0].tag}{more} is not described",
            f"write {named[0].tag.replace(device, close, 1)}" if close else f"add [devices.{device}]",
        )


def _missing(site: Site, use: Use) -> Iterator[Fault]:
    device, _, point = use.tag.partition(".")
    if not use.named:
        if use.needed:
            role = point  # an unnamed tag is device.role
            yield Fault(
                use.place,
                f"there is no point for {use.purpose}: tag {use.tag} is not described",
                f'add [devices.{device}.points.{role}], or name another tag: tags = {{ {role} = "device.point" }}',
                table=True,
            )
        return
    close = nearest(point, site.devices[device].points)
    fix = f"write {device}.{close}" if close else f"add [devices.{device}.points.{point}]"
    yield Fault(use.place, f"{use.purpose}: device '{device}' has no point '{point}'", fix)


def _unit(use: Use, point: Point) -> Iterator[Fault]:
    canonical = CONVERSIONS[point.unit].canonical
    if canonical in use.units:
        return
    wanted = sorted(u for u, c in CONVERSIONS.items() if u and c.canonical in use.units)
    has = f'unit "{point.unit}"' if point.unit else "no unit"
    fix = (
        f"set its unit to one of {', '.join(wanted)}" if wanted else "take its unit out: it is a bare number"
    )
    device, _, name = use.tag.partition(".")
    place = use.place if use.named else ("devices", device, "points", name, "unit")
    yield Fault(place, f"{use.purpose}: tag {use.tag} has {has}", f"{fix}, or name another tag")


def _command_point(use: Use, point: Point) -> Iterator[Fault]:
    """A point that is commanded in CONTROL must be writable, with a range that takes the commands in."""
    device, _, name = use.tag.partition(".")
    place: Place = ("devices", device, "points", name)
    if not point.writable:
        yield Fault(
            place,
            f'{use.purpose}: tag {use.tag} is commanded in mode "control" but is not writable',
            'set writable = true, or set mode = "advise"',
            table=True,
        )
        return
    low, high = min(use.must_write, default=0.0), max(use.must_write, default=1.0)
    if point.write_min is None or point.write_max is None:
        yield Fault(
            place,
            f'{use.purpose}: tag {use.tag} is commanded in mode "control" but has no write range',
            f"set write_min and write_max, at least {low:g} to {high:g} {use.units[0]}".rstrip(),
            table=True,
        )
        return
    if point.write_min > low or point.write_max < high:
        yield Fault(
            place,
            f"{use.purpose} must take {low:g} to {high:g}, but {use.tag} may be written from "
            f"{point.write_min:g} to {point.write_max:g}",
            f"set write_min = {min(low, point.write_min):g} and write_max = {max(high, point.write_max):g}"
            ", or correct the value that lies outside",
            table=True,
        )
    elif use.units == ("share",) and (point.write_min < 0 or point.write_max > 1):
        yield Fault(
            place,
            f"{use.tag} may be written up to {point.write_max:g}, but it is a share: 1 is full output",
            "give write_min and write_max as shares between 0 and 1, not in per cent",
            table=True,
        )


def _shared(found: list[Use]) -> Iterator[Fault]:
    """What is commanded or counted plays one part: two machines on one device, or one set-point for two
    zones, would fight."""
    first: dict[str, Use] = {}
    by_table: dict[tuple[Place, str], list[Use]] = defaultdict(list)
    for use in (use for use in found if use.alone):
        other = first.setdefault(use.tag, use)
        if other is not use:
            by_table[_owner(use), other.purpose.rpartition(" of ")[2]].append(use)
    for (owner, other_subject), clashes in by_table.items():
        tags = ", ".join(sorted({use.tag for use in clashes}))
        single = len(clashes) == 1
        yield Fault(
            clashes[0].place if single and clashes[0].named else owner,
            f"{clashes[0].purpose}: tag {tags} is already taken by {first[clashes[0].tag].purpose}"
            if single
            else f"{clashes[0].purpose.rpartition(' of ')[2]} shares tags with {other_subject}: {tags}",
            'give each its own device, or name the right tags (tags = { role = "device.point" })'
            if "machines" in owner
            else "name the right tag",
            table=not (single and clashes[0].named),
        )


def _owner(use: Use) -> Place:
    """The table of the machine, unit, zone or station that uses the tag."""
    if not use.named:
        return use.place
    return use.place[:-2] if use.place[-2] == "tags" else use.place[:-1]


def _not_allowed(site: Site, found: list[Use]) -> Iterator[Fault]:
    """Commanded tags that are not on the site's list: one fault a device."""
    closed: dict[str, list[str]] = defaultdict(list)
    for use in found:
        if use.written and use.armed and use.tag in site.points and not site.may_write(use.tag):
            closed[use.tag.partition(".")[0]].append(use.tag)
    for device, tags in closed.items():
        yield Fault(
            ("allow_writes",),
            f'mode "control" commands {", ".join(sorted(set(tags)))}, which allow_writes does not name',
            f'add "{device}.*" or the single tags to allow_writes, or set mode = "advise"',
        )


def _allow_list(site: Site) -> Iterator[Fault]:
    for index, pattern in enumerate(site.allow_writes):
        place: Place = ("allow_writes", index)
        matched = [tag for tag in site.points if names_tag(pattern, tag)]
        if not matched:
            known = {*site.points, *(f"{device}.*" for device in site.devices)} - set(site.allow_writes)
            fix = _write(nearest(pattern, known), 'a tag or "device.*", or take it out')
            yield Fault(place, f'"{pattern}" matches no tag of this site', fix)
        elif not any(site.points[tag].writable for tag in matched):
            yield Fault(
                place,
                f'"{pattern}" matches only tags that cannot be written: {", ".join(matched[:5])}',
                "take it out, or set writable = true on the point that is meant",
            )
        elif pattern.startswith("*"):
            yield Fault(
                place,
                f'"{pattern}" opens every device of the site',
                f"name each device that may be commanded: {', '.join(_writing_devices(site))}",
            )


def _writing_devices(site: Site) -> list[str]:
    return [
        f'"{d}.*"' for d, device in site.devices.items() if any(p.writable for p in device.points.values())
    ]


def _write(close: str | None, otherwise: str) -> str:
    return f'write "{close}"' if close else f"write {otherwise}"


def role_faults(site: Site) -> Iterator[Fault]:
    """Machines: a device that is described, and roles that exist."""
    roles = (*READ_ROLES, *WRITE_ROLES)
    for station_id, station in site.stations.items():
        for machine_id, machine in station.machines.items():
            place: Place = ("stations", station_id, "machines", machine_id)
            if machine.device not in site.devices:
                yield unknown_device(site, (*place, "device"), machine.device)
            for role in machine.tags:
                if role not in roles:
                    close = nearest(role, roles)
                    yield Fault(
                        (*place, "tags", role),
                        f"'{role}' is not a role of a machine",
                        f"write '{close}'" if close else f"roles are {', '.join(roles)}",
                    )


def unknown_device(site: Site, place: Place, device: str) -> Fault:
    """The fault of a machine or unit whose device is not described."""
    close = nearest(device, site.devices)
    fix = f'write device = "{close}"' if close else f"add [devices.{device}]"
    return Fault(place, f"device '{device}' is not described", fix)
