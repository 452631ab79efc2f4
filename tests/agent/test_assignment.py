"""One span a field, against all combinations."""

import itertools
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxdiff.agent.assignment import (
    ENDS,
    NOT_A_VALUE_COST,
    OVERLAP_COST,
    STARTS,
    Span,
    assign,
    best_spans,
    cuts_word,
    understood,
)
from jaxdiff.schema.leaves import fields_of
from jaxdiff.schema.values import NOT_SAID, valid_value


def field_of(**schema):
    return fields_of({"type": "object", "properties": {"it": schema}})[0]


def span(first, last, score, understood=True):
    return Span(first, last, 2 * first, 2 * last + 1, score, understood)


@st.composite
def spans(draw):
    first = draw(st.integers(0, 5))
    last = draw(st.integers(first, 6))
    return span(first, last, -draw(st.integers(0, 80)) / 8, draw(st.booleans()))


def plain_total(chosen):
    """Score of a choice: each pair that shares words pays, and each span whose words are no value."""
    total = sum(one.score - NOT_A_VALUE_COST * (not one.understood) for one in chosen)
    for one, other in itertools.combinations(chosen, 2):
        total -= OVERLAP_COST * bool({*range(one.first, one.last + 1)} & {*range(other.first, other.last + 1)})
    return total


@settings(max_examples=200)
@given(st.lists(st.lists(spans(), max_size=3), max_size=5))
def test_the_best_of_all_combinations(possible):
    chosen = assign(possible)
    assert len(chosen) == len(possible)
    assert [one is None for one in chosen] == [not options for options in possible]
    assert all(one is None or one in options for one, options in zip(chosen, possible, strict=True))
    best = max(map(plain_total, itertools.product(*filter(None, possible))), default=0.0)
    assert plain_total([one for one in chosen if one is not None]) == pytest.approx(best)


@settings(max_examples=100)
@given(st.lists(st.lists(spans(), min_size=1, max_size=3), max_size=4), st.integers(0, 3), st.integers(0, 3))
def test_the_best_of_all_combinations_at_any_cost_of_pairs(possible, low, high):
    """Two fields that pay where the first one's words stand behind the other's."""

    def cost(i, one, j, other):
        return 3.0 * ((i, j) == (low, high) and one.first > other.first) + 3.0 * (
            (j, i) == (low, high) and other.first > one.first
        )

    def total(chosen):
        pairs = itertools.combinations(enumerate(chosen), 2)
        paid = sum(cost(i, one, j, other) for (i, one), (j, other) in pairs)
        return sum(one.score - NOT_A_VALUE_COST * (not one.understood) for one in chosen) - paid

    assert total(assign(possible, cost)) == pytest.approx(max(map(total, itertools.product(*possible))))


def test_many_fields_over_the_same_words_end_soon():
    """Thirty fields that all want the same ten words: no exact search would end."""
    possible = [[span(j, j, -(j + i / 31)) for j in range(10)] for i in range(30)]
    started = time.monotonic()
    chosen = assign(possible)
    assert time.monotonic() - started < 5
    greedy = []
    for options in sorted(possible, key=lambda options: -options[0].score):
        greedy.append(max(options, key=lambda one: plain_total([*greedy, one])))
    assert plain_total(chosen) >= plain_total(greedy) - 1e-9


def test_overlap_costs_what_the_constant_says():
    sure = [span(0, 1, -0.1)]
    near, far = span(1, 1, -1.0), span(3, 3, -1.0 - OVERLAP_COST + 0.1)
    assert assign([sure, [near, far]]) == [sure[0], far]
    far = span(3, 3, -1.0 - OVERLAP_COST - 0.1)
    assert assign([sure, [near, far]]) == [sure[0], near]
    assert assign([[near, far], sure]) == [near, sure[0]]


def test_words_without_a_value_cost_what_the_constant_says():
    said, unsaid = span(3, 3, -0.5 - NOT_A_VALUE_COST + 0.1), span(1, 1, -0.5, understood=False)
    assert assign([[unsaid, said]]) == [said]
    said = span(3, 3, -0.5 - NOT_A_VALUE_COST - 0.1)
    assert assign([[unsaid, said]]) == [unsaid]


def test_a_less_likely_span_is_taken_so_that_all_fit():
    one, other = span(0, 2, -0.1), span(4, 4, -1.0)
    assert assign([[one, other], [span(1, 1, -0.2)]]) == [other, span(1, 1, -0.2)]


@given(st.integers(0, 10), st.integers(0, 10), st.integers(0, 10), st.integers(0, 10))
def test_spans_overlap_where_they_share_a_token(a, b, c, d):
    one, other = span(min(a, b), max(a, b), 0), span(min(c, d), max(c, d), 0)
    assert one.overlaps(other) == other.overlaps(one) == bool({*range(min(a, b), max(a, b) + 1)} & {
        *range(min(c, d), max(c, d) + 1)
    })  # fmt: skip


def distributions(rng, words, size):
    start = np.log(rng.dirichlet(np.ones(words)))
    end = np.full((words, words), -1e9)
    for i in range(words):
        end[i, i:] = np.log(rng.dirichlet(np.ones(words - i)))
    padded = np.full((size, size), -1e9)
    padded[:words, :words] = end
    return np.concatenate([start, np.full(size - words, -1e9)]), padded


@given(st.integers(0, 200))
def test_spans_are_the_ends_of_the_best_starts(seed):
    query, offsets = "set  12 doors ", [(0, 3), (3, 4), (4, 7), (7, 13), (13, 14)]
    start, end = distributions(np.random.default_rng(seed), 5, 8)
    field = field_of(type="integer", minimum=1)
    found = best_spans(start, end, field, query, offsets)
    assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
    want = set()
    for first in sorted(range(5), key=lambda i: -start[i])[:STARTS]:
        for last in sorted(range(5), key=lambda i: -end[first, i])[:ENDS]:
            if last >= first and query[offsets[first][0] : offsets[last][1]].strip():
                want.add((first, last))
    assert {(one.first, one.last) for one in found} == want
    for one in found:
        assert one.score == pytest.approx(start[one.first] + end[one.first, one.last])
        words = query[one.start : one.end]
        assert words == query[offsets[one.first][0] : offsets[one.last][1]].strip()
        assert one.understood == (valid_value(words, field) is not NOT_SAID)
    assert any(one.understood for one in found) or (2, 2) not in want


def test_spans_are_counted_in_code_points():
    query = "für 🍷👍🏽 e\u0301 日本"
    offsets = [(0, 3), (3, 5), (3, 5), (5, 7), (7, 9), (9, 10), (10, 13)]
    start, end = np.full(7, -9.0), np.full((7, 7), -9.0)
    start[1], end[1, 3] = -0.1, -0.1
    best = best_spans(start, end, field_of(type="string"), query, offsets)[0]
    assert (best.first, best.last) == (1, 3) and query[best.start : best.end] == "🍷👍🏽"
    start[6], end[6, 6] = -0.01, -0.01
    best = best_spans(start, end, field_of(type="string"), query, offsets)[0]
    assert query[best.start : best.end] == "日本"


def test_no_words_no_spans():
    assert best_spans(np.zeros(4), np.zeros((4, 4)), field_of(type="string"), "", []) == []
    assert assign([]) == [] and assign([[], []]) == [None, None]


@pytest.mark.parametrize(
    ("text", "schema", "value"),
    [
        ("four", {"type": "integer"}, 4),
        ("four", {"type": "integer", "minimum": 5}, NOT_SAID),
        ("doors", {"type": "integer"}, NOT_SAID),
        ("0", {"type": "integer"}, 0),
        ("abc", {"type": "string", "maxLength": 2}, NOT_SAID),
        ("a and b", {"type": "array", "items": {"type": "string"}}, ["a", "b"]),
        ("none", {"type": ["integer", "null"]}, None),
        ("a and b", {"type": "array", "items": {"type": "string"}, "maxItems": 1}, NOT_SAID),
    ],
)
def test_a_value_that_the_schema_allows(text, schema, value):
    assert valid_value(text, field_of(**schema)) == value
    assert understood(text, field_of(**schema)) == (value is not NOT_SAID)


@pytest.mark.parametrize(
    ("text", "place", "cuts"),
    [
        ("xavier 4", 1, True), ("xavier 4", 6, False), ("ключ", 2, True), ("1e5000", 5, True), ("1e5000", 2, False),
        ("5kg", 1, False), ("a/b", 1, False), ("東京都", 1, False), ("word", 0, False),
        ("word", 4, False), ("", 0, False),
    ],
)  # fmt: skip
def test_places_inside_of_words(text, place, cuts):
    assert cuts_word(text, place) == cuts


def test_no_span_begins_or_ends_inside_a_word():
    """Whatever the head prefers: here the second half of a name, and the first half of a number."""
    query, offsets = "xavier 45", [(0, 1), (1, 6), (6, 8), (8, 9)]
    start = np.log([0.1, 0.7, 0.19, 0.01])
    end = np.log(np.full((4, 4), 0.25))
    found = best_spans(start, end, field_of(type="string"), query, offsets)
    assert {query[one.start : one.end] for one in found} <= {"xavier", "xavier 45", "45"} and found
