"""Names scored side by side after the list, against reading each name alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxdiff.agent import listing
from jaxdiff.agent.listing import list_ranking
from jaxdiff.errors import InputError
from jaxdiff.schema.tools import parse_tools
from tests.agent.frozen_fills import tiny_base

BASE = tiny_base(0)
QUERY = "Paint 2 red doors"
# Names of which one begins with another, of one token and of many.
TOOLS = parse_tools(
    [
        {"name": "paint", "description": "Paints."},
        {"name": "paint_red", "description": "Paints it red."},
        {"name": "p", "description": "x" * 400},
        {"name": "wine.of_the-day"},
    ]
)


@pytest.fixture(scope="module", autouse=True)
def buckets():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(listing, "TOKENS", (64, 512))
        yield


def prompt(tools, query):
    """The text of special tokens' names and words, encoded piece by piece as a chat prompt is."""
    listed = "\n".join(f"- {tool.name}: {tool.description[:160]}" for tool in tools)
    start, end = BASE.tokenizer.token_to_id("<|im_start|>"), BASE.tokenizer.token_to_id("<|im_end|>")
    newline = BASE.encode("\n")
    system = BASE.encode(f"system\nName the function that serves the request.\n{listed}")
    asked = BASE.encode(f"user\n{query}")
    return [start, *system, end, *newline, start, *asked, end, *newline, start, *BASE.encode("assistant\nfunction")]


def plain_scores(tools, query):
    """Each name read alone after the prompt; the sum of its tokens' log-probabilities."""
    text, scores = prompt(tools, query), {}
    for tool in tools:
        name = BASE.encode(f" {tool.name}:")
        ids = np.zeros((1, 512), np.int32)
        ids[0, : len(text) + len(name)] = text + name
        logits = np.asarray(BASE.logits(ids, np.arange(512)[None] < len(text) + len(name)), np.float64)[0]
        total = 0.0
        for place, token in enumerate(name, len(text) - 1):
            shifted = logits[place] - logits[place].max()
            total += shifted[token] - np.log(np.exp(shifted).sum())
        scores[tool.name] = total
    return scores


def test_scores_equal_a_plain_loop():
    for tools in (TOOLS, TOOLS[2:]):
        found = list_ranking(BASE, tools, QUERY)
        want = plain_scores(tools, QUERY)
        assert [tool.name for tool, _ in found] == sorted(want, key=lambda name: -want[name])
        for tool, score in found:
            assert score == pytest.approx(want[tool.name], abs=1e-3)


def test_the_more_probable_of_two_names_of_which_one_begins_with_the_other():
    scores = {tool.name: score for tool, score in list_ranking(BASE, TOOLS[:2], QUERY)}
    # Names are ended, so the longer one is not the shorter one and more.
    assert scores == pytest.approx(plain_scores(TOOLS[:2], QUERY), abs=1e-3)
    assert max(scores.values()) < 0


@settings(max_examples=5)
@given(st.permutations(TOOLS))
def test_every_tool_is_ranked_once_whatever_the_order(tools):
    ranking = list_ranking(BASE, tools, QUERY)
    assert sorted(tool.name for tool, _ in ranking) == sorted(tool.name for tool in TOOLS)
    scores = [score for _, score in ranking]
    assert scores == sorted(scores, reverse=True)


def test_a_list_that_is_too_long_is_said():
    many = parse_tools([{"name": f"tool_{i}", "description": "y" * 100} for i in range(40)])
    with pytest.raises(InputError, match="tokens"):
        list_ranking(BASE, many, QUERY)
