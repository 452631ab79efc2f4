"""The reader's loss: spans, owners of words, presence, candidates, source, and the masked tokens of the canvas."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import Array

from jaxdiff.diffusion.batch import Batch
from jaxdiff.diffusion.corruption import corrupt_batch
from jaxdiff.diffusion.losses import masked_positions
from jaxdiff.diffusion.reader.canvas import Mixture
from jaxdiff.diffusion.reader.config import ReaderConfig
from jaxdiff.diffusion.reader.head import Params, embedding_rows, encode, mixture, without_query
from jaxdiff.diffusion.reader.trunk import NOTHING, Encoding
from jaxdiff.diffusion.sampled_vocabulary import sample_vocabulary
from jaxdiff.diffusion.schedules import NoiseSchedule
from jaxdiff.errors import ConfigError

OWNER_WEIGHT = 0.15
# Vocabulary entries that a training step scores: those that stand on the batch's canvases, and others drawn at random.
KNOWN_VOCABULARY = 640
SAMPLED_VOCABULARY = 1024


def loss(
    params: Params,
    config: ReaderConfig,
    schedule: NoiseSchedule,
    key: Array,
    batch: Batch,
    dtype: Any = jnp.float32,
) -> tuple[Array, dict[str, Array]]:
    """One number to be lowered, and its parts (nats a field, canvas: nats a masked token), with the accuracy beside.

    No gradient reaches the features. dtype: of the network's states; parameters and probabilities are float32. Raises
    ConfigError where the batch lacks the query or the embedding.
    """
    features, labels = jax.lax.stop_gradient(batch.features), batch.labels
    if features.query is None or features.embedding is None:
        raise ConfigError("the reader needs query features and the base's embedding")
    dropout, noise, sample, unseen = jax.random.split(key, 4)
    encoding = encode(params, config, features.query, dropout, dtype)
    mask = features.query.field_mask
    fields = jnp.maximum(mask.sum(), 1).astype(jnp.float32)

    present = optax.sigmoid_binary_cross_entropy(encoding.presence, labels.presence.astype(jnp.float32))
    copied = optax.sigmoid_binary_cross_entropy(encoding.copied, labels.copied.astype(jnp.float32))
    end = jnp.take_along_axis(encoding.span_end, jnp.maximum(labels.start, 0)[..., None, None], axis=2)[:, :, 0]
    parts = {
        "start": _cross_entropy(encoding.span_start, labels.start).sum() / fields,
        "end": _cross_entropy(end, labels.end).sum() / fields,
        "candidate": _cross_entropy(encoding.candidates, labels.candidate).sum() / fields,
        "presence": jnp.where(mask, present, 0.0).sum() / fields,
        "copied": jnp.where(labels.copied >= 0, copied, 0.0).sum() / fields,
        "owner": OWNER_WEIGHT * _owner_loss(encoding, batch) / fields,
    }

    canvas, tokens = features.canvas, labels.tokens
    value_mask = canvas.value_mask & canvas.exists
    seen = encoding
    if config.prompt_dropout:
        seen = without_query(encoding, jax.random.bernoulli(unseen, config.prompt_dropout, tokens.shape[:1]))
    corrupted, t = corrupt_batch(schedule, noise, tokens, value_mask, config.mask_id)
    mixed = mixture(params, config, seen, canvas, corrupted, t, features.embedding, dtype)
    predicted = masked_positions(corrupted, value_mask, config.mask_id)
    nll = -_sampled_log_likelihood(sample, params, config, mixed, seen, tokens, features.embedding)
    parts["canvas"] = jnp.where(predicted, nll, 0.0).sum() / jnp.maximum(predicted.sum(), 1).astype(jnp.float32)
    return sum(parts.values(), jnp.zeros(())), parts | {"accuracy": _accuracy(encoding, batch)}


def _accuracy(encoding: Encoding, batch: Batch) -> Array:
    """Share of fields whose presence, span and candidate are all right, as far as they are asked for."""
    labels = batch.labels
    start = jnp.argmax(encoding.span_start, -1)
    end = jnp.argmax(jnp.take_along_axis(encoding.span_end, start[..., None, None], axis=2)[:, :, 0], -1)
    right = (encoding.presence > 0) == labels.presence
    right &= (labels.start < 0) | (start == labels.start) & (end == labels.end)
    right &= (labels.candidate < 0) | (jnp.argmax(encoding.candidates, -1) == labels.candidate)
    mask = batch.features.query.field_mask  # type: ignore[union-attr]
    return (right & mask).sum().astype(jnp.float32) / jnp.maximum(mask.sum(), 1).astype(jnp.float32)


def _cross_entropy(logprob: Array, target: Array) -> Array:
    """-log p of target, 0 where target is negative."""
    chosen = jnp.take_along_axis(logprob, jnp.maximum(target, 0)[..., None], axis=-1)[..., 0]
    return jnp.where(target >= 0, -chosen, 0.0)


def _owner_loss(encoding: Encoding, batch: Batch) -> Array:
    """Each query token belongs to the field whose span holds it, or to none."""
    start, end = batch.labels.start[..., None], batch.labels.end[..., None]
    position = jnp.arange(encoding.token_mask.shape[1])[None, None]
    holds = (start >= 0) & (start <= position) & (position <= end)
    owner = jnp.where(holds.any(1), jnp.argmax(holds, 1) + 1, 0)
    chosen = jnp.take_along_axis(encoding.owner, owner[:, None], axis=1)[:, 0]
    return jnp.where(encoding.token_mask, -chosen, 0.0).sum()


def _sampled_log_likelihood(
    key: Array,
    params: Params,
    config: ReaderConfig,
    mixed: Mixture,
    encoding: Encoding,
    tokens: Array,
    embedding: Array,
) -> Array:
    """[B, N] log-probability of the gold tokens under the mixture, over a sample of the vocabulary."""
    standing = jnp.append(tokens.ravel(), jnp.array([config.null_id, config.mask_id], jnp.int32))
    known = jnp.unique(standing, size=KNOWN_VOCABULARY, fill_value=-1)
    vocabulary = sample_vocabulary(key, known, config.canvas_vocab_size, SAMPLED_VOCABULARY)
    rows = embedding_rows(params, config, embedding, jnp.maximum(vocabulary.ids, 0))
    # <MASK> is never an answer.
    log_weight = jnp.where(vocabulary.ids == config.mask_id, -jnp.inf, vocabulary.log_weight)
    scores = jnp.einsum("bnd,kd->bnk", mixed.query, rows) + log_weight[None, None]
    normalizer = jax.nn.logsumexp(scores, -1)
    gold = jnp.einsum("bnd,bnd->bn", mixed.query, embedding_rows(params, config, embedding, tokens))
    composed = jax.nn.log_sigmoid(-mixed.copy_gate) + gold - normalizer
    same = tokens[..., None] == encoding.token_ids[:, None]
    pointer = jax.nn.logsumexp(jnp.where(same & encoding.token_mask[:, None], mixed.pointer, NOTHING), -1)
    return jnp.logaddexp(composed, jax.nn.log_sigmoid(mixed.copy_gate) + pointer)
