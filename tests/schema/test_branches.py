"""Branches are decided on whole candidates, as trying all calls in turn does; `jsonschema` tells which are valid."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from jaxdiff.errors import FillError
from jaxdiff.schema.branches import Presence, decide_branches, narrowed, narrowed_candidates, told_odds
from jaxdiff.schema.fields import Kind
from jaxdiff.schema.merge import merge
from jaxdiff.schema.paths import arrange, nested
from jaxdiff.schema.tools import parse_tools


def an_object(required=(), **properties):
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


TEXT, COUNT = {"type": "string"}, {"type": "integer"}
CARD = an_object(["kind", "number"], kind={"const": "card"}, number=TEXT, holder=TEXT)
CASH = an_object(["kind"], kind={"const": "cash"}, change=COUNT)
LATER = an_object(["kind"], kind={"enum": ["later", "cash"]}, days=COUNT)
PLACE = an_object(["street"], street=TEXT, floor=COUNT)
SHIP = an_object(["to"], to={"oneOf": [PLACE, an_object(["box"], box=COUNT)]}, note=TEXT)
MAP = {"type": "object", "additionalProperties": COUNT}
SCHEMAS = {
    "required": an_object(["pay"], pay={"oneOf": [CARD, CASH]}),
    "optional": an_object(pay={"oneOf": [CARD, CASH]}),
    "three": an_object(["pay"], pay={"anyOf": [CARD, CASH, LATER]}),
    "null": an_object(["pay"], pay={"anyOf": [CARD, {"type": "null"}, CASH]}),
    "nothing required": an_object(["a"], a={"anyOf": [an_object(["x"], x=TEXT), an_object(y=TEXT, z=TEXT)]}),
    "nested": an_object(["way"], way={"oneOf": [SHIP, an_object(["shop"], shop=TEXT, at=PLACE)]}),
    "nested, optional": an_object(
        way={"oneOf": [an_object(to={"oneOf": [PLACE, CARD]}), an_object(["shop"], shop=TEXT)]}
    ),
    "text or object": an_object(["to"], to={"anyOf": [PLACE, TEXT]}),
    "list": an_object(a={"anyOf": [{"type": "array", "items": PLACE, "minItems": 1, "maxItems": 1}, CASH]}),
    "whole": {"anyOf": [an_object(["a"], a=TEXT, b=COUNT), an_object(["b", "c"], b=COUNT, c=TEXT)]},
    "map": an_object(a={"oneOf": [MAP, an_object(["kind"], kind={"const": "cash"}, note=TEXT)]}),
    "around": an_object(o=an_object(["pay"], pay={"oneOf": [CARD, CASH]}, tip=COUNT)),
    "condition": {
        **an_object(["kind"], kind={"enum": ["card", "cash"]}, number=TEXT, change=COUNT),
        "if": {"properties": {"kind": {"const": "card"}}}, "then": {"required": ["number"]},
        "else": {"required": ["change"], "not": {"required": ["number"]}},
    },
}  # fmt: skip


def tool_of(schema):
    return parse_tools([{"name": "f", "parameters": schema}])[0]


def values_of(field):
    return field.candidates or ((7,) if field.kind is Kind.INTEGER else (field.name,))


def known_at_random(tool, seed, scale=3.0):
    draw = np.random.default_rng(seed)
    listed = {i: len(field.candidates) for i, field in enumerate(tool.fields) if field.candidates}
    candidates = {i: np.log(draw.dirichlet(np.ones(count))) for i, count in listed.items()}
    return Presence.of_odds(draw.normal(0, scale, len(tool.fields)), candidates)


def best_by_trying_all(tool, known):
    """The most probable valid call: score and values by name."""
    best, valid = (-np.inf, {}), Draft202012Validator(tool.parameters)
    for chosen in product(*([None, *range(len(values_of(field)))] for field in tool.fields)):
        score, values = 0.0, {}
        for i, (field, place) in enumerate(zip(tool.fields, chosen, strict=True)):
            if place is None:
                score += known.absent[i]
                continue
            score += known.present[i]
            values[field.name] = values_of(field)[place]
            if any(standing.only is not None for standing in field.standings) and field.candidates:
                score += known.candidates[i][place]
        made = arrange(tool.fields, values)
        if score > best[0] and not made.left_out and valid.is_valid(made.arguments or empty(tool)):
            best = score, values
    return best


def empty(tool):
    """A call without values: of a required union it has one that needs none, if there is such."""
    whole = tool.parameters
    for value in ({}, None) if whole.get("required") else ():
        call = dict.fromkeys(whole["required"], value)
        if Draft202012Validator(whole).is_valid(call):
            return call
    return {}


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("name", SCHEMAS)
def test_the_most_probable_whole(name, seed):
    tool = tool_of(SCHEMAS[name])
    known = known_at_random(tool, seed)
    decided = decide_branches(tool.fields, known)
    fields = narrowed(tool.fields, decided.taken)
    score, values = best_by_trying_all(tool, known)
    outside = [i for i, field in enumerate(tool.fields) if not field.standings]
    rest = sum(max(known.present[i], known.absent[i]) for i in outside)
    if name != "around":
        assert decided.score + rest == pytest.approx(score, abs=1e-9)
        assert {tool.fields[i].name for i in decided.present} == set(values)
    assert decided.present.isdisjoint(decided.absent)
    assert {*decided.present, *decided.absent, *outside} == set(range(len(tool.fields)))
    # What was decided merges to just that.
    there = decided.present | {i for i in outside if known.present[i] > known.absent[i]}
    chosen = {}
    for i in there:
        allowed = [value for value in values_of(tool.fields[i]) if value in values_of(fields[i])]
        order = {value: place for place, value in enumerate(values_of(tool.fields[i]))}
        listed = known.candidates.get(i, np.zeros(len(order)))
        chosen[fields[i].name] = max(allowed, key=lambda value: listed[order[value]])
    made = merge(tool, chosen, decided.taken)
    Draft202012Validator(tool.parameters).validate(made.arguments)
    assert made.arguments == (nested(tool.fields, chosen) or empty(tool)) and not made.dropped


def test_what_is_told_is_certain():
    tool = tool_of(SCHEMAS["three"])
    for told, kinds in (({"pay.kind", "pay.days"}, ["cash", "later"]), ({"pay.kind", "pay.number"}, ["card"])):
        decided = decide_branches(tool.fields, Presence.of_odds(told_odds(tool.fields, told)))
        assert {tool.fields[i].name for i in decided.present} == told
        assert sorted(narrowed(tool.fields, decided.taken)[0].candidates) == kinds


def test_an_optional_object_with_other_values_has_its_union():
    tool = tool_of(SCHEMAS["around"])
    names = [field.name for field in tool.fields]
    for tip in (-1.0, 1.0):
        odds = np.array([tip if name == "o.tip" else -5.0 for name in names])
        taken = decide_branches(tool.fields, Presence.of_odds(odds)).taken
        assert taken == ({} if tip < 0 else {"/o/pay": {1}})


def test_a_branch_without_values_is_taken_as_decided():
    tool = tool_of(an_object(["a"], a={"anyOf": [an_object(["x"], x=TEXT), an_object(y=TEXT), an_object(z=COUNT)]}))
    for number, value in ((0, {"x": ""}), (1, {}), (2, {})):
        made = merge(tool, {}, {"/a": {number}})
        assert made.arguments == {"a": value} and set(made.repaired) >= {"/a"}


SIZES = [-np.inf, -1e9, -1.0, 0.0, 0.5, 1e9, np.inf]


@settings(max_examples=150)
@given(st.sampled_from(sorted(SCHEMAS)), st.data())
def test_what_is_merged_is_valid_whatever_the_probabilities(name, data):
    tool = tool_of(SCHEMAS[name])
    odds = np.array([data.draw(st.sampled_from(SIZES) | st.floats(-9, 9)) for _ in tool.fields])
    listed = {i: len(field.candidates) for i, field in enumerate(tool.fields) if field.candidates}
    candidates = {i: np.array([data.draw(st.sampled_from(SIZES[:4])) for _ in range(n)]) for i, n in listed.items()}
    decided = decide_branches(tool.fields, Presence.of_odds(odds, candidates))
    assert decided.present.isdisjoint(decided.absent)
    said = st.sampled_from(["card", "cash", "later", "7", "x", "", "none", "two"])
    texts = {tool.fields[i].name: data.draw(said) for i in decided.present}
    try:
        made = merge(tool, texts, decided.taken)
    except FillError as error:
        assert error.field in {field.name for field in tool.fields if field.required}
        return
    Draft202012Validator(tool.parameters).validate(made.arguments)


@pytest.mark.parametrize(
    ("kinds", "logprob", "want"),
    [
        (({"enum": ["a", "b"]}, {"enum": ["b", "a", "c"]}), [0.5, 0.3, 0.2], [0.3, 0.5, 0.2]),
        (({"enum": ["a", "b"]}, {"enum": ["b"]}), [0.6, 0.4], [0.4]),
        ((TEXT, {"enum": ["a", "b"]}), None, [0.5, 0.5]),
    ],
)
def test_candidates_of_a_branch_stand_in_its_order(kinds, logprob, want):
    first, second = kinds
    branches = [an_object(["kind", "x"], kind=first, x=TEXT), an_object(["kind", "y"], kind=second, y=TEXT)]
    (tool,) = parse_tools([{"name": "do", "parameters": an_object(["to"], to={"oneOf": branches})}])
    places = [i for i, field in enumerate(tool.fields) if field.pointer == "/to/kind"]
    (whole,) = (tool.fields[i] for i in places)
    (narrow,) = (narrowed(tool.fields, {"/to": frozenset([1])})[i] for i in places)
    assert list(narrow.candidates) == second["enum"]
    given = None if logprob is None else np.log(logprob)
    np.testing.assert_allclose(np.exp(narrowed_candidates(given, whole, narrow)), want)
