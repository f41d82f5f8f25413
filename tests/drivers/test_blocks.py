from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from agent.drivers.blocks import Block, Span, coalesce, rejoin, split


def holding(address: int, length: int = 1) -> Span:
    return Span("holding", address, length)


def extents(blocks: list[Block]) -> list[tuple[str, int, int]]:
    return [(block.table, block.address, block.length) for block in blocks]


def test_values_are_read_together_over_a_gap_up_to_the_limit():
    # Between 10..11 and 15 lie three unused registers; between 15 and 20 four.
    spans = [holding(20), holding(10, 2), holding(15)]

    assert extents(coalesce(spans, max_registers=100, max_gap=3)) == [("holding", 10, 6), ("holding", 20, 1)]
    assert extents(coalesce(spans, max_registers=100, max_gap=4)) == [("holding", 10, 11)]


def test_a_long_value_is_never_cut_at_the_end_of_a_block():
    spans = [holding(at, 2) for at in (0, 2, 4)]

    assert extents(coalesce(spans, max_registers=5, max_gap=0)) == [("holding", 0, 4), ("holding", 4, 2)]
    assert extents(coalesce(spans, max_registers=1, max_gap=0)) == [
        ("holding", 0, 2),
        ("holding", 2, 2),
        ("holding", 4, 2),
    ]


def test_tables_are_read_apart_and_sixteen_coils_weigh_as_a_register():
    spans = [Span("coil", 0, 1), Span("coil", 32, 1), Span("coil", 70, 1), holding(0), Span("input", 0, 1)]

    # Gap 2 registers = 32 coils: 31 coils lie between 0 and 32, 37 between 32 and 70.
    assert extents(coalesce(spans, max_registers=100, max_gap=2)) == [
        ("coil", 0, 33),
        ("coil", 70, 1),
        ("holding", 0, 1),
        ("input", 0, 1),
    ]


def test_a_thousand_long_neighbours_take_seventeen_requests():
    # 2000 registers / 125 = 16; 62 whole values of two registers fit into 125, 1000 / 62 = 16.1.
    assert len(coalesce((holding(2 * at, 2) for at in range(1000)), max_registers=125, max_gap=0)) == 17


def test_nothing_to_read_is_no_block():
    assert coalesce([], max_registers=100, max_gap=20) == []


def test_a_refused_block_is_parted_at_its_widest_gap_else_in_the_middle():
    (gappy,) = coalesce([holding(0), holding(2), holding(9)], max_registers=100, max_gap=20)
    (dense,) = coalesce([holding(at) for at in range(4)], max_registers=100, max_gap=20)

    gappy_halves, dense_halves = split(gappy), split(dense)

    assert gappy_halves is not None
    assert extents(list(gappy_halves)) == [("holding", 0, 3), ("holding", 9, 1)]
    assert dense_halves is not None
    assert extents(list(dense_halves)) == [("holding", 0, 2), ("holding", 2, 2)]


def test_values_that_share_registers_are_parted_too():
    # A 32-bit value and its upper register alone: the lower one may be the refused one.
    (shared,) = coalesce([holding(0, 2), holding(0, 1)], max_registers=100, max_gap=0)

    halves = split(shared)

    assert halves is not None
    assert extents(list(halves)) == [("holding", 0, 1), ("holding", 0, 2)]


def test_a_single_value_cannot_be_split():
    (single,) = coalesce([holding(0, 4)], max_registers=100, max_gap=0)

    assert split(single) is None


def test_touching_blocks_are_joined_save_where_that_was_refused_or_too_long():
    first, second, third = (coalesce([holding(at)], max_registers=9, max_gap=0)[0] for at in (0, 1, 3))
    both = Block("holding", 0, 2, (*first.spans, *second.spans))

    assert rejoin([third, second, first], set(), max_registers=9) == [both, third]
    assert rejoin([first, second], {both}, max_registers=9) == [first, second]
    assert rejoin([first, second], set(), max_registers=1) == [first, second]


spans = st.builds(
    Span,
    st.sampled_from(["holding", "input", "coil"]),
    st.integers(0, 300),
    st.integers(1, 4),
)


@given(st.lists(spans, max_size=60), st.integers(1, 125), st.integers(0, 120))
def test_every_value_is_in_exactly_one_block_whole_and_no_block_is_too_long(wanted, max_registers, max_gap):
    blocks = coalesce(wanted, max_registers=max_registers, max_gap=max_gap)

    assert sorted(span for block in blocks for span in block.spans) == sorted(set(wanted))
    for block in blocks:
        limit = max_registers * (16 if block.table == "coil" else 1)
        assert block.length <= limit or len({span.address for span in block.spans}) == 1
        for span in block.spans:
            assert span.table == block.table
            assert block.address <= span.address
            assert span.address + span.length <= block.address + block.length


@given(st.lists(spans, min_size=1, max_size=40), st.sets(st.integers(0, 304), max_size=4))
def test_splitting_finds_every_value_that_a_device_allows(wanted, forbidden):
    def search(block: Block) -> tuple[list[Block], set[Span]]:
        if forbidden.isdisjoint(range(block.address, block.address + block.length)):
            return [block], set()
        halves = split(block)
        if halves is None:
            return [], set(block.spans)
        left, right = search(halves[0]), search(halves[1])
        return left[0] + right[0], left[1] | right[1]

    found: list[Block] = []
    refused: set[Span] = set()
    for block in coalesce(wanted, max_registers=125, max_gap=120):
        good, bad = search(block)
        found += good
        refused |= bad

    assert {span for block in found for span in block.spans} | refused == set(wanted)
    assert all(not forbidden.isdisjoint(range(at.address, at.address + at.length)) for at in refused)
