"""Scores of tools, against plain loops; padding counts for nothing."""

import math
from functools import partial

import jax
import numpy as np
import pytest

from jaxdiff.routing import head
from jaxdiff.routing.names import NameScorer
from tests.routing.random_router import CONFIG, random_params, random_texts

PARAMS = random_params()
QUERIES, TOOLS = random_texts(3, 5), random_texts(4, 6, seed=2)
LEXICAL = np.random.default_rng(3).normal(0, 1, (3, 4, CONFIG.lexical)).astype(np.float32)


query_vectors, tool_vectors, name_scores = (
    jax.jit(partial(function, PARAMS, CONFIG)) for function in (head.query_vectors, head.tool_vectors, head.name_scores)
)


def scores(queries, tools, lexical=LEXICAL):
    return np.asarray(name_scores(query_vectors(queries), tool_vectors(tools), lexical))


def unit(vector):
    return vector / math.sqrt(sum(float(x) ** 2 for x in vector))


def plain_score(query: int, tool: int) -> float:
    """One query and one tool, token by token."""
    names = jax.tree.map(lambda x: np.asarray(x, np.float64), PARAMS["names"])

    def vector(part, state):
        return unit(state.astype(np.float64) @ names[part]["kernel"])

    cosines = [
        vector("query_mean", QUERIES.mean[query]) @ vector("tool_mean", TOOLS.mean[tool]),
        vector("query_naming", QUERIES.naming[query]) @ vector("tool_naming", TOOLS.naming[tool]),
        vector("query_opening", QUERIES.opening[query]) @ vector("tool_opening", TOOLS.naming[tool]),
    ]
    met, total = 0.0, 0.0
    for a in range(QUERIES.mask.shape[1]):
        if not QUERIES.mask[query, a]:
            continue
        state = QUERIES.tokens[query, a].astype(np.float64)
        raw = float((state @ names["token_weight"]["kernel"])[0] + names["token_weight"]["bias"][0])
        weight = math.log1p(math.exp(raw))
        near = [
            vector("query_tokens", state) @ vector("tool_tokens", TOOLS.tokens[tool, b])
            for b in range(TOOLS.mask.shape[1])
            if TOOLS.mask[tool, b]
        ]
        met, total = met + weight * max(near), total + weight
    lexical = sum(w * x for w, x in zip(names["lexical_weights"], LEXICAL[query, tool], strict=True))
    return sum(w * x for w, x in zip(names["weights"], [*cosines, met / total], strict=True)) + lexical


def test_scores_equal_a_plain_loop():
    want = [[plain_score(query, tool) for tool in range(4)] for query in range(3)]
    np.testing.assert_allclose(scores(QUERIES, TOOLS), want, atol=1e-4)


def test_scores_from_states_are_those_of_kept_vectors():
    both = jax.jit(NameScorer(CONFIG).apply)({"params": PARAMS["names"]}, QUERIES, TOOLS, LEXICAL)
    np.testing.assert_allclose(both, scores(QUERIES, TOOLS), atol=1e-6)


def padded(texts, tokens):
    return texts.replace(
        tokens=np.pad(texts.tokens, [(0, 0), (0, tokens), (0, 0)]), mask=np.pad(texts.mask, [(0, 0), (0, tokens)])
    )


def test_padding_of_tokens_changes_no_score():
    want = scores(QUERIES, TOOLS)
    np.testing.assert_allclose(scores(padded(QUERIES, 4), padded(TOOLS, 7)), want, atol=1e-5)


def test_tools_that_stand_beside_change_no_score():
    want = scores(QUERIES, TOOLS)
    known = tool_vectors(TOOLS)
    # As the router pads: rows of zeros.
    more = jax.tree.map(lambda x: np.concatenate([x, np.zeros_like(x)]), known)
    lexical = np.pad(LEXICAL, [(0, 0), (0, 4), (0, 0)])
    found = name_scores(query_vectors(QUERIES), more, lexical)
    np.testing.assert_allclose(found[:, :4], want, atol=1e-5)
    for tool in range(4):
        alone = jax.tree.map(lambda x, tool=tool: x[tool : tool + 1], TOOLS)
        np.testing.assert_allclose(scores(QUERIES, alone, LEXICAL[:, tool : tool + 1])[:, 0], want[:, tool], atol=1e-5)


def test_vectors_are_unit_vectors_and_weights_are_shares():
    asked = query_vectors(QUERIES)
    for part in (asked.mean, asked.naming, asked.opening):
        np.testing.assert_allclose(np.linalg.norm(part, axis=-1), 1, atol=1e-4)
    np.testing.assert_allclose(asked.weight.sum(-1), 1, atol=1e-5)
    assert (np.asarray(asked.weight)[~QUERIES.mask] == 0).all()
    known = tool_vectors(TOOLS)
    np.testing.assert_array_equal(known.weight, TOOLS.mask.astype(np.float32))


def test_a_query_without_tokens_has_finite_scores():
    empty = QUERIES.replace(tokens=np.zeros_like(QUERIES.tokens), mask=np.zeros_like(QUERIES.mask))
    assert np.isfinite(scores(empty, TOOLS)).all()


@pytest.mark.parametrize("part", ["mean", "naming", "opening", "tokens", "lexical"])
def test_every_part_counts(part):
    if part == "lexical":
        changed = scores(QUERIES, TOOLS, LEXICAL + 1)
    else:
        changed = scores(QUERIES.replace(**{part: -getattr(QUERIES, part)}), TOOLS)
    assert (np.abs(changed - scores(QUERIES, TOOLS)) > 1e-3).any(axis=1).all()


def test_training_hides_inputs_and_reaches_every_parameter():
    @jax.jit
    def total(params, key):
        found = NameScorer(CONFIG).apply({"params": params}, QUERIES, TOOLS, LEXICAL, train=True, rngs={"dropout": key})
        return (found**2).sum()

    one, other = (total(PARAMS["names"], jax.random.key(seed)) for seed in (0, 1))
    assert one != other
    for leaf in jax.tree.leaves(jax.jit(jax.grad(total))(PARAMS["names"], jax.random.key(0))):
        assert np.abs(leaf).max() > 0
