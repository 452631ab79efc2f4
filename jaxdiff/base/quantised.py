"""Weights held as int8, with one scale for each output: a quarter of float32, half of bfloat16.

Symmetric weight-only quantisation by rounding to the nearest (as in LLM.int8(), arXiv 2208.07339, without its outliers,
which are kept by the activations staying in floating point). The scale of an output is its largest absolute weight over
127, so x @ (kernel * scale) = (x @ kernel) * scale: int8 crosses from memory, the product is in the model's type.
"""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax.numpy as jnp
from jax import Array

SCALE_SUFFIX = "_scale"


class Int8Dense(nn.Module):
    """x [..., inputs] -> [..., features], from a kernel [inputs, features] int8 and its scales [features] float32."""

    features: int
    dtype: Any

    @nn.compact
    def __call__(self, x: Array) -> Array:
        kernel = self.param("kernel", nn.initializers.zeros, (x.shape[-1], self.features), jnp.int8)
        scale = self.param("kernel_scale", nn.initializers.ones, (self.features,), jnp.float32)
        return _scaled(jnp.matmul(x.astype(self.dtype), kernel.astype(self.dtype)), scale)


class Int8Embed(nn.Module):
    """The tied embedding: rows [V, D] int8 and a scale [V] float32 for each of them, which is an output going out."""

    num_embeddings: int
    features: int
    dtype: Any

    def setup(self) -> None:
        shape = (self.num_embeddings, self.features)
        self.embedding = self.param("embedding", nn.initializers.zeros, shape, jnp.int8)
        self.embedding_scale = self.param("embedding_scale", nn.initializers.ones, shape[:1], jnp.float32)

    def __call__(self, ids: Array) -> Array:
        """States [..., D] of ids [...]."""
        return rows_of(self.embedding[ids], self.embedding_scale[ids], self.dtype)

    def attend(self, states: Array) -> Array:
        """Logits [..., V] of states [..., D]."""
        product = jnp.einsum("...d,vd->...v", states.astype(self.dtype), self.embedding.astype(self.dtype))
        return _scaled(product, self.embedding_scale)


def _scaled(product: Array, scale: Array) -> Array:
    """[..., outputs] times [outputs]; a scale rounded to bfloat16 would be off for all of its output's weights."""
    wide = product.astype(jnp.float32) * scale.reshape((1,) * (product.ndim - 1) + (-1,))
    return wide.astype(product.dtype)


def rows_of(rows: Array, scale: Array, dtype: Any) -> Array:
    """Rows [..., D] int8 with a scale [...] for each -> [..., D] of the type."""
    return (rows.astype(jnp.float32) * scale[..., None]).astype(dtype)


def embedding_of(table: dict[str, Any], storage: str, dtype: Any) -> Array:
    """[V, D] the token embedding of `table`, the base's parameters of that name; where they are int8, as floats."""
    if storage == "int8":
        return rows_of(table["embedding"], table["embedding_scale"], dtype)
    embedding: Array = table["embedding"]
    return embedding


def dense(storage: str, features: int, dtype: Any, name: str | None = None) -> nn.Module:
    """A projection without bias whose kernel is held as `storage` says."""
    if storage == "int8":
        return Int8Dense(features, dtype, name=name)
    return nn.Dense(features, use_bias=False, dtype=dtype, name=name)
