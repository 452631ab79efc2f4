"""The options of the canvas' loss, against closed forms and against one another."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff.diffusion.corruption import corrupt_batch
from jaxdiff.diffusion.reader import head as reader
from jaxdiff.diffusion.reader.canvas_loss import SAMPLED_VOCABULARY, canvas_loss, scored_vocabulary
from jaxdiff.diffusion.schedules import LogLinear
from jaxdiff.errors import ConfigError
from tests.diffusion.reader_rows import random_params
from tests.diffusion.test_reader_loss import CONFIG, random_batch

SCHEDULE, KEY = LogLinear(), jax.random.key(5)
BATCH = random_batch(CONFIG, seed=2)
PARAMS = random_params(CONFIG)


def parts_of(batch=BATCH, params=PARAMS, **changes):
    config = dataclasses.replace(CONFIG, **changes)
    encoding = reader.encode(params, config, batch.features.query)
    return canvas_loss(params, config, SCHEDULE, KEY, encoding, batch)


def corrupted():
    noise = jax.random.split(KEY, 4)[0]
    mask = BATCH.features.canvas.value_mask
    return corrupt_batch(SCHEDULE, noise, BATCH.labels.tokens, mask, CONFIG.mask_id)


def test_nelbo_weighs_each_row_by_its_time():
    """Log-linear noise: a masked token counts 1 / t, and all value tokens are counted (arXiv 2406.07524, eq. 10)."""
    tokens, t = corrupted()
    encoding = reader.encode(PARAMS, CONFIG, BATCH.features.query)
    logits = reader.logits(PARAMS, CONFIG, encoding, BATCH.features.canvas, tokens, t, BATCH.features.embedding)
    total = 0.0
    for row, n in np.argwhere(np.asarray(tokens) == CONFIG.mask_id):
        if BATCH.features.canvas.value_mask[row, n]:
            total -= float(logits[row, n, BATCH.labels.tokens[row, n]]) / float(t[row])
    expected = total / BATCH.features.canvas.value_mask.sum()
    assert float(parts_of(canvas_loss="nelbo")["canvas"]) == pytest.approx(expected, rel=1e-3)
    assert float(parts_of()["canvas"]) != pytest.approx(expected, rel=1e-2)


def test_a_teacher_that_is_sure_of_the_gold_tokens_asks_for_what_the_labels_ask():
    tokens = BATCH.labels.tokens
    sure = BATCH.labels.replace(teacher_ids=tokens[..., None], teacher_logprob=np.zeros((*tokens.shape, 1), np.float32))
    parts = parts_of(BATCH.replace(labels=sure), distillation=0.5)
    assert float(parts["distilled"]) == pytest.approx(0.5 * float(parts["canvas"]), rel=1e-5)


def test_a_teacher_counts_its_tokens_by_their_probability_and_only_where_it_has_any():
    tokens = BATCH.labels.tokens
    ids = np.stack([tokens, np.full_like(tokens, 7)], -1)
    logprob = np.log(np.broadcast_to(np.float32([0.25, 0.75]), ids.shape)).copy()
    logprob[1:] = -np.inf
    taught = BATCH.labels.replace(teacher_ids=ids, teacher_logprob=logprob)
    shown, t = corrupted()
    encoding = reader.encode(PARAMS, CONFIG, BATCH.features.query)
    logits = reader.logits(PARAMS, CONFIG, encoding, BATCH.features.canvas, shown, t, BATCH.features.embedding)
    places = np.flatnonzero((np.asarray(shown)[0] == CONFIG.mask_id) & BATCH.features.canvas.value_mask[0])
    assert len(places)
    expected = np.mean([-0.25 * logits[0, n, tokens[0, n]] - 0.75 * logits[0, n, 7] for n in places])
    got = parts_of(BATCH.replace(labels=taught), distillation=1.0)["distilled"]
    assert float(got) == pytest.approx(float(expected), rel=1e-4)


def test_distillation_without_a_teacher_is_refused():
    with pytest.raises(ConfigError, match=r"distillation=1\.0"):
        parts_of(distillation=1.0)


def test_on_policy_rows_show_the_heads_own_guesses():
    """A head that guesses the gold tokens sees the same either way; one that does not, sees something else."""
    guessing = float(parts_of(on_policy=1.0)["canvas"])
    assert guessing != pytest.approx(float(parts_of()["canvas"]), rel=1e-3)

    canvas = BATCH.features.canvas
    masks = jnp.where(canvas.value_mask, CONFIG.mask_id, BATCH.labels.tokens)
    encoding = reader.encode(PARAMS, CONFIG, BATCH.features.query)
    mixed = reader.mixture(
        PARAMS, CONFIG, encoding, canvas, masks, jnp.ones(len(masks)), jnp.asarray(BATCH.features.embedding)
    )
    embedding, own = np.asarray(BATCH.features.embedding), np.asarray(PARAMS.get("extra_rows"))
    rows = np.concatenate([embedding, own])
    scores = np.einsum("bnd,vd->bnv", mixed.query, rows)
    scores[..., CONFIG.mask_id] = -1e9
    gate = 1 / (1 + np.exp(-np.asarray(mixed.copy_gate)))
    composed = (1 - gate)[..., None] * np.asarray(jax.nn.softmax(jnp.asarray(scores), -1))
    copied = gate[..., None] * np.exp(np.asarray(mixed.pointer))
    place = np.take_along_axis(np.broadcast_to(BATCH.features.query.token_ids[:, None], copied.shape),
                               copied.argmax(-1)[..., None], -1)[..., 0]  # fmt: skip
    best = np.where(copied.max(-1) > composed.max(-1), place, composed.argmax(-1))
    own_gold = BATCH.replace(labels=BATCH.labels.replace(tokens=np.where(canvas.value_mask, best, BATCH.labels.tokens)))
    same = float(parts_of(own_gold, on_policy=1.0)["canvas"])
    assert same == pytest.approx(float(parts_of(own_gold)["canvas"]), rel=1e-5)


@pytest.mark.parametrize("rows", [4, 64])
def test_every_token_of_a_batch_stands_for_itself_and_null_does_in_any_batch(rows):
    config = dataclasses.replace(CONFIG, vocab_size=49152, canvas_vocab_size=49154, mask_id=49152, null_id=49153)
    tokens = np.full((rows, 48), config.null_id, np.int32)
    tokens[:, :16] = np.random.default_rng(0).integers(0, 49152, (rows, 16))
    sample = scored_vocabulary(KEY, config, jnp.asarray(tokens))
    weight = dict(zip(np.asarray(sample.ids).tolist(), np.asarray(sample.log_weight).tolist(), strict=True))
    assert {weight[token] for token in np.unique(tokens).tolist()} == {0.0}
    assert weight[config.mask_id] == -np.inf
    others = [token for token in weight if token >= 0 and token not in set(tokens.ravel().tolist()) | {config.mask_id}]
    assert 0.9 * SAMPLED_VOCABULARY < len(others) <= SAMPLED_VOCABULARY
