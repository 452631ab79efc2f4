"""The reader's loss: spans, owners of words, presence, candidates, source, and the masked tokens of the canvas."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import Array

from jaxdiff.diffusion.batch import Batch
from jaxdiff.diffusion.reader.canvas_loss import canvas_loss
from jaxdiff.diffusion.reader.config import MAX_SPAN, ReaderConfig
from jaxdiff.diffusion.reader.head import Params, encode_apart
from jaxdiff.diffusion.reader.trunk import NOTHING, Encoding, averaged
from jaxdiff.diffusion.schedules import NoiseSchedule
from jaxdiff.errors import ConfigError

OWNER_WEIGHT = 0.15


def loss(
    params: Params,
    config: ReaderConfig,
    schedule: NoiseSchedule,
    key: Array,
    batch: Batch,
    dtype: Any = jnp.float32,
) -> tuple[Array, dict[str, Array]]:
    """One number to be lowered, its parts (nats a field; of the canvas see `canvas_loss`), and the accuracy beside.

    The number is the sum of the canvas' parts and of those of all members, which are shown as their mean.
    No gradient reaches the features. dtype: of the network's states; parameters and probabilities are float32. Raises
    ConfigError where the batch lacks the query or the embedding.
    """
    features = jax.lax.stop_gradient(batch.features)
    if features.query is None or features.embedding is None:
        raise ConfigError("the reader needs query features and the base's embedding")
    dropout, noise = jax.random.split(key)
    encodings = encode_apart(params, config, features.query, dropout, dtype)
    found = [_found_losses(encoding, batch, config.rivalry) for encoding in encodings]
    # Each member learns as if it were alone.
    total = sum((part for parts in found for part in parts.values()), jnp.zeros(()))
    parts = {name: jnp.stack([own[name] for own in found]).mean() for name in found[0]}
    encoding = averaged(encodings)
    composed = canvas_loss(
        params, config, schedule, noise, encoding, dataclasses.replace(batch, features=features), dtype
    )
    return sum(composed.values(), total), parts | composed | {"accuracy": _accuracy(encoding, batch)}


def _found_losses(encoding: Encoding, batch: Batch, rivalry: float) -> dict[str, Array]:
    """Of what a trunk finds in the query, in nats a field."""
    labels, mask = batch.labels, batch.features.query.field_mask  # type: ignore[union-attr]
    fields = jnp.maximum(mask.sum(), 1).astype(jnp.float32)
    present = optax.sigmoid_binary_cross_entropy(encoding.presence, labels.presence.astype(jnp.float32))
    copied = optax.sigmoid_binary_cross_entropy(encoding.copied, labels.copied.astype(jnp.float32))
    end = jnp.take_along_axis(encoding.span_end, jnp.maximum(labels.start, 0)[..., None, None], axis=2)[:, :, 0]
    # No span is as long as that: such words are a value that the head cannot name.
    ends = jnp.where(labels.end - labels.start < MAX_SPAN, labels.end, -1)
    parts = {
        "start": _cross_entropy(encoding.span_start, labels.start).sum() / fields,
        "end": _cross_entropy(end, ends).sum() / fields,
        "candidate": _cross_entropy(encoding.candidates, labels.candidate).sum() / fields,
        "presence": jnp.where(mask, present, 0.0).sum() / fields,
        "copied": jnp.where(labels.copied >= 0, copied, 0.0).sum() / fields,
        "owner": OWNER_WEIGHT * _owner_loss(encoding, batch) / fields,
    }
    if rivalry:
        parts["rivalry"] = rivalry * _rivalry_loss(encoding, batch) / fields
    return parts


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
    """Each query token belongs to the field whose span holds it or whose value is said there too, or to none."""
    start, end = batch.labels.start[..., None], batch.labels.end[..., None]
    position = jnp.arange(encoding.token_mask.shape[1])[None, None]
    holds = (start >= 0) & (start <= position) & (position <= end)
    further = batch.labels.further
    otherwise = 0 if further is None else further + 1
    owner = jnp.where(holds.any(1), jnp.argmax(holds, 1) + 1, otherwise)
    chosen = jnp.take_along_axis(encoding.owner, owner[:, None], axis=1)[:, 0]
    return jnp.where(encoding.token_mask, -chosen, 0.0).sum()


def _rivalry_loss(encoding: Encoding, batch: Batch) -> Array:
    """Which field a token is the start of, among all fields, where it is one's: as start is over a field's tokens.

    Both together are the dual softmax of matching (Sun et al., arXiv 2104.00680).
    """
    position = jnp.arange(encoding.token_mask.shape[1])[None, None]
    begun = batch.labels.start[..., None] == position
    real = batch.features.query.field_mask[..., None]  # type: ignore[union-attr]
    score = jnp.where(real, encoding.span_start, NOTHING)
    right = jax.nn.logsumexp(jnp.where(begun, score, NOTHING), 1) - jax.nn.logsumexp(score, 1)
    return jnp.where(begun.any(1), -right, 0.0).sum()
