"""Values of several kinds, and null: what the words are as a whole decides."""

import pytest
from jsonschema import Draft202012Validator

from jaxdiff.schema.fields import Kind
from jaxdiff.schema.leaves import fields_of
from jaxdiff.schema.merge import merge
from jaxdiff.schema.tools import parse_tools
from jaxdiff.schema.values import NOT_SAID, valid_value

DAY = {"type": "string", "format": "date"}
LEVEL = {"enum": ["low", "very high"]}
NULL = {"type": "null"}


def tool_of(name, schema, required=(), description=""):
    described = {**schema, **({"description": description} if description else {})}
    whole = {"type": "object", "properties": {name: described}, "required": list(required)}
    return parse_tools([{"name": "f", "parameters": whole}])[0]


def read(text, schema, name="size", description="", required=()):
    """What the words give, through the merge; with `NOT_SAID` where it was dropped."""
    tool = tool_of(name, schema, required, description)
    made = merge(tool, {name: text})
    Draft202012Validator(tool.parameters).validate(made.arguments)
    return made.arguments.get(name, NOT_SAID)


def types(*names, **more):
    return {"type": list(names), **more}


@pytest.mark.parametrize(
    ("schema", "said", "value"),
    [
        (types("integer", "string"), "42", 42),
        (types("integer", "string"), "twenty five", 25),
        (types("string", "integer"), "a dozen", 12),
        (types("integer", "string"), "size 42", "size 42"),
        (types("integer", "string"), "42 Main Street", "42 Main Street"),
        (types("integer", "string"), "007", "007"),
        (types("integer", "string"), "+49 170 123", "+49 170 123"),
        (types("integer", "string"), "2.5", "2.5"),
        (types("integer", "string", maximum=10), "42", "42"),
        (types("number", "string"), "2.5", 2.5),
        (types("number", "boolean"), "yes", True),
        (types("number", "boolean"), "3", 3),
        (types("boolean", "string"), "off", False),
        (types("boolean", "string"), "maybe later", "maybe later"),
        ({"anyOf": [DAY, {"type": "integer"}]}, "3 May 2024", "2024-05-03"),
        ({"anyOf": [DAY, {"type": "integer"}]}, "three", 3),
        ({"anyOf": [{"type": "string"}, DAY]}, "3 May 2024", "2024-05-03"),
        ({"anyOf": [{"type": "string"}, DAY]}, "after the holidays", "after the holidays"),
        ({"anyOf": [LEVEL, {"type": "integer"}]}, "very-high", "very high"),
        ({"anyOf": [LEVEL, {"type": "integer"}]}, "7", 7),
        ({"anyOf": [LEVEL, {"type": "string"}]}, "the Very High", "very high"),
        ({"anyOf": [LEVEL, {"type": "string"}]}, "low fat milk", "low fat milk"),
        ({"anyOf": [{"const": "auto"}, {"type": "number"}, {"type": "boolean"}]}, "auto", "auto"),
        ({"anyOf": [{"const": "auto"}, {"type": "number"}, {"type": "boolean"}]}, "half", 0.5),
        ({"anyOf": [{"const": "auto"}, {"type": "number"}, {"type": "boolean"}]}, "no", False),
        ({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}, "salt and pepper",
         "salt and pepper"),
        ({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}, "red, green and blue",
         ["red", "green", "blue"]),
        ({"anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "string"}]}, "a red one", "a red one"),
        ({"anyOf": [{"type": "array", "items": {"type": "integer"}}, {"type": "integer"}]}, "5 and 7", [5, 7]),
        ({"anyOf": [{"type": "integer"}, {"type": "array", "items": {"type": "integer"}}]}, "5", 5),
        ({"anyOf": [{"type": "array", "items": {"type": "integer"}}, {"type": "string"}]}, "5 and 7", [5, 7]),
        ({"type": "array", "items": types("integer", "string")}, "42, seven and room 7", [42, 7, "room 7"]),
        ({"type": "array", "items": {"anyOf": [DAY, {"type": "integer"}]}}, "3 May 2024; 12", ["2024-05-03", 12]),
    ],
)  # fmt: skip
def test_the_kind_that_the_words_are_as_a_whole(schema, said, value):
    for required in ((), ("size",)):
        found = read(said, schema, required=required)
        assert found == value and type(found) is type(value)


DENIALS = "none|null|Nothing.|no discount|without a discount|n/a|no discounts|don't apply any discount".split("|")


@pytest.mark.parametrize("text", DENIALS)
@pytest.mark.parametrize(
    "schema",
    [
        types("string", "null"), types("integer", "null"), types("number", "string", "null"),
        {"anyOf": [DAY, NULL]}, {"anyOf": [LEVEL, NULL]}, {"enum": ["ten percent", None]},
        {"anyOf": [{"type": "array", "items": {"type": "string"}, "minItems": 1}, NULL]},
    ],
)  # fmt: skip
def test_words_that_deny_give_null(text, schema):
    for required in ((), ("discount",)):
        assert read(text, schema, "discount", required=required) is None


@pytest.mark.parametrize(
    ("schema", "text", "value"),
    [
        (types("string", "null"), "No Doubt", "No Doubt"),
        (types("string", "null"), "no more than the discount", "no more than the discount"),
        (types("string", "null"), "ten percent", "ten percent"),
        (types("string"), "none", "none"),
        (types("integer"), "none", 0),
        (types("integer", "null"), "zero", 0),
        (types("boolean", "null"), "no", False),
        (types("boolean", "null"), "null", None),
        ({"enum": ["none", "some", None]}, "none", "none"),
        ({"anyOf": [{"type": "array", "items": {"type": "string"}}, NULL]}, "none", []),
        ({"anyOf": [{"type": "array", "items": {"type": "string"}}, NULL]}, "no discount", []),
        ({"anyOf": [{"type": "array", "items": {"type": "string"}}, NULL]}, "null", None),
        ({}, "none", "none"),
    ],
)
def test_what_is_no_denial_or_has_a_value_for_it(schema, text, value):
    found = read(text, schema, "discount")
    assert found == value and type(found) is type(value)


def test_null_is_not_what_was_not_understood():
    (count,) = tool_of("count", types("integer", "null")).fields
    assert valid_value("nothing", count) is None
    assert valid_value("plenty", count) is NOT_SAID
    assert read("plenty", types("integer", "null"), "count", required=["count"]) is None


def test_the_whole_union_is_the_schema_and_the_first_kind_is_seen():
    (field,) = tool_of("a", {"anyOf": [{"type": "integer", "maximum": 9}, LEVEL, NULL]}, description="how many").fields
    assert (field.kind, field.candidates, field.nullable, field.description) == (Kind.INTEGER, (), True, "how many")
    assert [one.kind for one in field.alternatives] == [Kind.INTEGER, Kind.ENUM] and field.first.schema["maximum"] == 9
    valid = Draft202012Validator(field.schema)
    assert [valid.is_valid(value) for value in (3, "low", 12, "mid")] == [True, True, False, False]


def test_what_branches_say_of_the_same_value():
    """Listed values come together; other kinds are alternatives, and a typed one wins."""

    def either(first, second):
        branches = [{"type": "object", "properties": {"a": one}, "required": ["a"]} for one in (first, second)]
        return fields_of({"type": "object", "properties": {"u": {"anyOf": branches}}})[0]

    assert either({"const": "x"}, {"enum": ["x", "y"]}).candidates == ("x", "y")
    assert either({"const": True}, {"const": False}).kind is Kind.BOOLEAN
    field = either({"type": "string"}, {"type": "integer"})
    assert [valid_value(text, field) for text in ("seven", "seven dwarfs")] == [7, "seven dwarfs"]
    assert either({"type": "string", "description": "one"}, {"type": "string", "title": "other"}).alternatives == ()
