"""Floating-point operations: what reading a token takes, and what devices can do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from jaxdiff.config import BaseConfig

# Dense bfloat16 operations a second of one device, from the makers' data sheets.
PEAK = {
    "TPU v4": 275e12,
    "TPU v5 lite": 197e12,
    "TPU v5e": 197e12,
    "TPU v5": 459e12,
    "TPU v5p": 459e12,
    "TPU v6 lite": 918e12,
    "TPU v6e": 918e12,
    "NVIDIA A100": 312e12,
    "NVIDIA H100": 989e12,
    "NVIDIA H200": 989e12,
}


def forward_flops(config: BaseConfig, tokens: int, context: int) -> float:
    """Operations of reading `tokens` tokens of one row that attend to `context` slots each, masked ones included.

    A product of [a, b] and [b, c] counts 2abc; norms, rotations and the unembedding are left out.
    """
    attention = config.hidden_size * config.head_dim * 2 * (config.num_heads + config.num_kv_heads)
    mlp = 3 * config.hidden_size * config.intermediate_size
    mixing = 2 * config.num_heads * config.head_dim * context
    return 2.0 * tokens * config.num_layers * (attention + mlp + mixing)


def peak_flops(devices: Sequence[Any]) -> float | None:
    """Operations a second of all devices together, None where their kind is not known."""
    known = sorted((name for name in PEAK if devices[0].device_kind.startswith(name)), key=len)
    return PEAK[known[-1]] * len(devices) if known else None
