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
from .source import Source, SourceTensor


def open_gguf(path: Path) -> Source:
    """Reads the metadata; tensors are dequantised to float32 one at a time when loaded.

    Raises WeightsError for a damaged file or an unknown tokenizer, ConfigError for another architecture.
    """
    try:
        reader = GGUFReader(path)
    except (ValueError, IndexError, KeyError, OverflowError, UnicodeDecodeError, OSError) as error:
        raise WeightsError(f"{path}: damaged or incomplete GGUF file: {_one_line(error)}") from error

    def metadata(key: str) -> Any:
        field = reader.get_field(key)
        return None if field is None else field.contents()

    tied = all(tensor.name != GGUF_LLAMA.output for tensor in reader.tensors)
    return Source(
        path=path,
        config=base_config_from_gguf(metadata, tie_embeddings=tied, place=str(path)),
        tensors=tuple(_tensor(path, tensor) for tensor in reader.tensors),
        names=GGUF_LLAMA,
        tokenizer=tokenizer_from_gguf(metadata, str(path)),
        chat_template=metadata("tokenizer.chat_template"),
    )


def _tensor(path: Path, tensor: ReaderTensor) -> SourceTensor:
    shape = tuple(int(size) for size in reversed(tensor.shape))
    return SourceTensor(tensor.name, shape, "float32", functools.partial(_load, path, tensor, shape))


def _load(path: Path, tensor: ReaderTensor, shape: tuple[int, ...]) -> np.ndarray:
    kind = GGMLQuantizationType(tensor.tensor_type)
    try:
        return dequantize(tensor.data, kind).astype(np.float32, copy=False).reshape(shape)
    except NotImplementedError as error:
        raise WeightsError(f"{path}: {tensor.name}: quantisation {kind.name} is not supported") from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
