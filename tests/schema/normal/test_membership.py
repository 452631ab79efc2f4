"""Which values are of a node: numbers as they are written, JSON equality, formats when they are asked for."""

from fractions import Fraction

import pytest

from jaxdiff.schema.normal.membership import contains, equal
from jaxdiff.schema.normal.nodes import Array, Choice, Entries, Lazy, Never, Number, Object, Property, Text


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        (1, 1.0, True),
        (1, True, False),
        (0, False, False),
        (False, False, True),
        ("A", "a", False),
        ([1, [2.0]], [1.0, [2]], True),
        ([1, 2], [2, 1], False),
        ({"a": 1, "b": [True]}, {"b": [True], "a": 1.0}, True),
        ({"a": 1}, {"a": 1, "b": None}, False),
        (None, False, False),
        (10**20, 1e20, True),
    ],
)
def test_json_equality(a, b, same):
    assert equal(a, b) is same
    assert equal(b, a) is same


@pytest.mark.parametrize(
    ("node", "members", "others"),
    [
        (Number(minimum=Fraction("0.1"), maximum=Fraction("0.3")), [0.1, 0.3, 0.2], [0.09, 0.31, True, "0.2"]),
        (Number(minimum=Fraction(0), exclusive_minimum=True), [1e-300, 5], [0, -0.0, -1]),
        (Number(integer=True), [3, 3.0, 10**30], [3.5, False]),
        (Number(integer=True, whole_floats=False), [3], [3.0]),
        (Number(multiples_of=(Fraction("0.01"), Fraction(2))), [4, 0.0, -2], [0.01, 3]),
        (Number(), [float(2**80)], [float("inf"), float("nan"), None]),
        (Text(min_length=2, max_length=2), ["ab", "😀é"], ["a", "abc", 12]),
        (Text(patterns=("b",), excluded_patterns=("^a",), excluded_values=("bb",)), ["b", "cb"], ["ab", "c", "bb"]),
        (Text(formats=("date",)), ["2024-02-29"], ["2023-02-29", "today"]),
        (Choice(values=({"a": 1}, "x")), [{"a": 1.0}, "x"], [{"a": True}, "X"]),
        (Array(prefix=(Lazy(Text),), items=Lazy(Number), min_items=1, max_items=3, unique=True),
         [["a"], ["a", 1, 2]], [[], [1], ["a", "b"], ["a", 1, 1.0], ["a", 1, 2, 3]]),
        (Array(prefix=(Lazy(Text),)), [[], ["a"]], [["a", "b"]]),
        (Object(properties=(Property(name="a", value=Lazy(Text), required=True),
                            Property(name="b", value=Lazy(Number))),
                entries=(Entries(key=Text(patterns=("^x",)), value=Lazy(Number)),), max_properties=3,
                requires=(("b", ("x1",)),)),
         [{"a": "s"}, {"a": "s", "b": 1, "x1": 2}],
         [{}, {"a": 1}, {"a": "s", "b": 1}, {"a": "s", "y": 1}, {"a": "s", "x": "s"},
          {"a": "s", "x": 1, "x1": 1, "x2": 1}]),
        (Object(entries=(Entries(key=Text(max_length=1), value=Lazy(Text)),), min_properties=2),
         [{"a": "", "b": ""}], [{"a": ""}, {"a": "", "bb": ""}]),
        (Never(), [], [None, 1, "a", [], {}]),
    ],
    ids=str,
)  # fmt: skip
def test_members(node, members, others):
    assert [value for value in members if not contains(node, value)] == []
    assert [value for value in others if contains(node, value)] == []


def test_formats_can_be_left_out():
    assert contains(Text(formats=("date",)), "today", formats=False)
    assert contains(Array(items=Lazy(lambda: Text(formats=("date",)))), ["today"], formats=False)


def test_checks_count():
    class Even:
        def is_valid(self, value):
            return value % 2 == 0

    assert contains(Number(checks=(Even(),)), 4)
    assert not contains(Number(checks=(Even(),)), 3)
