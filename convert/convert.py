"""Checkpoint -> converted base folder, written beside its place and moved there when whole."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path

from jaxdiff.base.card import CARD_FILE
from jaxdiff.errors import ConfigError

from .card import write_card
from .params import assemble, fingerprint, save, space_needed
from .replacing import replacing, require_space
from .sources import FLOAT_DTYPES, Source, open_source
from .staging import Staging
from .tokenizer import check_tokenizer, reserved_token_ids


def _silent(done: int, total: int) -> None:
    pass


def convert(
    src: str | Path,
    out: str | Path,
    *,
    name: str | None = None,
    dtype: str | None = None,
    adapter: str | Path | None = None,
    int8: bool = False,
    overwrite: bool = False,
    source: str | None = None,
    report: Callable[[int, int], None] = _silent,
) -> Path:
    """Converts the checkpoint `src` (Hugging Face folder or GGUF file) to the base folder `out` and returns it.

    name: of the base, by default that of the source. dtype: of the stored parameters (float32, bfloat16, float16), by
    default the source's, float32 where that is quantised. adapter: PEFT folder of a LoRA to merge into the weights.
    int8: matrices are rounded to it, the rest keeps `dtype`; heads of the base that would be written without it serve
    this one too. source: what the folder names as its origin, by default the path. report: called with the number of
    tensors done and their total. Raises WeightsError, ConfigError. Whatever ends it early, `out` is whole or as it was.
    """
    out = Path(out).absolute()
    if dtype is not None and dtype not in FLOAT_DTYPES:
        raise ConfigError(f"{dtype=} is not supported; known: {', '.join(FLOAT_DTYPES)}")
    with replacing(out, overwrite=overwrite, marker=CARD_FILE, kind="converted base") as partial:
        opened = open_source(src, adapter)
        origin = source or (str(src) if adapter is None else f"{src} with the adapter {adapter}")
        _write(opened, partial, name or _name_of(opened.path), dtype or opened.dtype(), int8, origin, report)
    return out


def _write(
    source: Source,
    folder: Path,
    name: str,
    dtype: str,
    int8: bool,
    origin: str,
    report: Callable[[int, int], None],
) -> None:
    tokenizer = check_tokenizer(source.tokenizer, source.config.vocab_size, str(source.path))
    mask_token_id, null_token_id = reserved_token_ids(tokenizer)
    config = dataclasses.replace(source.config, mask_token_id=mask_token_id, null_token_id=null_token_id)
    require_space(folder.parent, space_needed(config, dtype), "converting")
    staging = folder / "staging"
    stage = Staging(staging)
    leaves = assemble(source, dtype, stage, report)
    unrounded = None
    if int8:
        # Here, for it loads JAX.
        from .quantise import quantised

        unrounded = fingerprint(leaves)
        leaves = quantised(leaves, stage, _silent)
    save(folder / "params", leaves)
    digest = fingerprint(leaves)
    del leaves
    shutil.rmtree(staging)
    (folder / "tokenizer.json").write_text(source.tokenizer, encoding="utf-8")
    if source.chat_template is not None:
        (folder / "chat_template.jinja").write_text(source.chat_template, encoding="utf-8")
    write_card(
        folder, name=name, config=config, dtype=dtype, source=origin, fingerprint=digest, quantised_from=unrounded
    )


def _name_of(path: Path) -> str:
    path = path.resolve()
    return path.name if path.is_dir() else path.stem
