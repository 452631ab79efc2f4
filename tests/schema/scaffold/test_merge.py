"""Texts become typed JSON that is valid whatever they are, and what had to change is told."""

import json

import pytest
from jsonschema import Draft202012Validator

from jaxdiff.errors import InputError, ScaffoldBug
from jaxdiff.schema.normal.nodes import Lazy, Object, Property, Text
from jaxdiff.schema.scaffold.budget import Budget
from jaxdiff.schema.scaffold.merge import merge, plan
from jaxdiff.schema.scaffold.prepare import Prepared, prepare, prepare_node
from jaxdiff.schema.scaffold.witness import WitnessSearch
from tests.schema.scaffold.deciders import Constant, Fixed

STRING = {"type": "string"}


def merged(schema, texts, decider=None):
    """texts: by path, or in the order of the slots."""
    scaffold = plan(prepare(schema), decider or Fixed(), Budget(entries=2, items=3))
    if isinstance(texts, list):
        texts = dict(zip([slot.path for slot in scaffold.slots], texts, strict=True))
    return merge(scaffold, texts)


def obj(required=None, **properties):
    return {
        "type": "object", "properties": properties, "additionalProperties": False,
        "required": list(properties) if required is None else required,
    }  # fmt: skip


def test_values_are_typed_and_in_schema_order():
    schema = obj(n={"type": "integer"}, x={"type": "number"}, s=STRING, big={"type": "integer"}, flag={"const": True})
    huge = "9" * 40
    made = merged(schema, {"/s": '"\\\n', "/big": huge, "/x": "2.50", "/n": "-7"})
    assert made.value == {"n": -7, "x": 2.5, "s": '"\\\n', "big": int(huge), "flag": True} and made.repairs == ()
    assert list(made.value) == ["n", "x", "s", "big", "flag"] and type(made.value["n"]) is int
    assert json.loads(json.dumps(made.value)) == made.value


def test_a_text_that_the_slot_does_not_accept_is_replaced_and_reported():
    made = merged(obj(n={"type": "integer", "minimum": 3}), {"/n": "NaN"})
    assert type(made.value["n"]) is int and made.value["n"] >= 3
    assert made.repairs[0].path == "/n" and "'NaN'" in made.repairs[0].reason


def test_unknown_paths_are_refused():
    with pytest.raises(InputError, match="'/zz'"):
        merged(obj(n=STRING), {"/zz": ""})


def test_duplicate_items_are_replaced_or_left_out():
    made = merged({"type": "array", "items": STRING, "uniqueItems": True}, ["a", "a", "a"])
    assert len(set(made.value)) == 3 and made.value[0] == "a" and len(made.repairs) == 2
    pattern = {"type": "string", "pattern": "^[ab]$"}
    made = merged({"type": "array", "items": pattern, "uniqueItems": True}, ["b", "b", "b"])
    assert made.value == ["b", "a"] and made.repairs[-1].path == "/2"


def test_items_are_equal_as_json_values_are():
    numbers = {"type": "array", "items": {"type": "number"}, "uniqueItems": True, "maxItems": 2}
    assert len({float(number) for number in merged(numbers, ["1", "1.0"]).value}) == 2
    mixed = {"type": "array", "prefixItems": [{"const": True}, {"const": 1}], "uniqueItems": True, "items": False}
    assert merged(mixed, []).value[:2] == [True, 1] and merged(mixed, []).repairs == ()


def test_names_of_entries_are_distinct_from_each_other_and_from_declared_ones():
    schema = {"type": "object", "properties": {"a": {"type": "null"}}, "additionalProperties": STRING}
    made = merged(schema, {"/~key0": "a", "/~key1": "b", "/~value0": "v", "/~value1": "w"})
    assert made.value["a"] is None and len(made.value) == 3 and made.value["b"] == "w"
    assert [repair.path for repair in made.repairs] == ["/~key0"]


def test_names_that_need_others_or_are_forbidden_are_replaced():
    schema = {"type": "object", "additionalProperties": STRING, "dependentRequired": {"z": ["c"]}, "maxProperties": 1}
    made = merged(schema, {"/~key0": "z", "/~value0": "v"}, Fixed(c=False))
    assert list(made.value.values()) == ["v"] and "z" not in made.value
    forbidden = {"type": "object", "additionalProperties": STRING, "propertyNames": {"not": {"const": "a"}}}
    made = merged(forbidden, {"/~key0": "a", "/~value0": "v", "/~key1": "b", "/~value1": "w"})
    assert "a" not in made.value and made.value["b"] == "w"


def test_checks_change_the_nearest_decision():
    properties = tuple(Property(name=name, value=Lazy(Text)) for name in "abc")
    not_all = Draft202012Validator({"not": {"required": ["a", "b", "c"]}})
    prepared = prepare_node(Object(properties=properties, checks=(not_all,)))

    class Wants:
        def scores(self, question):
            return [0.0, {"a": 5.0, "b": 0.1, "c": 3.0}[question.name]]

    made = merge(plan(prepared, Wants()), {"/a": "1", "/b": "2", "/c": "3"})
    assert made.value == {"a": "1", "c": "3"} and made.repairs[0].path == ""


def test_one_of_that_overlaps_keeps_to_one_branch():
    schema = {"oneOf": [{"type": "string", "pattern": "^a"}, {"type": "string", "pattern": "b$"}]}
    for text in ("ab", "a", "b"):
        made = merged(schema, [text], Constant())
        assert made.value.startswith("a") is not made.value.endswith("b")


def test_a_value_that_is_not_valid_names_itself_as_a_bug():
    class Refusing:
        def iter_errors(self, value):
            return iter(prepare({"const": 1}).validator.iter_errors(value))

    good = prepare_node(Text())
    broken = Prepared(good.node, good.witnesses, (), "", Refusing())
    with pytest.raises(ScaffoldBug, match="is a bug of jaxdiff"):
        merge(plan(broken, Constant()), {})


def test_the_value_shares_nothing_with_the_schema():
    prepared = prepare({"enum": [[1]]})
    merge(plan(prepared, Constant()), {}).value.append(2)
    assert merge(plan(prepared, Constant()), {}).value == [1]


def test_a_node_without_any_value_has_no_witness():
    assert WitnessSearch().find(prepare({"type": "array", "maxItems": 0}).node) == (True, [])
