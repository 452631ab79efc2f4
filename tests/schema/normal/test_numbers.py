"""Bounds and steps against a plain search."""

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxdiff.schema.normal.numbers import common_multiple, exact, room, tightest_lower, tightest_upper

fractions = st.fractions(min_value=-6, max_value=6, max_denominator=6)
steps = st.sampled_from([Fraction(1, 2), Fraction(1), Fraction(2, 3), Fraction(2), Fraction(5, 4)])
bounds = st.tuples(fractions, st.booleans())


def within(number, low, high):
    above = number > low[0] or (number == low[0] and not low[1])
    below = number < high[0] or (number == high[0] and not high[1])
    return above and below


@given(bounds, bounds, steps)
def test_room_for_a_multiple(low, high, step):
    multiples = [step * count for count in range(-20, 21)]
    assert room(low, high, step) == any(within(number, low, high) for number in multiples)


@given(bounds, bounds)
def test_room_for_any_number(low, high):
    middle = (low[0] + high[0]) / 2
    assert room(low, high, None) == any(within(number, low, high) for number in (low[0], middle, high[0]))


@given(st.lists(bounds, min_size=1), fractions)
def test_the_tightest_bound_allows_what_all_allow(several, number):
    far = (Fraction(100), False)
    assert within(number, tightest_lower(several), far) == all(within(number, low, far) for low in several)
    near = (Fraction(-100), False)
    assert within(number, near, tightest_upper(several)) == all(within(number, near, high) for high in several)


@given(st.lists(steps, min_size=1, max_size=3))
def test_common_multiple_is_the_least(numbers):
    found = common_multiple(numbers)
    multiples = (count * numbers[0] for count in range(1, 1000))
    assert found == next(entry for entry in multiples if all((entry / step).denominator == 1 for step in numbers))
    assert common_multiple([]) is None


@pytest.mark.parametrize(
    ("number", "value"),
    [
        (0.1, Fraction(1, 10)),
        (1e23, Fraction(99999999999999991611392)),
        (10**23, Fraction(10**23)),
        (-2.5, Fraction(-5, 2)),
    ],
)
def test_doubles_are_what_is_written_as_long_as_they_may_be_fractions(number, value):
    assert exact(number) == value


@pytest.mark.parametrize("number", [True, "1", None, math.nan, math.inf])
def test_what_is_no_number_is_refused(number):
    with pytest.raises((TypeError, ValueError, OverflowError)):
        exact(number)
