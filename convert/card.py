"""Writing `base.json`, by which a converted folder names its content."""

from __future__ import annotations

import json
from pathlib import Path

from jaxdiff.base.card import CARD_FILE, FORMAT
from jaxdiff.config import BaseConfig


def write_card(
    folder: Path,
    *,
    name: str,
    config: BaseConfig,
    dtype: str,
    source: str,
    fingerprint: str,
    quantised_from: str | None = None,
) -> None:
    """Written last: it names every other file of `folder` with its size, so that a damaged copy is found out.

    quantised_from: fingerprint of the base whose matrices were rounded to int8, None where they were not.
    """
    others = [path for path in sorted(folder.rglob("*")) if path.is_file() and path != folder / CARD_FILE]
    files = {path.relative_to(folder).as_posix(): path.stat().st_size for path in others}
    card = {
        "format": FORMAT,
        "name": name,
        "config": config.to_dict(),
        "dtype": dtype,
        "source": source,
        "fingerprint": fingerprint,
        **({} if quantised_from is None else {"storage": "int8", "quantised_from": quantised_from}),
        "files": files,
    }
    (folder / CARD_FILE).write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
