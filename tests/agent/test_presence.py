"""Optional fields against the words that others take: by hand, and the rule restated as plain loops."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxdiff.agent.assignment import Span
from jaxdiff.agent.presence import DISORDER_COST, FieldWords, probability, take
from jaxdiff.schema.leaves import fields_of
from jaxdiff.schema.paths import flat_values
from jaxdiff.schema.ranges import in_order, range_ends
from jaxdiff.schema.tools import parse_tools
from jaxdiff_train.data.packs import TRAIN_PACKS, expand_packs
from jaxdiff_train.data.rows import supported

QUERY = "from eight to nine"
OFFSETS = [(0, 4), (5, 10), (11, 13), (14, 18)]
TEXT = {"type": "string"}


def words_of(start, fields):
    """Words of one token each. start: [F, T] probabilities."""
    start = np.log(np.maximum(np.asarray(start, float), 1e-9))
    end = np.where(np.eye(len(OFFSETS), dtype=bool), 0.0, -30.0)
    return FieldWords(fields, QUERY, OFFSETS, start, np.broadcast_to(end, (len(fields), *end.shape)))


def fields(*required, **properties):
    return fields_of({"type": "object", "properties": properties, "required": list(required)})


def test_an_optional_field_is_not_there_for_the_words_of_a_required_one():
    """Both want "eight": 0.7 of what the second is there for is taken, 0.6 x 0.3 against 0.4."""
    both = fields("low", low=TEXT, high=TEXT)
    start = [[0.1, 0.8, 0.1, 0], [0.1, 0.7, 0.1, 0.1]]
    taken = take(words_of(start, both), np.array([0.9, 0.6]))
    assert taken.wanted == [0] and set(taken.spans) == {0}
    assert taken.presence[1] == pytest.approx(0.6 * 0.3 / (0.6 * 0.3 + 0.4))
    apart = take(words_of([start[0], [0.1, 0.1, 0.1, 0.7]], both), np.array([0.9, 0.6]))
    assert apart.wanted == [0, 1] and apart.presence[1] == 0.6


def test_the_surer_of_two_optional_fields_keeps_the_words():
    """Whichever comes first in the schema."""
    start = [[0, 1, 0, 0], [0, 1, 0, 0]]
    assert take(words_of(start, fields(a=TEXT, b=TEXT)), np.array([0.7, 0.8])).wanted == [1]
    assert take(words_of(start, fields(a=TEXT, b=TEXT)), np.array([0.8, 0.7])).wanted == [0]


@pytest.mark.parametrize("rounding", [-3e-7, 0.0, 3e-7])
def test_rounding_leaves_nothing_free(rounding):
    """Of two fields without words of their own it would tell which one goes first, and so which one stays."""
    words = words_of([[0.25, 0.25, 0.25, 0.25 + rounding]], fields(a=TEXT))
    everywhere = [Span(0, 3, 0, 18, 0.0, True)]
    assert words.free(0, everywhere) == words_of([[0.25] * 4], fields(a=TEXT)).free(0, everywhere)
    assert words.free(0, [Span(3, 3, 14, 18, 0.0, True)]) == pytest.approx(0.75, abs=1e-6)


def test_words_that_name_a_candidate_are_taken_too():
    """An optional enum whose only words are a required field's is not there; with words of its own it is."""
    listed = fields("who", who=TEXT, hour={"type": "string", "enum": ["eight", "nine"]})
    assert take(words_of([[0, 1, 0, 0], [0, 1, 0, 0]], listed), np.array([0.9, 0.6])).wanted == [0]
    taken = take(words_of([[0, 1, 0, 0], [0, 0, 0, 1]], listed), np.array([0.9, 0.6]))
    assert taken.wanted == [0, 1] and QUERY[taken.named[1].start : taken.named[1].end] == "nine"


NUMBER = {"type": "number"}


@pytest.mark.parametrize(
    ("names", "odds", "taken"),
    [
        # "eight" and "nine": the odds are those of the swapped reading.
        (("min_age", "max_age"), math.exp(DISORDER_COST) - 1, "in order"),
        (("min_age", "max_age"), math.exp(DISORDER_COST) + 1, "swapped"),
        (("age", "weight"), 1.5, "swapped"),
        (("age", "weight"), 1 / 1.5, "in order"),
    ],
)
@pytest.mark.parametrize("turned", [False, True])
def test_the_ends_of_a_range_are_in_order_unless_the_words_are_sure(names, odds, taken, turned):
    swapped = odds / (1 + odds)
    # The second field says the same of both, so that words are shared out as the first one wants.
    start = [0, 1 - swapped, 0, swapped], [0, 0.5, 0, 0.5]
    given = dict.fromkeys(names, NUMBER) if not turned else dict.fromkeys(reversed(names), NUMBER)
    declared = fields(*names, **given)
    place = {field.name: i for i, field in enumerate(declared)}
    probabilities = np.zeros((2, 4))
    probabilities[place[names[0]]], probabilities[place[names[1]]] = start
    spans = take(words_of(probabilities, declared), np.array([0.9, 0.9])).spans
    said = {name: QUERY[spans[i].start : spans[i].end] for name, i in place.items()}
    assert tuple(said[name] for name in names) == (("eight", "nine") if taken == "in order" else ("nine", "eight"))


def test_the_cost_of_disorder_is_the_log_odds_of_the_training_packs():
    ordered, disordered = 0, 0
    tools = {}
    for row in expand_packs(TRAIN_PACKS, 5, 1):
        if not supported(row.tool):
            continue
        if row.tool["name"] not in tools:
            (tools[row.tool["name"]],) = parse_tools([row.tool])
        declared = tools[row.tool["name"]].fields
        values = flat_values(declared, row.arguments)
        for low, high in range_ends(tuple(declared)):
            ends = declared[low].name, declared[high].name
            if values.keys() >= {*ends}:
                right = in_order(*(values[end] for end in ends))
                ordered, disordered = ordered + right, disordered + (not right)
    assert (ordered, disordered) == (73, 6)
    assert math.log(ordered / disordered) == pytest.approx(DISORDER_COST, abs=0.01)


def test_what_is_told_is_not_decided():
    """Exactly the given names, though they share their words and are improbable."""
    both = fields(a=TEXT, b=TEXT)
    taken = take(words_of([[0, 1, 0, 0], [0, 1, 0, 0]], both), np.array([0.1, 0.2]), frozenset({"a", "b"}))
    assert taken.wanted == [0, 1] and taken.presence.tolist() == [0.1, 0.2]


def test_a_part_that_the_others_require_stays():
    """`at.lat` is required once `at.lon` is there, whoever has its words."""
    nested = fields(
        "who", who=TEXT,
        at={"type": "object", "properties": {"lat": TEXT, "lon": TEXT}, "required": ["lat", "lon"]},
    )  # fmt: skip
    start = [[0, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]]
    assert take(words_of(start, nested), np.array([0.9, 0.6, 0.8])).wanted == [0, 1, 2]


def test_one_branch_of_a_union_is_there_as_a_whole():
    """Of two branches with two fields each the one that is more probable, and less so for words that another has."""

    def branch(*names):
        properties = dict.fromkeys(names, TEXT)
        return {"type": "object", "properties": properties, "required": [*names], "additionalProperties": False}

    union = fields("at", "who", who=TEXT, at={"oneOf": [branch("a", "b"), branch("c", "d")]})
    own = [[0, 0, 0, 1], [1, 0, 0, 0], [0, 1, 0, 0], [1, 0, 0, 0], [0, 1, 0, 0]]
    presence = np.array([0.9, 0.4, 0.8, 0.7, 0.2])
    taken = take(words_of(own, union), presence)
    assert [union[i].name for i in taken.wanted] == ["who", "at.a", "at.b"] and taken.branches == {"/at": {0}}
    # "b" is likely for the words of "who" alone.
    taken = take(words_of([own[0], own[1], own[0], *own[3:]], union), presence)
    assert [union[i].name for i in taken.wanted] == ["who", "at.c", "at.d"] and taken.branches == {"/at": {1}}


probabilities = st.floats(0.01, 0.99)
weights = st.lists(st.integers(0, 9), min_size=4, max_size=4).filter(any)


@settings(max_examples=150)
@given(st.lists(st.tuples(weights, probabilities, st.booleans()), min_size=1, max_size=4))
def test_what_is_left_is_likely_given_the_words_of_the_surer(asked):
    """At the end the rule, in plain loops, has no field to take out, and it only takes out likely optional ones."""
    names = [f"f{i}" for i in range(len(asked))]
    required = [name for name, (_, _, needed) in zip(names, asked, strict=True) if needed]
    declared = fields(*required, **dict.fromkeys(names, TEXT))
    start = np.array([np.array(weight) / sum(weight) for weight, _, _ in asked])
    presence = np.array([likely for _, likely, _ in asked])
    taken = take(words_of(start, declared), presence)
    first = {i for i, field in enumerate(declared) if field.required or presence[i] > 0.5}
    assert {i for i, field in enumerate(declared) if field.required} <= set(taken.wanted) <= first
    for i in taken.wanted:
        if declared[i].required:
            continue
        lost = 0.0
        for token in range(4):
            by = [
                j for j, span in taken.spans.items() if j != i and span is not None and span.first <= token <= span.last
            ]
            if any(declared[j].required or presence[j] > presence[i] for j in by):
                lost += math.exp(math.log(max(start[i, token], 1e-9)))
        free = 1 - lost
        assert presence[i] * free / (presence[i] * free + 1 - presence[i]) >= 0.5 - 1e-6


def test_the_logistic_function():
    """At 0, and far out."""
    assert probability(np.array([0.0, 40.0, -40.0])) == pytest.approx([0.5, 1.0, 0.0])
