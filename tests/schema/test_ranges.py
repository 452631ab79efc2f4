"""Ends of ranges, told by the names of fields."""

import pytest

from jaxdiff.schema.leaves import fields_of
from jaxdiff.schema.ranges import in_order, range_ends

NUMBER, DATE, TIME, TEXT = (
    {"type": "number"},
    {"type": "string", "format": "date"},
    {"type": "string", "format": "time"},
    {"type": "string"},
)


def ends_of(**properties):
    fields = fields_of({"type": "object", "properties": properties})
    return [(fields[low].name, fields[high].name) for low, high in range_ends(tuple(fields))]


@pytest.mark.parametrize(
    ("names", "schema"),
    [
        (("min_price", "max_price"), NUMBER),
        (("priceMin", "priceMax"), NUMBER),
        (("low", "high"), {"type": "integer"}),
        (("from_year", "to_year"), {"type": "integer"}),
        (("startDate", "endDate"), DATE),
        (("check_in", "check_out"), DATE),
        (("since", "until"), {"type": "string", "format": "date-time"}),
    ],
)
def test_ends_of_a_range_in_either_order(names, schema):
    assert ends_of(**dict.fromkeys(names, schema)) == [names]
    assert ends_of(**dict.fromkeys(reversed(names), schema)) == [names]


@pytest.mark.parametrize(
    "properties",
    [
        {"from_base": NUMBER, "to_base": NUMBER},
        {"from_city": TEXT, "to_city": TEXT},
        {"start_time": TIME, "end_time": TIME},
        {"min_price": NUMBER, "max_weight": NUMBER},
        {"min_price": NUMBER, "max_price": DATE},
        {"min_low": NUMBER, "max_high": NUMBER},
        {"min": NUMBER, "max_price": NUMBER},
        {"price": NUMBER, "prices": NUMBER},
    ],
    ids=lambda properties: "-".join(properties),
)
def test_what_is_no_range(properties):
    assert ends_of(**properties) == []


def test_both_ends_are_parts_of_the_same():
    pair = {"type": "object", "properties": {"min": NUMBER, "max": NUMBER}}
    assert ends_of(price=pair, age=pair) == [("price.min", "price.max"), ("age.min", "age.max")]


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (1, 2.5, True),
        (2, 2, True),
        (3, -3, False),
        ("2026-01-31", "2026-02-01", True),
        ("2026-02-01", "2026-01-31", False),
        ("2026-02-01T23:00:00Z", "2026-02-01T01:00:00+09:00", True),
        (1, "2", True),
        (None, 2, True),
        (True, False, True),
        ([3], [2], True),
    ],
)
def test_order_of_values(low, high, expected):
    assert in_order(low, high) is expected
