"""Checkpoint formats, each read as a `Source`."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from jaxdiff.errors import WeightsError

from ..adapter import read_adapter
from .source import Source
from .tensor import FLOAT_DTYPES, SourceTensor

__all__ = ["FLOAT_DTYPES", "Source", "SourceTensor", "open_source"]


def open_source(path: str | Path, adapter: str | Path | None = None) -> Source:
    """Opens a Hugging Face folder (safetensors or `pytorch_model.bin`) or a GGUF file.

    adapter: PEFT folder of a LoRA to merge into it. Raises WeightsError where it is neither, or damaged; ConfigError
    where its configuration is not supported.
    """
    source = _open(Path(path))
    if adapter is None:
        return source
    return dataclasses.replace(source, adapter=read_adapter(Path(adapter), source.config))


def _open(path: Path) -> Source:
    if path.is_dir():
        from .hf_folder import open_hf_folder

        return open_hf_folder(path)
    if not path.exists():
        raise WeightsError(f"no such checkpoint: {path}")
    if path.suffix == ".gguf":
        from .gguf_file import open_gguf

        return open_gguf(path)
    raise WeightsError(f"{path}: neither a Hugging Face folder nor a .gguf file")
