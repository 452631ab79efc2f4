"""Converted bases on disk: where they are kept, and reading one."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import platformdirs
from tokenizers import Tokenizer

from jaxdiff.base.card import CARD_FILE, read_card
from jaxdiff.base.frozen import FrozenBase
from jaxdiff.base.module import SmolLM
from jaxdiff.config import BaseConfig
from jaxdiff.errors import InputError, WeightsError

DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}


def cache_dir() -> Path:
    """The user's cache folder for bases and downloads; `JAXDIFF_CACHE` moves it."""
    return Path(os.environ.get("JAXDIFF_CACHE") or platformdirs.user_cache_dir("jaxdiff"))


def load_base(name_or_path: str | os.PathLike[str] = "default", *, dtype: str | None = None) -> FrozenBase:
    """Loads a base by name ("default"), converted folder, checkpoint (folder or .gguf) or hub repository.

    What is not converted yet is converted once into the cache. dtype: "float32" or "bfloat16", the type in which the
    base computes and is held; default: as stored. Raises WeightsError, DownloadError or ConfigError.
    """
    if dtype is not None and dtype not in DTYPES:
        raise InputError(f"dtype {dtype!r} is not known; choose from {', '.join(DTYPES)}")
    folder = Path(name_or_path)
    if not is_converted(folder):
        from jaxdiff_convert.registry import ensure_base

        folder = ensure_base(str(name_or_path), cache_dir())
    return read_base(folder, dtype=dtype)


def is_converted(folder: Path) -> bool:
    """True for a folder that `convert` has written."""
    return (folder / CARD_FILE).is_file()


def read_base(folder: Path, *, dtype: str | None = None) -> FrozenBase:
    """Reads a converted folder. Raises WeightsError naming what is missing or damaged."""
    card = read_card(folder)
    try:
        config = BaseConfig.from_dict(card["config"])
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        _read_special_tokens_as_text(tokenizer)
        template = folder / "chat_template.jinja"
        stored = card["dtype"] if card["dtype"] in DTYPES else "float32"
        params = _restore(folder / "params", config, DTYPES[dtype or stored])
        return FrozenBase(
            config=config,
            params=params,
            tokenizer=tokenizer,
            name=card["name"],
            fingerprint=card["fingerprint"],
            dtype=DTYPES[dtype or stored],
            chat_template=template.read_text() if template.is_file() else None,
        )
    except WeightsError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        raise WeightsError(f"{folder}: not a readable converted base ({type(error).__name__}: {reason})") from error


def _read_special_tokens_as_text(tokenizer: Tokenizer) -> None:
    # A user's "<|im_start|>" must not open a turn: special tokens enter prompts by id alone (FrozenBase.special).
    # Checkpoints leave some added tokens, such as SmolLM3's "<think>", unmarked; marked here, they keep their ids.
    tokenizer.add_special_tokens([token.content for token in tokenizer.get_added_tokens_decoder().values()])
    tokenizer.encode_special_tokens = True


def _restore(path: Path, config: BaseConfig, dtype: Any) -> dict[str, Any]:
    # Orbax warns that no sharding was asked for; one device is what is wanted here.
    logging.getLogger("absl").setLevel(logging.ERROR)
    sharding = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, dtype, sharding=sharding), parameter_shapes(config))
    with ocp.StandardCheckpointer() as checkpointer:
        # Orbax finds out while it reads, and then leaves tracebacks of its unfinished reads on the terminal.
        stored, expected = _sizes(checkpointer.metadata(path.resolve()).item_metadata.tree), _sizes(shapes)
        differing = sorted(leaf for leaf in stored.keys() | expected.keys() if stored.get(leaf) != expected.get(leaf))
        if differing:
            leaf = differing[0]
            raise WeightsError(
                f"{path}: parameters do not fit the configuration ({len(differing)} in all), first {leaf}: "
                f"stored {stored.get(leaf)}, expected {expected.get(leaf)}"
            )
        restored: dict[str, Any] = checkpointer.restore(path.resolve(), shapes)
    # Pages that were never written, as after a crash, read as zeros.
    leaves = jax.tree_util.tree_leaves_with_path(restored)
    empty = [jax.tree_util.keystr(name, simple=True, separator="/") for name, leaf in leaves if not leaf.any()]
    if empty:
        raise WeightsError(f"{path}: nothing but zeros in {', '.join(empty)}; convert the checkpoint again")
    return restored


def _sizes(tree: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): tuple(leaf.shape) for path, leaf in leaves}


def parameter_shapes(config: BaseConfig) -> dict[str, Any]:
    """Shapes of all parameters of a base, without making them."""
    module = SmolLM(config)
    ids = np.zeros((1, 1), np.int32)
    mask = np.ones((1, 1, 1), bool)
    return jax.eval_shape(lambda: module.init(jax.random.key(0), ids, ids, mask, method="logits"))["params"]
