"""`base.json`: what a converted folder says about itself, and the check that the folder is whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from jaxdiff.errors import WeightsError

FORMAT = 1
CARD_FILE = "base.json"
# How the matrices are held; "float" is as all the rest.
STORAGES = ("float", "int8")
STORED_DTYPES = ("float32", "bfloat16", "float16")


def read_card(folder: Path) -> dict[str, Any]:
    """The content of `base.json`.

    Raises WeightsError if it is missing, damaged or of another format, and if another file is missing or cut off.
    """
    try:
        card = json.loads((folder / CARD_FILE).read_text(encoding="utf-8"))
        known = card["dtype"] in STORED_DTYPES and card.get("storage", "float") in STORAGES
        complete = card["format"] == FORMAT and known and bool(card["fingerprint"])
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
