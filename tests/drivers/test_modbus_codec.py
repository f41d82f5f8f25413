from __future__ import annotations

import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.config.parts import Point
from agent.drivers.modbus_codec import BlockCodec, bit_of, decode, encode, with_bit, word_count
from agent.drivers.scaling import EncodeError

ORDERS = [
    # 12.5 = 0x41480000: bytes A=41 B=48 C=00 D=00; 1.1 below uses all four bytes.
    ("big", "big", "ABCD"),
    ("little", "big", "CDAB"),
    ("big", "little", "BADC"),
    ("little", "little", "DCBA"),
]


def point(**changes: object) -> Point:
    return Point.model_validate({"register": "holding", "address": 0, **changes})


@pytest.mark.parametrize(("word_order", "byte_order", "name"), ORDERS)
def test_the_four_byte_orders_of_a_long_value(word_order, byte_order, name):
    # float32 1.1 = 0x3F8CCCCD: A=3F B=8C C=CC D=CD
    letters = dict(zip("ABCD", bytes.fromhex("3F8CCCCD"), strict=True))
    received = bytes(letters[letter] for letter in name)
    words = struct.unpack(">HH", received)
    long_value = point(type="float32", word_order=word_order, byte_order=byte_order)

    value = decode(long_value, words)

    assert value == pytest.approx(1.1)
    assert encode(long_value, 1.1) == words


@pytest.mark.parametrize(
    ("kind", "words", "value"),
    [
        ("bool", (0,), 0.0),
        ("bool", (0x0100,), 1.0),
        ("uint16", (0xFFFF,), 65535.0),
        ("int16", (0xFFFF,), -1.0),
        ("uint32", (0x0001, 0x0000), 65536.0),
        ("int32", (0xFFFF, 0xFFFE), -2.0),
        ("uint64", (0, 0, 1, 0), 65536.0),
        ("int64", (0xFFFF, 0xFFFF, 0xFFFF, 0xFFFD), -3.0),
        ("float32", (0x4148, 0x0000), 12.5),
        ("float64", (0x4029, 0, 0, 0), 12.5),
    ],
)
def test_every_type_is_decoded(kind, words, value):
    assert decode(point(type=kind), words) == value
    assert word_count(point(type=kind)) == len(words)


def test_scale_offset_and_unit_are_applied_in_this_order():
    # 725 * 0.1 - 40 = 32.5 degF = (32.5 - 32) * 5/9 = 0.2778 degC
    outdoor = point(unit="degF", scale=0.1, offset=-40.0)

    assert decode(outdoor, (725,)) == pytest.approx(0.277778, abs=1e-6)
    assert encode(outdoor, 0.2777778) == (725,)


@pytest.mark.parametrize("words", [(0x7FC0, 0), (0x7F80, 0), (0xFF80, 0)], ids=["nan", "inf", "-inf"])
def test_what_is_no_number_is_unknown(words):
    assert decode(point(type="float32"), words) is None


def test_a_bit_of_a_register_stands_where_its_byte_order_says():
    # Bit 1 of 0x0200 read with swapped bytes is bit 1 of 0x0002.
    straight, swapped = point(bit=9, type="bool"), point(bit=1, byte_order="little", type="bool")

    assert decode(straight, (0x0200,)) == 1.0
    assert decode(swapped, (0x0200,)) == 1.0
    assert decode(swapped, (0x0002,)) == 0.0
    assert (bit_of(straight, 0x0200), bit_of(swapped, 0x0200), bit_of(swapped, 0x0002)) == (1, 1, 0)
    assert (with_bit(straight, 0xFFFF, 0), with_bit(swapped, 0x0001, 1)) == (0xFDFF, 0x0201)


@pytest.mark.parametrize(
    ("changes", "value", "words"),
    [
        ({"register": "coil", "type": "bool"}, 1.0, (1,)),
        ({"bit": 3, "type": "bool"}, 0.0, (0,)),
        ({"type": "bool"}, 1.0, (1,)),
        ({"type": "bool", "byte_order": "little"}, 1.0, (0x0100,)),
        # A contact that is closed when off: value = raw * -1 + 1.
        ({"register": "coil", "type": "bool", "scale": -1.0, "offset": 1.0}, 1.0, (0,)),
        ({"type": "int16"}, -1.4, (0xFFFF,)),
    ],
)
def test_what_is_written_for_bits_and_rounded_numbers(changes, value, words):
    assert encode(point(**changes), value) == words


@pytest.mark.parametrize(
    ("changes", "value"),
    [
        ({}, 65535.6),
        ({}, -1.0),
        ({"type": "int16"}, 32768.0),
        ({"type": "float32"}, 1e39),
        ({"type": "bool"}, 2.0),
        ({"register": "coil", "type": "bool"}, 0.6 + 1.0),
        ({"bit": 0, "type": "bool"}, -1.0),
        ({"scale": 0.0}, 1.0),
        ({}, math.nan),
        ({"type": "float64"}, math.inf),
        ({"scale": 1e-300}, 1e300),
        ({"type": "float64", "scale": 1e-300}, 1e300),
        ({"register": "coil", "type": "bool", "scale": 1e-300}, 1e300),
    ],
)
def test_what_the_register_cannot_hold_is_refused(changes, value):
    with pytest.raises(EncodeError):
        encode(point(**changes), value)


orders = st.sampled_from(["big", "little"])
integers = {
    "uint16": (0, 2**16 - 1),
    "int16": (-(2**15), 2**15 - 1),
    "uint32": (0, 2**32 - 1),
    "int32": (-(2**31), 2**31 - 1),
    # Beyond 2**53 a float has no odd numbers.
    "uint64": (0, 2**53),
    "int64": (-(2**53), 2**53),
}


@given(st.sampled_from(sorted(integers)).flatmap(lambda kind: st.tuples(st.just(kind), st.integers(*integers[kind]))), orders, orders)  # fmt: skip
def test_every_whole_number_comes_back(kind_and_value, word_order, byte_order):
    kind, value = kind_and_value
    whole = point(type=kind, word_order=word_order, byte_order=byte_order)

    assert decode(whole, encode(whole, float(value))) == value


@given(st.floats(width=32, allow_nan=False, allow_infinity=False), orders, orders)
def test_every_float32_comes_back(value, word_order, byte_order):
    real = point(type="float32", word_order=word_order, byte_order=byte_order)

    assert decode(real, encode(real, value)) == value


@given(st.floats(allow_nan=False, allow_infinity=False), orders, orders)
def test_every_float64_comes_back(value, word_order, byte_order):
    real = point(type="float64", word_order=word_order, byte_order=byte_order)

    assert decode(real, encode(real, value)) == value


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["uint16", "int32", "float32", "float64", "bool"]),
            st.integers(0, 20),
            orders,
            orders,
        ),
        min_size=1,
        max_size=8,
    ),
    st.lists(st.integers(0, 0xFFFF), min_size=24, max_size=24),
)
def test_a_block_decodes_as_its_points_do_one_by_one_over_gaps_and_overlaps(layout, words):
    points = [
        (point(type=kind, word_order=word_order, byte_order=byte_order, scale=0.1, unit="psi"), first)
        for kind, first, word_order, byte_order in layout
    ]

    together = BlockCodec(points).decode(words)

    assert together == [decode(each, words[first : first + word_count(each)]) for each, first in points]


def test_too_few_words_are_an_error_and_no_value():
    with pytest.raises(struct.error):
        BlockCodec([(point(type="float32"), 0)]).decode((0x4148,))
