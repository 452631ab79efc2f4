"""The decisions and texts of a value make this value again."""

import json
from dataclasses import replace
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.random_schemas import RandomDecider, RandomTexts, random_schema
from jaxdiff.errors import SchemaError
from jaxdiff.schema.scaffold.budget import Budget
from jaxdiff.schema.scaffold.follow import follow
from jaxdiff.schema.scaffold.merge import merge, plan
from jaxdiff.schema.scaffold.prepare import prepare

WIDE = Budget(text=(400,), key=(400,), integer=(400,), number=(400,))


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "object", "properties": {"a/b": {"type": "string"}}}, {"z": 1, "a/b": '"', "y": [None, {"x": 2.5}]}),
        ({"type": ["integer", "null"]}, None),
        ({"anyOf": [{"type": "object", "properties": {"a": {"type": "null"}}, "additionalProperties": False},
                    {"type": "object", "additionalProperties": {"type": "number"}}]}, {"a": 1.0}),
        ({"type": "array", "prefixItems": [{"const": [1]}], "items": {"type": "integer"}}, [[1.0], -3, 10**30]),
    ],
)  # fmt: skip
def test_a_value_is_made_again(schema, value):
    followed = follow(prepare(schema), value, WIDE, str.encode)
    assert merge(followed.scaffold, followed.texts).value == value


def test_what_is_not_valid_or_beyond_the_budget_has_none():
    prepared = prepare({"type": "array", "items": {"type": "string"}})
    assert follow(prepared, [1], None, str.encode) is None
    assert follow(prepared, ["a"] * 3, Budget(items=2), str.encode) is None
    assert follow(prepared, ["a" * 5], Budget(text=(4,)), str.encode) is None


@settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.integers(0, 10**9), st.sampled_from(RandomDecider.KINDS), st.sampled_from(RandomTexts.KINDS))
def test_every_value_that_is_made_can_be_followed(seed, decisions, texts):
    draw = Random(seed)
    schema = random_schema(draw)
    try:
        prepared = prepare(schema)
    except SchemaError:
        return
    scaffold = plan(prepared, RandomDecider(draw, decisions), Budget(depth=4, items=3, entries=2, slots=40))
    filler = RandomTexts(draw, texts)
    value = merge(scaffold, {slot.path: filler.text(slot) for slot in scaffold.slots}).value
    wide = replace(WIDE, depth=24, items=300, entries=300, slots=5000)
    followed = follow(prepared, value, wide, lambda text: text)
    assert followed is not None, (json.dumps(schema), value)
    assert merge(followed.scaffold, followed.texts).value == value
