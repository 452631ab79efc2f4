import itertools
import json
import math
from fractions import Fraction

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from jaxdiff.errors import UnsupportedLanguage
from jaxdiff.schema.languages.numbers import MAX_DECIMALS, integer_language, number_language, number_text

# Every canonical text of up to three characters before and behind the point, and some that are not canonical.
digits = ["0", *map(str, range(1, 10)), *map(str, range(10, 130)), *map(str, range(980, 1021))]
decimals = ["", ".0", ".5", ".50", ".25", ".05", ".99", ".125", ".333"]
canonical = [
    sign + whole + rest
    for sign in ("", "-")
    for whole in digits
    for rest in decimals
    if not (sign and Fraction(whole + rest) == 0)
]
wrong = [
    "",
    "-",
    "-0",
    "-0.0",
    "+1",
    "01",
    "00",
    "1.",
    ".5",
    "-.5",
    "1e3",
    "1-",
    "--1",
    "1.5.5",
    " 1",
    "1 ",
    "0x1",
    "٣",
    "1,0",
]

bounds = (
    st.none()
    | st.integers(-1020, 1020)
    | st.fractions(-20, 20, max_denominator=8)
    | st.floats(-1e3, 1e3).map(lambda x: round(x, 2))
)
steps = st.lists(st.sampled_from([1, 2, 3, 7, 12, 100, 0.5, 0.25, 0.01, 2.5, Fraction(1, 20)]), max_size=2)


def is_between(value, low, high, no_low, no_high):
    low, high = (None if x is None else Fraction(str(x)) for x in (low, high))
    return (low is None or value > low or (value == low and not no_low)) and (
        high is None or value < high or (value == high and not no_high)
    )


@settings(max_examples=40, deadline=None)
@given(bounds, bounds, st.booleans(), st.booleans(), steps, st.booleans())
def test_a_number_is_accepted_exactly_if_it_is_within_bounds_and_a_multiple(
    low, high, no_low, no_high, multiples, whole
):
    build = integer_language if whole else number_language
    found = build(low, high, exclusive_minimum=no_low, exclusive_maximum=no_high, multiples_of=multiples)
    assert [text for text in wrong if found.accepts(text)] == []
    grid = math.lcm(*(int(Fraction(str(step)) * 100) for step in multiples))
    places = len(number_text(Fraction(grid, 100)).partition(".")[2]) if multiples else 3
    for text in canonical:
        value = Fraction(text)
        expected = is_between(value, low, high, no_low, no_high)
        expected &= all((value / Fraction(str(step))).denominator == 1 for step in multiples)
        expected &= not (whole and "." in text) and len(text.partition(".")[2]) <= places
        assert found.accepts(text) is expected, text


@settings(max_examples=200, deadline=None)
@given(st.integers(), st.integers(-(10**30), 10**30))
def test_integers_of_any_size_are_exact(value, bound):
    assert integer_language().accepts(json.dumps(value))
    for number in (value, bound - 1, bound, bound + 1):
        assert integer_language(bound).accepts(str(number)) is (number >= bound)
        assert integer_language(maximum=bound).accepts(str(number)) is (number <= bound)


@settings(max_examples=80, deadline=None)
@given(st.decimals(-(10**9), 10**9, places=4).map(float) | st.sampled_from([1.5, 1e-07, 0.1, 1e13, 123456.789, -0.001]))
def test_usual_floats_are_numbers_as_json_writes_them(value):
    assume(value != 0 or str(value)[0] != "-")
    text = number_text(value)
    assert json.loads(text) == value
    assert number_language().accepts(text)
    assert number_language(value, value).accepts(text)
    assert not number_language(value, exclusive_minimum=True).accepts(text)
    if "e" not in repr(value):
        assert number_language(value, value).accepts(json.dumps(value))


def test_what_is_read_as_a_double_is_still_within_exclusive_bounds():
    found = number_language(0.1, 0.3, exclusive_minimum=True, exclusive_maximum=True)
    assert found.accepts("0.299999999999")
    assert not found.accepts("0." + "3" * 17)
    assert not found.accepts("0.29" + "9" * 20)
    assert not found.accepts("0.1")
    assert not number_language().accepts("0." + "1" * (MAX_DECIMALS + 1))


def test_an_interval_without_numbers_is_empty():
    assert integer_language(3, 2).is_empty()
    assert integer_language(0.2, 0.8).is_empty()
    assert number_language(1, 1, exclusive_maximum=True).is_empty()
    assert list(integer_language(-2, 3).examples()) == ["0", "1", "2", "3", "-1", "-2"]
    assert list(itertools.islice(number_language(multiples_of=[0.25], minimum=0.5).examples(), 4)) == [
        "1",
        "2",
        "3",
        "4",
    ]


def test_multiples_that_need_too_many_states_are_named():
    with pytest.raises(UnsupportedLanguage, match="multiples of 1000003"):
        integer_language(multiples_of=[1000003])
    with pytest.raises(UnsupportedLanguage, match="multiples of 1/8192"):
        number_language(multiples_of=[2**-13])
    with pytest.raises(UnsupportedLanguage, match="multiples of 1/3"):
        number_language(multiples_of=[Fraction(1, 3)])
    with pytest.raises(UnsupportedLanguage, match="no decimal equals"):
        number_text(Fraction(1, 3))
    assert integer_language(multiples_of=[2**-13]).accepts("5")
