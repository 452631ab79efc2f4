"""What a scaffold can produce: what the validator accepts, within the budget."""

import pytest
from jsonschema import Draft202012Validator

from jaxdiff.schema.scaffold.budget import Budget
from jaxdiff.schema.scaffold.prepare import prepare
from jaxdiff.schema.scaffold.represent import represent

SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 5},
        "size": {"type": ["integer", "null"], "minimum": 1},
        "tags": {"type": "array", "items": {"enum": ["a", "b", 1]}, "uniqueItems": True},
        "kind": {"oneOf": [{"type": "number", "multipleOf": 0.5}, {"type": "integer"}]},
    },
    "required": ["name"],
    "patternProperties": {"^x-": {"type": "boolean"}},
    "additionalProperties": False,
    "dependentRequired": {"size": ["tags"]},
}
VALUES = [
    {"name": "a"}, {"name": "abcdef"}, {}, {"name": 1}, {"name": "a", "size": 3}, {"name": "a", "size": 3, "tags": []},
    {"name": "a", "size": None, "tags": ["a", 1.0]}, {"name": "a", "tags": ["a", "a"]}, {"name": "a", "tags": [True]},
    {"name": "a", "size": 0, "tags": []}, {"name": "a", "kind": 0.5}, {"name": "a", "kind": 2},
    {"name": "a", "kind": 0.3},
    {"name": "a", "x-1": True}, {"name": "a", "x-1": 1}, {"name": "a", "y": True}, [], None, "name",
    {"name": "a", "size": 2.0, "tags": []}, {"name": "a", "size": 10**30, "tags": []},
]  # fmt: skip


def can(schema, value, budget=None, encode=str.encode):
    prepared = prepare(schema)
    return represent(prepared.feasibility, prepared.node, value, budget, encode)


@pytest.mark.parametrize("value", VALUES)
def test_it_is_what_the_validator_accepts(value):
    assert can(SCHEMA, value) is Draft202012Validator(SCHEMA).is_valid(value)


def test_the_budget_bounds_it():
    strings = {"type": "array", "items": {"type": "string"}}
    assert can(strings, ["a"] * 3, Budget(items=3)) and not can(strings, ["a"] * 4, Budget(items=3))
    assert can({**strings, "minItems": 4}, ["a"] * 4, Budget(items=3))
    assert can({"type": "string"}, "x" * 8, Budget(text=(4, 8))) and not can(
        {"type": "string"}, "x" * 9, Budget(text=(4, 8))
    )
    assert can({"type": "string"}, "x" * 9, Budget(text=(4, 8)), encode=lambda text: text[::3])
    nested = {"type": "array", "items": strings}
    assert can(nested, [[]], Budget(depth=1)) and not can(nested, [["a"]], Budget(depth=1))
    assert not can(strings, ["a"] * 4, Budget(slots=3))
    free = {"type": "object", "additionalProperties": {"type": "null"}}
    assert can(free, {"a": None}, Budget(entries=1)) and not can(free, {"a": None, "b": None}, Budget(entries=1))
