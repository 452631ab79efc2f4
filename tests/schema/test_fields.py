"""Which schemas give fields, and which are refused with keyword and pointer."""

import pytest

from jaxdiff.errors import SchemaError, UnsupportedSchema
from jaxdiff.schema.fields import UNSUPPORTED_KEYWORDS, Kind, fields_of


def parameters(**properties):
    return {"type": "object", "properties": properties}


def test_kinds_and_candidates():
    schema = parameters(
        text={"type": "string", "description": "words", "maxLength": 5, "format": "uri", "x-order": 3},
        count={"type": "integer", "minimum": 0, "exclusiveMaximum": 9, "multipleOf": 3, "default": 3},
        share={"type": "number", "title": "Share"},
        flag={"type": "boolean"},
        color={"type": "string", "enum": ["red", "dark blue"]},
        mixed={"enum": [1, "1", None, True, 2.5]},
        fixed={"const": "v1"},
        tags={"type": "array", "items": {"type": "string"}, "minItems": 1, "uniqueItems": True},
        days={"type": "array", "items": {"enum": ["mon", "tue"]}},
    )
    schema["required"] = ["flag", "text"]
    schema["additionalProperties"] = False
    fields = {field.name: field for field in fields_of(schema)}
    assert list(fields) == list(schema["properties"])
    assert [fields[name].kind for name in fields] == [
        Kind.STRING, Kind.INTEGER, Kind.NUMBER, Kind.BOOLEAN, Kind.ENUM, Kind.ENUM, Kind.ENUM, Kind.ARRAY, Kind.ARRAY,
    ]  # fmt: skip
    assert {name for name in fields if fields[name].required} == {"flag", "text"}
    assert fields["text"].description == "words"
    assert fields["share"].description == "Share"
    assert fields["text"].format == "uri"
    assert fields["count"].has_default and not fields["text"].has_default
    assert fields["flag"].candidates == (True, False)
    assert fields["mixed"].candidates == (1, "1", None, True, 2.5)
    assert fields["fixed"].candidates == ("v1",)
    assert fields["tags"].item_kind is Kind.STRING and fields["tags"].candidates == ()
    assert fields["days"].item_kind is Kind.ENUM and fields["days"].item_candidates == ("mon", "tue")


def test_pointers_are_escaped():
    assert [field.pointer for field in fields_of(parameters(**{"a/b~c": {"type": "string"}}))] == ["/a~1b~0c"]


def test_listed_values_obey_the_rest_of_the_schema():
    (field,) = fields_of(parameters(a={"type": "integer", "enum": [1, "two", 30], "maximum": 9}))
    assert field.candidates == (1,)
    with pytest.raises(SchemaError, match="allows no value") as caught:
        fields_of(parameters(a={"type": "integer", "enum": ["two"]}))
    assert caught.value.pointer == "/properties/a/enum"


@pytest.mark.parametrize(
    ("schema", "keyword", "pointer"),
    [
        ({"type": "object", "properties": {}}, "type", "/properties/a/type"),
        ({"type": "null"}, "type", "/properties/a/type"),
        ({"type": ["string", "null"]}, "type", "/properties/a/type"),
        ({"description": "anything"}, "type", "/properties/a"),
        ({"type": "string", "pattern": "^a"}, "pattern", "/properties/a/pattern"),
        ({"anyOf": [{"type": "string"}]}, "anyOf", "/properties/a/anyOf"),
        ({"type": "string", "not": {"const": "x"}}, "not", "/properties/a/not"),
        ({"$ref": "#/$defs/x"}, "$ref", "/properties/a/$ref"),
        ({"enum": ["x", ["y"]]}, "enum", "/properties/a/enum"),
        ({"const": {"x": 1}}, "const", "/properties/a/const"),
        (True, "true", "/properties/a"),
        ({"type": "array"}, "type", "/properties/a/type"),
        (
            {"type": "array", "items": {"type": "array", "items": {"type": "string"}}},
            "type",
            "/properties/a/items/type",
        ),
        ({"type": "array", "items": {"type": "object"}}, "type", "/properties/a/items/type"),
        ({"type": "array", "items": {"type": "string", "pattern": "a"}}, "pattern", "/properties/a/items/pattern"),
        ({"type": "array", "items": True}, "true", "/properties/a/items"),
        ({"type": "array", "prefixItems": [{"type": "string"}]}, "prefixItems", "/properties/a/prefixItems"),
        ({"type": "array", "items": {"type": "string"}, "contains": {}}, "contains", "/properties/a/contains"),
    ],
)
def test_refuses_what_a_slot_cannot_guarantee(schema, keyword, pointer):
    with pytest.raises(UnsupportedSchema, match="in ") as caught:
        fields_of(parameters(a=schema), "parameters of 'f'")
    assert (caught.value.keyword, caught.value.pointer) == (keyword, pointer)


@pytest.mark.parametrize("keyword", ["allOf", "oneOf", "if", "patternProperties", "minProperties", "dependentRequired"])
def test_refuses_keywords_on_the_whole(keyword):
    assert keyword in UNSUPPORTED_KEYWORDS
    value = {"allOf": [{}], "oneOf": [{}], "minProperties": 1}.get(keyword, {})
    with pytest.raises(UnsupportedSchema) as caught:
        fields_of({**parameters(a={"type": "string"}), keyword: value})
    assert (caught.value.keyword, caught.value.pointer) == (keyword, f"/{keyword}")


@pytest.mark.parametrize(
    ("schema", "message", "pointer"),
    [
        ([], "must be a JSON Schema object, not a list", ""),
        (True, "not a boolean", ""),
        ({"type": "string"}, "must describe an object, not 'string'", "/type"),
        ({"type": "object", "properties": {}, "required": ["a"]}, "requires 'a'", "/required/0"),
        ({"type": "object", "properties": []}, "not a valid JSON Schema", "/properties"),
        ({"type": "object", "properties": {"a": {"type": "str"}}}, "not a valid JSON Schema", "/properties/a/type"),
        ({"type": "object", "properties": {"a": 3}}, "not a valid JSON Schema", "/properties/a"),
        ({"type": "object", "properties": {"a/b": {"maxLength": -1}}}, "minimum", "/properties/a~1b/maxLength"),
        ({"$schema": 7}, "must be a string", "/$schema"),
        ({"type": "object", "properties": {"a": {"default": {1, 2}}}}, "not JSON", ""),
    ],
)
def test_refuses_what_is_no_object_schema(schema, message, pointer):
    with pytest.raises(SchemaError, match=message) as caught:
        fields_of(schema)
    assert not isinstance(caught.value, UnsupportedSchema)
    assert caught.value.pointer == pointer


def test_honours_the_dialect():
    draft4 = {
        "$schema": "http://json-schema.org/draft-04/schema#",
        **parameters(a={"type": "integer", "minimum": 0, "exclusiveMinimum": True}),
    }
    (field,) = fields_of(draft4)
    assert field.dialect.endswith("draft-04/schema#")
    with pytest.raises(SchemaError, match="not a valid JSON Schema"):
        fields_of({key: value for key, value in draft4.items() if key != "$schema"})
    with pytest.raises(UnsupportedSchema, match="unknown dialect"):
        fields_of({"$schema": "https://example.com/mine", "type": "object"})
