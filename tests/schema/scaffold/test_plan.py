"""Scores become the best structure that can be completed, within the budget."""

import math

import pytest

from jaxdiff.errors import ConfigError, InputError
from jaxdiff.schema.scaffold.budget import Budget, SlotKind
from jaxdiff.schema.scaffold.decider import Asked, Question, checked_scores, score_loss
from jaxdiff.schema.scaffold.merge import merge, plan
from jaxdiff.schema.scaffold.prepare import prepare
from tests.schema.scaffold.deciders import Constant, Fixed

STRING, INTEGER = {"type": "string"}, {"type": "integer"}


def value(schema, decider=None, text="t", **budget):
    scaffold = plan(prepare(schema), decider or Fixed(), Budget(**budget))
    return merge(scaffold, {slot.path: text for slot in scaffold.slots if slot.language is None}).value


def test_slots_and_decisions_have_the_paths_of_their_values():
    schema = {
        "type": "object",
        "properties": {
            "a/b": STRING,
            "list": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {"n": INTEGER},
                    "required": ["n"],
                    "additionalProperties": False,
                },
            },
            "kind": {"enum": ["x", "y"]},
        },
        "additionalProperties": {"type": "number"},
    }
    scaffold = plan(prepare(schema), Fixed(list=2), Budget(entries=1))
    assert [(slot.path, slot.kind) for slot in scaffold.slots] == [
        ("/a~1b", SlotKind.TEXT), ("/list/0/n", SlotKind.INTEGER), ("/list/1/n", SlotKind.INTEGER),
        ("/~key0", SlotKind.KEY), ("/~value0", SlotKind.NUMBER),
    ]  # fmt: skip
    asked = [(made.question.asked, made.question.path, made.question.name) for made in scaffold.decisions]
    assert (Asked.PRESENCE, "", "a/b") in asked and (Asked.ITEMS, "/list", "") in asked
    assert (Asked.CANDIDATE, "/kind", "") in asked and (Asked.ENTRIES, "", "") in asked


def test_only_options_that_can_be_completed_are_asked():
    schema = {
        "type": "object",
        "properties": {
            "never": {"allOf": [{"type": "string"}, {"type": "integer"}]},
            "few": {"type": "array", "items": STRING, "minItems": 2, "maxItems": 3},
        },
        "additionalProperties": False,
    }
    decider = Fixed()
    assert value(schema, decider) == {"few": ["t", "t", "t"]}
    assert [(q.asked, q.name, q.options) for q in decider.questions] == [
        (Asked.PRESENCE, "few", (False, True)),
        (Asked.ITEMS, "", (2, 3)),
    ]


@pytest.mark.parametrize("score", [math.nan, math.inf, -math.inf, 0.0])
def test_equal_scores_take_the_first_option(score):
    schema = {"type": "object", "properties": {"a": STRING, "b": {"enum": [3, 4]}}, "required": ["b"]}
    assert value(schema, Constant(score)) == {"b": 3}


def test_nan_is_the_lowest_score():
    question = Question(Asked.CANDIDATE, "", prepare({"enum": [1, 2, 3]}).node, (1, 2, 3))

    class Odd:
        def scores(self, question):
            return [math.nan, -1e308, math.nan]

    scores = checked_scores(Odd(), question)
    assert scores == (-math.inf, -1e308, -math.inf)
    assert score_loss(scores, 1) == 0 and score_loss(scores, 0) == 1e9


def test_a_decider_must_score_every_option():
    class Short:
        def scores(self, question):
            return [0.0]

    with pytest.raises(InputError, match="1 scores for 2 options of presence"):
        value({"type": "object", "properties": {"a": STRING}}, Short())


def test_recursion_ends_at_the_depth():
    schema = {
        "$defs": {"tree": {"type": "object", "properties": {"v": INTEGER, "next": {"$ref": "#/$defs/tree"}}}},
        "$ref": "#/$defs/tree",
    }
    made, levels = value(schema, Fixed(default="last"), depth=3, entries=0), 0
    while "next" in made:
        made, levels = made["next"], levels + 1
    assert levels == 3 and made == {}


def test_a_required_recursion_takes_the_branch_that_ends():
    schema = {
        "$defs": {"list": {"anyOf": [{"type": "null"}, {
            "type": "object", "properties": {"rest": {"$ref": "#/$defs/list"}}, "required": ["rest"],
            "additionalProperties": False,
        }]}},
        "$ref": "#/$defs/list",
    }  # fmt: skip
    assert value(schema, depth=2) == {"rest": {"rest": None}}


def test_more_than_the_budget_only_where_the_schema_demands_it():
    schema = {"type": "array", "items": STRING}
    assert len(value(schema, items=3)) == 3
    assert len(value({**schema, "minItems": 5}, items=3)) == 5
    wide = {"type": "array", "items": {"type": "object", "properties": dict.fromkeys("abcde", STRING)}}
    scaffold = plan(prepare(wide), Fixed(), Budget(items=6, slots=12, entries=0))
    assert 12 <= len(scaffold.slots) <= 17


def test_counts_of_properties_hold():
    schema = {
        "type": "object",
        "properties": {"a": STRING, "b": STRING, "c": STRING},
        "maxProperties": 2,
        "minProperties": 2,
        "dependentRequired": {"a": ["c"]},
        "additionalProperties": False,
    }
    assert value(schema) == {"a": "t", "c": "t"}
    assert value(schema, Fixed(a=False)) == {"b": "t", "c": "t"}
    assert len(value(schema, Fixed(default="first"))) == 2


def test_free_names_fill_up_what_must_be_there():
    schema = {"type": "object", "minProperties": 3, "additionalProperties": INTEGER}
    made = value(schema, Fixed(default="first"), entries=1)
    assert len(made) == 3 and all(type(part) is int for part in made.values())


@pytest.mark.parametrize(
    ("schema", "tokens"),
    [
        ({"type": "string"}, 24),
        ({"type": "string", "maxLength": 3}, 12),
        ({"type": "string", "pattern": "^[a-z]{2,5}$"}, 5),
        ({"type": "string", "pattern": "^é?$"}, 2),
        ({"type": "string", "const": "a"}, None),
        ({"type": "string", "maxLength": 0}, 1),
        ({"type": "string", "pattern": "^x{30}"}, 48),
        ({"type": "string", "minLength": 200}, 200),
        ({"type": "integer", "minimum": -5, "maximum": 99}, 2),
        ({"type": "string", "format": "date"}, 10),
    ],
)
def test_a_slot_has_room_for_a_text_and_no_more_than_all_texts_need(schema, tokens):
    slots = plan(prepare(schema), Constant()).slots
    assert [slot.tokens for slot in slots] == ([] if tokens is None else [tokens])


def test_budgets_are_checked_and_slots_grow():
    budget = Budget(text=(4, 8))
    assert budget.slot_tokens(SlotKind.TEXT) == 4 and budget.slot_tokens(SlotKind.TEXT, least=6) == 8
    assert budget.slot_tokens(SlotKind.TEXT, least=20) == 20 and budget.slot_tokens(SlotKind.TEXT, most=2) == 2
    assert budget.grown(SlotKind.TEXT, 4) == 8 and budget.grown(SlotKind.TEXT, 8) is None
    for wrong in ({"depth": -1}, {"text": ()}, {"key": (8, 4)}, {"number": (0,)}):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            Budget(**wrong)
