"""Strings by all that a schema asks of them at once."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache, reduce

from jaxdiff.schema.languages.dfa import MAX_STATES, Dfa
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

    A `max_length` that would need too many states together with the rest is lowered. Raises UnsupportedLanguage naming
    what cannot be held.
    """
    return _language(min_length, max_length, tuple(patterns), tuple(formats))


# Limits beyond are lowered: no slot holds so much.
MAX_CHARACTERS = 2048


@lru_cache(maxsize=1024)
def _language(
    min_length: int, max_length: int | None, patterns: tuple[str, ...], formats: tuple[str, ...]
) -> Dfa | None:
    parts = [*map(pattern_language, patterns), *map(format_language, formats)]
    found = reduce(Dfa.intersect, parts) if parts else None
    if min_length <= 0 and max_length is None:
        return found
    if max_length is not None:
        shortest = "" if found is None else found.shortest() or ""
        held = MAX_CHARACTERS if found is None else MAX_STATES // len(found.accepting)
        max_length = min(max_length, max(held, min_length, len(shortest)))
    lengths = length_language(min_length, max_length)
    return lengths if found is None else found.intersect(lengths)
