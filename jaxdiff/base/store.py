"""Converted bases on disk: where they are kept, and reading one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import jax.numpy as jnp
import platformdirs
from jax.sharding import Mesh
from tokenizers import Tokenizer

from jaxdiff.base.card import CARD_FILE, read_card
from jaxdiff.base.frozen import FrozenBase
from jaxdiff.base.restore import check_mesh, parameter_shapes, parameter_shardings, restore
from jaxdiff.config import BaseConfig
from jaxdiff.errors import InputError, WeightsError
from jaxdiff.sharding import BASE_RULES, ShardingRules

DTYPES = {"float32": jnp.float32, "bfloat16": jnp.bfloat16}


def cache_dir() -> Path:
    """The user's cache folder for bases and downloads; `JAXDIFF_CACHE` moves it."""
    return Path(os.environ.get("JAXDIFF_CACHE") or platformdirs.user_cache_dir("jaxdiff"))


def load_base(
    name_or_path: str | os.PathLike[str] = "default",
    *,
    dtype: str | None = None,
    mesh: Mesh | None = None,
    rules: ShardingRules = BASE_RULES,
) -> FrozenBase:
    """Loads a base by name ("default"), converted folder, checkpoint (folder or .gguf) or hub repository.

    What is not converted yet is converted once into the cache. dtype: "float32" or "bfloat16", the type in which the
    base computes and is held (matrices of an int8 base stay int8); default: as stored. mesh: of devices (see
    `jaxdiff.sharding.make_mesh`), over which `rules` divide the parameters, each process reading only the parts of its
    own devices; default: the first device of this process. Raises WeightsError, DownloadError, ConfigError (also for a
    mesh that the rules do not fit) or InputError.
    """
    check_mesh(mesh, rules)
    if dtype is not None and dtype not in DTYPES:
        raise InputError(f"dtype {dtype!r} is not known; choose from {', '.join(DTYPES)}")
    folder = Path(name_or_path)
    if not is_converted(folder):
        from jaxdiff_convert.registry import ensure_base

        folder = ensure_base(str(name_or_path), cache_dir())
    return read_base(folder, dtype=dtype, mesh=mesh, rules=rules)


def is_converted(folder: Path) -> bool:
    """True for a folder that `convert` has written."""
    return (folder / CARD_FILE).is_file()


def read_base(
    folder: Path, *, dtype: str | None = None, mesh: Mesh | None = None, rules: ShardingRules = BASE_RULES
) -> FrozenBase:
    """Reads a converted folder. Raises WeightsError naming what is missing or damaged; the rest: see `load_base`."""
    card = read_card(folder)
    with _one_line_for_damage(folder):
        config = BaseConfig.from_dict(card["config"])
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        _read_special_tokens_as_text(tokenizer)
        template = folder / "chat_template.jinja"
        chat_template = template.read_text() if template.is_file() else None
    stored = card["dtype"] if card["dtype"] in DTYPES else "float32"
    storage = card.get("storage", "float")
    shapes = parameter_shapes(config, storage)
    shardings = parameter_shardings(shapes, mesh, rules)
    with _one_line_for_damage(folder):
        params = restore(folder / "params", shapes, DTYPES[dtype or stored], shardings)
    return FrozenBase(
        config=config,
        params=params,
        tokenizer=tokenizer,
        name=card["name"],
        fingerprint=card["fingerprint"],
        dtype=DTYPES[dtype or stored],
        chat_template=chat_template,
        storage=storage,
        quantised_from=card.get("quantised_from"),
    )


@contextmanager
def _one_line_for_damage(folder: Path) -> Iterator[None]:
    try:
        yield
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
