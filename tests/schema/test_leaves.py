"""Which fields a schema comes down to, and what is refused with keyword and pointer."""

import pytest
from jsonschema import Draft202012Validator

from jaxdiff.errors import SchemaError, UnsupportedSchema
from jaxdiff.schema.fields import Kind
from jaxdiff.schema.leaf_nodes import schema_of
from jaxdiff.schema.leaves import MOST_FIELDS, fields_of
from jaxdiff.schema.merge import merge
from jaxdiff.schema.normal.normalise import normalise
from jaxdiff.schema.tools import parse_tools


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
    impossible = parameters(a={"type": "integer", "enum": ["two"]})
    assert fields_of(impossible) == ()
    with pytest.raises(SchemaError, match="no value"):
        fields_of({**impossible, "required": ["a"]})


def shown(schema, **whole):
    """name -> (pointer, kind, required, required_with) of a property `a`."""
    fields = fields_of({**parameters(a=schema), **whole})
    return {field.name: (field.pointer, field.kind.value, field.required, field.required_with) for field in fields}


POINT = {"type": "object", "properties": {"x": {"type": "number"}, "y": {"type": "number"}}, "required": ["x"]}


def test_nested_objects_flatten_to_paths():
    assert shown(POINT, required=["a"]) == {
        "a.x": ("/a/x", "number", True, ""),
        "a.y": ("/a/y", "number", False, ""),
    }
    assert shown(POINT) == {"a.x": ("/a/x", "number", False, "/a"), "a.y": ("/a/y", "number", False, "")}
    deep = {"type": "object", "properties": {"b": POINT, "c": {"const": 1}}, "required": ["b"]}
    assert shown(deep) == {
        "a.b.x": ("/a/b/x", "number", False, "/a"),
        "a.b.y": ("/a/b/y", "number", False, ""),
        "a.c": ("/a/c", "enum", False, ""),
    }


def test_what_is_around_a_field_belongs_to_its_description():
    nested = {**POINT, "description": "where, in mm"}
    nested["properties"] = {"x": {"type": "number", "description": "to the right"}, "y": {"type": "number"}}
    assert [field.description for field in fields_of(parameters(a=nested))] == [
        "to the right; where, in mm", "where, in mm",
    ]  # fmt: skip


def test_items_of_a_list_of_objects_and_entries_of_a_map():
    found = shown({"type": "array", "items": POINT, "minItems": 1, "maxItems": 2}, required=["a"])
    assert found == {
        "a[0].x": ("/a/~item0/x", "number", True, ""),
        "a[0].y": ("/a/~item0/y", "number", False, ""),
        "a[1].x": ("/a/~item1/x", "number", False, "/a/~item1"),
        "a[1].y": ("/a/~item1/y", "number", False, ""),
    }
    found = shown({"type": "object", "additionalProperties": {"type": "integer"}})
    assert list(found) == [f"a[{number}].{part}" for number in range(3) for part in ("key", "value")]
    assert found["a[1].key"][:2] == ("/a/~key1", "string") and found["a[1].value"][:2] == ("/a/~value1", "integer")


def test_branches_and_references():
    assert shown({"type": ["string", "null"]}) == {"a": ("/a", "string", False, "")}
    assert shown({"anyOf": [{"enum": ["x"]}, {"const": 2}]})["a"][1] == "enum"
    (field,) = fields_of(parameters(a={"anyOf": [{"enum": ["x", "y"]}, {"type": "null"}]}))
    assert field.candidates == ("x", "y", None)
    either = {"oneOf": [POINT, {"type": "object", "properties": {"y": {"type": "integer"}}, "required": ["y"]}]}
    found = shown(either, required=["a"])
    assert sorted(found) == ["a.x", "a.y"] and all(field[2:] == (False, "") for field in found.values())
    pointed = {"$ref": "#/$defs/point"}
    assert shown(pointed, **{"$defs": {"point": POINT}}) == shown(POINT)
    assert shown({"description": "anything"})["a"][1] == "string"


@pytest.mark.parametrize(
    "items", [None, {}, {"$ref": "#/$defs/size"}, {"type": ["integer", "null"]}, {"allOf": [{"type": "integer"}]}]
)
def test_a_list_of_scalars_knows_its_items(items):
    schema = {"type": "array"} if items is None else {"type": "array", "items": items}
    (made_tool,) = parse_tools(
        [{"name": "f", "parameters": {**parameters(a=schema), "$defs": {"size": {"enum": [1, 2]}}}}]
    )
    (field,) = made_tool.fields
    assert field.kind is Kind.ARRAY and "items" in field.schema
    numbers = field.item_kind is not Kind.STRING
    assert merge(made_tool, {"a": "1 and 2"}).arguments == {"a": [1, 2] if numbers else ["1", "2"]}


def test_what_may_be_of_another_kind_or_null_is_not_required():
    point_or_null = shown({"anyOf": [{"type": "null"}, POINT]}, required=["a"])
    assert point_or_null == {"a.x": ("/a/x", "number", False, "/a"), "a.y": ("/a/y", "number", False, "")}
    mixed = {"anyOf": [{"type": "array", "items": {"type": "string"}}, POINT, {"type": "array", "items": POINT}]}
    assert not any(required for _, _, required, _ in shown(mixed, required=["a"]).values())
    nothing = {"anyOf": [{"type": "null"}, {"type": "null", "description": "nothing"}]}
    assert shown(nothing) == {"a": ("/a", "enum", False, "")}


def test_the_empty_list_alone_is_a_choice():
    (field,) = fields_of(parameters(a={"type": "array", "maxItems": 0}))
    assert (field.kind, field.candidates, field.schema) == (Kind.ENUM, ([],), {"enum": [[]]})


def test_recursion_ends():
    node = {"type": "object", "properties": {"v": {"type": "string"}, "next": {"$ref": "#/$defs/n"}}, "required": ["v"]}
    found = shown({"$ref": "#/$defs/n"}, **{"$defs": {"n": node}})
    assert "a.next.v" in found and len(found) < 6


def test_entries_that_hold_objects_or_lists():
    found = shown({"type": "object", "additionalProperties": POINT})
    assert found == {
        f"a[{number}].{name}": (f"/a/~{pointer}", kind, False, needs)
        for number in range(3)
        for name, pointer, kind, needs in [
            ("key", f"key{number}", "string", ""),
            ("value.x", f"value{number}/x", "number", f"/a/~value{number}"),
            ("value.y", f"value{number}/y", "number", ""),
        ]
    }
    listed = shown({"type": "object", "patternProperties": {"^k": {"type": "array", "items": POINT, "maxItems": 1}}})
    assert list(listed)[:3] == ["a[0].key", "a[0].value[0].x", "a[0].value[0].y"] and len(listed) == 9
    assert listed["a[2].value[0].x"] == ("/a/~value2/~item0/x", "number", False, "/a/~value2/~item0")
    mapped = shown({"type": "object", "additionalProperties": {"type": "object", "additionalProperties": POINT}})
    assert mapped["a[1].value[2].value.x"][0] == "/a/~value1/~value2/x" and len(mapped) == 3 + 9 + 18


def test_what_an_entry_requires():
    held = {"type": "object", "additionalProperties": POINT, "minProperties": 1}
    found = shown(held, required=["a"])
    assert [name for name, (_, _, required, _) in found.items() if required] == ["a[0].key", "a[0].value.x"]
    found = shown(held)
    assert found["a[0].key"][2:] == found["a[0].value.x"][2:] == (False, "/a")
    assert found["a[1].key"][2:] == (False, "") and found["a[1].value.x"][2:] == (False, "/a/~value1")


@pytest.mark.parametrize(
    ("value", "empty"),
    [
        (POINT, ()),
        ({"type": "object", "properties": {"x": {"type": "number"}}}, ({},)),
        ({"type": ["object", "null"], "properties": {"x": {"type": "number"}}, "required": ["x"]}, (None,)),
        ({"type": "array", "items": POINT}, ([],)),
        ({"type": "array", "items": POINT, "minItems": 1}, ()),
        ({"type": "integer"}, ()),
    ],
)
def test_what_an_entry_can_be_where_nothing_of_it_is_read(value, empty):
    key = fields_of(parameters(a={"type": "object", "additionalProperties": value}))[0]
    assert key.name == "a[0].key" and key.empty_values == empty
    for made in empty:
        Draft202012Validator(value).validate(made)


def test_a_map_of_large_objects_gives_as_many_entries_as_there_is_room_for():
    def names(width, beside):
        value = {"type": "object", "properties": {f"p{n}": {"type": "string"} for n in range(width)}}
        more = {f"q{n}": {"type": "string"} for n in range(beside)}
        maps = {"m": {"type": "object", "additionalProperties": value}, "s": {"type": "object"}}
        return {field.name for field in fields_of(parameters(**more, **maps))}

    for beside, entries in [(0, 3), (MOST_FIELDS // 2, 1), (MOST_FIELDS - 6, 0), (MOST_FIELDS + 1, 0)]:
        found = names(MOST_FIELDS // 4, beside)
        assert {name for name in found if name.startswith("m") and name.endswith("key")} == {
            f"m[{number}].key" for number in range(entries)
        }
        assert {"s[2].value", *(f"q{n}" for n in range(beside))} <= found


def test_a_map_at_the_root():
    whole = {"type": "object", "additionalProperties": POINT, "minProperties": 1}
    found = {field.name: (field.pointer, field.required, field.required_with) for field in fields_of(whole)}
    assert len(found) == 9
    assert found["entries[0].key"] == ("/~key0", True, "") and found["entries[0].value.x"] == ("/~value0/x", True, "")
    assert found["entries[1].value.x"] == ("/~value1/x", False, "/~value1")
    (key, value, *_) = fields_of({"patternProperties": {"^k": {"type": "integer"}}})
    assert (key.pointer, key.schema["pattern"], value.pointer) == ("/~key0", "^k", "/~value0")
    assert fields_of({"allOf": [{"type": "object", "additionalProperties": POINT}]})[1].name == "entries[0].value.x"
    for allows_anything in ({}, {"additionalProperties": True}, {"additionalProperties": {}}, {"properties": {}}):
        assert fields_of({"type": "object", **allows_anything}) == ()


@pytest.mark.parametrize(
    ("covering", "kind"),
    [
        ({"additionalProperties": {"type": "integer"}}, Kind.INTEGER),
        ({"patternProperties": {"^a": {"type": "boolean"}}, "additionalProperties": False}, Kind.BOOLEAN),
        ({"additionalProperties": True}, Kind.STRING),
        ({}, Kind.STRING),
    ],
)
def test_what_is_required_is_a_field_though_no_property_declares_it(covering, kind):
    schema = {"type": "object", "properties": {"b": {"type": "number"}}, "required": ["ab", "b"], **covering}
    assert {field.name: field.kind for field in fields_of(schema)} == {"b": Kind.NUMBER, "ab": kind}
    (made_tool,) = parse_tools([{"name": "f", "parameters": schema}])
    made = merge(made_tool, {"ab": "1" if kind is Kind.INTEGER else "yes", "b": "2"})
    Draft202012Validator(schema).validate(made.arguments)
    assert made.arguments["ab"] == {Kind.INTEGER: 1, Kind.BOOLEAN: True, Kind.STRING: "yes"}[kind]


def test_what_no_field_stands_for_has_none():
    assert fields_of({"type": "object", "additionalProperties": {"$ref": "#"}}) == ()
    assert shown({"type": "object"}) == {
        f"a[{number}].{part}": (f"/a/~{part}{number}", "string", False, "")
        for number in range(3)
        for part in ("key", "value")
    }


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string", "minLength": 1, "maxLength": 3, "pattern": "^a", "description": "words"},
        {"type": "string", "format": "date"},
        {"allOf": [{"type": "string", "pattern": "a"}, {"pattern": "b"}]},
        {"type": "integer", "minimum": 2, "exclusiveMaximum": 9, "multipleOf": 2},
        {"type": "number", "minimum": 0.5},
        {"enum": ["x", 1, None]},
        {"type": "array", "items": {"type": "integer", "maximum": 3}, "minItems": 1, "uniqueItems": True},
    ],
)
def test_the_schema_of_a_node_accepts_what_the_node_came_from(schema):
    node = normalise(schema)
    again, first = Draft202012Validator(schema_of(node)), Draft202012Validator(schema)
    values = ["", "a", "ab", "b", "abcd", "x", "2024-05-03", 0, 1, 2, 3, 4, 8, 9, 0.5, 0.25, 2.5, None, True, [], [1]]
    values += [[1, 1], [1, 2, 3], [4], {}, "ba"]
    for value in values:
        assert again.is_valid(value) == first.is_valid(value), value


@pytest.mark.parametrize(
    ("schema", "keyword"),
    [
        ({"$ref": "https://example.com/other.json"}, "$ref"),
        ({"type": "string", "pattern": "(a)\\1"}, "pattern"),
    ],
)
def test_refuses_what_cannot_be_guaranteed(schema, keyword):
    with pytest.raises(UnsupportedSchema) as caught:
        fields_of({**parameters(a=schema), "required": ["a"]})
    assert caught.value.keyword == keyword


@pytest.mark.parametrize(
    ("schema", "message", "pointer"),
    [
        ([], "must be a JSON Schema object, not a list", ""),
        (True, "not a boolean", ""),
        ({"type": "string"}, "must describe an object, not 'string'", "/type"),
        ({"additionalProperties": False, "required": ["a"]}, "requires 'a', which it does not allow", "/required/0"),
        (
            {"patternProperties": {"^b": {}}, "additionalProperties": False, "required": ["b", "a"]},
            "requires 'a', which it does not allow", "/required/1",
        ),
        ({"type": "object", "properties": []}, "not a valid JSON Schema", "/properties"),
        ({"type": "object", "properties": {"a": {"type": "str"}}}, "not a valid JSON Schema", "/properties/a/type"),
        ({"type": "object", "properties": {"a": 3}}, "not a valid JSON Schema", "/properties/a"),
        ({"type": "object", "properties": {"a/b": {"maxLength": -1}}}, "minimum", "/properties/a~1b/maxLength"),
        ({"$schema": 7}, "must be a string", "/$schema"),
        ({"type": "object", "properties": {"a": {"default": {1, 2}}}}, "not JSON", ""),
    ],
)  # fmt: skip
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
