"""Strings with JSON Schema's `format` or `pattern`: said in words, written as the format has it."""

from __future__ import annotations

import re
from functools import lru_cache

from jaxdiff.errors import UnsupportedLanguage
from jaxdiff.schema.dates import AskedFormat, write_as
from jaxdiff.schema.languages.formats import FORMATS, format_language
from jaxdiff.schema.languages.patterns import pattern_language
from jaxdiff.schema.numbers import read_quantities
from jaxdiff.schema.units import said_unit

_MOMENTS = {
    "time": AskedFormat("%H:%M:%S", frozenset({"hour", "minute", "second"})),
    "date-time": AskedFormat(
        "%Y-%m-%dT%H:%M:%S", frozenset({"year", "month", "day", "hour", "minute", "second"})
    ),
}  # fmt: skip
_ZONE = re.compile(
    r"\s*(?:\(?\b(?:UTC|GMT|Zulu|(?<=\d)Z)\b\)?)?\s*(?P<offset>[+-]\d{1,2}(?::?\d\d)?)?\s*$", re.IGNORECASE
)
_WITH_ZONE = re.compile(r"YYYY-MM-DDTHH:MM:SS(?:Z|[+-]HH)", re.IGNORECASE)
_ISO_DURATION = re.compile(r"\bISO[ -]?8601 duration|\bduration \(?(?:in|as) ISO[ -]?8601", re.IGNORECASE)
# Texts that may well end as a sentence does.
_EXACT = ("regex", "json-pointer", "relative-json-pointer", "uri-template")
_SENTENCE_END = ".,;:!?"
# Units of a duration (RFC 3339, appendix A) from large to small: letter, dimension, size in the dimension's first unit.
# Those of the time of day stand behind a "T".
_UNITS = (
    ("Y", "calendar", 12), ("M", "calendar", 1), ("D", "time", 86400),
    ("TH", "time", 3600), ("TM", "time", 60), ("TS", "time", 1),
)  # fmt: skip
_WEEK = 604800


@lru_cache(maxsize=65536)
def asked_text_format(keyword: str, description: str) -> str:
    """The format among `FORMATS` that a string must have, by the keyword `format` or by its description; else empty."""
    if keyword in FORMATS:
        return keyword
    if _WITH_ZONE.search(description):
        return "date-time"
    return "duration" if _ISO_DURATION.search(description) else ""


def write_format(text: str, asked: str) -> str | None:
    """`text`, without the punctuation behind it, in one of `FORMATS`; None where its words do not determine that."""
    language = format_language(asked)
    trimmed = text.rstrip(_SENTENCE_END)
    for given in (text, trimmed) if asked in _EXACT else (trimmed, text):
        if given and language.accepts(given):
            return given
    written = _moment(text, _MOMENTS[asked]) if asked in _MOMENTS else _duration(text) if asked == "duration" else None
    return written if written and language.accepts(written) else None


def write_pattern(text: str, pattern: str) -> str | None:
    """`text` as the pattern allows it: as it is, or in capitals, in small letters, without spaces or hyphens.

    None where that is not possible or in several ways. Patterns that are beyond `pattern_language` are not looked at.
    """
    try:
        language = pattern_language(pattern)
    except UnsupportedLanguage:
        return text
    spaced = (text, text.rstrip(_SENTENCE_END), re.sub(r"\s+", "", text), re.sub(r"[\s-]+", "", text))
    for cases in ((str,), (str.upper, str.lower)):
        found = {written for given in spaced for case in cases if language.accepts(written := case(given))}
        if text in found:
            return text
        if found:
            return found.pop() if len(found) == 1 else None
    return None


def _moment(text: str, asked: AskedFormat) -> str | None:
    """A date and time with its offset from UTC (RFC 3339), which must be said."""
    zone = _ZONE.search(text)
    if zone is None or not zone[0].strip():
        return None
    written = write_as(text[: zone.start()].strip(" ,"), asked)
    if written is None:
        return None
    if zone["offset"] is None:
        return f"{written}Z"
    digits = zone["offset"][1:].replace(":", "")
    hours, minutes = (digits[:-2], digits[-2:]) if len(digits) > 2 else (digits, "00")
    return f"{written}{zone['offset'][0]}{int(hours):02d}:{minutes}"


@lru_cache(maxsize=16384)
def _duration(text: str) -> str | None:
    """A said duration as RFC 3339 has it: "an hour and a half" is "PT1H30M", "90 minutes" stay "PT90M"."""
    amounts = dict.fromkeys((letters for letters, _, _ in _UNITS), 0)
    quantities = read_quantities(text)
    weeks = 0
    for quantity in quantities:
        unit = said_unit(quantity.words, "time")
        if unit is None or unit[0] not in ("time", "calendar") or quantity.value < 0 or quantity.ordinal:
            return None
        total = quantity.value * unit[1]
        if unit[0] == "time" and unit[1] % _WEEK == 0 and total % _WEEK == 0:
            weeks += int(total / _WEEK)
            continue
        for letters, dimension, size in _UNITS:
            if dimension == unit[0] and size <= unit[1]:
                whole = total // size
                amounts[letters] += int(whole)
                total -= whole * size
        if total:
            return None
    if not quantities:
        return None
    if weeks and not any(amounts.values()):
        return f"P{weeks}W"
    amounts["D"] += 7 * weeks
    if not any(amounts.values()):
        return "PT0S"
    days = "".join(f"{n}{letters}" for letters, n in amounts.items() if n and letters[0] != "T")
    times = "".join(f"{n}{letters[1]}" for letters, n in amounts.items() if n and letters[0] == "T")
    return f"P{days}T{times}" if times else f"P{days}"
