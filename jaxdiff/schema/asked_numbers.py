"""A said number as a field asks for it: in its unit, as a share or in percent, as a month or an hour of the day."""

from __future__ import annotations

import calendar
import re
from fractions import Fraction
from functools import lru_cache

from jaxdiff.schema.dates import read_time
from jaxdiff.schema.fields import Field, Kind
from jaxdiff.schema.numbers import MULTIPLIERS, Quantity, read_quantities
from jaxdiff.schema.said_words import own_name
from jaxdiff.schema.unit_names import foreign_unit
from jaxdiff.schema.units import Unit, asked_unit, own_factors, said_unit

_SHARE = re.compile(
    r"decimal\b(?! (?:place|degree|integer|point))|fraction\b|\b0\.\d|between 0 and 1\b|\b0 ?(?:-|to) ?1\b"
    r"|\b0 = .*\b1 = "
)
_PERCENT = re.compile(r"percent|per cent|\bpct\b|in %|percentage")
_MONEY = re.compile(
    r"price|cost|amount|budget|salary|income|revenue|money|dollar|euro|pound|currency|fee|fare|payment|loan|principal|"
    r"balance|wage|rent|profit|value|investment|deposit|sum\b|usd|eur|gbp"
)
_HEMISPHERE = re.compile(r"latitude|longitude|\b(?:lat|lon|lng)\b|north|south|west|east")
_HEMISPHERES = frozenset({"n", "north", "e", "east", "s", "south", "w", "west"})
_SCALE = re.compile(r"\bin (thousand|million|billion)s\b")
_RATE = re.compile(r"\b(?:rate|ratio|probability|proportion)\b")
_CURRENCY = re.compile(r"(?:dollar|euro|pound|franc)s?|usd|eur|gbp|chf")
_CENTS = frozenset({"cent", "cents", "penny", "pence", "p"})
_MINOR = re.compile(r"\bin (?:[a-z]+ )?(?:cents|pence|pennies)\b|\b(?:minor|smallest)(?: currency)? units?\b")
_SCORE = re.compile(r"\b(?:rating|score|grade|stars|mark)\b")
_BASE_UNITS = frozenset({("length", 1), ("mass", 1000), ("time", 1), ("volume", 1), ("area", 1), ("bytes", 1)})
_MINUTES = re.compile(r":|\b(?:past|to|half|quarter)\b")
_HOW_OFTEN = re.compile(r"\b(?:once|twice|thrice|times) (?:an?|per|each|every|in)\b")
_BRACKETED = re.compile(r"\(([^()]*)\)")
_MONTHS = {name.lower(): number for number, name in enumerate(calendar.month_name) if name}


def said_number(text: str, field: Field) -> Fraction | None:
    """The exact value that `text` gives a number field, or None where it does not determine one."""
    hints = _hints(
        own_name(field.name), field.description, field.schema.get("maximum") == 1, field.kind is Kind.INTEGER
    )
    if hints.calendar and (number := _of_calendar(text, hints.calendar)) is not None:
        return Fraction(number)
    if hints.calendar == "hour" and _MINUTES.search(text.lower()):
        return None
    asked = hints.unit[0] if hints.unit else None
    if asked and asked[0] in ("time", "calendar") and _HOW_OFTEN.search(text.lower()):
        return None
    outside = read_quantities(re.sub(r"\([^()]*\)", " ", text), hints.money)
    for bracketed in _BRACKETED.findall(text) if outside and asked else ():
        # "1 kB (1024 bytes)": the more exact of the two is what is said in the unit that is asked for.
        exact = read_quantities(bracketed, hints.money)
        if asked and len(exact) == 1 and said_unit(exact[0].words, asked[0]) == asked:
            return exact[0].value
    return _one_value(outside or read_quantities(text, hints.money), hints)


class _Hints:
    """What a field's name and description say about numbers."""

    def __init__(self, name: str, description: str, at_most_one: bool, integer: bool):
        parts = re.sub(r"(?<=[a-z])(?=[A-Z])|_", " ", name).lower()
        words = f"{parts} {description}".lower()
        percent = _PERCENT.search(words)
        self.text = words
        self.share = at_most_one or bool(_SHARE.search(words)) or ("share" in words and not percent)
        self.percent = not self.share and bool(percent)
        self.rate = not integer and not percent and bool(_RATE.search(words))
        self.money = bool(_MONEY.search(words))
        self.minor = bool(_MINOR.search(f"in {parts.split()[-1]} {words}" if parts.strip() else words))
        self.score = bool(_SCORE.search(words))
        self.hemisphere = bool(_HEMISPHERE.search(words))
        self.before_christ = "negative for bc" in words or "negative if bc" in words
        self.unit = asked_unit(name, description)
        self.own_factors = own_factors(description)
        last = parts.split()[-1:]
        self.calendar = last[0] if last in (["hour"], ["month"]) else ""
        scale = _SCALE.search(f"in {last[0] if last else ''} {description}".lower())
        self.scale = MULTIPLIERS[scale[1]] if scale else 1


_hints = lru_cache(maxsize=65536)(_Hints)


def _one_value(quantities: tuple[Quantity, ...], hints: _Hints) -> Fraction | None:
    """The single value of what was said, in the field's unit."""
    if not quantities:
        return None
    asked = hints.unit[0] if hints.unit else None
    units = [said_unit(quantity.words, asked[0] if asked else "") for quantity in quantities]
    if len(quantities) > 1:
        return _sum(quantities, units, asked)
    quantity, unit = quantities[0], units[0]
    value = quantity.value
    if hints.score and quantity.fraction and not hints.share:
        return None  # "4/5" are four of five points
    if hints.money and (exact := _money(quantity, hints)) is not None:
        return exact
    if quantity.percent:
        return value / 100 if hints.share else None if hints.rate else value
    if quantity.words[:1] and quantity.words[0] in hints.own_factors:
        return value * hints.own_factors[quantity.words[0]]
    if quantity.words[:2] == ("basis", "points"):
        return value / 10000 if hints.share else value / 100 if hints.percent else None
    if hints.scale > 1 and abs(value) >= hints.scale // 10:
        return value / hints.scale
    if quantity.fraction and hints.percent and unit is None:
        return value * 100
    if hints.hemisphere and quantity.words[-1:] and quantity.words[-1] in _HEMISPHERES:
        return value if quantity.words[-1][0] in "ne" else -abs(value)
    if hints.before_christ and quantity.words[:1] in (("bc",), ("bce",)):
        return -value
    if quantity.words == ("below",):
        return None
    return _in_unit(quantity, unit, hints)


def _sum(quantities: tuple[Quantity, ...], units: list[Unit | None], asked: Unit | None) -> Fraction | None:
    """Several numbers that make one: "1 hour 20 minutes", from the large unit to the small one."""
    dimensions = {unit[0] for unit in units if unit}
    factors = [unit[1] for unit in units if unit]
    if len(factors) < len(units) or len(dimensions) > 1 or asked is None or asked[0] not in dimensions:
        return None
    if factors != sorted(set(factors), reverse=True):
        return None
    return sum((q.value * factor for q, factor in zip(quantities, factors, strict=True)), Fraction(0)) / asked[1]


def _in_unit(quantity: Quantity, unit: Unit | None, hints: _Hints) -> Fraction | None:
    """What was said, in the unit that is asked for. unit: the one that was said."""
    value = quantity.value
    if unit is None:
        return None if not hints.money and foreign_unit(quantity.words, hints.text) else value
    if hints.unit is None:
        # "3 m" where no unit is asked for is 3; "3 cm" may be that or 0.03.
        mentioned = quantity.words[0] in hints.text.split()
        return value if unit in _BASE_UNITS or hints.money or mentioned else None
    asked, by_name = hints.unit
    if unit[0] != asked[0]:
        return value if hints.money and not by_name else None
    if quantity.ordinal and unit[1] != asked[1]:
        return None
    return value * unit[1] / asked[1]


def _money(quantity: Quantity, hints: _Hints) -> Fraction | None:
    """An amount of which the words say whether it is in the main unit of a currency or in hundredths."""
    if _CENTS & set(quantity.words[:1]):
        return quantity.value if hints.minor else quantity.value / 100
    main = quantity.money or (quantity.words and _CURRENCY.fullmatch(quantity.words[0]))
    return quantity.value * 100 if hints.minor and main else None


def _of_calendar(text: str, asked: str) -> int | None:
    """The number of the named month, or the full hour of the day, that `text` says."""
    if asked == "month":
        named = {number for name, number in _MONTHS.items() if re.search(rf"\b{name}\b", text.lower())}
        return named.pop() if len(named) == 1 else None
    read = read_time(text)
    return read[0].hour if read and read[0].minute == 0 and not read[1] else None
