"""Hugging Face folders: configuration, tokenizer and chat template beside the weights."""

from __future__ import annotations

from pathlib import Path

from jaxdiff.errors import WeightsError

from ..adapter import ADAPTER_CONFIG
from ..hf_config import base_config_from_hf
from ..naming import HUGGING_FACE
from .files import read_json, read_text, weight_tensors
from .source import Source

WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")
"""In the order of preference."""


def open_hf_folder(folder: Path) -> Source:
    """Reads configuration and headers; tensors are read when loaded.

    Raises WeightsError for missing or damaged files, ConfigError for an unsupported configuration.
    """
    if (folder / ADAPTER_CONFIG).is_file() and not (folder / "config.json").is_file():
        raise WeightsError(f"{folder} holds an adapter alone; convert its base model and name this folder as --adapter")
    config = read_json(folder / "config.json")
    generation_file = folder / "generation_config.json"
    generation = read_json(generation_file) if generation_file.exists() else {}
    tokenizer = folder / "tokenizer.json"
    if not tokenizer.is_file():
        raise WeightsError(f"{folder} has no tokenizer.json")
    return Source(
        path=folder,
        config=base_config_from_hf(config, str(folder / "config.json"), generation),
        tensors=tuple(weight_tensors(folder, WEIGHT_FILES)),
        names=HUGGING_FACE,
        tokenizer=read_text(tokenizer),
        chat_template=_chat_template(folder),
    )


def _chat_template(folder: Path) -> str | None:
    separate, config = folder / "chat_template.jinja", folder / "tokenizer_config.json"
    if separate.is_file():
        return read_text(separate)
    template = read_json(config).get("chat_template") if config.is_file() else None
    if isinstance(template, list):  # several, by name
        template = {entry.get("name"): entry.get("template") for entry in template}.get("default")
    return template
