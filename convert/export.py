"""Converted base folder -> Hugging Face folder with safetensors."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from jaxdiff.base.card import read_card
from jaxdiff.config import BaseConfig
from jaxdiff.errors import ConfigError, WeightsError

from .hf_export_config import generation_config, hf_config, tokenizer_config
from .naming import HUGGING_FACE, Leaf, leaf_shapes
from .params import stored_bytes
from .replacing import replacing, require_space
from .safetensors_writer import Tensor, write_safetensors
from .sources import FLOAT_DTYPES
from .staging import slabs
from .stored import StoredLeaf, open_stored
from .tokenizer import check_tokenizer

_SPACE_FACTOR = 1.02  # of the parameters alone, for tokenizer and headers
GIGABYTE = 10**9


def export_base(
    path: str | Path,
    out: str | Path,
    *,
    overwrite: bool = False,
    shard_bytes: int = 5 * GIGABYTE,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> Path:
    """Writes the converted base folder `path` as the folder `out` that `transformers` loads, and returns it.

    The parameters keep their stored type, bit for bit. shard_bytes: size beyond which they are divided into several
    files. report: called with the number of tensors done and their total. Raises WeightsError, ConfigError. Whatever
    ends it early, `out` is whole or as it was.
    """
    path, out = Path(path), Path(out).absolute()
    if shard_bytes < 1:
        raise ConfigError(f"{shard_bytes=} must be at least 1")
    card = read_card(path)
    config = BaseConfig.from_dict(card["config"])
    leaves = open_stored(path / "params")
    _require_plain(leaves, config, card["dtype"], path)
    text = (path / "tokenizer.json").read_text(encoding="utf-8")
    tokenizer = check_tokenizer(text, config.vocab_size, str(path))
    template = path / "chat_template.jinja"
    with replacing(out, overwrite=overwrite, marker="config.json", kind="Hugging Face folder") as folder:
        require_space(out.parent, int(stored_bytes(config, card["dtype"]) * _SPACE_FACTOR), "exporting")
        folder.mkdir()
        write_safetensors(folder, list(_tensors(leaves, config)), shard_bytes, report)
        (folder / "tokenizer.json").write_text(text, encoding="utf-8")
        if template.is_file():
            shutil.copyfile(template, folder / template.name)
        _write_json(folder / "tokenizer_config.json", tokenizer_config(config, tokenizer))
        _write_json(folder / "generation_config.json", generation_config(config))
        _write_json(folder / "config.json", hf_config(config, card["dtype"]))
    return out


def _require_plain(leaves: dict[Leaf, StoredLeaf], config: BaseConfig, dtype: str, path: Path) -> None:
    stored = {leaf: (value.shape, value.dtype.name) for leaf, value in leaves.items()}
    if stored != {leaf: (shape, dtype) for leaf, shape in leaf_shapes(config).items()} or dtype not in FLOAT_DTYPES:
        raise WeightsError(f"{path}: only parameters stored in {', '.join(FLOAT_DTYPES)} can be exported")


def _tensors(leaves: dict[Leaf, StoredLeaf], config: BaseConfig) -> Iterable[Tensor]:
    layers = range(config.num_layers)
    for rule in HUGGING_FACE.rules:
        if rule.leaf not in leaves:
            continue
        numbers: Iterable[int | None] = layers if "{layer}" in rule.name else (None,)
        for layer in numbers:
            yield _tensor(rule.name.format(layer=layer), leaves[rule.leaf], layer, rule.leaf.endswith("/kernel"))


def _tensor(name: str, leaf: StoredLeaf, layer: int | None, transposed: bool) -> Tensor:
    shape = leaf.shape if layer is None else leaf.shape[1:]

    def parts() -> Iterable[np.ndarray]:
        if layer is not None or transposed:
            value = leaf[:] if layer is None else leaf[layer]
            yield value.T if transposed else value
            return
        for start, stop in slabs(leaf.shape, leaf.nbytes):
            yield leaf[start:stop]

    return Tensor(name, shape[::-1] if transposed else shape, leaf.dtype, parts)


def _write_json(path: Path, values: dict[str, object]) -> None:
    path.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
