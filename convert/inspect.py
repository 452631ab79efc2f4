"""What a checkpoint, an adapter or a converted base holds, read from headers alone."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

from tokenizers import Tokenizer

from jaxdiff.base.card import CARD_FILE, read_card
from jaxdiff.config import BaseConfig
from jaxdiff.errors import WeightsError

from .adapter import ADAPTER_CONFIG, Adapter
from .naming import place
from .params import fingerprint, space_needed, stored_bytes
from .sources import Source, open_source
from .sources.files import read_json, weight_files
from .sources.hf_folder import WEIGHT_FILES
from .stored import open_stored
from .tokenizer import check_tokenizer, reserved_token_ids

Facts = dict[str, str]
"""What is said about a thing, in the order in which it is shown."""


def inspect(path: Path, adapter: Path | None = None) -> Facts:
    """Describes a Hugging Face folder, a GGUF file, a folder that holds an adapter alone, or a converted base.

    adapter: a LoRA, which is described too. Raises WeightsError, ConfigError for what cannot be converted or loaded.
    """
    if (path / CARD_FILE).is_file():
        return _converted(path)
    if (path / ADAPTER_CONFIG).is_file() and not (path / "config.json").is_file():
        return _adapter_alone(path)
    return _checkpoint(open_source(path, adapter))


def verify(path: Path) -> None:
    """Reads every parameter of a converted base. Raises WeightsError where they are not those that it was made with."""
    card = read_card(path)
    found = fingerprint(open_stored(path / "params"))
    if found != card["fingerprint"]:
        raise WeightsError(f"{path} is damaged: fingerprint {found} instead of {card['fingerprint']}")


def _checkpoint(source: Source) -> Facts:
    place(source.tensors, source.config, source.names, str(source.path))
    dtype = source.dtype()
    parameters = sum(math.prod(tensor.shape) for tensor in source.tensors)
    kinds = Counter(tensor.quantisation or tensor.dtype for tensor in source.tensors)
    facts = {"checkpoint": str(source.path), "weights": _files(source.path)} | _architecture(source.config)
    facts |= {
        "tensors": f"{len(source.tensors)} with {parameters:,} values",
        "types": ", ".join(f"{kind} ({count})" for kind, count in kinds.most_common()),
        "tokenizer": _tokenizer(check_tokenizer(source.tokenizer, source.config.vocab_size, str(source.path))),
        "chat template": "none" if source.chat_template is None else "yes",
    }
    if source.adapter is not None:
        facts["adapter"] = _adapter(source.adapter)
    stored, needed = stored_bytes(source.config, dtype), space_needed(source.config, dtype)
    facts["converted"] = f"{dtype}, {_size(stored)}; converting needs {_size(needed)} of disk"
    return facts


def _files(path: Path) -> str:
    files = weight_files(path, WEIGHT_FILES) if path.is_dir() else [path]
    number = "1 file" if len(files) == 1 else f"{len(files)} shards"
    return f"{number} ({files[0].suffix[1:]}), {_size(sum(file.stat().st_size for file in files))}"


def _converted(path: Path) -> Facts:
    card = read_card(path)
    config = BaseConfig.from_dict(card["config"])
    leaves = open_stored(path / "params")
    kinds = Counter(leaf.dtype.name for leaf in leaves.values())
    values = sum(math.prod(leaf.shape) for leaf in leaves.values())
    facts = {"converted base": card["name"], "converted from": card["source"]} | _architecture(config)
    text = (path / "tokenizer.json").read_text(encoding="utf-8")
    return facts | {
        "parameters": f"{len(leaves)} arrays with {values:,} values",
        "types": ", ".join(f"{kind} ({count})" for kind, count in kinds.most_common()),
        "size": _size(sum(leaf.nbytes for leaf in leaves.values())),
        "tokenizer": _tokenizer(check_tokenizer(text, config.vocab_size, str(path))),
        "chat template": "yes" if (path / "chat_template.jinja").is_file() else "none",
        "fingerprint": card["fingerprint"],
    }


def _adapter_alone(folder: Path) -> Facts:
    values = read_json(folder / ADAPTER_CONFIG)
    targets = values.get("target_modules") or []
    return {
        "adapter": f"{values.get('peft_type')}, r={values.get('r')}, lora_alpha={values.get('lora_alpha')}",
        "changes": targets if isinstance(targets, str) else ", ".join(sorted(map(str, targets))),
        "its base": str(values.get("base_model_name_or_path")),
        "to merge it": f"convert its base with --adapter {folder}",
    }


def _architecture(config: BaseConfig) -> Facts:
    nope = config.num_layers - sum(config.rope_layers)
    rope = f"{config.rope.kind}, theta {config.rope.theta:g}" + (f"; {nope} layers without" if nope else "")
    if config.rope.kind != "default":
        rope = rope.replace(",", f" x{config.rope.factor:g},", 1)
    return {
        "architecture": "SmolLM3" if nope else "Llama",
        "layers": f"{config.num_layers}, hidden {config.hidden_size}, inner {config.intermediate_size}",
        "heads": f"{config.num_heads}, {config.num_kv_heads} for keys and values, of {config.head_dim}",
        "vocabulary": f"{config.vocab_size}, output matrix {'tied' if config.tie_embeddings else 'of its own'}",
        "positions": f"{config.max_positions}, rotary embedding {rope}",
    }


def _tokenizer(tokenizer: Tokenizer) -> str:
    mask, _ = reserved_token_ids(tokenizer)
    special = len(tokenizer.get_added_tokens_decoder())
    reserved = "two of them reserved" if mask is not None else "none reserved for <MASK> and <NULL>"
    kind = type(tokenizer.model).__name__
    return f"{kind}, {tokenizer.get_vocab_size(with_added_tokens=True)} tokens, {special} added, {reserved}"


def _adapter(adapter: Adapter) -> str:
    places = f"{len(adapter.updates)} matrices ({', '.join(adapter.modules())})"
    return f"LoRA, r={adapter.rank}, lora_alpha={adapter.alpha:g}, {places}, trained on {adapter.base}"


def _size(size: int) -> str:
    return f"{size / 1e9:.2f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"
