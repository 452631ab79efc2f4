"""The `residual` head: denoises a canvas from the base's states at the canvas positions.

States that the frozen base has at the (fully masked) canvas, plus token, time and position embeddings, go through
residual GELU blocks, or bidirectional attention blocks, to logits; before the blocks, they may attend to the prompt.
Parameters are a plain nested dict, the functions are pure.

Shapes: B rows, N canvas positions, D base hidden size, H head hidden size, V canvas vocabulary.
"""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
from jax import Array

from jaxdiff.diffusion.batch import Batch
from jaxdiff.diffusion.corruption import corrupt_batch
from jaxdiff.diffusion.features import Features, Prediction
from jaxdiff.diffusion.losses import masked_mean, masked_positions, nelbo_mean, token_cross_entropy
from jaxdiff.diffusion.residual_blocks import (
    Params,
    attention_block,
    block_init,
    linear,
    linear_init,
    prompt_attention,
    prompt_attention_init,
    residual_block,
    rows_init,
    sinusoidal_positions,
)
from jaxdiff.diffusion.residual_config import ResidualConfig
from jaxdiff.diffusion.sampled_vocabulary import sample_vocabulary
from jaxdiff.diffusion.schedules import NoiseSchedule
from jaxdiff.errors import ConfigError


def init(key: Array, config: ResidualConfig) -> Params:
    """Random parameters: a nested dict of float32 arrays."""
    keys = iter(jax.random.split(key, 7 + config.num_blocks))
    d, h = config.input_size, config.hidden_size
    params: Params = {
        "input": linear_init(next(keys), d, h),
        "time": {"table": rows_init(next(keys), config.steps + 1, h)},
        **{f"block_{i}": block_init(next(keys), config) for i in range(config.num_blocks)},
    }
    if config.vocabulary == "frozen":
        params["token"] = linear_init(next(keys), d, h)
        params["output"] = linear_init(next(keys), h, d)
        params["extra_rows"] = {"table": rows_init(next(keys), 2, d)}
    else:
        params["token"] = {"table": rows_init(next(keys), config.vocab_size, h)}
        params["output"] = linear_init(next(keys), h, config.vocab_size)
    if config.position_rows:
        params["position"] = {"table": sinusoidal_positions(config.position_rows, h)}
    if config.field_positions:
        params["field_position"] = {"table": rows_init(next(keys), config.field_positions, h)}
    if config.prompt_attention:
        params["prompt"] = prompt_attention_init(next(keys), h)
    return params


def predict(params: Params, config: ResidualConfig, features: Features, tokens: Array, t: Array) -> Prediction:
    """Logits for every canvas position.

    features: `canvas_states` [B, N, D]; for the frozen vocabulary, `embedding` [vocab, D]; for prompt attention,
        `prompt_states` [B, P, D] and `prompt_mask`.
    tokens: [B, N] int32 canvas; negative ids are read as 0. t: [B] float32 in [0, 1].
    Returns a Prediction with `logits` [B, N, V] float32 alone. Raises ConfigError if a feature is missing.
    """
    return Prediction(logits=_logits(params, config, features, _hidden(params, config, features, tokens, t)))


def without_query(features: Features, rows: Array) -> Features:
    """Features whose `rows` ([B] bool) know nothing of the prompt: the base's states are 0 there.

    For prompt dropout in training and for the unconditional half of guidance (arXiv 2207.12598).
    """

    def hide(states: Array | None) -> Array | None:
        return None if states is None else jnp.where(rows[:, None, None], 0, states)

    return replace(features, canvas_states=hide(features.canvas_states), prompt_states=hide(features.prompt_states))


def loss(
    params: Params, config: ResidualConfig, schedule: NoiseSchedule, key: Array, batch: Batch
) -> tuple[Array, dict[str, Array]]:
    """Corrupt the batch and score its reconstruction: (scalar, metrics).

    Metrics: `masked_share` of the value positions, `accuracy` on the masked ones (among the tokens scored), and
    `accuracy_fully_masked` in rows at t = 1 alone (0 where there are none). No gradient reaches the features.
    """
    features = jax.lax.stop_gradient(batch.features)
    tokens, mask_id = batch.labels.tokens, config.mask_id
    value_mask = features.canvas.value_mask & features.canvas.exists
    noise_key, vocabulary_key, unseen = jax.random.split(key, 3)
    if config.prompt_dropout:
        features = without_query(features, jax.random.bernoulli(unseen, config.prompt_dropout, tokens.shape[:1]))
    corrupted, t = corrupt_batch(
        schedule, noise_key, tokens, value_mask, mask_id, fully_masked_share=config.fully_masked_share
    )
    x = _hidden(params, config, features, corrupted, t)
    if config.sampled_vocabulary is None:
        logits = _logits(params, config, features, x)
        losses, right = token_cross_entropy(logits, tokens), logits.argmax(-1) == tokens
    else:
        losses, right = _sampled_cross_entropy(vocabulary_key, params, config, features, x, tokens, value_mask)
    if config.objective == "nelbo":
        value = nelbo_mean(losses, corrupted, value_mask, mask_id, schedule, t)
    else:
        value = masked_mean(losses, corrupted, value_mask, mask_id)
    masked = masked_positions(corrupted, value_mask, mask_id)
    at_start = masked & (t == 1.0)[:, None]
    return value, {
        "masked_share": _share(masked, value_mask),
        "accuracy": _share(right & masked, masked),
        "accuracy_fully_masked": _share(right & at_start, at_start),
    }


def _hidden(params: Params, config: ResidualConfig, features: Features, tokens: Array, t: Array) -> Array:
    """[B, N, H] float32, what the output is read from."""
    if features.canvas_states is None:
        raise ConfigError("the residual head needs canvas_states")
    row = jnp.clip(jnp.floor(t * config.steps).astype(jnp.int32), 0, config.steps)
    x = linear(params["input"], features.canvas_states.astype(jnp.float32))
    x = x + _embed(params, config, features, jnp.maximum(tokens, 0))
    x = x + params["time"]["table"][row][:, None, :] + _positions(params, config, tokens.shape[1])[None]
    if config.field_positions:
        offset = jnp.minimum(features.canvas.offset, config.field_positions - 1)
        x = x + jnp.where(features.canvas.value_mask[..., None], params["field_position"]["table"][offset], 0.0)
    if config.prompt_attention:
        if features.prompt_states is None or features.prompt_mask is None:
            raise ConfigError("the residual head with prompt attention needs prompt_states and prompt_mask")
        prompt = linear(params["input"], features.prompt_states.astype(jnp.float32))
        x = prompt_attention(params["prompt"], config.num_heads, x, prompt, features.prompt_mask)
    for i in range(config.num_blocks):
        block = params[f"block_{i}"]
        if config.block == "residual":
            x = residual_block(block, x)
        else:
            x = attention_block(block, config.num_heads, features.canvas.exists, x)
    return x


def _positions(params: Params, config: ResidualConfig, length: int) -> Array:
    """[N, H] float32."""
    computed = sinusoidal_positions(length, config.hidden_size)
    if not config.position_rows:
        return computed
    kept = jax.lax.stop_gradient(params["position"]["table"])[:length]
    return computed.at[: kept.shape[0]].set(kept)


def _frozen_rows(features: Features) -> Array:
    if features.embedding is None:
        raise ConfigError("the residual head with a frozen vocabulary needs the base's embedding")
    return features.embedding


def _vocabulary_rows(params: Params, config: ResidualConfig, features: Features, ids: Array) -> Array:
    """Rows of the frozen embedding, learned for <MASK> and <NULL>: [...] int32 -> [..., D] float32."""
    embedding, extra = _frozen_rows(features), params["extra_rows"]["table"]
    rows = embedding[jnp.clip(ids, 0, embedding.shape[0] - 1)].astype(jnp.float32)
    for row, special in enumerate((config.mask_id, config.null_id)):
        rows = jnp.where((ids == special)[..., None], extra[row].reshape((1,) * ids.ndim + (-1,)), rows)
    return rows


def _embed(params: Params, config: ResidualConfig, features: Features, tokens: Array) -> Array:
    """[B, N] -> [B, N, H]."""
    if config.vocabulary == "own":
        return params["token"]["table"][tokens]
    return linear(params["token"], _vocabulary_rows(params, config, features, tokens))


def _logits(params: Params, config: ResidualConfig, features: Features, x: Array) -> Array:
    """[B, N, H] -> [B, N, V] float32."""
    x = linear(params["output"], x)
    if config.vocabulary == "own":
        return x
    embedding, extra = _frozen_rows(features), params["extra_rows"]["table"]
    logits = jnp.einsum("bnd,vd->bnv", x.astype(embedding.dtype), embedding, preferred_element_type=jnp.float32)
    missing = config.vocab_size - embedding.shape[0]
    logits = jnp.pad(logits, ((0, 0), (0, 0), (0, missing)))
    learned = jnp.einsum("bnd,vd->bnv", x, extra)
    return logits.at[..., jnp.asarray([config.mask_id, config.null_id])].set(learned)


def _sampled_cross_entropy(
    key: Array,
    params: Params,
    config: ResidualConfig,
    features: Features,
    x: Array,
    tokens: Array,
    value_mask: Array,
) -> tuple[Array, Array]:
    """Cross-entropy [B, N] with an estimated normalizer, and whether the token is the best of the sample [B, N]."""
    assert config.sampled_vocabulary is not None
    known = jnp.where(value_mask, tokens, -1)
    sample = sample_vocabulary(key, known, config.vocab_size, config.sampled_vocabulary)
    if config.vocabulary == "own":
        kernel, bias = params["output"]["kernel"], params["output"]["bias"]
        scores = jnp.einsum("bnh,hm->bnm", x, kernel[:, sample.ids]) + bias[sample.ids][None, None]
        gold = jnp.einsum("bnh,hbn->bn", x, kernel[:, tokens]) + bias[tokens]
    else:
        x = linear(params["output"], x)
        scores = jnp.einsum("bnd,md->bnm", x, _vocabulary_rows(params, config, features, sample.ids))
        gold = jnp.einsum("bnd,bnd->bn", x, _vocabulary_rows(params, config, features, tokens))
    normalizer = jax.nn.logsumexp(scores + sample.log_weight[None, None], axis=-1)
    # The gold token's score is computed twice, in products of other shapes, and need not come out bit-equal.
    best = jnp.where((sample.ids >= 0)[None, None], scores, -jnp.inf).argmax(-1)
    return normalizer - gold, sample.ids[best] == tokens


def _share(part: Array, whole: Array) -> Array:
    return part.sum(dtype=jnp.float32) / jnp.maximum(whole.sum(dtype=jnp.float32), 1.0)
