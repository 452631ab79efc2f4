"""What nodes say of themselves: where they stand, their descriptions and defaults, and how far they go down."""

from fractions import Fraction

import pytest

from jaxdiff.errors import SchemaError, UnsupportedSchema
from jaxdiff.schema.normal.nodes import Array, Choice, Lazy, Node, Number, Object, Text, Union
from jaxdiff.schema.normal.normalise import normalise


def values_of(node: Object) -> dict[str, Node]:
    return {entry.name: entry.value.node for entry in node.properties}


def test_properties_come_in_the_order_of_the_schema_with_what_is_said_of_them():
    node = normalise(
        {
            "type": "object",
            "description": "a guest",
            "properties": {
                "name": {"type": "string", "description": "as in the passport", "maxLength": 9, "default": "Ann"},
                "age": {"title": "years", "type": "integer", "minimum": 0, "exclusiveMaximum": 120, "default": -1},
                "floor": {"enum": [1, 2.0, "roof"], "default": "cellar"},
            },
            "required": ["age"],
        }
    )
    assert isinstance(node, Object)
    assert [(entry.name, entry.required) for entry in node.properties] == [
        ("name", False), ("age", True), ("floor", False),
    ]  # fmt: skip
    name, age, floor = values_of(node).values()
    assert name == Text(max_length=9, pointer="/properties/name", description="as in the passport", has_default=True)
    assert name.default == "Ann"
    assert age == Number(
        integer=True, minimum=Fraction(0), maximum=Fraction(120), exclusive_maximum=True, pointer="/properties/age",
        description="years",
    )  # fmt: skip
    assert floor == Choice(values=(1, 2, "roof"), pointer="/properties/floor")
    assert node.description == "a guest"


def test_branches_say_what_is_theirs_and_else_what_is_said_of_all():
    node = normalise(
        {
            "description": "a size",
            "default": 3,
            "anyOf": [{"type": "string", "description": "in words", "default": "big"}, {"type": "integer"}],
        }
    )
    assert (node.description, node.default, node.pointer) == ("a size", 3, "")
    words, number = [branch.node for branch in node.branches]
    assert (words.description, words.default, words.pointer) == ("in words", "big", "/anyOf/0")
    assert (number.description, number.default, number.pointer) == ("a size", 3, "/anyOf/1")


def test_names_with_slashes_are_escaped_in_pointers():
    node = normalise({"type": "object", "properties": {"a/b~c": {"items": {"type": "string"}, "type": "array"}}})
    (array,) = values_of(node).values()
    assert array.pointer == "/properties/a~1b~0c"
    assert array.items.node.pointer == "/properties/a~1b~0c/items"


def test_a_reference_takes_its_description_from_where_it_leads_unless_it_has_its_own():
    node = normalise(
        {
            "type": "object",
            "properties": {"a": {"$ref": "#/$defs/n"}, "b": {"$ref": "#/$defs/n", "description": "own"}},
            "$defs": {"n": {"type": "integer", "description": "far"}},
        }
    )
    assert [(value.description, value.pointer) for value in values_of(node).values()] == [
        ("far", "/properties/a"), ("own", "/properties/b"),
    ]  # fmt: skip


def test_recursion_closes_on_the_same_node():
    tree = {"type": "object", "properties": {"left": {"$ref": "#"}, "value": {"type": "integer"}}}
    left = values_of(normalise(tree))["left"]
    assert values_of(left)["left"] is values_of(values_of(left)["left"])["left"]


def test_a_deep_schema_is_not_taken_for_an_endless_one():
    schema: dict = {"type": "integer"}
    for _ in range(150):
        schema = {"type": "object", "properties": {"a": schema}, "required": ["a"]}
    node = normalise(schema)
    for _ in range(150):
        node = values_of(node)["a"]
    assert isinstance(node, Number)


def test_an_optional_property_without_values_is_removed_and_its_name_is_not_free():
    node = normalise(
        {
            "type": "object",
            "properties": {"a": {"type": "string", "enum": [1]}, "b": False, "c": {"type": "integer"}},
            "dependentRequired": {"c": ["b"]},
        }
    )
    assert node.properties == ()
    (entries,) = node.entries
    assert sorted(entries.key.excluded_values) == ["a", "b", "c"]


def test_required_names_become_required_through_one_another():
    node = normalise({"type": "object", "dependentRequired": {"a": ["b"], "b": ["c"], "d": ["e"]}, "required": ["a"]})
    assert {entry.name for entry in node.properties if entry.required} == {"a", "b", "c"}
    assert node.requires == (("d", ("e",)),)


def test_free_names_are_apart_by_the_patterns_they_match():
    node = normalise(
        {
            "type": "object",
            "properties": {"a1": {"type": "boolean"}},
            "patternProperties": {"^a": {"type": ["string", "boolean"]}, "1$": {"type": ["boolean", "null"]}},
            "additionalProperties": {"type": "integer"},
        }
    )
    assert [(entry.key.patterns, entry.key.excluded_patterns) for entry in node.entries] == [
        (("^a",), ("1$",)), (("1$",), ("^a",)), (("^a", "1$"), ()), ((), ("^a", "1$")),
    ]  # fmt: skip
    assert isinstance(node.entries[2].value.node, Choice)
    assert isinstance(node.entries[3].value.node, Number)
    assert isinstance(values_of(node)["a1"], Choice)


def test_listed_names_are_declared():
    node = normalise(
        {"type": "object", "propertyNames": {"enum": ["x", "y"]}, "additionalProperties": {"type": "integer"}}
    )
    assert [entry.name for entry in node.properties] == ["x", "y"]
    assert node.entries == ()


@pytest.mark.parametrize(
    ("schema", "kinds"),
    [
        ({"properties": {"a": {}}}, [Object]),
        ({"items": {}}, [Array]),
        ({"maxLength": 3}, [Text]),
        ({"minimum": 3}, [Number]),
        ({"minimum": 3, "maxLength": 3}, [Text, Number, Choice, Choice, Array, Object]),
        ({}, [Text, Number, Choice, Choice, Array, Object]),
        ({"type": ["null", "integer", "string"]}, [Choice, Number, Text]),
        ({"format": "not known"}, [Text, Number, Choice, Choice, Array, Object]),
    ],
    ids=str,
)
def test_a_schema_without_a_type_is_of_the_type_it_speaks_of(schema, kinds):
    node = normalise(schema)
    branches = [branch.node for branch in node.branches] if isinstance(node, Union) else [node]
    assert [type(branch) for branch in branches] == kinds


def test_all_of_is_merged_into_one_node_without_checks():
    node = normalise(
        {
            "allOf": [
                {"type": "object", "properties": {"a": {"type": ["integer", "string"]}}, "required": ["a"]},
                {"properties": {"a": {"minimum": 2, "type": ["null", "integer"]}, "b": {"type": "null"}}},
            ]
        }
    )
    assert isinstance(node, Object)
    assert node.checks == ()
    a, b = values_of(node).values()
    assert (a.integer, a.minimum) == (True, 2)
    assert b.values == (None,)


def test_branches_of_one_of_that_a_constant_tells_apart_need_no_check():
    kinds = [
        {"type": "object", "properties": {"kind": {"const": kind}, kind: {"type": "string"}}, "required": ["kind"]}
        for kind in ("card", "cash", "debt")
    ]
    node = normalise({"oneOf": kinds})
    assert [branch.node.checks for branch in node.branches] == [(), (), ()]


def test_branches_of_one_of_that_ask_for_other_names_come_first_without_a_check():
    shapes = [["radius"], ["length", "width"], ["base", "height"]]
    node = normalise(
        {
            "type": "object",
            "oneOf": [
                {"properties": {name: {"type": "number"} for name in names}, "required": names} for names in shapes
            ],
        }
    )
    assert isinstance(node, Union)
    plain = [branch.node for branch in node.branches if not branch.node.checks]
    assert [[entry.name for entry in branch.properties] for branch in plain] == shapes
    assert plain == [branch.node for branch in node.branches][:3]


def test_what_is_not_a_pattern_or_a_value_is_held_by_structure():
    node = normalise({"type": "string", "not": {"pattern": "^a"}, "allOf": [{"not": {"enum": ["b", 3]}}]})
    assert node == Text(excluded_patterns=("^a",), excluded_values=("b",))
    assert node.checks == ()


def test_too_many_cases_leave_choices_to_a_check():
    names = [f"n{index}" for index in range(20)]
    pairs = [{"anyOf": [{"required": [name]}, {"properties": {name: {"maxLength": 1}}}]} for name in names]
    node = normalise({"type": "object", "allOf": pairs})
    assert isinstance(node, Union)
    assert len(node.branches) < 500
    assert any(branch.node.checks for branch in node.branches)


@pytest.mark.parametrize(
    ("schema", "keyword", "pointer"),
    [
        ({"$schema": "http://example.com/own"}, "$schema", "/$schema"),
        ({"$schema": "http://json-schema.org/draft-03/schema#"}, "$schema", "/$schema"),
        ({"type": "array", "items": {"$ref": "http://example.com/other"}}, "$ref", "/items/$ref"),
        ({"type": "object", "properties": {"a": {"$ref": "#/nowhere"}}}, "$ref", "/properties/a/$ref"),
        ({"allOf": [{"$ref": "#"}]}, "$ref", ""),
        ({"anyOf": [{"type": "null"}, {"not": {"$ref": "#"}}]}, "$ref", ""),
        ({"type": "string", "pattern": "\\p{Letter}"}, "pattern", "/pattern"),
        ({"$dynamicRef": "#x", "$defs": {"a": {"$dynamicAnchor": "x"}, "b": {"$id": "b", "$dynamicAnchor": "x"}}},
         "$dynamicRef", "/$dynamicRef"),
    ],
    ids=str,
)  # fmt: skip
def test_what_cannot_be_held_is_refused_by_name(schema, keyword, pointer):
    with pytest.raises(UnsupportedSchema) as caught:
        normalise(schema)
    assert caught.value.keyword == keyword
    assert caught.value.pointer.startswith(pointer)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("schema", "pointer"),
    [
        (3, ""),
        ({"type": "objekt"}, "/type"),
        ({"type": "object", "properties": {"a": {"type": "string", "maxLength": "3"}}}, "/properties/a/maxLength"),
        ({"type": "object", "properties": {"a": 3}}, "/properties/a"),
        ({"type": "object", "required": True}, "/required"),
        ({"type": "integer", "multipleOf": 0}, "/multipleOf"),
        ({"enum": "ab"}, "/enum"),
        ({"$schema": 4}, "/$schema"),
    ],
    ids=str,
)
def test_malformed_keywords_are_named_with_their_place(schema, pointer):
    with pytest.raises(SchemaError) as caught:
        normalise(schema)
    assert not isinstance(caught.value, UnsupportedSchema)
    assert caught.value.pointer == pointer


def test_a_lazy_node_is_made_once():
    made = []
    lazy = Lazy(lambda: made.append(1) or Text())
    assert lazy.node is lazy.node
    assert made == [1]
