"""Lexical scores, against BM25 written out in plain Python."""

import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxdiff.agent.lexical import PARTS, LexicalIndex, words
from jaxdiff.schema.tools import parse_tools

# The usual constants, and the inverse document frequency that Lucene takes.
K1, B = 1.5, 0.75


def tool(name, description="", **properties):
    return {"name": name, "description": description, "parameters": {"type": "object", "properties": properties}}


TOOLS = parse_tools(
    [
        tool("book_table", "Book a table, a table in a restaurant.", guests={"type": "integer"}),
        tool("bookFlight", "Flights between two cities.", city={"type": "string", "description": "where to book"}),
        tool("play_music", "", genre={"type": "string", "enum": ["jazz", "rock 2"]}),
        tool("stop", "Stops."),
    ]
)
# What the words of each part are, said by hand.
DOCUMENTS = [
    (["book", "table"], "book a table a table in a restaurant".split(), ["guest"]),
    (["book", "flight"], "flight between two citie".split(), "city where to book".split()),
    (["play", "music"], [], "genre jazz rock 2".split()),
    (["stop"], ["stop"], []),
]
QUERIES = ["Book a table for 2", "flights, flights and jazz", "where to stop", "rock", "the restaurant's guests", "zzz"]


def bm25(documents, query):
    average = sum(map(len, documents)) / len(documents)
    scores = []
    for document in documents:
        score = 0.0
        for word in query:
            frequency = document.count(word)
            having = sum(word in other for other in documents)
            rarity = math.log(1 + (len(documents) - having + 0.5) / (having + 0.5))
            score += rarity * frequency / (frequency + K1 * (1 - B + B * len(document) / average))
        scores.append(score)
    return scores


def plain_scores(query):
    parts = [[list(document[part]) for document in DOCUMENTS] for part in range(3)]
    parts.append([[word for part in document for word in part] for document in DOCUMENTS])
    return np.array([bm25(part, words(query)) for part in parts]).T


@pytest.mark.parametrize("query", QUERIES)
def test_scores_equal_the_formula(query):
    found = LexicalIndex(TOOLS).scores(query)
    assert found.shape == (len(TOOLS), PARTS)
    np.testing.assert_allclose(found, plain_scores(query), rtol=1e-5, atol=1e-6)


def test_a_query_without_a_known_word_scores_nothing():
    for query in ("zzz qqq", "", "…", "日本"):
        np.testing.assert_array_equal(LexicalIndex(TOOLS).scores(query), 0)


def test_tools_without_words_score_nothing():
    bare = parse_tools([{"name": "_"}, {"name": "-", "description": "…"}, {"name": "go"}])
    found = LexicalIndex(bare).scores("go on")
    assert found[2, 0] > 0 and found[2, 3] > 0
    found[2] = 0
    np.testing.assert_array_equal(found, 0)
    np.testing.assert_array_equal(LexicalIndex(bare[:2]).scores("go on"), 0)


@given(st.permutations(range(len(TOOLS))), st.sampled_from(QUERIES))
def test_the_order_of_the_tools_does_not_matter(order, query):
    found = LexicalIndex([TOOLS[i] for i in order]).scores(query)
    np.testing.assert_allclose(found, LexicalIndex(TOOLS).scores(query)[list(order)], rtol=1e-5)


@given(st.lists(st.sampled_from("book table jazz rock where guests zzz".split()), max_size=6))
def test_the_order_of_the_words_does_not_matter_and_their_number_does(asked):
    index = LexicalIndex(TOOLS)
    shuffled = random.Random(0).sample(asked, len(asked))
    np.testing.assert_allclose(index.scores(" ".join(asked)), index.scores(" ".join(shuffled)), rtol=1e-5)
    np.testing.assert_allclose(index.scores(" ".join(asked * 2)), 2 * index.scores(" ".join(asked)), rtol=1e-5)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("bookTable", "book table"),
        ("book_tables.v2", "book table v 2"),
        ("getHTTPCode", "get http code"),
        ("Booking boxes, busses, dishes and classes", "book box buss dish and class"),
        ("used red king address", "used red king address"),
        ("prices 1,200 on 3rd", "price 1 200 on 3 rd"),
        ("", ""),
    ],
)
def test_words(text, found):
    assert words(text) == found.split()


def test_forms_of_a_word_meet():
    for forms in ("table tables", "box boxes", "book booked booking books", "search searches"):
        assert len(set(words(forms))) == 1
