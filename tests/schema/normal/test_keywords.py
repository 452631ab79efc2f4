"""Each keyword against the library's validator: the values of the node are those that the validator accepts."""

import pytest
from jsonschema.validators import validator_for

from jaxdiff.errors import SchemaError
from jaxdiff.schema.normal.membership import contains
from jaxdiff.schema.normal.normalise import normalise

D4 = "http://json-schema.org/draft-04/schema#"
D6 = "http://json-schema.org/draft-06/schema#"
D7 = "http://json-schema.org/draft-07/schema#"
D2019 = "https://json-schema.org/draft/2019-09/schema"
D2020 = "https://json-schema.org/draft/2020-12/schema"

VALUES = [
    None, True, False, 0, 1, 1.0, 2, 3, 5, 7.5, -4, 10**20, 0.3, "", "a", "ab", "abc", "b1", "x-1", [], [1], [1, 1],
    [1, "a"], ["a", 1, 2], [True, 1], [[1], [1.0]], {}, {"a": 1}, {"a": "x"}, {"b": 2}, {"a": 1, "b": 2},
    {"a": 1, "b": "x", "c": None}, {"x-1": 1}, {"x-1": "s", "a": 5}, {"a": {"a": 1}}, {"a": None},
    {"kind": "p", "r": 1}, {"kind": "q", "r": 1}, {"kind": "q", "w": 2},
]  # fmt: skip

SCHEMAS = [
    {},
    True,
    {"type": "integer"},
    {"type": ["string", "null"]},
    {"type": ["number", "array", "object", "boolean"]},
    {"type": "number", "minimum": 1, "exclusiveMaximum": 5},
    {"type": "integer", "multipleOf": 2},
    {"type": "number", "multipleOf": 0.1},
    {"type": "string", "minLength": 1, "maxLength": 2},
    {"type": "string", "pattern": "^[ab]"},
    {"enum": [1, "a", None, [1, 1], {"a": 1}]},
    {"type": "string", "enum": [1, "a", "zz"]},
    {"type": "object", "properties": {"a": {"type": "integer"}}},
    {"type": "object", "properties": {"a": {}}, "required": ["a", "b"]},
    {"type": "object", "properties": {"a": True}, "additionalProperties": False},
    {"type": "object", "properties": {"a": {}}, "additionalProperties": {"type": "integer"}},
    {"type": "object", "patternProperties": {"^x-": {"type": "integer"}, "[0-9]$": {"type": "number"}}},
    {"type": "object", "patternProperties": {"^x-": {}}, "additionalProperties": False},
    {"type": "object", "minProperties": 1, "maxProperties": 2},
    {"type": "array", "items": {"type": "integer"}},
    {"type": "array", "minItems": 1, "maxItems": 2, "uniqueItems": True},
    {"allOf": [{"type": "object", "properties": {"a": {"type": "integer"}}}, {"required": ["a"]}]},
    {"allOf": [{"type": ["string", "integer"]}, {"type": ["integer", "null"]}]},
    {"anyOf": [{"type": "integer"}, {"type": "string", "minLength": 2}]},
    {"oneOf": [{"type": "integer"}, {"type": "number", "minimum": 2}]},
    {"type": "object", "oneOf": [{"required": ["a"]}, {"required": ["b"]}]},
    {"type": "object", "anyOf": [{"required": ["a"]}, {"required": ["b"]}], "properties": {"a": {"type": "integer"}}},
    {"not": {"type": ["string", "integer"]}},
    {"not": {"enum": [1, "a", None, True, []]}},
    {"type": "string", "not": {"pattern": "^a"}},
    {"type": "object", "not": {"required": ["a"]}},
    {"type": "object", "not": {"properties": {"a": {"type": "integer"}}}},
    {"type": "object", "properties": {"a": {"$ref": "#"}, "b": {"$ref": "#/properties/c"}, "c": {"type": "integer"}}},
    {"type": ["integer", "object"], "additionalProperties": {"$ref": "#"}},
    {"type": "array", "format": "date"},
]  # fmt: skip


def assert_same(schema, values=VALUES, dialect=None):
    """The node has the values that the validator accepts. A schema that accepts none is refused."""
    whole = schema if dialect is None else {"$schema": dialect} | schema
    validator = validator_for(whole, default=validator_for({"$schema": D2020}))(whole)
    accepted = [value for value in values if validator.is_valid(value)]
    node = normalise(whole)
    assert [value for value in values if contains(node, value)] == accepted


@pytest.mark.parametrize("dialect", [D4, D6, D7, D2019, D2020])
@pytest.mark.parametrize("schema", SCHEMAS, ids=str)
def test_same_values_as_the_validator(schema, dialect):
    if isinstance(schema, bool):
        assert_same(schema)
    else:
        assert_same(schema, dialect=dialect)


@pytest.mark.parametrize(
    ("dialect", "schema"),
    [
        (D4, {"type": "number", "minimum": 1, "exclusiveMinimum": True, "maximum": 5, "exclusiveMaximum": False}),
        (D4, {"type": "integer", "const": 5, "contains": 3, "if": {"minimum": 4}, "then": {"maximum": 4}}),
        (D4, {"type": "array", "items": [{"type": "string"}], "additionalItems": {"type": "integer"}}),
        (D4, {"type": "array", "items": [{"type": "integer"}], "additionalItems": False}),
        (D4, {"type": "object", "dependencies": {"a": ["b"], "b": {"properties": {"c": {"type": "null"}}}}}),
        (D7, {"definitions": {"n": {"type": "integer"}}, "$ref": "#/definitions/n", "minimum": 3}),
        (D2019, {"$defs": {"n": {"type": "integer"}}, "$ref": "#/$defs/n", "minimum": 3}),
        (D7, {"type": "object", "dependencies": {"a": ["b"]}}),
        (D4, {"type": "object", "properties": {"a": {"$schema": D4, "type": "integer"}}}),
        (D4, {"type": "object", "properties": {"a": {"$schema": D7, "type": "number", "exclusiveMinimum": 0}}}),
        (D4, {"id": "http://a.example/s", "type": "object", "properties": {"a": {"$ref": "#n"}, "b": {"$ref": "m"}},
              "definitions": {"n": {"id": "#n", "type": "integer"}, "m": {"id": "m", "type": "string"}}}),
        (D2019, {"type": ["object", "integer"], "additionalProperties": {"$recursiveRef": "#"}}),
        (D2020, {"$dynamicAnchor": "t", "type": ["object", "integer"], "additionalProperties": {"$dynamicRef": "#t"}}),
        (D7, {"$ref": "http://json-schema.org/draft-07/schema#/definitions/nonNegativeInteger"}),
        (D2020, {"type": "object", "$ref": "#/$defs/n", "properties": {"b": {}}, "unevaluatedProperties": False,
                 "$defs": {"n": {"properties": {"a": {"type": "integer"}}}}}),
        (D2020, {"type": "object", "dependencies": {"a": ["b"]}}),
        (D2020, {"type": "object", "dependentRequired": {"a": ["b"], "b": ["a"]}}),
        (D2020, {"type": "object", "dependentSchemas": {"a": {"required": ["b"]}}}),
        (D2020, {"type": "array", "prefixItems": [{"type": "string"}], "items": {"type": "integer"}}),
        (D2020, {"type": "array", "prefixItems": [{"type": "integer"}], "items": False}),
        (D2020, {"type": "array", "contains": {"type": "string"}, "minContains": 1, "maxContains": 1}),
        (D2020, {"type": "object", "propertyNames": {"maxLength": 1}}),
        (D2020, {"type": "object", "propertyNames": {"enum": ["a", "b"]}}),
        (D2020, {"type": "object", "propertyNames": {"anyOf": [{"const": "a"}, {"pattern": "-"}]}}),
        (D2020, {"type": "object", "unevaluatedProperties": False, "anyOf": [{"properties": {"a": True}}, True]}),
        (D2020, {"type": "array", "unevaluatedItems": {"type": "integer"}, "prefixItems": [True]}),
        (D2020, {"type": "integer", "if": {"minimum": 3}, "then": {"multipleOf": 5}, "else": {"maximum": 1}}),
        (D2020, {"$id": "https://a.example/s", "type": "object", "properties": {"a": {"$ref": "n"}},
                 "$defs": {"n": {"$id": "n", "$anchor": "x", "type": "integer"}}}),
        (D2020, {"type": "object", "properties": {"a": {"$ref": "#x"}}, "$defs": {"n": {"$anchor": "x", "const": 1}}}),
        (D2020, {"oneOf": [
            {"type": "object", "properties": {"kind": {"const": "p"}}, "required": ["kind"]},
            {"type": "object", "properties": {"kind": {"const": "q"}, "w": {"type": "string"}}, "required": ["kind"]},
        ]}),
    ],
    ids=str,
)  # fmt: skip
def test_keywords_of_one_dialect(dialect, schema):
    assert_same(schema, dialect=dialect)


@pytest.mark.parametrize(
    "schema",
    [
        False,
        {"not": {}},
        {"type": "string", "enum": [1]},
        {"type": "integer", "minimum": 3, "exclusiveMaximum": 4, "multipleOf": 2},
        {"allOf": [{"type": "string"}, {"type": "integer"}]},
        {"type": "object", "properties": {"a": False}, "required": ["a"]},
        {"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]},
        {"type": "array", "items": False, "minItems": 1},
        {"type": "array", "items": {"$ref": "#"}, "minItems": 1},
        {"type": "object", "dependentRequired": {"a": ["b"]}, "required": ["a"], "properties": {"b": False}},
        {"type": "object", "additionalProperties": False, "minProperties": 1},
    ],
    ids=str,
)
def test_a_schema_without_values_is_refused(schema):
    with pytest.raises(SchemaError, match="no value satisfies"):
        normalise(schema)
