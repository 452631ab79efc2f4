"""Layers and blocks of the `residual` head, as pure functions over plain dicts.

Shapes: B rows, N canvas positions, H hidden size.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from jaxdiff.diffusion.residual_config import ResidualConfig

Params = dict[str, Any]

LAYER_NORM_EPS = 1e-5


def sinusoidal_positions(length: int, width: int) -> Array:
    """[length, width] float32: sine in even, cosine in odd columns, base 10000 (Vaswani et al., arXiv 1706.03762)."""
    frequency = jnp.exp(jnp.arange(0, width, 2, dtype=jnp.float32) * (-jnp.log(10000.0) / width))
    angle = jnp.arange(length, dtype=jnp.float32)[:, None] * frequency[None]
    return jnp.stack([jnp.sin(angle), jnp.cos(angle)], axis=-1).reshape(length, width)


def linear_init(key: Array, inputs: int, outputs: int) -> Params:
    """A matrix [inputs, outputs] and a bias."""
    return {
        "kernel": jax.nn.initializers.lecun_normal()(key, (inputs, outputs), jnp.float32),
        "bias": jnp.zeros(outputs, jnp.float32),
    }


def rows_init(key: Array, rows: int, width: int) -> Array:
    """[rows, width] embedding rows."""
    return 0.02 * jax.random.normal(key, (rows, width), jnp.float32)


def _norm_init(width: int) -> Params:
    return {"scale": jnp.ones(width, jnp.float32), "bias": jnp.zeros(width, jnp.float32)}


def block_init(key: Array, config: ResidualConfig) -> Params:
    """Parameters of one block of the configured kind."""
    keys, h = jax.random.split(key, 4), config.hidden_size
    if config.block == "residual":
        return {"inner": linear_init(keys[0], h, h), "norm": _norm_init(h), "outer": linear_init(keys[1], h, h)}
    return {
        "norm_attention": _norm_init(h),
        "qkv": linear_init(keys[0], h, 3 * h),
        "out": linear_init(keys[1], h, h),
        "norm_wide": _norm_init(h),
        "wide": linear_init(keys[2], h, 4 * h),
        "narrow": linear_init(keys[3], 4 * h, h),
    }


def prompt_attention_init(key: Array, width: int) -> Params:
    """Parameters of `prompt_attention`."""
    keys = jax.random.split(key)
    return {
        "qkv": linear_init(keys[0], width, 3 * width),
        "out": linear_init(keys[1], width, width),
        "norm": _norm_init(width),
    }


def linear(params: Params, x: Array) -> Array:
    """x [..., inputs] -> [..., outputs]."""
    return jnp.matmul(x, params["kernel"]) + params["bias"].reshape((1,) * (x.ndim - 1) + (-1,))


def _layer_norm(params: Params, x: Array) -> Array:
    x = jax.nn.standardize(x, axis=-1, epsilon=LAYER_NORM_EPS)
    return x * params["scale"][None, None] + params["bias"][None, None]


def residual_block(params: Params, x: Array) -> Array:
    """x + Linear(LayerNorm(GELU(Linear(x)))), [B, N, H], at each position alone."""
    inner = jax.nn.gelu(linear(params["inner"], x), approximate=False)
    return x + linear(params["outer"], _layer_norm(params["norm"], inner))


def prompt_attention(params: Params, num_heads: int, x: Array, prompt: Array, exists: Array) -> Array:
    """Post-norm attention of x [B, N, H] to a prompt [B, P, H] whose tokens exist ([B, P] bool): [B, N, H]."""
    rows, length, width = x.shape
    kernels = jnp.split(params["qkv"]["kernel"], 3, axis=1)
    biases = jnp.split(params["qkv"]["bias"], 3)
    q, k, v = (
        linear({"kernel": kernel, "bias": bias}, read).reshape(rows, -1, num_heads, width // num_heads)
        for kernel, bias, read in zip(kernels, biases, (x, prompt, prompt), strict=True)
    )
    attended = jax.nn.dot_product_attention(q, k, v, mask=exists[:, None, None, :])
    return _layer_norm(params["norm"], x + linear(params["out"], attended.reshape(rows, length, width)))


def attention_block(params: Params, num_heads: int, exists: Array, x: Array) -> Array:
    """Pre-norm attention over the positions that exist ([B, N] bool), then a GELU network: x [B, N, H]."""
    rows, length, width = x.shape
    qkv = linear(params["qkv"], _layer_norm(params["norm_attention"], x))
    q, k, v = jnp.split(qkv.reshape(rows, length, 3 * num_heads, -1), 3, axis=2)
    attended = jax.nn.dot_product_attention(q, k, v, mask=exists[:, None, None, :])
    x = x + linear(params["out"], attended.reshape(rows, length, width))
    wide = jax.nn.gelu(linear(params["wide"], _layer_norm(params["norm_wide"], x)), approximate=False)
    return x + linear(params["narrow"], wide)
