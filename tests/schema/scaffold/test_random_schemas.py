"""Whatever the schema, the scores and the texts: the value validates, and it is one that can be represented."""

import json
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema.validators import validator_for

from benchmarks.random_schemas import RandomDecider, RandomTexts, random_schema
from jaxdiff.errors import SchemaError
from jaxdiff.schema.scaffold.budget import Budget
from jaxdiff.schema.scaffold.merge import merge, plan
from jaxdiff.schema.scaffold.prepare import prepare
from jaxdiff.schema.scaffold.represent import represent

SMALL = Budget(depth=4, items=3, entries=2, slots=40)


def check_fill(schema, decider, texts):
    prepared = prepare(schema)
    scaffold = plan(prepared, decider, SMALL)
    value = merge(scaffold, {slot.path: texts.text(slot) for slot in scaffold.slots}).value
    validator = validator_for(schema)
    assert validator(schema).is_valid(value), (schema, value)
    assert json.loads(json.dumps(value, allow_nan=False)) == value
    assert represent(prepared.feasibility, prepared.node, value, None, str.encode), (schema, value)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.randoms(use_true_random=False), st.sampled_from(RandomDecider.KINDS), st.sampled_from(RandomTexts.KINDS))
def test_every_value_is_valid(draw, decisions, texts):
    schema = random_schema(draw)
    validator_for(schema).check_schema(schema)
    try:
        check_fill(schema, RandomDecider(draw, decisions), RandomTexts(draw, texts))
    except SchemaError:
        # Schemas that let nothing pass, and what is refused with keyword and place, have no values.
        return


def test_most_random_schemas_are_prepared():
    prepared, asked = 0, 0
    for seed in range(60):
        schema = random_schema(Random(seed))
        asked += 1
        try:
            prepare(schema)
        except SchemaError:
            continue
        prepared += 1
    assert prepared >= 0.6 * asked


@pytest.mark.parametrize("seed", range(60))
def test_all_kinds_of_scores_and_texts(seed):
    draw = Random(1000 + seed)
    schema = random_schema(draw)
    try:
        prepare(schema)
    except SchemaError:
        return
    for decisions in RandomDecider.KINDS:
        for texts in RandomTexts.KINDS:
            check_fill(schema, RandomDecider(draw, decisions), RandomTexts(draw, texts))
