"""Said words -> the typed value that a field asks for. Only what the words determine: nothing is guessed."""

from __future__ import annotations

import calendar
import json
import re
from dataclasses import replace
from fractions import Fraction
from functools import lru_cache
from typing import Any

from jaxdiff.schema.codes import asked_code, write_code
from jaxdiff.schema.dates import asked_format, read_time, write_as
from jaxdiff.schema.fields import Field, Kind
from jaxdiff.schema.lists import split_list
from jaxdiff.schema.numbers import MULTIPLIERS, Quantity, read_quantities
from jaxdiff.schema.units import asked_unit, own_factors, said_unit


class ValueNotUnderstood(ValueError):
    """The words do not determine a value of the field's kind."""

    def __init__(self, text: str, field: Field, wanted: str):
        super().__init__(f"{text!r} does not say {wanted} for {field.name!r}")


_INTEGER = re.compile(r"[+-]?[0-9]{1,4000}")
_DECIMAL = re.compile(r"[+-]?[0-9]{1,300}\.[0-9]{1,300}")
_TRUE = frozenset({"true", "yes", "yeah", "yep", "on", "enabled", "enable"})
_FALSE = frozenset({"false", "no", "nope", "off", "disabled", "disable"})
_NO_ITEMS = frozenset({"", "none", "nothing", "nobody", "no one", "empty"})
_SHARE = re.compile(
    r"decimal\b(?! (?:place|degree|integer|point))|fraction\b|\b0\.\d|between 0 and 1\b|\b0 ?(?:-|to) ?1\b"
    r"|\b0 = .*\b1 = "
)
_PERCENT = re.compile(r"percent|per cent|\bpct\b|in %|percentage")
_MONEY = re.compile(
    r"price|cost|amount|budget|salary|income|revenue|money|dollar|euro|pound|currency|fee|payment|loan|principal|"
    r"balance|wage|rent|profit|value|investment|deposit|sum\b|usd|eur|gbp"
)
_HEMISPHERE = re.compile(r"latitude|longitude|\b(?:lat|lon|lng)\b|north|south|west|east")
_QUOTES = {'"': '"', "'": "'", "\u201c": "\u201d", "\u2018": "\u2019", "`": "`", "\u00ab": "\u00bb"}
_DOUBLE_QUOTES = frozenset('"\u201c\u201d')
_COMPACT_PHONE = re.compile(r"without spaces|no spaces|E\.164")
_SCALE_NAMES = ("thousands", "millions", "billions")
_MONTHS = {name.lower(): number for number, name in enumerate(calendar.month_name) if name}


def parse_value(text: str, field: Field) -> Any:
    """The JSON value that `text`, as a user says it, means for `field`. Raises ValueNotUnderstood.

    Bounds and lengths are not looked at (`merge.check_value` does that).
    """
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
    if field.kind is Kind.NUMBER and _DECIMAL.fullmatch(plain):
        return float(plain)
    wanted = "an integer" if field.kind is Kind.INTEGER else "a number"
    hints = _hints(field.name, field.description, field.schema.get("maximum") == 1)
    if hints.calendar and (found := _of_calendar(plain, hints.calendar)) is not None:
        return found
    outside = re.sub(r"\([^()]*\)", " ", plain)
    quantities = read_quantities(outside, hints.money) or read_quantities(plain, hints.money)
    value = _one_value(quantities, field, hints)
    if value is None:
        raise ValueNotUnderstood(text, field, wanted)
    if value.denominator == 1:
        return int(value)
    if field.kind is Kind.INTEGER:
        raise ValueNotUnderstood(text, field, wanted)
    try:
        return float(value)
    except OverflowError:
        raise ValueNotUnderstood(text, field, wanted) from None


class _Hints:
    """What a field's name and description say about numbers."""

    def __init__(self, name: str, description: str, at_most_one: bool):
        parts = re.sub(r"(?<=[a-z])(?=[A-Z])|_", " ", name).lower()
        words = f"{parts} {description}".lower()
        percent = _PERCENT.search(words)
        self.share = at_most_one or bool(_SHARE.search(words)) or ("share" in words and not percent)
        self.percent = not self.share and bool(percent)
        self.money = bool(_MONEY.search(words))
        self.hemisphere = bool(_HEMISPHERE.search(words))
        self.before_christ = "negative for bc" in words or "negative if bc" in words
        self.unit = asked_unit(name, description)
        self.own_factors = own_factors(description)
        last = parts.split()[-1:]
        self.calendar = last[0] if last in (["hour"], ["month"]) else ""
        self.scale = MULTIPLIERS.get(last[0].removesuffix("s"), 1) if last and last[0] in _SCALE_NAMES else 1


_hints = lru_cache(maxsize=65536)(_Hints)


def _one_value(quantities: tuple[Quantity, ...], field: Field, hints: _Hints) -> Fraction | None:
    """The single value of what was said, in the field's unit."""
    if not quantities:
        return None
    asked, by_name = hints.unit or (None, False)
    units = [said_unit(quantity.words, asked[0] if asked else "") for quantity in quantities]
    if len(quantities) > 1:
        dimensions = {unit[0] for unit in units if unit}
        factors = [unit[1] for unit in units if unit]
        if len(factors) < len(units) or len(dimensions) > 1 or asked is None or asked[0] not in dimensions:
            return None
        if factors != sorted(set(factors), reverse=True):
            return None
        return sum((q.value * factor for q, factor in zip(quantities, factors, strict=True)), Fraction(0)) / asked[1]
    quantity, unit = quantities[0], units[0]
    value = quantity.value
    if quantity.percent:
        return value / 100 if hints.share else value
    if quantity.words[:1] and quantity.words[0] in hints.own_factors:
        return value * hints.own_factors[quantity.words[0]]
    if hints.scale > 1 and abs(value) >= hints.scale // 10:
        return value / hints.scale
    if quantity.fraction and hints.percent and unit is None:
        return value * 100
    if unit and asked:
        if unit[0] == asked[0]:
            return value * unit[1] / asked[1]
        if by_name or {unit[0], asked[0]} == {"time", "calendar"}:
            return None
    if hints.hemisphere and quantity.words[-1:] in (("s",), ("south",), ("w",), ("west",)):
        return -abs(value)
    if hints.before_christ and quantity.words[:1] in (("bc",), ("bce",)):
        return -value
    return value


def _of_calendar(text: str, asked: str) -> int | None:
    """The number of the named month, or the full hour of the day, that `text` says."""
    if asked == "month":
        named = {number for name, number in _MONTHS.items() if re.search(rf"\b{name}\b", text.lower())}
        return named.pop() if len(named) == 1 else None
    read = read_time(text)
    return read[0].hour if read and read[0].minute == 0 and not read[1] else None


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
        if wanted in _TRUE:
            return True
        if wanted in _FALSE:
            return False
    for value in field.candidates:
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            quantities = read_quantities(text)
            if len(quantities) == 1 and quantities[0].value == Fraction(value):
                return value
    raise ValueNotUnderstood(text, field, "one of the listed values")


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
    asked = asked_format(field.description, field.format)
    if asked is None:
        cleaned = clean_string(text)
        if cleaned[:1] == "+" and _COMPACT_PHONE.search(field.description):
            return re.sub(r"[\s().-]", "", cleaned)
        code = asked_code(field.name, field.description)
        return cleaned if code is None else write_code(cleaned, code, field.description) or cleaned
    written = write_as(text, asked)
    if written is None:
        raise ValueNotUnderstood(text, field, "a date or time in the asked format")
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
    item = _item_field(field)
    if text.lstrip()[:1] == "[" and (listed := _json_list(text)) is not None:
        return [parse_value(part if isinstance(part, str) else json.dumps(part), item) for part in listed]
    numeric = item.kind in (Kind.INTEGER, Kind.NUMBER)
    if text.strip(" \t\n[](){}.").casefold() in _NO_ITEMS:
        return []
    return [parse_value(part, item) for part in split_list(text, numeric, field.name)]


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
        item_kind=None, item_candidates=(),
    )  # fmt: skip
