"""Which of the kinds that a field may be of words are, taken as a whole: "three" is a number, "three wishes" a text."""

from __future__ import annotations

import re
from collections.abc import Iterator

from jaxdiff.schema.fields import Field, Kind
from jaxdiff.schema.languages.formats import FORMATS
from jaxdiff.schema.lists import split_list
from jaxdiff.schema.numbers import read_quantities
from jaxdiff.schema.said_words import FUNCTION_WORDS, own_name, stem, words

_RANKS = {Kind.ENUM: 0, Kind.BOOLEAN: 1, Kind.INTEGER: 2, Kind.NUMBER: 3, Kind.STRING: 4, Kind.ARRAY: 5}
# A list of words that has so many items is one even where it may be a text as well.
_MANY = 3
_LEADING_ZERO = re.compile(r"\s*[+-]?0\d")


def kinds_by_fit(text: str, field: Field) -> Iterator[Field]:
    """The field's alternatives in the order in which they are to be tried.

    Where a text is one of them, others come first that the words are as a whole, then plain texts, then the rest.
    """
    kinds = sorted(field.alternatives or (field,), key=lambda kind: _RANKS[kind.kind])
    if not any(kind.kind is Kind.STRING for kind in kinds):
        yield from kinds
        return
    plain = [kind for kind in kinds if is_plain_text(kind)]
    fitting = [kind for kind in kinds if kind not in plain and _fits(text, kind)]
    yield from fitting
    yield from plain
    yield from (kind for kind in kinds if kind not in plain and kind not in fitting)


def is_plain_text(field: Field) -> bool:
    """Whether a field takes any words: a string without a known format and without a pattern."""
    typed = field.format in FORMATS or field.schema.keys() & {"pattern", "allOf"}
    return field.kind is Kind.STRING and not typed


def _fits(text: str, kind: Field) -> bool:
    match kind.kind:
        case Kind.ENUM:
            said = _content(text)
            return any(_content(str(value)) <= said <= _content(f"{value} {kind.name}") for value in kind.candidates)
        case Kind.INTEGER | Kind.NUMBER:
            return _is_number(text, kind.name)
        case Kind.ARRAY:
            return _is_list(text, kind)
    return True


def _content(text: str) -> frozenset[str]:
    return frozenset(stem(word) for word in words(text) if word not in FUNCTION_WORDS)


def _is_number(text: str, name: str) -> bool:
    """Whether a text is one number and nothing else, but for what the field is called ("12 guests")."""
    found = read_quantities(text)
    if len(found) != 1 or found[0].article or found[0].lead or _LEADING_ZERO.match(text):
        return False
    return found[0].percent or {stem(word) for word in found[0].words} <= _content(own_name(name))


def _is_list(text: str, kind: Field) -> bool:
    if text.lstrip()[:1] == "[":
        return True
    name = own_name(kind.name)
    numeric = kind.item_kind in (Kind.INTEGER, Kind.NUMBER)
    parts = split_list(text, numeric, name)
    if numeric:
        return all(_is_number(part, name) for part in parts)
    return len(parts) >= _MANY or kind.item_kind is not Kind.STRING
