"""Whatever is read, merged arguments validate against the schema, as `jsonschema` sees it."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from jaxdiff.errors import FillError, InputError
from jaxdiff.schema.fields import fields_of
from jaxdiff.schema.merge import check_value, merge
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
    made_tool = tool(
        [name for name, (_, _, required) in drawn.items() if required], **{k: v[0] for k, v in drawn.items()}
    )
    given_ = {name: value for name, (_, value, _) in drawn.items()}
    try:
        made = merge(made_tool, given_)
    except FillError as error:
        assert drawn[error.field][2]
        return
    Draft202012Validator(made_tool.parameters).validate(made.arguments)
    assert set(made.arguments) | set(made.dropped) == set(given_) and not set(made.arguments) & set(made.dropped)
    assert not any(drawn[name][2] for name in made.dropped)
