"""A head on disk: a folder of `head.safetensors` (parameters by path, "a/b/c") and `card.json` (what they are)."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict
from safetensors import SafetensorError
from safetensors.numpy import load, save

from jaxdiff.errors import ConfigError, HeadMismatch, WeightsError

HEAD_KINDS = ("residual", "reader", "router")
FORMAT_VERSION = 1
WEIGHTS_FILE = "head.safetensors"
CARD_FILE = "card.json"
# What whoever saves a head must say about it.
REQUIRED_CARD = ("base_name", "base_fingerprint", "data", "validation")
# What `save_head` writes itself.
OWN_CARD = ("format_version", "kind", "config", "weights_sha256")


@dataclass(frozen=True)
class LoadedHead:
    """A head read from disk.

    kind: one of `HEAD_KINDS`. config: its configuration as plain values, for the kind's `from_dict`.
    params: nested dict of float32 NumPy arrays. card: the whole card.
    """

    kind: str
    config: dict[str, Any]
    params: dict[str, Any]
    card: dict[str, Any]


def save_head(
    folder: str | Path, kind: str, config: dict[str, Any], params: dict[str, Any], card: dict[str, Any]
) -> None:
    """Write a head, float16 or float32 as given; an interrupted write is noticed when it is loaded.

    card: JSON values; must have `base_name`, `base_fingerprint` (see `check_base`), `data` (a list of
    `{"name", "licence"}`) and `validation` (measured figures); kind, configuration, format version and a checksum of
    the weights are added. Raises ConfigError for an unknown kind, a card that lacks or reserves a key, or parameters of
    another type.
    """
    _check_card(kind, card)
    arrays = {}
    for path, value in flatten_dict(params).items():
        if not all(isinstance(part, str) and part and "/" not in part for part in path):
            raise ConfigError(f"parameter names must be non-empty text without '/': {path!r}")
        arrays["/".join(path)] = np.array(value, order="C")
    wrong = sorted(
        f"{name} ({array.dtype})" for name, array in arrays.items() if array.dtype not in ("float16", "float32")
    )
    if wrong:
        raise ConfigError(f"head parameters must be float16 or float32: {', '.join(wrong)}")

    weights = save(arrays)
    whole = {
        "format_version": FORMAT_VERSION,
        "kind": kind,
        **card,
        "config": config,
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
    }
    text = json.dumps(whole, indent=2, allow_nan=False) + "\n"
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    # The card goes last and holds the checksum: whatever happens in between, the pair does not pass for whole.
    _write_atomically(folder / WEIGHTS_FILE, weights)
    _write_atomically(folder / CARD_FILE, text.encode())


def load_head(folder: str | Path) -> LoadedHead:
    """Read a head; parameters come as float32. Raises WeightsError if it is missing, damaged or of an unknown kind."""
    folder = Path(folder)
    try:
        card = json.loads((folder / CARD_FILE).read_bytes())
        weights = (folder / WEIGHTS_FILE).read_bytes()
    except OSError as error:
        raise WeightsError(f"no head in {folder}: {error.strerror} ({error.filename})") from error
    except ValueError as error:
        raise WeightsError(f"damaged head card {folder / CARD_FILE}: {error}") from error

    if not isinstance(card, dict):
        raise WeightsError(f"damaged head card {folder / CARD_FILE}: not a JSON object")
    if card.get("format_version") != FORMAT_VERSION:
        raise WeightsError(
            f"head {folder} has format version {card.get('format_version')!r}, this library reads {FORMAT_VERSION}"
        )
    missing = [name for name in (*OWN_CARD, *REQUIRED_CARD) if name not in card]
    if missing:
        raise WeightsError(f"damaged head card {folder / CARD_FILE}: without {', '.join(missing)}")
    if card["kind"] not in HEAD_KINDS:
        raise WeightsError(f"head {folder} is of unknown kind {card['kind']!r}; known: {', '.join(HEAD_KINDS)}")
    if not isinstance(card["config"], dict):
        raise WeightsError(f"damaged head card {folder / CARD_FILE}: config is not a JSON object")
    if hashlib.sha256(weights).hexdigest() != card["weights_sha256"]:
        raise WeightsError(f"damaged head weights {folder / WEIGHTS_FILE}: the checksum differs from the card's")
    try:
        arrays = load(weights)
    except SafetensorError as error:
        raise WeightsError(f"damaged head weights {folder / WEIGHTS_FILE}: {error}") from error
    params = unflatten_dict({tuple(name.split("/")): array.astype(np.float32) for name, array in arrays.items()})
    return LoadedHead(kind=card["kind"], config=card["config"], params=params, card=card)


def check_base(card: dict[str, Any], fingerprint: str) -> None:
    """Raise HeadMismatch unless the head of this card was trained on the base with this fingerprint."""
    if not card["base_fingerprint"]:
        raise HeadMismatch("the head names no base; convert its checkpoint again with --base")
    if card["base_fingerprint"] != fingerprint:
        raise HeadMismatch(
            f"the head was trained on {card['base_name']} with fingerprint {card['base_fingerprint']}; "
            f"the loaded base has {fingerprint}"
        )


def _check_card(kind: str, card: dict[str, Any]) -> None:
    if kind not in HEAD_KINDS:
        raise ConfigError(f"unknown head kind {kind!r}; known: {', '.join(HEAD_KINDS)}")
    missing = [name for name in REQUIRED_CARD if name not in card]
    if missing:
        raise ConfigError(f"the head's card lacks {', '.join(missing)}")
    reserved = [name for name in OWN_CARD if name in card]
    if reserved:
        raise ConfigError(f"the head's card must leave {', '.join(reserved)} to save_head")


def _write_atomically(path: Path, content: bytes) -> None:
    handle, partial = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        # mkstemp makes private files; a head is for whoever may read the folder.
        os.chmod(partial, 0o644)
        os.replace(partial, path)
    except BaseException:
        Path(partial).unlink(missing_ok=True)
        raise
