"""The language of a node's texts, and the bounds on the size of a slot that follow from it."""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import lru_cache

from jaxdiff.errors import UnsupportedLanguage, UnsupportedSchema
from jaxdiff.schema.languages import code_points
from jaxdiff.schema.languages.dfa import Dfa, explore
from jaxdiff.schema.languages.formats import FORMATS
from jaxdiff.schema.languages.numbers import integer_language, number_language
from jaxdiff.schema.languages.patterns import pattern_language
from jaxdiff.schema.languages.texts import text_language
from jaxdiff.schema.normal.nodes import Number, Text

PRINTABLE = "".join(map(chr, range(32, 127)))
# Keywords that may be what cannot be held, and where the node has them.
_KEYWORDS = {
    "pattern": "patterns", "not": "excluded_patterns", "format": "formats", "multipleOf": "multiples_of",
    "minimum": "minimum", "maximum": "maximum", "maxLength": "max_length", "minLength": "min_length",
}  # fmt: skip


def least_bytes(language: Dfa | None) -> int:
    """Bytes of a shortest text: a byte-level tokenizer never needs more tokens for it."""
    shortest = None if language is None else language.shortest()
    return len((shortest or "").encode())


def most_bytes(language: Dfa | None) -> int | None:
    """Bytes that no text exceeds; None where there is no limit."""
    longest = None if language is None else language.max_length
    return None if language is None or longest is None else longest * _widest(language)


@lru_cache(maxsize=4096)
def _widest(language: Dfa) -> int:
    """Bytes of the widest character of any text."""
    ends = [*(language.bounds[1:] - 1).tolist(), sys.maxunicode]
    rows = language.transitions.tolist()
    used = {kind for row in rows for kind, target in enumerate(row) if target >= 0}
    last = max((end for end, kind in zip(ends, language.classes.tolist(), strict=True) if kind in used), default=0)
    return 1 if last < 0x80 else 2 if last < 0x800 else 3 if last < 0x10000 else 4


def language_of(node: Text | Number) -> Dfa | None:
    """The texts of the node's values; None where every text is one. Raises UnsupportedSchema."""
    if isinstance(node, Text) and not _bounded(node):
        return None
    key = replace(node, pointer="", description="", has_default=False, default=None, checks=())
    if isinstance(key, Text):
        # JSON Schema reads formats that it does not know as annotations.
        key = replace(key, formats=tuple(name for name in key.formats if name in FORMATS))
    found = _language(key)
    if isinstance(found, UnsupportedLanguage):
        keyword = next((name for name in _KEYWORDS if getattr(node, _KEYWORDS[name], None)), "type")
        raise UnsupportedSchema(keyword, node.pointer, f"{found.name!r}: {found.reason}")
    return found


def has_text(node: Text | Number) -> bool:
    """Whether the node has a text that can be written."""
    try:
        language = language_of(node)
    except UnsupportedSchema:
        return False
    return language is None or not language.is_empty()


def _bounded(node: Text) -> bool:
    return bool(
        node.min_length or node.max_length is not None or node.patterns or node.formats
        or node.excluded_patterns or node.excluded_values
    )  # fmt: skip


@lru_cache(maxsize=4096)
def _language(node: Text | Number) -> Dfa | UnsupportedLanguage | None:
    try:
        if isinstance(node, Number):
            make = integer_language if node.integer else number_language
            return make(
                node.minimum, node.maximum, exclusive_minimum=node.exclusive_minimum,
                exclusive_maximum=node.exclusive_maximum, multiples_of=node.multiples_of,
            )  # fmt: skip
        return _without(
            text_language(node.min_length, node.max_length, node.patterns, node.formats),
            [pattern_language(pattern) for pattern in node.excluded_patterns],
            node.excluded_values,
        )
    except UnsupportedLanguage as error:
        return error


def _without(language: Dfa | None, found: list[Dfa], values: tuple[str, ...]) -> Dfa | None:
    """The language without the texts of others, and without single ones."""
    removed = [other.complement() for other in found]
    if found:
        # Outside of printable ASCII the dialects differ in what a pattern finds; excluded is what either finds.
        removed.append(_spelled_in(PRINTABLE))
    if values:
        removed.append(_words(values).complement())
    for rest in removed:
        language = rest if language is None else language.intersect(rest)
    return language


def _spelled_in(characters: str) -> Dfa:
    return explore(0, [code_points.of(characters)], lambda state, symbol: state, lambda state: True, "characters")


def _words(values: tuple[str, ...]) -> Dfa:
    characters = sorted(set("".join(values)))
    beginnings = {value[:end] for value in values for end in range(len(value) + 1)}

    def step(state: str, symbol: int) -> str | None:
        longer = state + characters[symbol]
        return longer if longer in beginnings else None

    return explore("", [code_points.of(char) for char in characters], step, set(values).__contains__, "values")
