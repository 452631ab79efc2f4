"""Items of a list that stand apart, against a plain loop over the tokens."""

import math

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from jaxdiff.agent.agent import Agent, Options
from jaxdiff.agent.assignment import Span
from jaxdiff.agent.fill_diffusion import ReaderHead
from jaxdiff.agent.items_apart import OWNED, further_spans, items_apart, join_items
from jaxdiff.agent.prompting import tokens_at
from jaxdiff.chat.call_table import show_call
from jaxdiff.schema.checks import check_value
from jaxdiff.schema.leaves import fields_of
from jaxdiff.schema.tools import parse_tools
from tests.agent.frozen_fills import tiny_base
from tests.agent.tiny import few_buckets, reader_head

BASE = tiny_base(0)

STRINGS, NUMBERS = {"type": "string"}, {"type": "integer"}


def field_of(**schema):
    return fields_of({"type": "object", "properties": {"items": {"type": "array", **schema}}})[0]


def tokens_of(pieces):
    """The text of some pieces and the place of each."""
    ends = np.cumsum([len(piece) for piece in pieces]).tolist()
    return "".join(pieces), list(zip([0, *ends[:-1]], ends, strict=True))


def span(first, last, query, offsets, score=-0.1):
    start, end = offsets[first][0], offsets[last][1]
    words = query[start:end]
    return Span(first, last, start + len(words) - len(words.lstrip()), end, score, True)


PIECES = st.lists(st.sampled_from([" milk", " eggs", "s", ",", " and", " 7", " ", "-"]), min_size=1, max_size=9)


@st.composite
def cases(draw):
    pieces = draw(PIECES)
    places = st.integers(0, len(pieces) - 1)
    runs = [sorted((draw(places), draw(places))) for _ in range(draw(st.integers(1, 3)))]
    owner = draw(st.lists(st.sampled_from([0.02, 0.49, 0.51, 0.97]), min_size=len(pieces), max_size=len(pieces)))
    padding = draw(st.integers(0, 3))
    return pieces, runs, np.log([*owner, *[0.99] * padding])


def plain_runs(query, offsets, runs, owner):
    """(first, last, start, end) of each further span, one token after another."""
    found, token = [], 0
    best_first, best_last = runs[0]

    def free(i):
        return i < len(offsets) and math.exp(owner[i]) > OWNED and not any(a <= i <= b for a, b in runs)

    while token < len(offsets):
        first = token
        while free(token):
            token += 1
        last = token - 1
        token += 1
        if last < first or last + 1 == best_first or first - 1 == best_last:
            continue
        text = query[offsets[first][0] : offsets[last][1]]
        start = offsets[first][0] + len(text) - len(text.lstrip())
        end = start + len(text.strip())
        if not any(c.isalnum() for c in text):
            continue
        before, after = query[start - 1 : start], query[end : end + 1]
        if (before.isalnum() and query[start].isalnum()) or (after.isalnum() and query[end - 1].isalnum()):
            continue
        found.append((first, last, start, end))
    return found


@given(cases())
def test_further_spans_are_those_of_a_plain_loop(case):
    pieces, runs, owner = case
    query, offsets = tokens_of(pieces)
    field = field_of(items=STRINGS)
    spans = [span(*run, query, offsets) for run in runs]
    found = further_spans(owner, field, spans[0], spans, query, offsets)
    assert [(one.first, one.last, one.start, one.end) for one in found] == plain_runs(query, offsets, runs, owner)
    for one in found:
        assert one.score == pytest.approx(np.mean([owner[i] for i in range(one.first, one.last + 1)]))
    whole = items_apart(owner, field, spans[0], spans, query, offsets)
    if whole is not None:
        assert set(whole.places) == {spans[0], *found} and len(found) > 0
        assert [place.first for place in whole.places] == sorted(place.first for place in whole.places)
        assert check_value(whole.value, field) is None
        parts = [query[place.start : place.end] for place in whole.places]
        assert whole.value == [item for part in parts for item in join_items([part], field)]
        assert whole.score == pytest.approx(spans[0].score + sum(one.score for one in found))


EGGS = [" Add", " eggs", " to", " the", " list", ",", " oh", ",", " and", " milk", " too"]


def read(pieces, best, owned, field, others=()):
    query, offsets = tokens_of(pieces)
    owner = np.log([0.9 if i in owned else 0.1 for i in range(len(pieces))])
    first = span(*best, query, offsets)
    return items_apart(
        owner, field, first, [first, *(span(*other, query, offsets) for other in others)], query, offsets
    )


def test_items_apart_are_one_list_in_the_order_of_the_query():
    found = read(EGGS, (1, 1), {1, 9}, field_of(items=STRINGS))
    assert found.value == ["eggs", "milk"]
    assert [EGGS[place.first].strip() for place in found.places] == ["eggs", "milk"]
    assert read(EGGS, (9, 9), {1, 9}, field_of(items=STRINGS)).value == ["eggs", "milk"]
    assert read(EGGS, (1, 1), {1, 8, 9, 10}, field_of(items=STRINGS)).value == ["eggs", "milk"]
    pieces = [" Add", " eggs", " and", " ham", " now", ",", " later", " milk", " or", " tea"]
    assert read(pieces, (1, 3), {7, 8, 9}, field_of(items=STRINGS)).value == ["eggs", "ham", "milk", "tea"]


@pytest.mark.parametrize(
    ("best", "owned", "schema", "others"),
    [
        ((1, 1), {1}, {"items": STRINGS}, ()),
        ((1, 1), {1, 2, 3}, {"items": STRINGS}, ()),
        ((1, 1), {1, 5, 7}, {"items": STRINGS}, ()),
        ((1, 1), {1, 9}, {"items": STRINGS}, ((8, 9),)),
        ((1, 1), {1, 9}, {"items": STRINGS, "maxItems": 1}, ()),
        ((1, 1), {1, 9}, {"items": {"enum": ["eggs", "ham"]}}, ()),
        ((1, 1), {1, 9}, {"items": NUMBERS}, ()),
    ],
    ids=["nothing more", "beside", "no words", "another field's", "too many", "not listed", "no numbers"],
)
def test_a_span_stands_alone_where_nothing_more_is_said(best, owned, schema, others):
    assert read(EGGS, best, owned, field_of(**schema), others) is None


def test_only_lists_have_items_apart():
    (field,) = fields_of({"type": "object", "properties": {"it": STRINGS}})
    assert read(EGGS, (1, 1), {1, 9}, field) is None


@pytest.mark.parametrize(
    ("texts", "schema", "value"),
    [
        (["a, b", "c"], {"items": STRINGS}, ["a", "b", "c"]),
        (["three", "4 and 5"], {"items": NUMBERS}, [3, 4, 5]),
        (["a", "none"], {"items": STRINGS}, None),
        (["a", "a"], {"items": STRINGS}, ["a", "a"]),
        (["a", "a"], {"items": STRINGS, "uniqueItems": True}, None),
        (["a"], {"items": STRINGS, "minItems": 2}, None),
        (["a", "everything but b"], {"items": STRINGS}, None),
    ],
)
def test_joined_items(texts, schema, value):
    assert join_items(texts, field_of(**schema)) == value


LATER = "eggs to the list , oh and milk"


class Told(ReaderHead):
    """Says of `LATER` that the first field's best span is "milk", and that it owns "eggs" too."""

    def encode(self, query):
        encoding = super().encode(query)
        _, offsets = BASE.encode_with_offsets(LATER)
        (a, b), milk = (tokens_at(offsets, LATER, LATER.index(w), LATER.index(w) + len(w)) for w in ("eggs", "milk"))
        start, end = jnp.full_like(encoding.span_start, -9.0), jnp.full_like(encoding.span_end, -9.0)
        return encoding.replace(
            span_start=start.at[:, 0, milk[0]].set(-0.1),
            span_end=end.at[:, 0, milk[0], milk[1]].set(-0.2),
            owner=jnp.full_like(encoding.owner, math.log(0.1)).at[:, 1, a : b + 1].set(math.log(0.8)),
            copied=jnp.full_like(encoding.copied, 5.0),
        )


@pytest.mark.parametrize(
    ("schema", "value", "words"),
    [
        ({}, ["eggs", "milk"], ["eggs", "milk"]),
        ({"minItems": 2}, ["eggs", "milk"], ["eggs", "milk"]),
        ({"maxItems": 1}, ["milk"], []),
    ],
)
def test_the_answer_says_where_each_item_stands(schema, value, words):
    head = reader_head(BASE)
    properties = {"items": {"type": "array", "items": STRINGS, **schema}}
    parameters = {"type": "object", "properties": properties, "required": ["items"]}
    tools = parse_tools([{"name": "add", "parameters": parameters}])
    with few_buckets():
        result = Agent(BASE, Told(BASE, head.config, head.params), tools, Options("diffusion"))(LATER)
    call = result.calls[0]
    found = call.fields["/items"]
    assert call.arguments == {"items": value} and found.by == "copy"
    assert [LATER[slice(*place)] for place in found.sources] == words
    assert (found.source is None) == bool(words)
    said = result.to_dict()["calls"][0]["fields"]["/items"]
    assert said.get("sources", []) == [list(place) for place in found.sources]
    assert found.confidence == pytest.approx(math.exp(-0.3) * (0.8 if words else 1.0), rel=1e-5)
    console = Console(record=True, width=200)
    show_call(console, call, LATER)
    assert " … ".join(words or ["milk"]) in console.export_text()
