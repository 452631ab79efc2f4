import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxdiff.schema.leaves import fields_of
from jaxdiff.schema.paths import flat_values, nested, placed_values, value_at, with_required

POINT = {"type": "object", "properties": {"x": {"type": "integer"}, "y/z": {"type": "integer"}}, "required": ["x"]}
FIELDS = fields_of(
    {
        "type": "object",
        "properties": {
            "name": {"type": "string"},
            "at": POINT,
            "stops": {"type": "array", "items": POINT},
            "sizes": {"type": "object", "additionalProperties": {"type": "integer"}},
            "deep": {"type": "object", "properties": {"at": POINT, "n": {"type": "integer"}}, "required": ["at"]},
        },
        "required": ["name"],
    }
)
points = st.fixed_dictionaries({"x": st.integers()}, optional={"y/z": st.integers()})
arguments = st.fixed_dictionaries(
    {"name": st.text()},
    optional={
        "at": points,
        "stops": st.lists(points, min_size=1, max_size=3),
        "sizes": st.dictionaries(st.text(), st.integers(), min_size=1, max_size=3),
        "deep": st.fixed_dictionaries({"at": points}, optional={"n": st.integers()}),
    },
)


@given(arguments)
def test_flat_values_nest_back(value):
    assert nested(FIELDS, flat_values(FIELDS, value)) == value


@given(arguments)
def test_pointers_are_where_the_values_are(value):
    for name, (pointer, found) in placed_values(FIELDS, value).items():
        if not name.endswith(".key"):
            assert value_at(value, pointer) == found


def test_places_by_hand():
    value = {"name": "a", "stops": [{"x": 1, "y/z": 2}], "sizes": {"s/m": 3}}
    assert placed_values(FIELDS, value) == {
        "name": ("/name", "a"),
        "stops[0].x": ("/stops/0/x", 1),
        "stops[0].y/z": ("/stops/0/y~1z", 2),
        "sizes[0].key": ("/sizes/s~1m", "s/m"),
        "sizes[0].value": ("/sizes/s~1m", 3),
    }
    with pytest.raises(KeyError):
        value_at(value, "/at/x")


def test_items_of_a_list_close_up():
    assert nested(FIELDS, {"stops[2].x": 3, "stops[0].x": 1}) == {"stops": [{"x": 1}, {"x": 3}]}


def test_what_an_optional_value_requires_comes_with_it():
    assert with_required(FIELDS, {"at.y/z"}) == {"at.y/z", "at.x"}
    assert with_required(FIELDS, {"deep.n"}) == {"deep.n", "deep.at.x"}
    assert with_required(FIELDS, {"stops[1].y/z"}) == {"stops[1].y/z", "stops[1].x"}
    assert with_required(FIELDS, {"name", "at.x"}) == {"name", "at.x"}
