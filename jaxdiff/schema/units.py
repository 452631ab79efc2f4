"""Units of measure: which unit a text names, which one a field asks for, and the exact factor between them.

The table is written by hand rather than taken from a library, because the names are those of everyday speech and of
parameter names ("duration_min", "in mL"), where the short forms of a general library ("in", "a", "at", "min") misread.
"""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache

# Dimension: unit in terms of the first one, with the names it goes by. Names after "|" only stand for the unit as the
# last part of a field's name, behind "in", or directly behind a number.
_TABLE = {
    "time": {
        "1": "second seconds sec secs | s", "1/1000": "millisecond milliseconds msec | ms",
        "1/1000000": "microsecond microseconds | us µs", "60": "minute minutes mins | min",
        "3600": "hour hours hrs | h hr", "86400": "day days night nights | d", "604800": "week weeks wk wks | w",
        "1209600": "fortnight fortnights",
    },
    "calendar": {
        "1": "month months", "12": "year years yr yrs | y", "120": "decade decades", "1200": "century centuries",
    },
    "length": {
        "1": "metre metres meter meters | m", "1000": "kilometre kilometres kilometer kilometers kms km",
        "1/100": "centimetre centimetres centimeter centimeters | cm",
        "1/1000": "millimetre millimetres millimeter millimeters | mm", "1609344/1000": "mile miles | mi",
        "3048/10000": "foot feet | ft", "254/10000": "inch inches", "9144/10000": "yard yards | yd",
        "1/1000000": "micrometre micrometres micrometer micrometers micron microns | µm um",
        "1/1000000000": "nanometre nanometres nanometer nanometers", "1852": "nmi",
    },
    "mass": {
        "1": "gram grams gramme grammes | g gr", "1000": "kilogram kilograms kilo kilos kgs kg",
        "1/1000": "milligram milligrams | mg", "1/1000000": "microgram micrograms | µg ug mcg",
        "1000000": "tonne tonnes", "45359237/100000": "pound pounds lbs | lb", "45359237/1600000": "ounce ounces | oz",
    },
    "volume": {
        "1": "litre litres liter liters | l", "1/1000": "millilitre millilitres milliliter milliliters | ml",
        "1/100": "centilitre centilitres centiliter centiliters | cl", "1/10": "decilitre decilitres | dl",
        "1/1000000": "microlitre microlitres microliter microliters | µl ul", "1000": "m³ m3",
    },
    "area": {"1": "m² m2 sqm", "10000": "hectare hectares | ha", "40468564224/10000000": "acre acres",
        "1000000": "km² km2"},
    "bytes": {
        "1": "byte bytes", "1000": "kilobyte kilobytes | kb", "1000000": "megabyte megabytes | mb",
        "1000000000": "gigabyte gigabytes gig gigs | gb", "1000000000000": "terabyte terabytes | tb",
    },
    "binary bytes": {"1": "kib", "1024": "mib", "1048576": "gib", "1073741824": "tib"},
    "bit rate": {"1": "kbps kbit/s", "1000": "mbps mbit/s", "1000000": "gbps gbit/s", "1/1000": "bps bit/s"},
    "energy": {"1": "watt-hour wh", "1000": "kwh", "1000000": "mwh", "1000000000": "gwh"},
    "power": {"1": "watt watts | w", "1000": "kilowatt kilowatts | kw", "1000000": "megawatt megawatts"},
    "frequency": {
        "1": "hertz | hz", "1000": "kilohertz | khz", "1000000": "megahertz | mhz", "1000000000": "gigahertz | ghz",
    },
    "cores": {"1": "core cores", "1/1000": "millicore millicores | m"},
}  # fmt: skip

Unit = tuple[str, Fraction]
_LONG: dict[str, dict[str, Fraction]] = {}
_SHORT: dict[str, dict[str, Fraction]] = {}
for _dimension, _units in _TABLE.items():
    for _factor, _names in _units.items():
        _long, _, _short = _names.partition("|")
        for _name in _long.split():
            _LONG.setdefault(_name, {})[_dimension] = Fraction(_factor)
        for _name in (_long + _short).split():
            _SHORT.setdefault(_name, {})[_dimension] = Fraction(_factor)

_AGE = "calendar", Fraction(12)
_NAME_PART = re.compile(r"[A-Z]?[a-zµ]+|[A-Z]+(?![a-z])|\d+")
_OWN_FACTOR = re.compile(r"\b1 ([^\W\d]+(?:/[^\W\d]+)?) (?:=|is|counts as) (\d+(?:\.\d+)?)\b(?! ?%)")
_BRACKETED = re.compile(r"[(\[](?:in )?([^\s()\[\]]+)[)\]]")
_WORD = re.compile(r"[^\W_]+(?:/[^\W_]+)?")


def said_unit(words: tuple[str, ...], dimension: str = "") -> Unit | None:
    """Dimension and factor of the unit that opens `words` (lower-case words behind a number); None for other words.

    dimension: the one to prefer where a short form stands for several units ("m").
    """
    for index, word in enumerate(words):
        if word in ("whole", "full", "more", "extra", "-", "another"):
            continue
        if words[index + 1 : index + 2] == ("/",) or "per" in words:
            return None
        if word in ("square", "cubic", "sq") and index + 1 < len(words):
            word = f"{word[:2]} {words[index + 1].removesuffix('s').replace('meter', 'metre')}"
            word = {"sq metre": "m2", "sq m": "m2", "cu metre": "m3", "sq kilometre": "km2"}.get(word, word)
        found = _SHORT.get(word)
        if not found:
            return None
        dimension = dimension if dimension in found else next(iter(found))
        return dimension, found[dimension]
    return None


@lru_cache(maxsize=65536)
def asked_unit(name: str, description: str) -> tuple[Unit, bool] | None:
    """The unit that a field asks for, and whether its name says so; None where neither name nor description does."""
    parts = [part.lower() for part in _NAME_PART.findall(name)]
    if "per" in parts:
        parts = parts[: parts.index("per")]
    if len(parts) > 1 and parts[-1] in ("2", "3"):
        parts[-2:] = ["".join(parts[-2:])]
    if parts and (found := _SHORT.get(parts[-1])):
        return next(iter(found.items())), True
    for bracketed in _BRACKETED.findall(description.lower()):
        if found := _SHORT.get(bracketed):
            return next(iter(found.items())), False
    words = _WORD.findall(description.lower())
    for index, word in enumerate(words):
        if word in ("in", "whole") and index + 1 < len(words) and (found := _SHORT.get(words[index + 1])):
            return next(iter(found.items())), False
    named = {next(iter(_LONG[word].items())) for word in words if word in _LONG}
    if not named and "age" in (*parts, *words):
        return _AGE, False
    return (named.pop(), False) if len(named) == 1 else None


@lru_cache(maxsize=65536)
def own_factors(description: str) -> dict[str, Fraction]:
    """Conversions that the description itself gives: "1 GB = 1024 MB" makes a said "GB" 1024."""
    factors: dict[str, Fraction] = {}
    for match in _OWN_FACTOR.finditer(description):
        names = next(iter(_SHORT.get(match[1].lower(), {}).items()), None)
        same = [word for word, units in _SHORT.items() if names and units.get(names[0]) == names[1]]
        factors.update(dict.fromkeys([match[1].lower(), *same], Fraction(match[2])))
    return factors
