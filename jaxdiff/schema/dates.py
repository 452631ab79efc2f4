"""Dates and times said in words, written in the format that a field's description asks for ("YYYY-MM-DD", "HH:MM")."""

from __future__ import annotations

import calendar
import re
from dataclasses import dataclass
from datetime import date, datetime, time
from functools import lru_cache
from typing import Any

from jaxdiff.schema.numbers import digits_for_words

# Letters of a format, longest first, with their strftime directive and the part they need.
_LETTERS = {
    "YYYY": ("%Y", "year"), "MMMM": ("%B", "month"), "Month": ("%B", "month"), "MMM": ("%b", "month"),
    "Mon": ("%b", "month"), "MM": ("%m", "month"), "DD": ("%d", "day"), "Www": ("W%V", "week"),
    "HH": ("%H", "hour"), "SS": ("%S", "second"),
}  # fmt: skip
_ANY_LETTERS = "|".join(_LETTERS)
_MASK = re.compile(
    rf"(?<![A-Za-z])(?:{_ANY_LETTERS})(?:[-/.:T ]?(?:{_ANY_LETTERS}))+(?![A-Za-z]| ?(?:AM|am|PM|pm|a\b))"
)
_LOWER_MASK = re.compile(
    r"\b(?:yyyy|dd|mm)(?:[-/.]?(?:yyyy|dd|mm)){1,2}(?:[T ]hh:mm(?::ss)?)?\b|\bhh:mm(?::ss)?\b(?! ?[ap])"
)
_CLOCK_MINUTES = re.compile(r"(?<=HH:)MM|(?<=HH)MM")

_PERIOD = (
    r"(?P<period>a\.?m\b\.?|p\.?m\b\.?|(?:(?:in )?the (?:early |late )?|this )(?:morning|afternoon|evening)"
    r"|(?:at|in the) night|tonight|noon|midnight)"
)
_CLOCK = re.compile(
    rf"(?:\bat )?(?:\b(?P<named>noon|midday|midnight)(?: at the start of)?\b"
    rf"|\b(?P<part>half|(?:a )?quarter|1/2|1/4|\d{{1,2}}(?: minutes?)?) (?P<side>past|after|to|before|till) "
    rf"(?P<base>\d{{1,2}}|noon|midnight)\b(?:,? {_PERIOD})?"
    rf"|(?<![\d:.])(?P<hour>\d{{1,2}})(?:[:.h](?P<minute>\d\d)(?::(?P<second>\d\d))?)?(?![\d:/])"
    rf"(?: (?P<spoken>[0-5]\d))?(?: o'? ?clock)?,? ?{_PERIOD.replace('period', 'suffix')}"
    rf"|(?<![\d:.])(?P<hour24>\d{{1,2}}):(?P<minute24>\d\d)(?::(?P<second24>\d\d))?(?![\d:])(?: ?h(?:rs|ours)?\b)?)"
)
# Where nothing else is said, "18.30", "18h30" and "1830 hours" are times as well.
_CLOCK_ALONE = re.compile(r"(?:at )?(\d{1,2}[.h]|[012]\d)([0-5]\d)(?: ?h(?:rs|ours)?)?")
_NUMERIC_DATE = re.compile(r"(\d{1,2})([-/.])(\d{1,2})\2(\d{4})")
_ISO_FORMATS = ("%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%Y%m%d")
_MONTH_FORMATS = ("%Y-%m", "%Y/%m", "%m/%Y", "%m.%Y", "%m-%Y")
_FILLER = re.compile(
    r"^(?:(?:on|at|in|by|from|since|until|till|before|after|the|of|as|date|day|and) )+|[\s,;]+$|^[\s,;]+"
)
_WEEKDAY = re.compile(rf"\b(?:{'|'.join(list(calendar.day_name) + list(calendar.day_abbr))})\b[,.]?\s*", re.IGNORECASE)
_DATE_SEPARATOR = re.compile(r"[\s,./'-]+")
_MONTH = re.compile(rf"(?:{'|'.join([*calendar.month_name[1:], *calendar.month_abbr[1:]])}|sept)", re.IGNORECASE)
_DAY_OR_YEAR = re.compile(r"\d{1,4}(?:st|nd|rd|th)?|of|the", re.IGNORECASE)
_YEAR_IN_TWO = re.compile(r"\b(1[1-9]|2[01]) (\d\d)$")  # "twenty twenty-six"
_LAST_DAY = re.compile(r"(?:the )?(?:end|last day) of (.*)")
_SHARP = re.compile(r",? (?:sharp|exactly|precisely|on the dot)$")
_WEEK = re.compile(r"(?:the )?(?:(\d{1,2})(?:st|nd|rd|th) week|week (\d{1,2}))(?: of|,| in)? (\d{4})")
_ROUGHLY = re.compile(
    r"\b(?:early|late|mid|the (?:start|beginning|end|middle) of|the month of|month of)[ -]", re.IGNORECASE
)


@dataclass(frozen=True)
class AskedFormat:
    """A date or time format: its strftime template, and the parts it shows."""

    template: str
    parts: frozenset[str]


@lru_cache(maxsize=65536)
def asked_format(description: str, format_keyword: str = "") -> AskedFormat | None:
    """The format that a string field's description spells out, or that of `format: date`; None for other strings."""
    match = _MASK.search(description)
    if match is None and (lower := _LOWER_MASK.search(description)):
        match = _MASK.fullmatch(lower[0].upper())
    if match and ":" in match[0] and "HH" not in match[0]:
        return None  # "MM:SS" is a duration
    if match is None:
        return AskedFormat("%Y-%m-%d", frozenset({"year", "month", "day"})) if format_keyword == "date" else None
    mask = _CLOCK_MINUTES.sub("\0", match[0])
    parts = {"minute"} if "\0" in mask else set()
    template = ""
    while mask:
        letters = next((letters for letters in _LETTERS if mask.startswith(letters)), mask[0])
        directive, part = _LETTERS.get(letters, ("%M" if letters == "\0" else letters, ""))
        template, mask = template + directive, mask[len(letters) :]
        parts.add(part)
    template = template.replace("%Y-W%V", "%G-W%V")
    return AskedFormat(template, frozenset(parts - {""}))


@lru_cache(maxsize=65536)
def write_as(text: str, asked: AskedFormat) -> str | None:
    """`text` in the asked format, or None where its words do not determine it (relative dates, missing parts)."""
    text = text.strip().strip("\"'").strip()
    if _conforms(text, asked.template):
        return text
    if "week" in asked.parts:
        match = _WEEK.fullmatch(digits_for_words(text.lower()))
        return f"{match[3]}-W{int(match[1] or match[2]):02d}" if match and asked.template == "%G-W%V" else None
    moment = time()
    if "hour" in asked.parts:
        read = read_time(text)
        if read is None:
            return None
        moment, text = read
        if moment.second and "second" not in asked.parts:
            return None
    day = date(2000, 1, 1)
    wanted = asked.parts & {"year", "month", "day"}
    if wanted:
        found = _read_date(text, wanted, asked.template)
        if found is None:
            return None
        day = found
    elif _FILLER.sub("", text):
        return None
    # strftime does not pad years before 1000.
    template = asked.template.replace("%Y", f"{day.year:04d}")
    return datetime.combine(day, moment).strftime(template)


def read_time(text: str) -> tuple[time, str] | None:
    """The time of day in `text` and the text without it; None where none is determined ("half past nine")."""
    text = re.sub(r"(?<=[a-z])-(?=[a-z])", " ", _SHARP.sub("", text.lower().replace("\u2019", "'")))
    text = digits_for_words(text)
    if alone := _CLOCK_ALONE.fullmatch(text):
        text = f"{alone[1].rstrip('.h')}:{alone[2]}"
    match = next((found for found in _CLOCK.finditer(text)), None)
    if match is None:
        return None
    group = match.groupdict()
    period = group["period"] or group["suffix"]
    second = int(group["second"] or group["second24"] or 0)
    if group["named"]:
        hour, minute = (0 if group["named"] == "midnight" else 12), 0
    elif group["base"]:
        part = group["part"].removeprefix("a ")
        offset = {"half": 30, "1/2": 30, "quarter": 15, "1/4": 15}.get(part) or int(part.split()[0])
        base = {"noon": "12", "midnight": "24"}.get(group["base"], group["base"])
        if group["base"].isalpha():
            period = "24h"
        minutes = int(base) * 60 + (offset if group["side"] in ("past", "after") else -offset)
        hour, minute = divmod(minutes, 60)
        if period is None and int(base) <= 12:
            return None
    else:
        hour = int(group["hour"] or group["hour24"])
        minute = int(group["minute"] or group["minute24"] or group["spoken"] or 0)
    resolved = _hour24(hour, period)
    if resolved is None or minute > 59 or second > 59:
        return None
    rest = _FILLER.sub("", f"{text[: match.start()]} {text[match.end() :]}".strip())
    return time(resolved % 24, minute, second), rest


def _hour24(hour: int, period: str | None) -> int | None:
    """The hour of the day; None where the part of the day contradicts it."""
    if period is None or period == "24h":
        return hour if hour <= 24 else None
    if 12 < hour < 24:
        return hour if not period.startswith("a") else None
    if hour > 12:
        return None
    if period == "midnight":
        return 0 if hour == 12 else None
    if (period.startswith("a") and period != "at night") or "morning" in period:
        return hour % 12
    if "night" in period:
        return hour % 12 if hour == 12 or hour < 6 else hour + 12
    return hour % 12 + 12


def _conforms(text: str, template: str) -> bool:
    if "%V" in template:
        return bool(re.fullmatch(r"\d{4}-W(?:0[1-9]|[1-4]\d|5[0-3])", text)) and template == "%G-W%V"
    try:
        # A leap year, so that 29 February passes where no year is asked for.
        moment = (
            datetime.strptime(text, template)
            if "%Y" in template
            else datetime.strptime(f"2000 {text}", f"%Y {template}")
        )
    except ValueError:
        return False
    return moment.strftime(template.replace("%Y", f"{moment.year:04d}")) == text


def _read_date(text: str, wanted: frozenset[str], template: str) -> date | None:
    if "day" not in wanted:
        text = _ROUGHLY.sub("", text)
    text = _FILLER.sub("", _WEEKDAY.sub("", text.strip())).strip()
    for layout in _ISO_FORMATS if "day" in wanted else (*_ISO_FORMATS, *_MONTH_FORMATS):
        try:
            return datetime.strptime(text, layout).date()
        except ValueError:
            continue
    if match := _NUMERIC_DATE.fullmatch(text):
        first, second = int(match[1]), int(match[3])
        day_first = match[2] == "." or first > 12 or re.search(rf"%d{re.escape(match[2])}%m", template)
        month_first = second > 12 or re.search(rf"%m{re.escape(match[2])}%d", template)
        if bool(day_first) == bool(month_first) and first != second:
            return None
        first, second = (first, second) if day_first else (second, first)
        try:
            return date(int(match[4]), second, first)
        except ValueError:
            return None
    text = re.sub(r"\b(\d+(?:st|nd|rd|th)) day of\b", r"\1 of", digits_for_words(text.lower()))
    text = _YEAR_IN_TWO.sub(r"\1\2", text)
    if match := _LAST_DAY.fullmatch(text):
        month = _read_date(match[1], frozenset({"year", "month"}), template) if "year" in wanted else None
        return month and month.replace(day=calendar.monthrange(month.year, month.month)[1])
    # Digits alone are ambiguous; other words are no absolute date, and `dateparser` may take seconds to find that out.
    pieces = [piece for piece in _DATE_SEPARATOR.split(text) if piece]
    others = [piece for piece in pieces if not _MONTH.fullmatch(piece)]
    if len(pieces) - len(others) != 1 or not 1 <= len(others) <= 5 or not all(map(_DAY_OR_YEAR.fullmatch, others)):
        return None
    found = _date_parser(wanted).get_date_data(text).date_obj
    return found.date() if found else None


@lru_cache(maxsize=8)
def _date_parser(wanted: frozenset[str]) -> Any:
    """An English parser of absolute dates that show at least the wanted parts. `dateparser` takes a while to import."""
    from dateparser.date import DateDataParser

    settings = {
        "PARSERS": ["absolute-time"], "REQUIRE_PARTS": sorted(wanted), "RETURN_AS_TIMEZONE_AWARE": False,
        "RELATIVE_BASE": datetime(2000, 1, 1), "PREFER_DAY_OF_MONTH": "first",
    }  # fmt: skip
    return DateDataParser(languages=["en"], settings=settings)
