"""Hugging Face folders: configuration, tokenizer and chat template beside the weights."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from jaxdiff.errors import WeightsError

from ..hf_config import base_config_from_hf
from ..naming import HUGGING_FACE
from .safetensors_files import safetensors_tensors
from .source import Source, SourceTensor

# In the order of preference; each may stand alone or be split into shards named by `<file>.index.json`.
_WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")


def open_hf_folder(folder: Path) -> Source:
    """Reads configuration and headers; tensors are read when loaded.

    Raises WeightsError for missing or damaged files, ConfigError for an unsupported configuration.
    """
    config = _read_json(folder / "config.json")
    generation_file = folder / "generation_config.json"
    generation = _read_json(generation_file) if generation_file.exists() else {}
    tokenizer = folder / "tokenizer.json"
    if not tokenizer.is_file():
        raise WeightsError(f"{folder} has no tokenizer.json")
    return Source(
        path=folder,
        config=base_config_from_hf(config, str(folder / "config.json"), generation),
        tensors=tuple(_tensors(folder)),
        names=HUGGING_FACE,
        tokenizer=_read_text(tokenizer),
        chat_template=_chat_template(folder),
    )


def _tensors(folder: Path) -> Iterable[SourceTensor]:
    for name in _WEIGHT_FILES:
        if (folder / name).is_file():
            files = [folder / name]
        elif (folder / f"{name}.index.json").is_file():
            files = _shards(folder / f"{name}.index.json")
        else:
            continue
        if name.endswith(".safetensors"):
            return safetensors_tensors(files)
        from .torch_bin import torch_tensors

        return torch_tensors(files)
    raise WeightsError(f"{folder} has neither {' nor '.join(_WEIGHT_FILES)}, whole or in shards with an index")


def _shards(index: Path) -> list[Path]:
    """The shard files that an index names, each once. Raises WeightsError if one is missing or outside the folder."""
    weight_map = _read_json(index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise WeightsError(f"{index}: weight_map is missing")
    names = sorted(set(map(str, weight_map.values())))
    if outside := [name for name in names if Path(name).name != name]:
        raise WeightsError(f"{index}: shards outside the folder: {', '.join(outside)}")
    if absent := [name for name in names if not (index.parent / name).is_file()]:
        raise WeightsError(f"{index}: {len(absent)} shards are missing: {', '.join(absent)}")
    return [index.parent / name for name in names]


def _chat_template(folder: Path) -> str | None:
    separate, config = folder / "chat_template.jinja", folder / "tokenizer_config.json"
    if separate.is_file():
        return _read_text(separate)
    template = _read_json(config).get("chat_template") if config.is_file() else None
    if isinstance(template, list):  # several, by name
        template = {entry.get("name"): entry.get("template") for entry in template}.get("default")
    return template


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise WeightsError(f"{path}: cannot be read: {error}") from error


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise WeightsError(f"{path.parent} has no {path.name}")
    try:
        values = json.loads(_read_text(path))
    except json.JSONDecodeError as error:
        raise WeightsError(f"{path}: not valid JSON: {error}") from error
    if not isinstance(values, dict):
        raise WeightsError(f"{path}: not a JSON object")
    return values
