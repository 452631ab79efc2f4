"""What the router reads, against one plain pass over each text alone."""

from functools import partial

import jax
import numpy as np
import pytest

from jaxdiff.agent import apart, prefix
from jaxdiff.agent.apart import TOOL_TOKENS, end_layers, normalised, read_queries, read_tools, token_layers
from jaxdiff.agent.prefix import read
from jaxdiff.agent.prompting import query_prompt
from jaxdiff.agent.routing_prompt import routing_ids, tool_text
from jaxdiff.base import masks
from jaxdiff.errors import InputError
from jaxdiff.schema.tools import parse_tools
from tests.agent.frozen_fills import PROPERTIES, tiny_base

BASE = tiny_base(0)
QUERIES = ["Paint 12 doors red", "é", "red wine, blue; and then 1 2 3"]
TOOLS = parse_tools(
    [
        {"name": "paint", "description": "Paints.", "parameters": {"type": "object", "properties": PROPERTIES}},
        {"name": "stop"},
        {"name": "long", "description": "Says 12 of it, 3 and more. " * 40},
    ]
)


@pytest.fixture(scope="module", autouse=True)
def buckets():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prefix, "PROMPT_TOKENS", (640,))
        patch.setattr(apart, "TOKENS", (64, 192))
        # Tools are read two at a time, so the last of three alone.
        patch.setattr(apart, "ROWS", (1, 4))
        yield


@pytest.fixture(scope="module")
def examples():
    return read(BASE, routing_ids(BASE), None)


@partial(jax.jit, static_argnums=0)
def all_states(module, params, ids, valid):
    layers = tuple(range(1, module.config.num_layers + 1))
    return module.apply({"params": params}, ids, masks.positions(valid), masks.causal(valid), taps=layers).taps


def plain_states(ids):
    """[T, L, D] states of a text after every layer, read whole."""
    block = np.zeros((1, 768), np.int32)
    block[0, : len(ids)] = ids
    states = all_states(BASE.module, BASE.params, block, np.arange(768)[None] < len(ids))
    return np.asarray(states[0, : len(ids)], np.float64)


def plain_normalised(states, layers):
    chosen = states[..., [layer - 1 for layer in layers], :]
    chosen = chosen / np.sqrt((chosen**2).mean(-1, keepdims=True) + 1e-6)
    return chosen.reshape(*chosen.shape[:-2], -1)


def plain_mean(tokens):
    """The mean of normalised states, normalised again layer by layer."""
    mean = tokens.mean(0).reshape(len(token_layers(BASE.config)), -1)
    return (mean / np.sqrt((mean**2).mean(-1, keepdims=True) + 1e-6)).ravel()


def check(states, row, tokens, first=0):
    count = len(tokens)
    assert states.mask[row, first : first + count].all() and states.mask[row].sum() == count
    np.testing.assert_allclose(states.tokens[row, first : first + count], tokens, atol=1e-3)
    assert (states.tokens[row][~states.mask[row]] == 0).all()
    np.testing.assert_allclose(states.mean[row], plain_mean(tokens), atol=1e-3)


def test_queries_are_read_as_a_plain_pass_reads_them(examples):
    states = read_queries(BASE, examples, [query_prompt(BASE, query) for query in QUERIES])
    for row, query in enumerate(QUERIES):
        prompt = query_prompt(BASE, query)
        before, text = routing_ids(BASE), prompt.ids + prompt.ending
        whole = plain_states(before + text + BASE.encode("function"))
        start, end = len(before), len(before) + len(text)
        check(states, row, plain_normalised(whole[start : start + len(prompt.ids)], token_layers(BASE.config)))
        ends = plain_normalised(whole, end_layers(BASE.config))
        np.testing.assert_allclose(states.opening[row], ends[end - 1], atol=1e-3)
        np.testing.assert_allclose(states.naming[row], ends[-1], atol=1e-3)


def test_tools_are_read_as_a_plain_pass_reads_them():
    found = read_tools(BASE, TOOLS)
    assert len(found) == len(TOOLS)
    assert len(BASE.encode(tool_text(TOOLS[2]))) > TOOL_TOKENS
    for tool, states in zip(TOOLS, found, strict=True):
        # A longer text is cut, and the first token is not compared.
        whole = plain_states(BASE.encode(tool_text(tool))[:TOOL_TOKENS])
        check(states, 0, plain_normalised(whole[1:], token_layers(BASE.config)), first=1)
        np.testing.assert_allclose(states.naming[0], plain_normalised(whole, end_layers(BASE.config))[-1], atol=1e-3)
        assert (states.opening == 0).all()


def same(one, other):
    tokens = min(one.mask.shape[1], other.mask.shape[1])
    assert not one.mask[:, tokens:].any() and not other.mask[:, tokens:].any()
    np.testing.assert_array_equal(one.mask[:, :tokens], other.mask[:, :tokens])
    np.testing.assert_allclose(one.tokens[:, :tokens], other.tokens[:, :tokens], atol=1e-4)
    for part in ("mean", "naming", "opening"):
        np.testing.assert_allclose(getattr(one, part), getattr(other, part), atol=1e-4)


def test_a_query_alone_is_as_among_others(examples):
    prompts = [query_prompt(BASE, query) for query in QUERIES]
    together = read_queries(BASE, examples, prompts)
    for row, prompt in enumerate(prompts):
        same(read_queries(BASE, examples, [prompt]), jax.tree.map(lambda x, row=row: x[row : row + 1], together))


def test_a_tool_alone_is_as_among_others():
    for tool, states in zip(TOOLS, read_tools(BASE, TOOLS), strict=True):
        same(read_tools(BASE, [tool])[0], states)


def test_what_is_beyond_the_cut_changes_nothing():
    (more,) = parse_tools([{"name": "long", "description": TOOLS[2].description + "And quite another thing."}])
    jax.tree.map(np.testing.assert_array_equal, read_tools(BASE, [more])[0], read_tools(BASE, TOOLS[2:])[0])


def test_no_tools_are_nothing_to_read():
    assert read_tools(BASE, []) == []


def test_a_query_that_is_too_long_is_said(examples):
    with pytest.raises(InputError, match="tokens of the query"):
        read_queries(BASE, examples, [query_prompt(BASE, "7 " * 200)])
    with pytest.raises(InputError, match="reads at most 2048"):
        read_queries(BASE, examples, [query_prompt(BASE, "q7 " * 2000)])


def test_states_are_normalised_layer_by_layer():
    raw = np.random.default_rng(0).normal(0, 30, (2, 5, 3, 4)).astype(np.float32)
    want = raw / np.sqrt((raw.astype(np.float64) ** 2).mean(-1, keepdims=True))
    found = np.asarray(normalised(raw))
    assert found.shape == (2, 5, 12)
    np.testing.assert_allclose(found.reshape(raw.shape), want, rtol=1e-4)
    assert np.isfinite(normalised(np.zeros((1, 3, 4), np.float32))).all()


def test_layers_lie_within_the_base():
    for layers in (token_layers(BASE.config), end_layers(BASE.config)):
        assert list(layers) == sorted(layers) and layers[0] >= 1 and layers[-1] <= BASE.config.num_layers
    assert end_layers(BASE.config)[-1] == BASE.config.num_layers
