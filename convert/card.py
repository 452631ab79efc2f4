"""`base.json`: what a converted folder says about itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from jaxdiff.config import BaseConfig
from jaxdiff.errors import WeightsError

from .sources import FLOAT_DTYPES

FORMAT = 1
CARD_FILE = "base.json"


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


def read_card(folder: Path) -> dict[str, Any]:
    """The content of `base.json`.

    Raises WeightsError if it is missing, damaged or of another format, and if another file is missing or cut off.
    """
    try:
        card = json.loads((folder / CARD_FILE).read_text(encoding="utf-8"))
        complete = card["format"] == FORMAT and card["dtype"] in FLOAT_DTYPES and bool(card["fingerprint"])
        files = dict(card["files"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WeightsError(f"{folder} is not a converted base: {CARD_FILE} is missing or damaged ({error})") from error
    if not complete:
        raise WeightsError(f"{folder}: {CARD_FILE} is of another format; convert the checkpoint again")
    for name, size in files.items():
        path = folder / name
        found = path.stat().st_size if path.is_file() else None
        if found != size:
            state = "is missing" if found is None else f"has {found} bytes instead of {size}"
            raise WeightsError(f"{folder} is damaged: {name} {state}; convert the checkpoint again")
    return card
