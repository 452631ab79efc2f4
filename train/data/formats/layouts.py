"""The layouts that are known, and which of them a record has: told by its keys, or named as LAYOUT=PATH."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from jaxdiff.errors import InputError

from . import apigen_mt, glaive, hermes, nestful, toolace, when2call, xlam
from .records import Native, Record, UnreadableRecord

NATIVE = "native"


@dataclass(frozen=True)
class Layout:
    """How a published set lays out its records.

    dataset: its name on the Hugging Face hub. keys: by which it is recognised; the first layout that has all is taken.
    identity: the key that tells records apart, else their number does. convert: (record, name, source) -> native
    record. training: False for sets that are for evaluation alone.
    """

    name: str
    dataset: str
    keys: frozenset[str]
    convert: Callable[[Record, str, str], Native]
    identity: str | None = None
    training: bool = True

    def name_of(self, record: Record, number: int) -> str:
        """What tells a record from others of its file; number: of the record in it, from 0."""
        return str(number if self.identity is None else record.get(self.identity, number))

    def read(self, record: Record, number: int) -> Native:
        """The native record. Raises UnreadableRecord."""
        try:
            return self.convert(record, self.name_of(record, number), self.name)
        except UnreadableRecord:
            raise
        except (KeyError, TypeError, ValueError, AttributeError, IndexError, RecursionError) as error:
            raise UnreadableRecord(f"{type(error).__name__}: {error}") from error


def _keys(words: str) -> frozenset[str]:
    return frozenset(words.split())


def _as_it_is(record: Record, name: str, source: str) -> Native:
    return dict(record)


_KNOWN = (
    Layout(NATIVE, "", _keys("calls messages tools"), _as_it_is, "id"),
    Layout(
        "when2call", "nvidia/When2Call", _keys("question correct_answer answers tools"), when2call.convert, "uuid",
        training=False,
    ),
    # Has the columns of xlam, and more.
    Layout("apigen", "argilla/apigen-function-calling", _keys("query tools answers hash_id"), xlam.convert, "hash_id"),
    Layout("xlam", "Salesforce/xlam-function-calling-60k", _keys("query tools answers"), xlam.convert, "id"),
    Layout("nestful", "ibm-research/nestful", _keys("input output tools"), nestful.convert, "sample_id"),
    Layout("glaive", "glaiveai/glaive-function-calling-v2", _keys("system chat"), glaive.convert),
    Layout("apigen_mt", "Salesforce/APIGen-MT-5k", _keys("conversations tools system"), apigen_mt.convert),
    Layout("hermes", "interstellarninja/hermes_reasoning_tool_use", _keys("conversations tools"), hermes.convert),
    Layout("toolace", "Team-ACE/ToolACE", _keys("conversations system"), toolace.convert),
)  # fmt: skip
LAYOUTS = {layout.name: layout for layout in _KNOWN}


def split_source(text: str) -> tuple[Layout | None, str]:
    """Layout and path of LAYOUT=PATH; no layout for a path alone. Raises InputError for a layout that is not known."""
    found = re.fullmatch(r"(\w+)=(.+)", text)
    if found is None or (found[1] not in LAYOUTS and Path(text).exists()):
        return None, text
    if found[1] not in LAYOUTS:
        raise InputError(f"{text}: no layout {found[1]!r}; known are {', '.join(LAYOUTS)}")
    return LAYOUTS[found[1]], found[2]


def recognise(record: Mapping[str, object], place: str) -> Layout:
    """The layout of a record. Raises InputError naming `place` for keys that no layout has."""
    for layout in LAYOUTS.values():
        if layout.keys <= record.keys():
            return layout
    raise InputError(
        f"{place}: not a row: no known layout has the keys {', '.join(sorted(record)) or '(none)'}; "
        f"name one as LAYOUT=PATH ({', '.join(LAYOUTS)})"
    )
