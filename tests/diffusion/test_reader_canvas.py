"""The canvas against an independent mixture in NumPy, and what must not matter to it."""

import dataclasses

import jax
import numpy as np
import pytest

from jaxdiff.diffusion.features import Features
from jaxdiff.diffusion.reader import head as reader
from jaxdiff.errors import ConfigError
from tests.diffusion.reader_rows import (
    CONFIG,
    RESERVED,
    padded_query,
    random_canvas,
    random_embedding,
    random_labels,
    random_params,
    random_query,
)

ROWS = 3
encode = jax.jit(reader.encode, static_argnums=1)
logits = jax.jit(reader.logits, static_argnums=1)
mixture = jax.jit(reader.mixture, static_argnums=1)


class Case:
    def __init__(self, config):
        rng = np.random.default_rng(3)
        self.config, self.params, self.embedding = config, random_params(config), random_embedding(config)
        self.query = random_query(rng, ROWS, config)
        self.canvas = random_canvas(rng, self.query)
        gold = random_labels(rng, self.query, self.canvas, config).tokens
        masked = (rng.random(gold.shape) < 0.5) & self.canvas.value_mask
        self.tokens = np.where(masked, config.mask_id, gold)
        self.t = np.array([0.2, 0.7, 1.0], np.float32)
        self.encoding = jax.device_get(encode(self.params, config, self.query))
        self.standing = (self.params, config, self.encoding, self.canvas, self.tokens, self.t, self.embedding)

    def logits(self, **changes):
        names = ("params", "config", "encoding", "canvas", "tokens", "t", "embedding")
        return np.asarray(logits(*(changes.get(n, value) for n, value in zip(names, self.standing, strict=True))))


@pytest.fixture(scope="module", params=[CONFIG, RESERVED], ids=["extra rows", "reserved ids"])
def case(request):
    return Case(request.param)


@pytest.fixture(scope="module")
def plain():
    return Case(CONFIG)


def softmax(x):
    weights = np.exp(x - x.max())
    return weights / weights.sum()


def test_logits_are_the_mixture_of_vocabulary_and_copies(case):
    config = case.config
    got = case.logits()
    mixed = jax.tree.map(lambda x: np.asarray(x, np.float64), mixture(*case.standing))
    rows = case.embedding.astype(np.float64)
    if config.extra_rows:
        rows = np.concatenate([rows, case.params["extra_rows"]])
    for row, position in np.ndindex(case.tokens.shape):
        score = rows @ mixed.query[row, position]
        score[config.mask_id] = -np.inf
        gate = 1 / (1 + np.exp(-mixed.copy_gate[row, position]))
        probability = (1 - gate) * softmax(score)
        for token in range(case.query.token_ids.shape[1]):
            copy = np.exp(mixed.pointer[row, position, token])
            assert copy == 0 or case.query.token_mask[row, token]
            probability[case.query.token_ids[row, token]] += gate * copy
        np.testing.assert_allclose(np.exp(got[row, position]), probability, atol=1e-6, rtol=1e-4)
        assert (got[row, position] <= np.log(probability + 1e-30) + 1e-3).all()


def test_logits_are_distributions_over_the_canvas_vocabulary(case):
    got = case.logits()
    assert got.shape == (*case.tokens.shape, case.config.canvas_vocab_size)
    np.testing.assert_allclose(np.exp(got).sum(-1), 1, atol=1e-5)


def test_a_mask_is_never_an_answer(case):
    said = (case.query.token_ids == case.config.mask_id) & case.query.token_mask
    assert (case.logits()[~said.any(1)][..., case.config.mask_id] < -60).all()


def test_inputs_are_the_frozen_rows_and_the_own_ones(case):
    config = case.config
    ids = np.arange(config.canvas_vocab_size, dtype=np.int32)
    got = reader.embedding_rows(case.params, config, case.embedding, ids)
    np.testing.assert_array_equal(got[: config.vocab_size], case.embedding)
    assert got.shape[0] - config.vocab_size == config.extra_rows
    if config.extra_rows:
        np.testing.assert_array_equal(got[config.vocab_size :], case.params["extra_rows"])


def test_order_of_fields_does_not_matter(plain):
    order = np.array([1, 2, 0])
    place = np.argsort(order)
    moved = jax.tree.map(lambda x: x, plain.encoding)
    names = ("tokens", "fields", "field_kind", "span_start", "span_end", "presence", "copied", "candidates")
    moved = moved.replace(**{name: getattr(moved, name)[:, order] for name in names})
    canvas = plain.canvas
    canvas = canvas.replace(field=np.where(canvas.field >= 0, place[canvas.field], -1).astype(np.int32))
    real = canvas.exists
    got = plain.logits(encoding=moved, canvas=canvas)
    np.testing.assert_allclose(got[real], plain.logits()[real], atol=1e-4, rtol=1e-4)


def test_order_of_slots_does_not_matter(plain):
    order = np.random.default_rng(0).permutation(plain.tokens.shape[1])
    canvas = jax.tree.map(lambda x: x[:, order], plain.canvas)
    got = plain.logits(canvas=canvas, tokens=plain.tokens[:, order])
    np.testing.assert_allclose(got, plain.logits()[:, order], atol=1e-4, rtol=1e-4)


def test_amount_of_padding_does_not_matter(plain):
    rng = np.random.default_rng(8)
    query = padded_query(plain.query, rng, {"F": 2, "T": 5, "C": 1})
    more = ((0, 0), (0, 4))
    canvas = plain.canvas.replace(
        field=np.pad(plain.canvas.field, more, constant_values=-1),
        offset=np.pad(plain.canvas.offset, more, constant_values=2),
        exists=np.pad(plain.canvas.exists, more),
    )
    tokens = np.pad(plain.tokens, more, constant_values=7)
    encoding = jax.device_get(encode(plain.params, CONFIG, query))
    got = plain.logits(encoding=encoding, canvas=canvas, tokens=tokens)[:, : plain.tokens.shape[1]]
    real = plain.canvas.exists
    np.testing.assert_allclose(np.exp(got[real]), np.exp(plain.logits()[real]), atol=1e-5)


def test_rows_are_independent(plain):
    other = Case(CONFIG).tokens[::-1]
    tokens = np.concatenate([other[:1], plain.tokens[1:2], other[2:]])
    t = np.array([0.9, plain.t[1], 0.1], np.float32)
    assert (tokens != plain.tokens).any()
    np.testing.assert_allclose(plain.logits(tokens=tokens, t=t)[1], plain.logits()[1], atol=1e-5)


def test_a_position_hears_of_the_standing_tokens(plain):
    """What stands in one slot changes what is expected in another: composed values may depend on known ones."""
    row = int(np.argmax(plain.canvas.exists.sum(1)))
    tokens = plain.tokens.copy()
    tokens[row, 0] = 11 if tokens[row, 0] != 11 else 12
    last = int(plain.canvas.exists[row].sum()) - 1
    changed = np.exp(plain.logits(tokens=tokens)[row, last]) - np.exp(plain.logits()[row, last])
    assert np.abs(changed).max() > 1e-5


def test_a_sure_span_is_copied_token_by_token(plain):
    """With the pointer left to the span's start, the k-th position of a slot looks k tokens behind it."""
    composer = plain.params["canvas"]
    still = {name: np.zeros_like(value) for name, value in composer["pointer"].items()}
    params = plain.params | {"canvas": composer | {"pointer": still, "shift": np.float32(3)}}
    start = np.full_like(plain.encoding.span_start, -8)
    start[:, :, 1] = np.log(0.9)
    encoding = plain.encoding.replace(span_start=start, token_mask=np.ones_like(plain.encoding.token_mask))
    pointer = np.asarray(
        mixture(params, CONFIG, encoding, plain.canvas, plain.tokens, plain.t, plain.embedding).pointer
    )
    real = plain.canvas.exists
    np.testing.assert_array_equal(pointer.argmax(-1)[real], 1 + plain.canvas.offset[real])


def test_a_slot_that_has_grown_beyond_the_longest_span_goes_on_copying(plain):
    composer, width, behind = plain.params["canvas"], 80, 50
    still = {name: np.zeros_like(value) for name, value in composer["pointer"].items()}
    params = plain.params | {"canvas": composer | {"pointer": still, "shift": np.float32(3)}}
    more = width - plain.encoding.token_mask.shape[1]
    start = np.full((*plain.encoding.span_start.shape[:2], width), -8, np.float32)
    start[:, :, 1] = np.log(0.9)
    encoding = plain.encoding.replace(
        span_start=start,
        token_mask=np.ones((ROWS, width), bool),
        token_ids=np.pad(plain.encoding.token_ids, ((0, 0), (0, more))),
        tokens=np.pad(plain.encoding.tokens, ((0, 0), (0, 0), (0, more), (0, 0))),
    )
    canvas = dataclasses.replace(plain.canvas, offset=plain.canvas.offset + behind)
    pointer = np.asarray(mixture(params, CONFIG, encoding, canvas, plain.tokens, plain.t, plain.embedding).pointer)
    real = canvas.exists
    np.testing.assert_array_equal(pointer.argmax(-1)[real], 1 + canvas.offset[real])


def test_the_whole_head_in_one_call(plain):
    features = Features(canvas=plain.canvas, query=plain.query, embedding=plain.embedding)
    got = jax.jit(reader.predict, static_argnums=1)(plain.params, CONFIG, features, plain.tokens, plain.t)
    np.testing.assert_allclose(got.logits, plain.logits(), atol=1e-4, rtol=1e-4)
    for name in ("span_start", "span_end", "presence", "copied", "candidates"):
        np.testing.assert_allclose(getattr(got, name), getattr(plain.encoding, name), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("missing", ["query", "embedding"])
def test_features_that_are_missing_are_named(plain, missing):
    features = Features(canvas=plain.canvas, query=plain.query, embedding=plain.embedding).replace(**{missing: None})
    with pytest.raises(ConfigError, match=missing):
        reader.predict(plain.params, CONFIG, features, plain.tokens, plain.t)


@pytest.fixture(scope="module")
def block_causal():
    return Case(dataclasses.replace(CONFIG, canvas_attention="block_causal"))


def test_block_causal_values_see_themselves_and_those_before(block_causal):
    """Another token somewhere changes the answers of its own value and of later ones, and no others."""
    case, field = block_causal, block_causal.canvas.field
    before = case.logits()
    for row, position in ((0, 0), (1, 4), (2, 1)):
        owner = field[row, position]
        if owner < 0:
            continue
        tokens = case.tokens.copy()
        tokens[row, position] = (tokens[row, position] + 1) % CONFIG.vocab_size
        changed = (np.abs(case.logits(tokens=tokens) - before) > 1e-5).any(-1)
        assert not changed[np.arange(ROWS) != row].any()
        assert changed[row].tolist() == (field[row] >= owner).tolist()


def test_the_order_of_slots_matters_to_block_causal_attention_alone(block_causal, plain):
    """Full attention lets earlier values see later ones, with the same parameters."""
    tokens = plain.tokens.copy()
    last = int(plain.canvas.exists[0].sum()) - 1
    tokens[0, last] = (tokens[0, last] + 1) % CONFIG.vocab_size
    moved = [np.abs(case.logits(tokens=tokens) - case.logits())[0, 0].max() for case in (plain, block_causal)]
    assert plain.canvas.field[0, last] > 0 and moved[0] > 1e-5 and moved[1] == 0
    assert jax.tree.map(np.shape, plain.params) == jax.tree.map(np.shape, block_causal.params)
