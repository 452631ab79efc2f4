"""Laws of the trunk: what must not matter does not, and what it answers are distributions over what is possible."""

import dataclasses

import jax
import numpy as np
import pytest

from jaxdiff.diffusion.reader import head as reader
from jaxdiff.diffusion.reader.config import MAX_SPAN
from jaxdiff.diffusion.reader.trunk import NOTHING, attention_and_claim, highest_of_others
from tests.diffusion.reader_rows import CONFIG, padded_query, random_params, random_query

ROWS = 3
PER_FIELD = ("tokens", "fields", "span_start", "span_end", "presence", "copied", "candidates")
encode = jax.jit(reader.encode, static_argnums=1)


@pytest.fixture(scope="module")
def params():
    return random_params()


@pytest.fixture(scope="module")
def query():
    return random_query(np.random.default_rng(0), ROWS)


@pytest.fixture(scope="module")
def encoding(params, query):
    return jax.device_get(encode(params, CONFIG, query))


def real_parts(query, encoding, row):
    """What the encoding says about one row's own fields, tokens and candidates."""
    f, t = int(query.field_mask[row].sum()), int(query.token_mask[row].sum())
    parts = {
        "tokens": encoding.tokens[row, :f, :t],
        "fields": encoding.fields[row, :f],
        "span_start": encoding.span_start[row, :f, :t],
        "span_end": np.triu(encoding.span_end[row, :f, :t, :t]),
        "owner": encoding.owner[row, : f + 1, :t],
        "presence": encoding.presence[row, :f],
        "copied": encoding.copied[row, :f],
    }
    for i in range(f):
        count = int(query.candidate_mask[row, i].sum())
        parts[f"candidates of {i}"] = encoding.candidates[row, i, :count]
    return parts


def assert_same_parts(got, want):
    assert got.keys() == want.keys()
    for name, value in want.items():
        np.testing.assert_allclose(got[name], value, atol=1e-5, rtol=1e-5, err_msg=name)


def test_order_of_fields_does_not_matter(params, query, encoding):
    order = np.array([2, 0, 1])
    # What has a field and a token, beside what its name tells.
    pairs = ("name_attention", "definition_attention", "token_logprob", "token_matches")
    names = [name for name in vars(query) if "key_" in name or "field_" in name or "candidate_" in name]
    moved = query.replace(**{n: getattr(query, n)[:, order] for n in [*names, *pairs]})
    got = jax.device_get(encode(params, CONFIG, moved))
    for name in PER_FIELD:
        want = getattr(encoding, name)[:, order]
        # An absent field's own outputs mean nothing.
        real = query.field_mask[:, order]
        np.testing.assert_allclose(getattr(got, name)[real], want[real], atol=1e-5, rtol=1e-5, err_msg=name)
    np.testing.assert_allclose(got.owner[:, 1:], encoding.owner[:, 1:][:, order], atol=1e-5, rtol=1e-5)
    np.testing.assert_allclose(got.owner[:, 0], encoding.owner[:, 0], atol=1e-5)


def test_amount_of_padding_does_not_matter(params, query, encoding):
    padded = padded_query(query, np.random.default_rng(5), {"F": 2, "T": 4, "C": 3})
    got = jax.device_get(encode(params, CONFIG, padded))
    for row in range(ROWS):
        assert_same_parts(real_parts(padded, got, row), real_parts(query, encoding, row))


def test_what_stands_outside_the_masks_does_not_matter(params, query, encoding):
    other = random_query(np.random.default_rng(6), ROWS)
    pairs = query.field_mask[:, :, None] & query.token_mask[:, None]
    masks = {
        "key_attention": pairs,
        "name_attention": pairs,
        "definition_attention": pairs,
        "token_logprob": pairs,
        "token_states": query.token_mask,
        "token_shape": query.token_mask,
        "token_ids": query.token_mask,
        "key_states": query.field_mask,
        "key_logprob": query.field_mask,
        "field_facts": query.field_mask,
        "field_kind": query.field_mask,
        "candidate_attention": query.candidate_mask,
        "candidate_facts": query.candidate_mask,
    }
    changed = {}
    for name, mask in masks.items():
        value = getattr(query, name)
        mask = mask.reshape(*mask.shape, *(1,) * (value.ndim - mask.ndim))
        changed[name] = np.where(mask, value, getattr(other, name))
    got = jax.device_get(encode(params, CONFIG, query.replace(**changed)))
    for row in range(ROWS):
        assert_same_parts(real_parts(query, got, row), real_parts(query, encoding, row))


def test_rows_are_independent(params, query, encoding):
    other = random_query(np.random.default_rng(7), ROWS)
    mixed = jax.tree.map(lambda a, b: np.concatenate([b[:1], a[1:2], b[2:]]), query, other)
    got = jax.device_get(encode(params, CONFIG, mixed))
    assert_same_parts(real_parts(query, got, 1), real_parts(query, encoding, 1))


def test_every_real_field_hears_of_its_rivals(params, query, encoding):
    """The fields compete for the words: the evidence of one changes what is said of another."""
    row = int(np.flatnonzero(query.field_mask.sum(1) > 1)[0])
    attention = query.key_attention.copy()
    attention[row, 1, 0] += 5
    got = jax.device_get(encode(params, CONFIG, query.replace(key_attention=attention)))
    assert np.abs(got.span_start[row, 0] - encoding.span_start[row, 0]).max() > 1e-3


def test_spans_are_distributions_over_the_words(query, encoding):
    np.testing.assert_allclose(np.logaddexp.reduce(encoding.span_start, axis=-1), 0, atol=1e-5)
    np.testing.assert_allclose(np.logaddexp.reduce(encoding.span_end, axis=-1), 0, atol=1e-5)
    for row, field in np.argwhere(query.field_mask):
        length = int(query.token_mask[row].sum())
        assert (np.exp(encoding.span_start[row, field, length:]) == 0).all()
        for start in range(length):
            end = np.exp(encoding.span_end[row, field, start])
            assert (
                (end[:start] == 0).all()
                and (end[length:] == 0).all()
                and (encoding.span_end[row, field, start, start:length] > NOTHING / 2).all()
            )


def test_no_span_is_longer_than_can_be_told(params):
    query = random_query(np.random.default_rng(1), 1, sizes={"F": 1, "T": MAX_SPAN + 6, "C": 2})
    query = query.replace(token_mask=np.ones_like(query.token_mask))
    end = jax.device_get(encode(params, CONFIG, query)).span_end[0, 0]
    length = np.arange(MAX_SPAN + 6)[None] - np.arange(MAX_SPAN + 6)[:, None]
    np.testing.assert_array_equal(end > NOTHING / 2, (length >= 0) & (length < MAX_SPAN))


def test_each_word_has_one_owner_or_none(query, encoding):
    np.testing.assert_allclose(np.logaddexp.reduce(encoding.owner, axis=1), 0, atol=1e-5)
    assert (np.exp(encoding.owner[:, 1:])[~query.field_mask] == 0).all()
    assert (encoding.owner[:, 0] > NOTHING / 2).all()
    outside = np.broadcast_to(~query.token_mask[:, None], encoding.owner[:, 1:].shape)
    assert (np.exp(encoding.owner[:, 1:])[outside] == 0).all()


def test_candidates_are_a_distribution_over_the_listed(query, encoding):
    listed = query.candidate_mask.any(-1)
    probability = np.exp(encoding.candidates[listed])
    np.testing.assert_allclose(probability.sum(-1), 1, atol=1e-5)
    np.testing.assert_array_equal(probability > 0, query.candidate_mask[listed])


def test_claim_is_the_excess_over_the_mean_of_the_other_fields(query):
    own, claim = jax.device_get(attention_and_claim(query))
    for row, field in np.argwhere(query.field_mask):
        rivals = [i for i in np.flatnonzero(query.field_mask[row]) if i != field]
        for token in np.flatnonzero(query.token_mask[row]):
            evidence = {i: np.append(query.key_attention[row, i, token], query.token_logprob[row, i, token]) for i in
                        (field, *rivals)}  # fmt: skip
            np.testing.assert_allclose(own[row, field, token], evidence[field], rtol=1e-6)
            mean = sum(np.exp(evidence[i].astype(np.float64)) for i in rivals) / max(len(rivals), 1)
            np.testing.assert_allclose(
                claim[row, field, token], evidence[field] - np.log(mean + 1e-9), atol=1e-4, rtol=1e-4
            )


@pytest.mark.parametrize("fields", [1, 2, 5])
def test_the_highest_of_the_others_equals_a_plain_loop(fields):
    # Few values, so that fields are as high as one another in places.
    x = np.random.default_rng(fields).integers(0, 4, (3, fields, 7)).astype(np.float32)
    got = np.asarray(highest_of_others(x))
    for row, field, token in np.ndindex(x.shape):
        others = [x[row, other, token] for other in range(fields) if other != field]
        assert got[row, field, token] == max(others, default=0)


def test_several_trunks_say_the_mean_of_what_each_says(query):
    config = dataclasses.replace(CONFIG, members=3)
    params = random_params(config)
    together = jax.device_get(encode(params, config, query))
    names = ("trunk", "trunk_1", "trunk_2")
    alone = [jax.device_get(encode({**params, "trunk": params[name]}, CONFIG, query)) for name in names]
    for name in ("span_start", "span_end", "owner", "candidates"):
        mean = np.mean([np.exp(np.asarray(getattr(own, name), np.float64)) for own in alone], axis=0)
        np.testing.assert_allclose(np.exp(getattr(together, name)), mean, atol=1e-5, err_msg=name)
    for name in ("presence", "copied"):
        mean = np.mean([getattr(own, name) for own in alone], axis=0)
        np.testing.assert_allclose(getattr(together, name), mean, atol=1e-5, err_msg=name)
    for name in ("tokens", "fields"):
        np.testing.assert_array_equal(getattr(together, name), getattr(alone[0], name))
    # They do not say the same.
    assert np.abs(alone[1].presence - alone[2].presence)[query.field_mask].min() > 1e-3
