"""Said words -> the typed value that a field asks for. Only what the words determine: nothing is guessed."""

from __future__ import annotations

import calendar
import json
import math
import re
from dataclasses import replace
from enum import Enum
from fractions import Fraction
from functools import lru_cache
from typing import Any

from jaxdiff.schema.asked_numbers import said_number
from jaxdiff.schema.checks import check_value
from jaxdiff.schema.codes import asked_code, write_code
from jaxdiff.schema.dates import asked_format, write_as
from jaxdiff.schema.fields import Field, Kind
from jaxdiff.schema.lists import has_unclear_items, has_unclear_numbers, split_list
from jaxdiff.schema.numbers import read_quantities
from jaxdiff.schema.said_booleans import said_boolean
from jaxdiff.schema.said_choices import said_choice
from jaxdiff.schema.said_formats import asked_text_format, write_format, write_pattern
from jaxdiff.schema.said_kinds import is_plain_text, kinds_by_fit
from jaxdiff.schema.said_nulls import says_null
from jaxdiff.schema.said_words import own_name


class ValueNotUnderstood(ValueError):
    """The words do not determine a value of the field's kind."""

    def __init__(self, text: str, field: Field, wanted: str):
        super().__init__(f"{text!r} does not say {wanted} for {field.name!r}")


class _NotSaid(Enum):
    NOT_SAID = "no value is said"


NOT_SAID = _NotSaid.NOT_SAID
"""What words say that say no value; null is one."""

_INTEGER = re.compile(r"[+-]?[0-9]{1,4000}")
_DECIMAL = re.compile(r"[+-]?[0-9]{1,300}(?:\.[0-9]{1,300})?(?:[eE][+-]?[0-9]{1,3})?")
_NO_ITEMS = frozenset({"", "none", "nothing", "nobody", "no one", "empty"})
_QUOTES = {'"': '"', "'": "'", "\u201c": "\u201d", "\u2018": "\u2019", "`": "`", "\u00ab": "\u00bb"}
_DOUBLE_QUOTES = frozenset('"\u201c\u201d')
# Codes that are not in the tables: old ones, and those with a region or a script ("pt-BR").
_ANY_CODE = re.compile(r"[A-Za-z]{2,3}(?:[-_][A-Za-z0-9]{2,8})*")
_COMPACT_PHONE = re.compile(r"without spaces|no spaces|E\.164")


def parse_value(text: str, field: Field) -> Any:
    """The JSON value that `text`, as a user says it, means for `field`. Raises ValueNotUnderstood.

    Bounds and lengths are not looked at (`checks.check_value` does that), unless they tell of which kind the value is.
    """
    if not field.alternatives and not field.nullable:
        return _of_kind(text, field)
    denied = field.nullable and says_null(text, own_name(field.name), field.description)
    for kind in kinds_by_fit(text, field):
        if denied and (kind.kind in (Kind.INTEGER, Kind.NUMBER) or is_plain_text(kind)):
            return None
        value = _valid(text, kind, denied)
        if value is not NOT_SAID:
            return value
    if denied:
        return None
    if field.alternatives:
        raise ValueNotUnderstood(text, field, "a value of any of its kinds")
    return _of_kind(text, field)


def valid_value(text: str, field: Field) -> Any:
    """The value that `text` says, `NOT_SAID` where it says none that the field's schema allows."""
    try:
        value = parse_value(text, field)
    except ValueNotUnderstood:
        return NOT_SAID
    return value if check_value(value, field) is None else NOT_SAID


def _valid(text: str, kind: Field, denied: bool) -> Any:
    """The same for one of several kinds. denied: the words say that there is no value, of a list that it is empty."""
    if denied and kind.kind is Kind.ARRAY:
        empty = text.strip(" .").casefold() != "null" and check_value([], kind) is None
        return [] if empty else NOT_SAID
    return valid_value(text, replace(kind, nullable=False))


def _of_kind(text: str, field: Field) -> Any:
    if field.kind is Kind.STRING:
        return _string(text, field)
    if field.kind in (Kind.INTEGER, Kind.NUMBER):
        return _number(text, field)
    if field.kind is Kind.ARRAY:
        return _array(text, field)
    return _candidate(text, field)


def write_value(value: Any) -> str:
    """The raw text that a slot holds for a JSON value: strings as they are, everything else as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _number(text: str, field: Field) -> int | float:
    plain = text.strip()
    if _INTEGER.fullmatch(plain):
        return int(plain)
    if field.kind is Kind.NUMBER and _DECIMAL.fullmatch(plain) and not math.isinf(value := float(plain)):
        return value
    exact = said_number(plain, field)
    if exact is not None and exact.denominator == 1:
        return int(exact)
    if exact is None or field.kind is Kind.INTEGER:
        raise ValueNotUnderstood(text, field, "an integer" if field.kind is Kind.INTEGER else "a number")
    try:
        return float(exact)
    except OverflowError:
        raise ValueNotUnderstood(text, field, "a number") from None


def _candidate(text: str, field: Field) -> Any:
    if text in field.candidates:
        for value in field.candidates:
            if isinstance(value, str) and value == text:
                return value
    table = _candidate_table(field)
    wanted = _fold(text)
    if wanted in table:
        return table[wanted]
    if field.kind is Kind.BOOLEAN:
        affirmed = said_boolean(text, own_name(field.name), field.description)
        if affirmed is not None:
            return affirmed
        raise ValueNotUnderstood(text, field, "yes or no")
    for value in field.candidates:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            quantities = read_quantities(text)
            if len(quantities) == 1 and quantities[0].value == Fraction(value):
                return value
    place = said_choice(text, field.candidates)
    if place is None:
        raise ValueNotUnderstood(text, field, "one of the listed values")
    return field.candidates[place]


@lru_cache(maxsize=16384)
def _candidate_table(field: Field) -> dict[str, Any]:
    table: dict[str, Any] = {}
    for value in field.candidates:
        table.setdefault(_fold(write_value(value)), value)
    for name in (*calendar.day_name, *calendar.month_name):
        full, short = name.casefold(), name[:3].casefold()
        if short in table and full not in table:
            table[full] = table[short]
        elif full in table and short not in table:
            table[short] = table[full]
    return table


def _fold(text: str) -> str:
    """Case, spaces, underscores and hyphens do not tell candidates apart, unless nothing else is left."""
    return re.sub(r"[\s_\-]+", "", text).casefold() or text


def _string(text: str, field: Field) -> str:
    keyword = asked_text_format(field.format, field.description)
    if keyword and keyword != "date":
        return _determined(write_format(clean_string(text), keyword), text, field, f"a text of the format {keyword!r}")
    asked = asked_format(field.description, field.format)
    if asked is not None:
        return _determined(write_as(text, asked), text, field, "a date or time in the asked format")
    cleaned = clean_string(text)
    pattern = field.schema.get("pattern")
    if isinstance(pattern, str):
        return _determined(write_pattern(cleaned, pattern), text, field, "a text of the asked pattern")
    if cleaned[:1] == "+" and _COMPACT_PHONE.search(field.description):
        return re.sub(r"[\s().-]", "", cleaned)
    code = asked_code(own_name(field.name), field.description)
    if code is None:
        return cleaned
    found = write_code(cleaned, code, field.description)
    return _determined(found or (cleaned if _ANY_CODE.fullmatch(cleaned) else None), text, field, f"a code ({code})")


def _determined(written: str | None, text: str, field: Field, wanted: str) -> str:
    if written is None:
        raise ValueNotUnderstood(text, field, wanted)
    return written


def clean_string(text: str) -> str:
    """Spaces, quotes around the whole and punctuation that a span took along are removed; the rest stays as it is."""
    while (shorter := _shorter(text)) != text:
        text = shorter
    return text


def _shorter(text: str) -> str:
    text = text.strip()
    if len(text) < 2:
        return text
    first, last, inner = text[0], text[-1], text[1:-1]
    if _QUOTES.get(first) == last and first not in inner and last not in inner:
        return inner
    if last in ",;":
        return text[:-1]
    if first in _DOUBLE_QUOTES and not _DOUBLE_QUOTES & set(text[1:]):
        return text[1:]
    # A double quote behind a digit means inches.
    if last in _DOUBLE_QUOTES and not _DOUBLE_QUOTES & set(text[:-1]) and text[-2].isalpha():
        return text[:-1]
    if last == ")" and "(" not in text:
        return text[:-1]
    return text


def _array(text: str, field: Field) -> list[Any]:
    item, name = _item_field(field), own_name(field.name)
    if text.lstrip()[:1] == "[" and (listed := _json_list(text)) is not None:
        return [parse_value(part if isinstance(part, str) else json.dumps(part), item) for part in listed]
    kinds = {kind.kind for kind in item.alternatives or (item,)}
    numeric = kinds <= {Kind.INTEGER, Kind.NUMBER}
    if text.strip(" \t\n[](){}.").casefold() in _NO_ITEMS:
        return []
    if numeric:
        unclear = has_unclear_numbers(text, item.kind is Kind.INTEGER, name, field.description)
    else:
        plain = Kind.STRING in kinds and not asked_code(name, item.description)
        unclear = plain and has_unclear_items(text, name, field.description)
    if unclear:
        raise ValueNotUnderstood(text, field, "a list whose items are clear")
    return [parse_value(part, item) for part in split_list(text, numeric, name)]


def _json_list(text: str) -> list[Any] | None:
    """The list of scalars that `text` is in JSON, or None."""
    try:
        listed = json.loads(text)
    except (ValueError, RecursionError):
        return None
    scalars = isinstance(listed, list) and not any(isinstance(part, (list, dict)) for part in listed)
    return listed if scalars else None


@lru_cache(maxsize=16384)
def _item_field(field: Field) -> Field:
    """The field that one item of an array field is."""
    items = field.schema["items"]
    assert field.item_kind is not None
    description = f"{items.get('description', '')} {field.description}".strip()
    return replace(
        field, kind=field.item_kind, schema=items, candidates=field.item_candidates, description=description,
        item_kind=None, item_candidates=(), nullable=False, alternatives=field.item_alternatives, item_alternatives=(),
    )  # fmt: skip
