"""Which tool is chosen: words first, then states."""

import math
import re
from functools import partial

import jax
import numpy as np
import pytest

from jaxdiff.agent import selection
from jaxdiff.agent.lexical import words
from jaxdiff.agent.selection import choose_tool, lexical_scores, mean_state, state_layers, tool_text
from jaxdiff.base import masks
from jaxdiff.schema.tools import parse_tools
from tests.agent.frozen_fills import tiny_base


def tool(name, description="", **properties):
    parameters = {"type": "object", "properties": properties}
    return {"name": name, "description": description, "parameters": parameters}


TOOLS = parse_tools(
    [
        tool("book_table", "Book a table in a restaurant.", guests={"type": "integer"}),
        tool("bookFlight", "Flights between two cities.", city={"type": "string", "description": "where to"}),
        tool("play_music", "Plays a song.", genre={"type": "string", "enum": ["jazz", "rock"]}),
    ]
)


@pytest.fixture(scope="module")
def base():
    return tiny_base(0)


def plain_words(text):
    parts = re.sub(r"([a-z])([A-Z])", r"\1 \2", text).replace("_", " ").lower()
    found = re.findall(r"[a-z]+|\d+", parts)
    stems = []
    for word in found:
        ending = ""
        if word.endswith(("ing", "ed")):
            ending = "ing" if word.endswith("ing") else "ed"
        elif word.endswith(("sses", "xes", "ches", "shes")):
            ending = "es"
        elif word.endswith("s") and not word.endswith("ss"):
            ending = "s"
        stems.append(word.removesuffix(ending) if len(word) - len(ending) >= 3 else word)
    return stems


@pytest.mark.parametrize("text", ["bookTable", "book_tables", "Booking 2 tables", "the busses used in HTTP", "A/B"])
def test_words_of_text_and_identifiers(text):
    assert words(text) == plain_words(text)


@pytest.mark.parametrize(
    "forms",
    ["table tables", "box boxes", "book books booked booking", "address addresses", "price prices", "search searches"],
)
def test_forms_of_a_word_meet(forms):
    assert len(set(words(forms))) == 1


def test_words_of_abbreviations():
    assert words("getHTTPCode") == ["get", "http", "code"]


@pytest.mark.parametrize("query", ["book a table", "booking flights to two cities", "some jazz songs", "nothing", ""])
def test_scores_equal_the_plain_formula(query):
    documents = [set(plain_words(tool_text(one))) for one in TOOLS]
    want = []
    for document in documents:
        total = 0.0
        for word in set(plain_words(query)):
            if word in document:
                total += math.log(1 + 3 / sum(word in other for other in documents))
        want.append(total / math.sqrt(1 + len(document)))
    np.testing.assert_allclose(lexical_scores(TOOLS, query), want, rtol=1e-9)


@pytest.mark.parametrize(
    ("query", "name"),
    [("Book a table for two guests", "book_table"), ("flights please", "bookFlight"), ("some jazz", "play_music")],
)
def test_the_nearest_by_words_whatever_the_order(base, query, name):
    for order in ((0, 1, 2), (2, 1, 0), (1, 2, 0)):
        assert choose_tool(base, [TOOLS[i] for i in order], query).name == name


def test_listed_values_and_descriptions_count():
    assert "jazz" in tool_text(TOOLS[2]) and "where to" in tool_text(TOOLS[1]) and "guests" in tool_text(TOOLS[0])


@partial(jax.jit, static_argnums=0)
def all_states(module, params, ids, valid):
    layers = tuple(range(1, module.config.num_layers + 1))
    return module.apply({"params": params}, ids, masks.positions(valid), masks.causal(valid), taps=layers).taps


def plain_state(base, text):
    ids = base.encode(text)
    block = np.array([ids + [0] * (256 - len(ids))])
    taps = all_states(base.module, base.params, block, np.arange(256)[None] < len(ids))
    mean = np.asarray(taps[0, : len(ids)], np.float64).mean(0)[[i - 1 for i in state_layers(base.config)]]
    mean /= np.linalg.norm(mean, axis=1, keepdims=True)
    return mean.ravel() / np.linalg.norm(mean)


def test_ties_are_broken_by_the_states(base):
    query = "zzz qqq"
    assert len(set(lexical_scores(TOOLS, query))) == 1
    cosine = [plain_state(base, query) @ plain_state(base, tool_text(one)) for one in TOOLS]
    np.testing.assert_allclose(
        [mean_state(base, query) @ mean_state(base, tool_text(one)) for one in TOOLS], cosine, atol=1e-4
    )
    want = TOOLS[int(np.argmax(cosine))]
    for order in ((0, 1, 2), (2, 1, 0), (1, 2, 0)):
        assert choose_tool(base, [TOOLS[i] for i in order], query) is want
    # Always the same answer.
    assert {choose_tool(base, TOOLS, query).name for _ in range(3)} == {want.name}


def test_states_only_decide_among_those_that_tie(base, monkeypatch):
    asked = []
    monkeypatch.setattr(selection, "mean_state", lambda base, text: asked.append(text) or mean_state(base, text))
    twins = parse_tools([tool("play_song", "jazz"), tool("book_table"), tool("song_play", "jazz")])
    assert choose_tool(base, twins, "jazz").name in ("play_song", "song_play")
    assert tool_text(twins[1]) not in asked and len(asked) == 3


def test_a_single_tool_costs_nothing(base, monkeypatch):
    monkeypatch.setattr(selection, "mean_state", None)
    assert choose_tool(base, TOOLS[:1], "flights") is TOOLS[0]


def test_a_long_query_and_a_tool_without_text_can_be_compared(base):
    bare = parse_tools([tool("_"), tool("-")])
    assert choose_tool(base, bare, "word " * 3000) in bare


def test_state_layers_lie_within_the_base(base):
    layers = state_layers(base.config)
    assert list(layers) == sorted(layers) and layers[0] >= 1 and layers[-1] <= base.config.num_layers
