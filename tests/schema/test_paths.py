import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxdiff.schema.leaves import fields_of
from jaxdiff.schema.paths import arrange, flat_values, nested, placed_values, value_at, with_required

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
    for half in ("key", "value"):
        assert with_required(FIELDS, {f"sizes[1].{half}"}) == {"sizes[1].key", "sizes[1].value"}


def test_an_entry_and_what_is_in_it_need_one_another():
    maps = fields_of_property(
        m={"type": "object", "additionalProperties": POINT},
        mm={"type": "object", "additionalProperties": {"type": "object", "additionalProperties": {"type": "integer"}}},
    )
    entry = {"m[1].key", "m[1].value.x"}
    assert with_required(maps, {"m[1].key"}) == with_required(maps, {"m[1].value.x"}) == entry
    assert with_required(maps, {"m[1].value.y/z"}) == entry | {"m[1].value.y/z"}
    inner = {"mm[0].key", "mm[0].value[2].key", "mm[0].value[2].value"}
    assert with_required(maps, {"mm[0].value[2].key"}) == with_required(maps, {"mm[0].value[2].value"}) == inner
    assert with_required(maps, {"mm[0].key"}) == {"mm[0].key"}
    held = {"type": "object", "additionalProperties": POINT, "minProperties": 1}
    deep = fields_of_property(
        a={"type": "object", "properties": {"m": held, "n": {"type": "integer"}}, "required": ["m"]}
    )
    assert with_required(deep, {"a.n"}) == {"a.n", "a.m[0].key", "a.m[0].value.x"}


def test_an_entry_that_holds_an_object():
    maps = fields_of_property(m={"type": "object", "additionalProperties": POINT})
    value = {"m": {"s/m": {"x": 1, "y/z": 2}, "l": {"x": 3}}}
    assert placed_values(maps, value) == {
        "m[0].key": ("/m/s~1m", "s/m"),
        "m[0].value.x": ("/m/s~1m/x", 1),
        "m[0].value.y/z": ("/m/s~1m/y~1z", 2),
        "m[1].key": ("/m/l", "l"),
        "m[1].value.x": ("/m/l/x", 3),
    }
    made = arrange(maps, flat_values(maps, value) | {"m[2].value.y/z": 5})
    assert made.arguments == value and made.left_out == {"m[2].value.y/z": "the entry has no name"}
    assert made.places == {name: pointer for name, (pointer, _) in placed_values(maps, value).items()}
    made = arrange(maps, {"m[0].key": "a", "m[0].value.x": 1, "m[1].key": "a", "m[1].value.x": 2, "m[2].key": "b"})
    assert made.arguments == {"m": {"a": {"x": 1}}}
    assert made.left_out == {
        "m[1].key": "there is another entry 'a'", "m[1].value.x": "there is another entry 'a'",
        "m[2].key": "the entry has no value",
    }  # fmt: skip


def test_an_entry_of_which_only_the_name_is_read():
    optional = {"type": "object", "properties": {"x": {"type": "integer"}}}
    maps = fields_of_property(
        m={"type": "object", "additionalProperties": optional},
        s={"type": "object", "additionalProperties": {"type": "array", "items": POINT}},
    )
    made = arrange(maps, {"m[0].key": "a", "m[1].key": "b", "s[0].key": "c"})
    assert made.arguments == {"m": {"a": {}, "b": {}}, "s": {"c": []}} and made.left_out == {}
    made.arguments["m"]["a"]["x"] = 1
    assert arrange(maps, {"m[0].key": "a"}).arguments == {"m": {"a": {}}}


def fields_of_property(**properties):
    return fields_of({"type": "object", "properties": properties})


def test_properties_that_are_called_as_a_path_or_an_index():
    digits = fields_of_property(
        **{"": {"type": "string"}, "/": {"type": "string"}, "~key0": {"type": "string"}, "~item0": {"type": "string"}},
        **{"a.b": {"type": "string"}, "a": {"type": "object", "properties": {"b": {"type": "integer"}}}},
        **{"x": {"type": "array", "items": POINT}, "x[0]": POINT},
        n={"type": "object", "properties": {"0": {"type": "string"}, "1": {"type": "string"}}},
    )
    assert len({field.name for field in digits}) == len({field.pointer for field in digits}) == len(digits)
    value = {
        "": "e", "/": "s", "~key0": "k", "~item0": "i", "a.b": "one", "a": {"b": 2}, "x": [{"x": 1}], "x[0]": {"x": 2},
        "n": {"0": "zero", "1": "first"},
    }  # fmt: skip
    flat = flat_values(digits, value)
    assert len(flat) == 10 and nested(digits, flat) == value


def test_where_values_come_to_stand():
    made = arrange(FIELDS, {"stops[2].x": 3, "stops[1].x": 1, "sizes[2].key": "s/m", "sizes[2].value": 4})
    assert made.arguments == {"stops": [{"x": 1}, {"x": 3}], "sizes": {"s/m": 4}} and made.left_out == {}
    assert made.places == {
        "stops[1].x": "/stops/0/x", "stops[2].x": "/stops/1/x", "sizes[2].key": "/sizes/s~1m",
        "sizes[2].value": "/sizes/s~1m",
    }  # fmt: skip


def test_values_without_a_place():
    half = {"sizes[0].key": "a", "sizes[1].value": 1, "sizes[2].key": "b", "sizes[2].value": 2}
    made = arrange(FIELDS, half)
    assert made.arguments == {"sizes": {"b": 2}}
    assert made.left_out == {"sizes[0].key": "the entry has no value", "sizes[1].value": "the entry has no name"}
    twice = {f"sizes[{n}].{part}": value for n in (0, 1) for part, value in (("key", "a"), ("value", n))}
    made = arrange(FIELDS, twice)
    assert made.arguments == {"sizes": {"a": 0}} and set(made.left_out) == {"sizes[1].key", "sizes[1].value"}


def test_branches_that_cannot_be_there_together():
    either = fields_of_property(a={"oneOf": [POINT, {"type": "array", "items": {"type": "integer"}}]})
    made = arrange(either, {"a.x": 1, "a": [2]})
    assert made.arguments == {"a": {"x": 1}}
    assert made.left_out == {"a": "what is inside of it has the place already"}
    assert flat_values(either, {"a": {"x": 1}}) == {"a.x": 1} and flat_values(either, {"a": [2]}) == {"a": [2]}
    lists = fields_of_property(a={"oneOf": [POINT, {"type": "array", "items": POINT}]})
    made = arrange(lists, {"a[0].x": 1, "a.x": 2})
    assert made.arguments == {"a": {"x": 2}} and list(made.left_out) == ["a[0].x"]
    assert flat_values(lists, {"a": [{"x": 1}]}) == {"a[0].x": 1}
