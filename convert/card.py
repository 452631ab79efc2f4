"""Writing `base.json`, by which a converted folder names its content."""

from __future__ import annotations

import json
from pathlib import Path

from jaxdiff.base.card import CARD_FILE, FORMAT
from jaxdiff.config import BaseConfig


def write_card(folder: Path, *, name: str, config: BaseConfig, dtype: str, source: str, fingerprint: str) -> None:
    """Written last: it names every other file of `folder` with its size, so that a damaged copy is found out."""
    others = [path for path in sorted(folder.rglob("*")) if path.is_file() and path != folder / CARD_FILE]
    files = {path.relative_to(folder).as_posix(): path.stat().st_size for path in others}
    card = {
        "format": FORMAT,
        "name": name,
        "config": config.to_dict(),
        "dtype": dtype,
        "source": source,
        "fingerprint": fingerprint,
        "files": files,
    }
    (folder / CARD_FILE).write_text(json.dumps(card, indent=1) + "\n", encoding="utf-8")
