"""GGUF files of the `llama` architecture, dequantised with the `gguf` package."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGUFReader, ReaderTensor
from gguf.constants import GGMLQuantizationType
from gguf.quants import dequantize

from jaxdiff.errors import WeightsError

from ..gguf_config import base_config_from_gguf
from ..naming import GGUF_LLAMA
from ..tokenizer import tokenizer_from_gguf
from .gguf_header import check_header
from .source import Source
from .tensor import SourceTensor

# Type of every value that conversion reads.
_TYPES: dict[str, type] = {
    "general.architecture": str,
    "tokenizer.chat_template": str,
    "tokenizer.ggml.model": str,
    "tokenizer.ggml.pre": str,
    "tokenizer.ggml.eos_token_id": int,
    "tokenizer.ggml.eot_token_id": int,
    "llama.attention.layer_norm_rms_epsilon": float,
    "llama.rope.freq_base": float,
    "llama.rope.scaling.factor": float,
    "llama.rope.scaling.type": str,
}
_LISTS: dict[str, type] = {
    "tokenizer.ggml.tokens": str,
    "tokenizer.ggml.merges": str,
    "tokenizer.ggml.token_type": int,
}


def open_gguf(path: Path) -> Source:
    """Reads the metadata; tensors are dequantised to float32 one at a time when loaded.

    Raises WeightsError for a damaged file or an unknown tokenizer, ConfigError for another architecture.
    """
    try:
        check_header(path)
        reader = GGUFReader(path)
    except Exception as error:  # the reader believes every number in the file: damage ends in errors of all kinds
        raise WeightsError(f"{path}: damaged or incomplete GGUF file: {_one_line(error)}") from error

    def metadata(key: str) -> Any:
        return _metadata(reader, path, key)

    tied = all(tensor.name != GGUF_LLAMA.output for tensor in reader.tensors)
    return Source(
        path=path,
        config=base_config_from_gguf(metadata, tie_embeddings=tied, place=str(path)),
        tensors=tuple(_tensor(path, tensor) for tensor in reader.tensors),
        names=GGUF_LLAMA,
        tokenizer=tokenizer_from_gguf(metadata, str(path)),
        chat_template=metadata("tokenizer.chat_template"),
    )


def _metadata(reader: GGUFReader, path: Path, key: str) -> Any:
    """The value of a key, None where absent. Raises WeightsError for one of another type than it must have."""
    field = reader.get_field(key)
    if field is None:
        return None
    try:
        value = field.contents()
    except Exception as error:  # as above
        raise WeightsError(f"{path}: damaged GGUF metadata {key}: {_one_line(error)}") from error
    if key in _LISTS:
        fits = isinstance(value, list) and all(type(entry) is _LISTS[key] for entry in value)
    else:
        fits = type(value) is _TYPES.get(key, int)
    if not fits:
        raise WeightsError(f"{path}: GGUF metadata {key} is of type {type(value).__name__}, or holds values of another")
    return value


def _tensor(path: Path, tensor: ReaderTensor) -> SourceTensor:
    shape = tuple(int(size) for size in reversed(tensor.shape))
    load = functools.partial(_load, path, tensor, shape)
    return SourceTensor(tensor.name, shape, "float32", load, GGMLQuantizationType(tensor.tensor_type).name)


def _load(path: Path, tensor: ReaderTensor, shape: tuple[int, ...]) -> np.ndarray:
    kind = GGMLQuantizationType(tensor.tensor_type)
    try:
        return dequantize(tensor.data, kind).astype(np.float32, copy=False).reshape(shape)
    except NotImplementedError as error:
        raise WeightsError(f"{path}: {tensor.name}: quantisation {kind.name} is not supported") from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
