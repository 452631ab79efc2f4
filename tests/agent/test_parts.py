"""Laws of dividing: order is kept, parts have room, and none could have taken what follows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxdiff.agent.parts import parts_within


@given(st.lists(st.integers(0, 9)), st.integers(1, 12))
def test_parts_are_as_long_as_fits(sizes, room):
    numbers = list(range(len(sizes)))
    parts = parts_within(numbers, sizes.__getitem__, room)
    assert [number for part in parts for number in part] == numbers
    totals = [sum(sizes[number] for number in part) for part in parts]
    assert all(total <= room or len(part) == 1 for total, part in zip(totals, parts, strict=True))
    assert all(total + sizes[after[0]] > room for total, after in zip(totals, parts[1:], strict=False))


@pytest.mark.parametrize(("room", "counts"), [(100, [8]), (20, [2, 2, 2, 2]), (9, [1] * 8), (25, [2, 2, 2, 2])])
def test_parts_have_room_or_one_item(room, counts):
    items = list(range(8))
    parts = parts_within(items, lambda item: 10, room)
    assert [len(part) for part in parts] == counts and [item for part in parts for item in part] == items


def test_nothing_is_one_empty_part():
    assert parts_within([], len, 3) == [[]]
