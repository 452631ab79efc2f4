"""The reader behind the signature of all heads: pure functions of parameters, configuration and features."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from jaxdiff.diffusion.features import Canvas, Features, Prediction, QueryFeatures
from jaxdiff.diffusion.reader.canvas import Composer, Mixture
from jaxdiff.diffusion.reader.config import ReaderConfig
from jaxdiff.diffusion.reader.trunk import NOTHING, Encoding, Trunk, averaged
from jaxdiff.errors import ConfigError

Params = dict[str, Any]


@partial(jax.jit, static_argnums=1)
def init(key: Array, config: ReaderConfig) -> Params:
    """Random parameters: a nested dict of float32 arrays."""
    trunk_key, canvas_key, rows_key = jax.random.split(key, 3)
    query = _example(config)
    canvas = Canvas(jnp.zeros((1, 1), jnp.int32), jnp.zeros((1, 1), jnp.int32), jnp.ones((1, 1), bool))
    trunk_keys = [trunk_key, *(jax.random.fold_in(trunk_key, i) for i in range(1, config.members))]
    trunks = [Trunk(config).init(key, query)["params"] for key in trunk_keys]
    encoding: Any = Trunk(config).apply({"params": trunks[0]}, query)
    inputs = jnp.zeros((1, 1, config.embedding))
    composer = Composer(config).init(canvas_key, encoding, canvas, inputs, jnp.ones(1))
    params = dict(zip(trunk_names(config), trunks, strict=True)) | {"canvas": composer["params"]}
    if config.extra_rows:
        params["extra_rows"] = 0.1 * jax.random.normal(rows_key, (config.extra_rows, config.embedding))
    return params


def trunk_names(config: ReaderConfig) -> tuple[str, ...]:
    """Where the parameters of each member's trunk stand."""
    return ("trunk", *(f"trunk_{i}" for i in range(1, config.members)))


def encode(params: Params, config: ReaderConfig, query: QueryFeatures, dtype: Any = jnp.float32) -> Encoding:
    """What does not change while denoising, computed once. dtype: of the network's states."""
    return averaged(encode_apart(params, config, query, dtype=dtype))


def encode_apart(
    params: Params,
    config: ReaderConfig,
    query: QueryFeatures,
    dropout: Array | None = None,
    dtype: Any = jnp.float32,
) -> list[Encoding]:
    """What each member makes of a query. dropout: a random key while training, or None."""
    trunk, encodings = Trunk(config, dtype), []
    for i, name in enumerate(trunk_names(config)):
        rngs = None if dropout is None else {"dropout": jax.random.fold_in(dropout, i)}
        encoding: Any = trunk.apply({"params": params[name]}, query, train=dropout is not None, rngs=rngs)
        encodings.append(encoding)
    return encodings


def without_query(encoding: Encoding, rows: Array) -> Encoding:
    """What the canvas reads where it must do without the query: of `rows` ([B] bool), kinds of fields alone are left.

    For prompt dropout in training and for the unconditional half of guidance (arXiv 2207.12598). Span starts become
    uniform, and no token is left to copy.
    """

    def hide(x: Array, instead: Any = 0) -> Array:
        return jnp.where(rows.reshape(-1, *(1,) * (x.ndim - 1)), instead, x)

    return replace(
        encoding,
        tokens=hide(encoding.tokens),
        fields=hide(encoding.fields),
        span_start=hide(encoding.span_start, -jnp.log(jnp.float32(encoding.span_start.shape[-1]))),
        token_mask=hide(encoding.token_mask, False),
    )


def mixture(
    params: Params,
    config: ReaderConfig,
    encoding: Encoding,
    canvas: Canvas,
    tokens: Array,
    t: Array,
    embedding: Array,
    dtype: Any = jnp.float32,
) -> Mixture:
    """The distribution of each canvas position, not yet spread over the vocabulary. dtype: of the network's states."""
    inputs = embedding_rows(params, config, embedding, tokens)
    inputs *= jax.lax.rsqrt(jnp.mean(inputs * inputs, -1, keepdims=True) + 1e-6)
    mixed: Any = Composer(config, dtype).apply({"params": params["canvas"]}, encoding, canvas, inputs, t)
    return mixed


def embedding_rows(params: Params, config: ReaderConfig, embedding: Array, ids: Array) -> Array:
    """Rows [..., D] of ids: the base's frozen ones, or the head's own for <MASK> and <NULL> where the base has none."""
    rows = embedding[jnp.minimum(ids, config.vocab_size - 1)].astype(jnp.float32)
    if not config.extra_rows:
        return rows
    own = jax.nn.one_hot(ids - config.vocab_size, config.extra_rows) @ params["extra_rows"]
    return jnp.where((ids >= config.vocab_size)[..., None], own, rows)


def logits(
    params: Params,
    config: ReaderConfig,
    encoding: Encoding,
    canvas: Canvas,
    tokens: Array,
    t: Array,
    embedding: Array,
) -> Array:
    """[B, N, V] log-probabilities of every canvas token: (1 - gate) x vocabulary + gate x copies of query tokens."""
    mixed = mixture(params, config, encoding, canvas, tokens, t, embedding)
    scores = jnp.einsum("bnd,vd->bnv", mixed.query, embedding.astype(jnp.float32))
    if config.extra_rows:
        scores = jnp.concatenate([scores, jnp.einsum("bnd,vd->bnv", mixed.query, params["extra_rows"])], -1)
    scores = scores.at[..., config.mask_id].set(NOTHING)
    composed = jax.nn.log_sigmoid(-mixed.copy_gate)[..., None] + jax.nn.log_softmax(scores, -1)
    copied = jnp.exp(jax.nn.log_sigmoid(mixed.copy_gate)[..., None] + mixed.pointer)
    rows, positions = jnp.arange(tokens.shape[0])[:, None, None], jnp.arange(tokens.shape[1])[None, :, None]
    ids = jnp.broadcast_to(encoding.token_ids[:, None], copied.shape)
    return jnp.log(jnp.exp(composed).at[rows, positions, ids].add(copied) + 1e-30)


def predict(params: Params, config: ReaderConfig, features: Features, tokens: Array, t: Array) -> Prediction:
    """The whole head in one call. Raises ConfigError where the features lack the query or the embedding."""
    if features.query is None or features.embedding is None:
        raise ConfigError("the reader needs query features and the base's embedding")
    encoding = encode(params, config, features.query)
    return Prediction(
        logits=logits(params, config, encoding, features.canvas, tokens, t, features.embedding),
        span_start=encoding.span_start,
        span_end=encoding.span_end,
        presence=encoding.presence,
        copied=encoding.copied,
        candidates=encoding.candidates,
    )


def _example(c: ReaderConfig) -> QueryFeatures:
    """Features of one row, field, token and candidate, of the widths of `c`."""
    zeros = jnp.zeros
    return QueryFeatures(
        **dict.fromkeys(("key_attention", "name_attention", "definition_attention"), zeros((1, 1, 1, c.attention))),
        token_logprob=zeros((1, 1, 1)),
        token_states=zeros((1, 1, c.token_states)),
        token_shape=zeros((1, 1, c.token_facts)),
        token_matches=zeros((1, 1, 1, c.token_matches)),
        token_ids=zeros((1, 1), jnp.int32),
        token_mask=jnp.ones((1, 1), bool),
        key_states=zeros((1, 1, c.key_states)),
        key_logprob=zeros((1, 1, c.telling)),
        field_facts=zeros((1, 1, c.field_facts)),
        field_kind=zeros((1, 1), jnp.int32),
        field_mask=jnp.ones((1, 1), bool),
        candidate_attention=zeros((1, 1, 1, 2 * c.attention)),
        candidate_facts=zeros((1, 1, 1, c.candidate_facts)),
        candidate_mask=jnp.ones((1, 1, 1), bool),
    )
