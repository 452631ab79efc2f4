"""Whatever is read, merged arguments validate against the schema, as `jsonschema` sees it."""

import math

import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from jaxdiff.errors import FillError, InputError, SchemaError
from jaxdiff.schema.checks import check_value
from jaxdiff.schema.leaves import fields_of
from jaxdiff.schema.merge import merge
from jaxdiff.schema.tools import parse_tools


def tool(required=(), **properties):
    schema = {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}
    return parse_tools([{"name": "f", "parameters": schema}])[0]


def test_types_and_schema_order():
    made = merge(
        tool(
            a={"type": "integer"},
            b={"type": "array", "items": {"type": "string"}},
            c={"type": "boolean"},
            d={"type": "string"},
        ),
        {"d": " x ", "c": False, "b": "p and q", "a": "a dozen"},
    )
    assert made.arguments == {"a": 12, "b": ["p", "q"], "c": False, "d": "x"}
    assert list(made.arguments) == ["a", "b", "c", "d"] and made.dropped == {}


def test_typed_values_pass_and_integral_floats_become_integers():
    numbers = tool(a={"type": "integer"}, b={"type": "array", "items": {"type": "integer"}})
    arguments = merge(numbers, {"a": 3.0, "b": [1.0, 2]}).arguments
    assert arguments == {"a": 3, "b": [1, 2]} and type(arguments["a"]) is int and type(arguments["b"][0]) is int


def test_an_optional_value_that_is_not_valid_is_left_out_and_reported():
    made = merge(tool(n={"type": "integer", "maximum": 10}, s={"type": "string"}), {"n": "11", "s": "ok"})
    assert made.arguments == {"s": "ok"}
    assert "11 is greater than the maximum of 10" in made.dropped["n"]


@pytest.mark.parametrize(
    ("schema", "given_", "reason"),
    [
        ({"type": "integer"}, "lots", "does not say an integer"),
        ({"type": "integer", "minimum": 5}, "four", "less than the minimum"),
        ({"type": "string", "maxLength": 2}, "abc", "too long"),
        ({"type": "array", "items": {"type": "string"}, "uniqueItems": True}, "a, a", "non-unique"),
        ({"type": "array", "items": {"type": "number"}, "minItems": 2}, "3", "too short"),
        ({"enum": ["a"]}, "b", "listed values"),
        ({"type": "number"}, math.nan, "not a JSON value"),
        ({"type": "integer"}, True, "is not of type 'integer'"),
        ({"type": "number", "multipleOf": 0.5}, "9" * 400, "too large|not a multiple"),
    ],
)
def test_a_required_value_that_is_not_valid_raises(schema, given_, reason):
    with pytest.raises(FillError, match=reason) as caught:
        merge(tool(["x"], x=schema), {"x": given_})
    assert caught.value.field == "x" and caught.value.text == str(given_)
    assert merge(tool(x=schema), {"x": given_}).arguments == {}


def test_missing_required_and_unknown_fields():
    with pytest.raises(FillError, match="cannot fill 'x' from '': a required value is missing"):
        merge(tool(["x"], x={"type": "string"}), {})
    with pytest.raises(InputError, match="tool 'f' has no field 'y'"):
        merge(tool(x={"type": "string"}), {"y": "1"})


POINT = {"type": "object", "properties": {"x": {"type": "integer"}, "y": {"type": "integer"}}, "required": ["x", "y"]}


def test_nested_values():
    order = tool(
        ["at"],
        at=POINT,
        stops={"type": "array", "items": POINT},
        sizes={"type": "object", "additionalProperties": {"type": "integer"}},
    )
    read = {"at.x": "two dozen", "at.y": "3", "stops[0].x": "1", "stops[0].y": "2", "sizes[0].key": "a"}
    made = merge(order, {**read, "sizes[0].value": "five"})
    assert made.arguments == {"at": {"x": 24, "y": 3}, "stops": [{"x": 1, "y": 2}], "sizes": {"a": 5}}
    assert (made.dropped, made.repaired) == ({}, {})


def test_an_optional_object_that_lacks_a_required_value_is_left_out():
    made = merge(tool(at=POINT, n={"type": "integer"}), {"at.x": "1", "n": "2"})
    assert made.arguments == {"n": 2} and list(made.dropped) == ["at.x"]
    with pytest.raises(FillError, match=r"at\.y"):
        merge(tool(["at"], at=POINT), {"at.x": "1"})


def test_items_close_up_and_say_where_they_came_to_stand():
    stops = tool(stops={"type": "array", "items": POINT}, n={"type": "integer"})
    read = {f"stops[{n}].{part}": "1" if (n, part) != (0, "y") else "?" for n in range(3) for part in ("x", "y")}
    made = merge(stops, read | {"stops[2].x": "3"})
    assert made.arguments == {"stops": [{"x": 1, "y": 1}, {"x": 3, "y": 1}]}
    assert set(made.dropped) == {"stops[0].x", "stops[0].y"}
    assert made.places["stops[1].x"] == "/stops/0/x" and made.places["stops[2].x"] == "/stops/1/x"


def test_no_entry_of_a_map_is_lost_silently():
    sizes = tool(sizes={"type": "object", "additionalProperties": {"type": "integer"}})
    read = {"sizes[0].key": "a", "sizes[0].value": "1", "sizes[1].key": "a", "sizes[1].value": "2", "sizes[2].key": "b"}
    made = merge(sizes, read)
    assert made.arguments == {"sizes": {"a": 1}}
    assert made.dropped == {
        "sizes[1].key": "there is another entry 'a'", "sizes[1].value": "there is another entry 'a'",
        "sizes[2].key": "the entry has no value",
    }  # fmt: skip


def test_an_object_that_may_be_null():
    nullable = tool(["at"], at={"anyOf": [{"type": "null"}, POINT]})
    assert [field.name for field in nullable.fields] == ["at.x", "at.y"]
    assert merge(nullable, {"at.x": "1", "at.y": "2"}).arguments == {"at": {"x": 1, "y": 2}}
    made = merge(nullable, {"at.x": "1"})
    assert made.arguments == {"at": None} and list(made.dropped) == ["at.x"] and made.repaired == {}


def test_null_stands_where_nothing_was_read():
    """Lists of tools that are held strictly require all properties, and let null stand for absent ones."""
    strict = tool(["a", "n", "e"], a={"type": ["string", "null"]}, n={"type": "integer"}, e={"enum": ["x", None]})
    assert [field.required for field in strict.fields] == [False, True, True]
    made = merge(strict, {"n": "1", "e": "x"})
    assert (made.arguments, made.dropped, made.repaired) == ({"a": None, "n": 1, "e": "x"}, {}, {})
    assert list(made.arguments) == ["a", "n", "e"] and "a" not in made.places
    assert merge(strict, {"n": "1", "a": "b", "e": None}).arguments == {"a": "b", "n": 1, "e": None}


def test_an_entry_that_was_put_in_is_told_even_if_it_is_null():
    pairs = tool(["m"], m={"type": "object", "minProperties": 2})
    read = {f"m[{n}].{part}": value for n in (0, 1) for part, value in (("key", "a"), ("value", "x"))}
    made = merge(pairs, read)
    (put_in,) = made.arguments["m"].keys() - {"a"}
    assert made.arguments["m"][put_in] is None and list(made.repaired) == [f"/m/{put_in}"]
    assert set(made.dropped) == {"m[1].key", "m[1].value"}


def test_what_is_too_large_for_the_whole_is_left_out():
    whole = {"properties": {"n": {"type": "integer"}}, "patternProperties": {".": {"multipleOf": 0.5}}}
    (made_tool,) = parse_tools([{"name": "f", "parameters": {"type": "object", **whole}}])
    made = merge(made_tool, {"n": "9" * 400})
    assert made.arguments == {} and made.dropped == {"n": "the number is too large to be checked"}


@pytest.mark.parametrize("whole", [{"allOf": [{"properties": {"a": {"maxLength": 3}}}]},
                                   {"patternProperties": {"^a": {"maxLength": 3}}}])  # fmt: skip
def test_what_stands_elsewhere_narrows_a_field_too(whole):
    parameters = {"properties": {"a": {"type": "string"}}, **whole}
    (free,) = parse_tools([{"name": "f", "parameters": parameters}])
    made = merge(free, {"a": "abcd"})
    assert (made.arguments, made.dropped, made.repaired) == ({}, {"a": "'abcd' is too long"}, {})
    (held,) = parse_tools([{"name": "f", "parameters": parameters | {"required": ["a"]}}])
    with pytest.raises(FillError, match="too long"):
        merge(held, {"a": "abcd"})
    assert merge(held, {"a": "abc"}).arguments == {"a": "abc"}


def test_values_that_cannot_stand_together():
    pays = {
        "oneOf": [
            {"type": "object", "properties": {"card": {"type": "string"}}, "required": ["card"]},
            {"type": "object", "properties": {"iban": {"type": "string"}}, "required": ["iban"]},
        ]
    }
    made = merge(tool(pay=pays), {"pay.card": "1", "pay.iban": "2"})
    assert made.arguments == {"pay": {"card": "1"}}
    assert made.dropped == {"pay.iban": "it cannot stand beside the other values"}


BOTH = {"type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": "integer", "minimum": 7}}}


def test_a_value_that_needs_another_is_left_out_without_it():
    (made_tool,) = parse_tools([{"name": "f", "parameters": BOTH | {"dependentRequired": {"a": ["b"]}}}])
    made = merge(made_tool, {"a": "1"})
    assert made.arguments == {} and list(made.dropped) == ["a"] and made.repaired == {}
    assert merge(made_tool, {"a": "1", "b": "8"}).arguments == {"a": 1, "b": 8}


def test_what_had_to_be_put_in_is_told():
    (made_tool,) = parse_tools([{"name": "f", "parameters": BOTH | {"minProperties": 2}}])
    made = merge(made_tool, {"a": "1"})
    assert made.arguments["a"] == 1 and made.arguments["b"] >= 7
    assert made.repaired == {"/b": "nothing was read for it"}


def test_check_value():
    (field,) = fields_of({"type": "object", "properties": {"x": {"type": "number", "exclusiveMinimum": 0}}})
    assert check_value(1.5, field) is None and "minimum" in check_value(0, field)
    draft4 = {
        "$schema": "http://json-schema.org/draft-04/schema#",
        "properties": {"x": {"type": "number", "minimum": 0, "exclusiveMinimum": True}},
    }
    (old,) = fields_of(draft4)
    assert check_value(0.5, old) is None and check_value(0, old) is not None


scalar_schemas = st.one_of(
    st.fixed_dictionaries(
        {"type": st.just("string")}, optional={"minLength": st.integers(0, 3), "maxLength": st.integers(2, 9)}
    ),
    st.fixed_dictionaries(
        {"type": st.sampled_from(["integer", "number"])},
        optional={
            "minimum": st.integers(-5, 5), "maximum": st.integers(0, 50), "multipleOf": st.sampled_from([1, 2, 0.5]),
        },
    ),
    st.just({"type": "boolean"}),
    st.fixed_dictionaries(
        {"enum": st.lists(st.text(max_size=4) | st.integers(-3, 3), min_size=1, max_size=4, unique=True)}
    ),
)  # fmt: skip
schemas = scalar_schemas | st.fixed_dictionaries(
    {"type": st.just("array"), "items": scalar_schemas},
    optional={"maxItems": st.integers(0, 3), "uniqueItems": st.booleans()},
)
texts = st.text(max_size=15) | st.sampled_from(
    ["12", "two dozen", "3 and 4", "true", "half", "a, b; c", "[1, 2, 2]", "-1.5", "1e3", "no", "0", '["a"]', "a"]
)
values = (
    texts
    | st.integers()
    | st.floats()
    | st.booleans()
    | st.none()
    | st.lists(st.integers() | st.text(max_size=3), max_size=3)
)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.sampled_from("abcd"), st.tuples(schemas, values, st.booleans()), max_size=4))
def test_merged_arguments_validate_or_say_why_not(drawn):
    try:
        made_tool = tool(
            [name for name, (_, _, required) in drawn.items() if required], **{k: v[0] for k, v in drawn.items()}
        )
    except SchemaError:
        # It requires a value where there is none, as between 1 and 0.
        reject()
    names = {field.name for field in made_tool.fields}
    given_ = {name: value for name, (_, value, _) in drawn.items() if name in names}
    try:
        made = merge(made_tool, given_)
    except FillError as error:
        assert drawn[error.field][2]
        return
    Draft202012Validator(made_tool.parameters).validate(made.arguments)
    assert set(made.arguments) | set(made.dropped) == set(given_) and not set(made.arguments) & set(made.dropped)
    assert not any(drawn[name][2] for name in made.dropped)
