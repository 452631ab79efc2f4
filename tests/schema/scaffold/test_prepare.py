"""A schema is prepared once, and what cannot be guaranteed is refused with keyword and place."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from jsonschema import Draft202012Validator

from jaxdiff.errors import SchemaError, UnsupportedSchema
from jaxdiff.schema.scaffold.budget import Budget
from jaxdiff.schema.scaffold.merge import merge, plan
from jaxdiff.schema.scaffold.prepare import prepare
from tests.schema.scaffold.deciders import Fixed

SMALL = Budget(depth=3, items=3, slots=40)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "array", "items": {"enum": [1, 2, 3]}, "uniqueItems": True, "minItems": 3},
        {"type": "object", "oneOf": [{"required": ["a"]}, {"required": ["b"]}], "properties": {"a": {}, "b": {}}},
        {"type": "object", "properties": {"k": {"enum": ["x", "y"]}, "v": {}}, "required": ["k"],
         "if": {"properties": {"k": {"const": "x"}}}, "then": {"required": ["v"]}},
        {"type": "object", "minProperties": 4, "patternProperties": {"^[a-d]$": {"type": "null"}},
         "additionalProperties": False},
        {"type": "array", "items": {"enum": [5, 6, 7]}, "contains": {"const": 7}},
        {"not": {"type": ["string", "number", "object", "array", "boolean"]}},
        {"type": "array", "uniqueItems": True, "minItems": 4, "items": {"type": "boolean"}, "maxItems": 4, "not": {}},
    ],
)  # fmt: skip
def test_the_witness_is_valid(schema):
    if "not" in schema and schema["not"] == {}:
        with pytest.raises(SchemaError):
            prepare(schema)
        return
    assert Draft202012Validator(schema).is_valid(prepare(schema).witness())


def test_the_same_text_is_prepared_once():
    assert prepare({"type": "string", "minLength": 3}) is prepare({"type": "string", "minLength": 3})


def test_two_booleans_cannot_be_three_items():
    with pytest.raises(SchemaError):
        prepare({"type": "array", "items": {"type": "boolean"}, "uniqueItems": True, "minItems": 3})


def test_what_is_not_supported_is_named_with_its_place():
    schema = {"type": "object", "properties": {"a": {"type": "string", "pattern": r"^(x+)\1$"}}}
    with pytest.raises(UnsupportedSchema) as caught:
        prepare(schema)
    assert caught.value.keyword == "pattern" and caught.value.pointer == "/properties/a"


def test_an_unsupported_branch_is_dropped_where_another_remains():
    odd = {"type": "string", "pattern": r"^(x+)\1$"}
    prepared = prepare({"anyOf": [odd, {"type": "integer"}]})
    assert [entry.keyword for entry in prepared.dropped] == ["pattern"] and type(prepared.witness()) is int
    with pytest.raises(UnsupportedSchema):
        prepare({"anyOf": [odd]})


def test_formats_that_are_not_known_are_annotations():
    assert isinstance(prepare({"type": "string", "format": "colour"}).witness(), str)


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"anyOf": [{"$ref": "#"}, {"type": "string"}]},
        {"properties": {"x": {"$ref": "#/$defs/a"}},
         "$defs": {"a": {"allOf": [{"$ref": "#/$defs/b"}]}, "b": {"not": {"$ref": "#/$defs/a"}}}},
    ],
)  # fmt: skip
def test_references_without_end_are_refused(schema):
    with pytest.raises(UnsupportedSchema, match="without end"):
        prepare(schema)


def test_references_into_the_value_and_twice_to_one_place_are_fine():
    twice = {"allOf": [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/a"}], "$defs": {"a": {"type": "string"}}}
    assert prepare(twice).witness() == ""
    assert prepare({"type": "object", "properties": {"a": {"$ref": "#"}}}).witness() == {}


def test_threads_share_a_schema():
    tree = {"type": "array", "items": {"$ref": "#"}, "uniqueItems": True, "not": {"minItems": 7}}
    prepared = prepare(tree)
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda _: merge(plan(prepared, Fixed(), SMALL), {}).value, range(16)))
    assert all(Draft202012Validator(tree).is_valid(value) for value in made)


def test_too_many_items_are_refused():
    with pytest.raises(UnsupportedSchema, match="600 items"):
        prepare({"type": "array", "minItems": 600, "items": {"type": "null"}})


def test_a_pattern_that_python_warns_of():
    assert prepare({"type": "string", "pattern": "^[[ab]+$"}).problem("[a") is None
