"""Which registers are read together. Pure: spans of values in, block reads out.

One request costs a device about as much for 100 registers as for one, so values that stand near
each other are read in one block, unused registers between them included. Where a device refuses a
block (exception 2 or 3) the block is split until the refused value stands alone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple

# Registers and coils of one answer: the protocol allows 125 and 2000 (Modbus Application Protocol
# V1.1b3, 6.1-6.4). A coil is a sixteenth of a register.
BITS_PER_REGISTER = 16


class Span(NamedTuple):
    """The registers of one value, which are never read apart: half a number is none."""

    table: str
    address: int
    length: int


class Block(NamedTuple):
    """One read request, and the values it brings."""

    table: str
    address: int
    length: int
    spans: tuple[Span, ...]


def coalesce(spans: Iterable[Span], *, max_registers: int, max_gap: int) -> list[Block]:
    """As few blocks as bring all spans, within `max_registers` each, over gaps up to `max_gap`.

    A span longer than `max_registers` is a block of its own. Order: table, then address.
    """
    blocks: list[Block] = []
    members: list[Span] = []
    end = 0
    for span in sorted(set(spans)):
        per_register = BITS_PER_REGISTER if span.table in ("coil", "discrete") else 1
        fits = (
            members
            and span.table == members[0].table
            and span.address - end <= max_gap * per_register
            and max(end, span.address + span.length) - members[0].address <= max_registers * per_register
        )
        if members and not fits:
            blocks.append(_block(members))
            members = []
        end = max(end, span.address + span.length) if members else span.address + span.length
        members.append(span)
    if members:
        blocks.append(_block(members))
    return blocks


def split(block: Block) -> tuple[Block, Block] | None:
    """Two smaller blocks with the same values, parted at the widest gap, else in the middle.

    None where the block is a single value: it is the one that the device refuses.
    """
    if len(block.spans) < 2:
        return None
    ends: list[int] = []
    for span in block.spans:
        ends.append(max(ends[-1] if ends else 0, span.address + span.length))
    gaps = {at: block.spans[at].address - ends[at - 1] for at in range(1, len(block.spans))}
    widest = max(gaps, key=lambda at: gaps[at])
    at = widest if gaps[widest] > 0 else len(block.spans) // 2
    return _block(block.spans[:at]), _block(block.spans[at:])


def rejoin(blocks: Iterable[Block], refused: Collection[Block], *, max_registers: int) -> list[Block]:
    """Touching blocks joined again, save where the join was refused before.

    After a search for one bad register this leaves one block on each side of it.
    """
    joined: list[Block] = []
    for block in sorted(blocks):
        if joined and joined[-1].table == block.table:
            last = joined[-1]
            per_register = BITS_PER_REGISTER if block.table in ("coil", "discrete") else 1
            both = _block(tuple(sorted({*last.spans, *block.spans})))
            touching = block.address <= last.address + last.length
            if touching and both.length <= max_registers * per_register and both not in refused:
                joined[-1] = both
                continue
        joined.append(block)
    return joined


def _block(spans: Iterable[Span]) -> Block:
    members = tuple(spans)
    first = min(span.address for span in members)
    end = max(span.address + span.length for span in members)
    return Block(members[0].table, first, end - first, members)
