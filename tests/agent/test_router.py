"""The router at work on a tiny base: how a query is divided, and which tools are compared."""

import dataclasses

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from jaxdiff.agent import apart, prefix
from jaxdiff.agent import router as router_module
from jaxdiff.agent.apart import read_tools
from jaxdiff.agent.lexical import LexicalIndex
from jaxdiff.agent.prompting import query_prompt
from jaxdiff.agent.router import MOST_REQUESTS, Request, Router
from jaxdiff.routing import head as routing
from jaxdiff.routing.features import PairStates
from jaxdiff.schema.tools import parse_tools
from tests.agent.frozen_fills import PROPERTIES, tiny_base
from tests.routing.tiny_router import calibration, random_router

BASE = tiny_base(0)
ROUTERS = [random_router(BASE, seed) for seed in range(3)]
TOOLS = parse_tools(
    [
        {"name": "paint", "description": "Paints.", "parameters": {"type": "object", "properties": PROPERTIES}},
        {"name": "stop"},
        {"name": "play_song", "description": "Plays a red song."},
    ]
)
QUERY = "Paint 12 doors red. Then play a song, and stop"
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30) | st.text("ab1 .,;:?\n\t🍷é日", max_size=40)


@pytest.fixture(scope="module", autouse=True)
def buckets():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prefix, "PROMPT_TOKENS", (640,))
        patch.setattr(apart, "TOKENS", (192,))
        patch.setattr(apart, "ROWS", (1, 8))
        patch.setattr(router_module, "_LISTED", (8,))
        patch.setattr(router_module, "MOST_READ", 8)
        yield


def with_threshold(router: Router, threshold: float) -> Router:
    return Router(BASE, router.config, router.params, calibration(boundary=threshold))


def parts_of(router: Router, query: str, **most):
    return router.parts(query, router.read([query]), **most)


@settings(max_examples=30)
@given(TEXTS, st.sampled_from(ROUTERS), st.floats(0, 1), st.integers(1, MOST_REQUESTS))
@example("Für 日本 🍷👍🏽, e\u0301 und 7", ROUTERS[0], 0.0, 8)
@example("a", ROUTERS[0], 0.0, 1)
@example(" . ,;", ROUTERS[0], 0.0, 8)
def test_parts_are_in_order_and_hold_every_letter(query, router, threshold, most):
    router = with_threshold(router, threshold)
    parts = parts_of(router, query, most=most)
    assert 1 <= len(parts) <= most
    held = set()
    end = 0
    for start, stop in parts:
        assert end <= start <= stop <= len(query)
        assert start < stop or not query.strip(" \t\n,;.:")
        held |= set(range(start, stop))
        end = stop
    assert all(i in held for i, letter in enumerate(query) if letter.isalnum())


@pytest.mark.parametrize("router", ROUTERS)
def test_parts_begin_at_the_tokens_that_are_likely_to_begin_a_request(router):
    states = router.read([QUERY])
    offsets = query_prompt(BASE, QUERY).offsets
    logits = np.asarray(routing.boundary_logits(router.params, router.config, states), np.float64)[0, : len(offsets)]
    probability = 1 / (1 + np.exp(-logits / 2))
    for count in (0, 1, 3):
        # Just below the last of the most likely tokens behind the first.
        likely = sorted(range(1, len(offsets)), key=lambda i: -probability[i])[: count + 1]
        threshold = (probability[likely[-1]] + probability[likely[-2]]) / 2 if count else 1.0
        starts = sorted({0, *(offsets[i][0] for i in likely[:count])})
        want = [QUERY[a:b].strip(" .,") for a, b in zip(starts, [*starts[1:], None], strict=True)]
        found = with_threshold(router, threshold).parts(QUERY, states)
        assert [QUERY[a:b].strip(" .,") for a, b in found] == [text for text in want if text]


def test_the_first_token_takes_no_request_from_the_others(monkeypatch):
    """It begins one anyway, however sure the router is of that."""
    falling = np.arange(0, -192, -1, dtype=np.float32)[None]
    monkeypatch.setattr(router_module, "_boundary_logits", lambda config, params, states: falling)
    assert len(parts_of(with_threshold(ROUTERS[0], 0.0), "ab ab ab ab", most=2)) == 2


@pytest.mark.parametrize("query", [".5 litres of it", ":q", " a b; ", ".env is missing.", "the separator ,"])
def test_one_request_is_the_query_as_it_is_written(query):
    assert parts_of(with_threshold(ROUTERS[0], 1.0), query) == [(0, len(query))]


@pytest.mark.parametrize(
    ("text", "kept"),
    [("; then 3, ", "then 3"), (". Also a.", "Also a."), (".5 of it,", ".5 of it"), (", .env", ".env"), (" .", "")],
)
def test_what_parts_requests_is_no_part_of_them(text, kept):
    whole = "b" + text
    start, end = router_module._trimmed(whole, 1, len(whole))
    assert whole[start:end] == kept


def test_requests_are_routed_as_if_each_stood_alone():
    for router in ROUTERS:
        router = with_threshold(router, 0.6)
        parts = parts_of(router, QUERY)
        requests = router.requests(TOOLS, QUERY)
        assert [(one.start, one.end) for one in requests] == parts
        for one in requests:
            states = router.read([QUERY[one.start : one.end]])
            np.testing.assert_allclose(one.opening, states.opening[0], atol=1e-4)
            assert one.tool is router.ranking(TOOLS, QUERY[one.start : one.end], states)[0][0]
    assert len(with_threshold(ROUTERS[0], 0.0).requests(TOOLS, QUERY)) <= MOST_REQUESTS
    assert len(with_threshold(ROUTERS[0], 0.0).requests(TOOLS, QUERY, most=1)) == 1


@pytest.fixture
def reads(monkeypatch):
    """Names of the tools that are read."""
    seen = []
    monkeypatch.setattr(
        router_module, "read_tools", lambda base, tools: seen.extend(t.name for t in tools) or read_tools(base, tools)
    )
    return seen


def test_ranking_scores_each_tool_once_whatever_the_order(reads):
    router = random_router(BASE, 1)
    states = router.read([QUERY])
    first = router.ranking(TOOLS, QUERY, states)
    scores = {tool.name: score for tool, score in first}
    assert set(scores) == {"paint", "stop", "play_song"} and len(first) == 3
    assert [score for _, score in first] == sorted(scores.values(), reverse=True)
    for order in ((2, 0, 1), (1, 2, 0)):
        again = router.ranking([TOOLS[i] for i in order], QUERY, states)
        assert {tool.name: score for tool, score in again} == pytest.approx(scores, abs=1e-4)
    # Kept tools are not read again, whatever stands beside them.
    assert sorted(reads) == ["paint", "play_song", "stop"]
    (new,) = parse_tools([{"name": "new"}])
    assert {tool.name for tool, _ in router.ranking([*TOOLS, new], QUERY, states)} == {*scores, "new"}
    assert reads[3:] == ["new"]
    # A tool of the same name that says something else is another one.
    (other,) = parse_tools([{"name": "stop", "description": "Stops all."}])
    router.ranking([other], QUERY, states)
    assert reads[4:] == ["stop"]


def test_scores_are_those_of_the_network_on_what_is_read():
    router = ROUTERS[2]
    states = router.read([QUERY])
    lexical = LexicalIndex(TOOLS).scores(QUERY)
    for number, (tool, tool_states) in enumerate(zip(TOOLS, read_tools(BASE, TOOLS), strict=True)):
        want = routing.name_scores(
            router.params,
            router.config,
            routing.query_vectors(router.params, router.config, states),
            routing.tool_vectors(router.params, router.config, tool_states),
            lexical[None, number : number + 1],
        )
        found = {tool.name: score for tool, score in router.ranking(TOOLS, QUERY, states)}
        assert found[tool.name] == pytest.approx(float(want[0, 0]), abs=1e-4)


def test_of_a_long_list_those_with_the_nearest_words_are_compared(reads):
    many = parse_tools([{"name": f"tool_{chr(97 + i)}", "description": "of no use"} for i in range(9)])
    tools = [*many[:5], *TOOLS, *many[5:]]
    router = random_router(BASE, 0)
    ranking = router.ranking(tools, QUERY, router.read([QUERY]))
    assert len(ranking) == 8 == len({tool.name for tool, _ in ranking}) == len(reads)
    assert {"paint", "stop", "play_song"} <= {tool.name for tool, _ in ranking}


def test_the_tool_used_longest_ago_is_forgotten(reads, monkeypatch):
    monkeypatch.setattr(router_module, "_KEPT_TOOLS", 2)
    router = random_router(BASE, 0)
    states = router.read([QUERY])
    for tools, read in ((TOOLS[:2], ["paint", "stop"]), (TOOLS[:1], []), (TOOLS[2:], ["play_song"]),
                        (TOOLS[:1], []), (TOOLS[1:2], ["stop"])):  # fmt: skip
        reads.clear()
        router.ranking(tools, QUERY, states)
        assert reads == read
    assert len(router.ranking(TOOLS, QUERY, states)) == 3


@pytest.mark.parametrize("mechanism", [None, "fit", "decision"])
def test_probabilities_are_the_calibrated_logits(mechanism):
    rng = np.random.default_rng(0)
    router = ROUTERS[0]
    widths = (router.config.end_states, router.config.hidden_state, router.config.end_states)
    pairs = PairStates(*(rng.normal(0, 1, (3, width)).astype(np.float32) for width in widths))
    logits = np.asarray(routing.tool_logits(router.params, router.config, pairs)[mechanism or "fit"], np.float64)
    np.testing.assert_allclose(router.tool_probabilities(pairs, mechanism), 1 / (1 + np.exp(-logits / 2)), atol=1e-5)
    think = np.asarray(routing.think_logits(router.params, router.config, pairs.query[:1]), np.float64)
    assert router.think_probability(pairs.query[0]) == pytest.approx(1 / (1 + np.exp(-think[0] / 2)), abs=1e-5)


def weighing(weight: float) -> Router:
    router = ROUTERS[0]
    return Router(BASE, router.config, router.params, dataclasses.replace(calibration(), reading_weight=weight))


def test_what_is_close_stands_within_the_margin_behind_the_first():
    ranking = list(zip(TOOLS, (2.0, 1.5, 2.0 - router_module.CLOSE - 0.1), strict=True))
    assert weighing(1.0).close(ranking) == ((TOOLS[1], -0.5),)
    assert weighing(0.0).close(ranking) == ()
    assert weighing(1.0).close(ranking[:1]) == ()
    many = [(TOOLS[0], -0.1 * i) for i in range(20)]
    assert len(weighing(1.0).close(many)) == router_module.MOST_CLOSE - 1


@pytest.mark.parametrize("weight", [0.5, 2.0])
def test_the_choice_is_that_of_comparison_and_reading_together(weight):
    rng = np.random.default_rng(0)
    router = weighing(weight)
    width, hidden = router.config.end_states, router.config.hidden_state
    requests = [
        Request(0, 1, TOOLS[0], np.zeros(width), close)
        for close in ((), ((TOOLS[1], -0.3), (TOOLS[2], -2.0)), ((TOOLS[2], -0.01),))
    ]
    states = PairStates(
        opening=rng.normal(size=(6, width)).astype(np.float32),
        hidden=rng.normal(size=(6, hidden)).astype(np.float32),
        query=rng.normal(size=(6, width)).astype(np.float32),
    )
    fit = np.asarray(routing.tool_logits(router.params, router.config, states)["fit"])
    want, first = [], 0
    for request in requests:
        sums = [weight * fit[first]]
        for place, (_, difference) in enumerate(request.close, 1):
            sums.append(difference + weight * fit[first + place])
        want.append(first + sums.index(max(sums)))
        first += len(sums)
    assert router.choose(requests, states) == want
    assert len({place - start for place, start in zip(want, (0, 1, 4), strict=True)}) > 1 or weight < 1
