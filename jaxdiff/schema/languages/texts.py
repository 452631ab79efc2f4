"""Strings by all that a schema asks of them at once."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache, reduce

from jaxdiff.schema.languages.dfa import Dfa
from jaxdiff.schema.languages.formats import format_language
from jaxdiff.schema.languages.lengths import length_language
from jaxdiff.schema.languages.patterns import pattern_language


def text_language(
    min_length: int = 0,
    max_length: int | None = None,
    patterns: Iterable[str] = (),
    formats: Iterable[str] = (),
) -> Dfa | None:
    """Strings of so many characters, in which each pattern is found and which have each format; None for any string.

    Raises UnsupportedLanguage naming what cannot be held.
    """
    return _language(min_length, max_length, tuple(patterns), tuple(formats))


@lru_cache(maxsize=1024)
def _language(
    min_length: int, max_length: int | None, patterns: tuple[str, ...], formats: tuple[str, ...]
) -> Dfa | None:
    parts = [*map(pattern_language, patterns), *map(format_language, formats)]
    if min_length > 0 or max_length is not None:
        parts.append(length_language(min_length, max_length))
    return reduce(Dfa.intersect, parts) if parts else None
