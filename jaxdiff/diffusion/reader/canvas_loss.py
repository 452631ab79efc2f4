"""What the canvas is trained on: its masked tokens, under the mixture of composing and copying.

Noise comes from the forward process, or in some rows from the head itself: what an unmasked position shows there is the
head's own guess, as it will be when answering (the on-policy states of DAgger, Ross et al., arXiv 1011.0686).
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from jaxdiff.diffusion.batch import Batch
from jaxdiff.diffusion.corruption import corrupt_batch
from jaxdiff.diffusion.losses import masked_mean, nelbo_mean
from jaxdiff.diffusion.reader.canvas import Mixture
from jaxdiff.diffusion.reader.config import ReaderConfig
from jaxdiff.diffusion.reader.head import Params, embedding_rows, mixture, without_query
from jaxdiff.diffusion.reader.trunk import NOTHING, Encoding
from jaxdiff.diffusion.sampled_vocabulary import VocabularySample, sample_vocabulary
from jaxdiff.diffusion.schedules import NoiseSchedule
from jaxdiff.errors import ConfigError

# Vocabulary entries that a training step scores: those that stand on the batch's canvases, and others drawn at random.
# Most of a canvas is <NULL>: so many different tokens a row, or so many in all, are more than a batch has.
KNOWN_OF_A_ROW = 20
KNOWN_VOCABULARY = 640
SAMPLED_VOCABULARY = 1024


def canvas_loss(
    params: Params,
    config: ReaderConfig,
    schedule: NoiseSchedule,
    key: Array,
    encoding: Encoding,
    batch: Batch,
    dtype: Any = jnp.float32,
) -> dict[str, Array]:
    """Parts of the loss: `canvas`, nats a masked token (a value token with the NELBO), and `distilled` where asked for.

    `distilled`: config.distillation times the cross-entropy of masked tokens against the frozen base's own
    distribution (Hinton et al., arXiv 1503.02531), in nats a masked token that has one. Raises ConfigError where it is
    asked for and the labels lack it.
    """
    canvas, tokens = batch.features.canvas, batch.labels.tokens
    embedding: Any = batch.features.embedding
    value_mask = canvas.value_mask & canvas.exists
    noise, sample, unseen, own = jax.random.split(key, 4)
    if config.prompt_dropout:
        hidden = jax.random.bernoulli(unseen, config.prompt_dropout, tokens.shape[:1])
        encoding = without_query(encoding, hidden)
    vocabulary = scored_vocabulary(sample, config, tokens)
    corrupted, t = corrupt_batch(schedule, noise, tokens, value_mask, config.mask_id)
    if config.on_policy:
        masks = jnp.where(value_mask, config.mask_id, tokens)
        first = mixture(params, config, encoding, canvas, masks, jnp.ones(tokens.shape[:1]), embedding, dtype)
        guessed = jax.lax.stop_gradient(_guess(params, config, vocabulary, first, encoding, embedding))
        rows = jax.random.bernoulli(own, config.on_policy, (tokens.shape[0], 1))
        corrupted = jnp.where(rows & value_mask & (corrupted != config.mask_id), guessed, corrupted)
    mixed = mixture(params, config, encoding, canvas, corrupted, t, embedding, dtype)

    def log_likelihood(ids: Array) -> Array:
        return _log_likelihood(params, config, vocabulary, mixed, encoding, ids, embedding)

    nll = -log_likelihood(tokens[..., None])[..., 0]
    if config.canvas_loss == "nelbo":
        parts = {"canvas": nelbo_mean(nll, corrupted, value_mask, config.mask_id, schedule, t)}
    else:
        parts = {"canvas": masked_mean(nll, corrupted, value_mask, config.mask_id)}
    if config.distillation:
        if batch.labels.teacher_ids is None or batch.labels.teacher_logprob is None:
            raise ConfigError(f"{config.distillation=} needs rows that the base has read with their values")
        teacher = jnp.exp(batch.labels.teacher_logprob.astype(jnp.float32))
        losses = -(teacher * log_likelihood(batch.labels.teacher_ids)).sum(-1)
        taught = value_mask & (teacher.sum(-1) > 0)
        parts["distilled"] = config.distillation * masked_mean(losses, corrupted, taught, config.mask_id)
    return parts


def scored_vocabulary(key: Array, config: ReaderConfig, tokens: Array) -> VocabularySample:
    """What a step scores: the tokens [B, N] of its canvases and <NULL>, and others that stand for all the rest."""
    room = min(config.canvas_vocab_size, max(KNOWN_VOCABULARY, KNOWN_OF_A_ROW * tokens.shape[0]))
    # <NULL> has the largest identifiers beside <MASK>: `unique`, which keeps the smallest, would let go of it first.
    standing = jnp.unique(jnp.where(tokens == config.null_id, -1, tokens), size=room + 1, fill_value=-1)
    known = jnp.append(standing, jnp.array([config.null_id, config.mask_id], jnp.int32))
    sample = sample_vocabulary(key, known, config.canvas_vocab_size, SAMPLED_VOCABULARY)
    # <MASK> is never an answer.
    log_weight = jnp.where(sample.ids == config.mask_id, -jnp.inf, sample.log_weight)
    return VocabularySample(ids=sample.ids, log_weight=log_weight)


def _scores(
    params: Params, config: ReaderConfig, vocabulary: VocabularySample, mixed: Mixture, embedding: Any
) -> Array:
    """[B, N, M] unnormalised log-probabilities of the sampled tokens, each with the weight of those it stands for."""
    rows = embedding_rows(params, config, embedding, jnp.maximum(vocabulary.ids, 0))
    return jnp.einsum("bnd,kd->bnk", mixed.query, rows) + vocabulary.log_weight[None, None]


def _log_likelihood(
    params: Params,
    config: ReaderConfig,
    vocabulary: VocabularySample,
    mixed: Mixture,
    encoding: Encoding,
    ids: Array,
    embedding: Any,
) -> Array:
    """[B, N, K] log-probability of the tokens `ids` [B, N, K] under the mixture, over a sample of the vocabulary."""
    normalizer = jax.nn.logsumexp(_scores(params, config, vocabulary, mixed, embedding), -1)
    asked = jnp.einsum("bnd,bnkd->bnk", mixed.query, embedding_rows(params, config, embedding, ids))
    composed = (jax.nn.log_sigmoid(-mixed.copy_gate) - normalizer)[..., None] + asked
    same = (ids[..., None] == encoding.token_ids[:, None, None]) & encoding.token_mask[:, None, None]
    pointer = jax.nn.logsumexp(jnp.where(same, mixed.pointer[:, :, None], NOTHING), -1)
    return jnp.logaddexp(composed, jax.nn.log_sigmoid(mixed.copy_gate)[..., None] + pointer)


def _guess(
    params: Params,
    config: ReaderConfig,
    vocabulary: VocabularySample,
    mixed: Mixture,
    encoding: Encoding,
    embedding: Any,
) -> Array:
    """[B, N] the most probable token of each position: composed from the sample, or copied from the query."""
    weighted = _scores(params, config, vocabulary, mixed, embedding)
    # The weight of those that an entry stands for is in the sum, but no probability of its own.
    own_weight = jnp.where(jnp.isneginf(vocabulary.log_weight), 0.0, vocabulary.log_weight)[None, None]
    composed = weighted - own_weight - jax.nn.logsumexp(weighted, -1, keepdims=True)
    composed += jax.nn.log_sigmoid(-mixed.copy_gate)[..., None]
    copied = jax.nn.log_sigmoid(mixed.copy_gate)[..., None] + mixed.pointer
    own = jnp.maximum(vocabulary.ids, 0)[jnp.argmax(composed, -1)]
    seen = jnp.take_along_axis(encoding.token_ids, jnp.argmax(copied, -1), axis=1)
    return jnp.where(copied.max(-1) > composed.max(-1), seen, own).astype(jnp.int32)
