"""Checkpoint -> converted base folder, written beside its place and moved there when whole."""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from jaxdiff.base.card import CARD_FILE
from jaxdiff.errors import ConfigError, WeightsError

from .card import write_card
from .exclusive import exclusive
from .params import assemble, fingerprint, save, stored_bytes
from .sources import FLOAT_DTYPES, Source, open_source
from .staging import Staging
from .tokenizer import check_tokenizer, reserved_token_ids

_SPACE_FACTOR = 2.05  # of the parameters alone: staged and written, and 5% for tokenizer and indexes


def _silent(done: int, total: int) -> None:
    pass


def convert(
    src: str | Path,
    out: str | Path,
    *,
    name: str | None = None,
    dtype: str | None = None,
    adapter: str | Path | None = None,
    overwrite: bool = False,
    source: str | None = None,
    report: Callable[[int, int], None] = _silent,
) -> Path:
    """Converts the checkpoint `src` (Hugging Face folder or GGUF file) to the base folder `out` and returns it.

    name: of the base, by default that of the source. dtype: of the stored parameters (float32, bfloat16, float16), by
    default the source's, float32 where that is quantised. adapter: PEFT folder of a LoRA to merge into the weights.
    source: what the folder names as its origin, by default the path. report: called with the number of tensors done and
    their total. Raises WeightsError, ConfigError. Whatever ends it early, `out` is whole or as it was.
    """
    out = Path(out).absolute()
    if dtype is not None and dtype not in FLOAT_DTYPES:
        raise ConfigError(f"{dtype=} is not supported; known: {', '.join(FLOAT_DTYPES)}")
    _require_free(out, overwrite)
    opened = open_source(src, adapter)
    origin = source or (str(src) if adapter is None else f"{src} with the adapter {adapter}")
    partial = out.with_name(f".{out.name}.partial")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        # Whoever holds the lock is the only one to write `partial`: one that is there already was left by a dead run.
        with exclusive(out.with_name(f".{out.name}.lock")):
            _restore_replaced(out)
            _require_free(out, overwrite)
            shutil.rmtree(partial, ignore_errors=True)
            try:
                _write(opened, partial, name or _name_of(opened.path), dtype or opened.dtype(), origin, report)
                _replace(partial, out)
            finally:
                shutil.rmtree(partial, ignore_errors=True)
    except OSError as error:
        raise WeightsError(f"cannot write {out}: {error.strerror or error}") from error
    return out


def _write(
    source: Source, folder: Path, name: str, dtype: str, origin: str, report: Callable[[int, int], None]
) -> None:
    tokenizer = check_tokenizer(source.tokenizer, source.config.vocab_size, str(source.path))
    mask_token_id, null_token_id = reserved_token_ids(tokenizer)
    config = dataclasses.replace(source.config, mask_token_id=mask_token_id, null_token_id=null_token_id)
    _require_space(folder.parent, stored_bytes(config, dtype))
    staging = folder / "staging"
    leaves = assemble(source, dtype, Staging(staging), report)
    save(folder / "params", leaves)
    digest = fingerprint(leaves)
    del leaves
    shutil.rmtree(staging)
    (folder / "tokenizer.json").write_text(source.tokenizer, encoding="utf-8")
    if source.chat_template is not None:
        (folder / "chat_template.jinja").write_text(source.chat_template, encoding="utf-8")
    write_card(folder, name=name, config=config, dtype=dtype, source=origin, fingerprint=digest)


def _require_space(folder: Path, needed: int) -> None:
    """Checked beforehand, because the storage layer fills the terminal with tracebacks on a full disk."""
    free = shutil.disk_usage(folder).free
    if free < needed * _SPACE_FACTOR:
        raise WeightsError(
            f"{folder} has {free / 1e6:.0f} MB free; converting needs {needed * _SPACE_FACTOR / 1e6:.0f} MB, "
            f"half of it until it is done"
        )


def _name_of(path: Path) -> str:
    path = path.resolve()
    return path.name if path.is_dir() else path.stem


def _require_free(out: Path, overwrite: bool) -> None:
    if not out.exists():
        return
    if not overwrite:
        raise WeightsError(f"{out} exists already; choose another folder or overwrite it")
    if not (out / CARD_FILE).is_file():
        raise WeightsError(f"{out} is not a converted base and is therefore not overwritten")


def _replaced(out: Path) -> Path:
    return out.with_name(f".{out.name}.replaced")


def _replace(new: Path, out: Path) -> None:
    """Moves `new` to `out`; what stood there is removed afterwards."""
    old = _replaced(out)
    shutil.rmtree(old, ignore_errors=True)
    if out.exists():
        os.rename(out, old)
    os.rename(new, out)
    shutil.rmtree(old, ignore_errors=True)


def _restore_replaced(out: Path) -> None:
    """Puts back what a run moved away that died before it put the new folder there."""
    if not out.exists() and _replaced(out).exists():
        os.rename(_replaced(out), out)
