"""A random checkpoint of SmolLM3-3B's true shape in the exact layout of Hugging Face: 6.2 GB that mean nothing."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from pathlib import Path

import ml_dtypes
import numpy as np
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from jaxdiff.config import BaseConfig
from jaxdiff_convert.hf_export_config import generation_config, hf_config, tokenizer_config
from jaxdiff_convert.naming import HUGGING_FACE, leaf_shapes
from jaxdiff_convert.safetensors_writer import Tensor, write_safetensors

SHARD_BYTES = 5 * 10**9
_PART_VALUES = 1 << 22
_SPECIAL = 256


def write_checkpoint(folder: Path, config: BaseConfig, seed: int = 0) -> Path:
    """Writes configuration, tokenizer, and bfloat16 weights in shards with an index into the new `folder`."""
    folder.mkdir(parents=True)
    write_safetensors(folder, list(_tensors(config, seed)), SHARD_BYTES, lambda done, total: None)
    tokenizer = _tokenizer(config.vocab_size)
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    files = {
        "config.json": hf_config(config, "bfloat16"),
        "generation_config.json": generation_config(config),
        "tokenizer_config.json": tokenizer_config(config, tokenizer),
    }
    for name, values in files.items():
        (folder / name).write_text(json.dumps(values, indent=2), encoding="utf-8")
    return folder


def _tensors(config: BaseConfig, seed: int) -> Iterable[Tensor]:
    shapes = leaf_shapes(config)
    # Normal values drawn once and shifted from tensor to tensor: drawing three thousand million takes a minute.
    drawn = np.random.default_rng(seed).normal(scale=0.02, size=_PART_VALUES).astype(ml_dtypes.bfloat16)
    for rule in HUGGING_FACE.rules:
        if rule.leaf not in shapes:
            continue
        shape = shapes[rule.leaf][1:] if "{layer}" in rule.name else shapes[rule.leaf]
        shape = shape[::-1] if rule.leaf.endswith("/kernel") else shape
        for layer in range(config.num_layers) if "{layer}" in rule.name else (0,):
            yield _tensor(rule.name.format(layer=layer), shape, drawn)


def _tensor(name: str, shape: tuple[int, ...], drawn: np.ndarray) -> Tensor:
    def parts() -> Iterable[np.ndarray]:
        values = np.roll(drawn, sum(name.encode()))
        left = math.prod(shape)
        while left:
            yield values[:left]
            left -= len(values[:left])

    return Tensor(name, shape, drawn.dtype, parts)


def _tokenizer(vocab_size: int) -> Tokenizer:
    """Byte-level BPE with so many entries, 256 of them special, as that of SmolLM3 has."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = [*alphabet, *(f"{index:x}x" for index in range(vocab_size - _SPECIAL - len(alphabet)))]
    tokenizer = Tokenizer(models.BPE(vocab={word: index for index, word in enumerate(words)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = [f"<|reserved_special_token_{index}|>" for index in range(_SPECIAL)]
    tokenizer.add_special_tokens([AddedToken(token, normalized=False) for token in special])
    return tokenizer
