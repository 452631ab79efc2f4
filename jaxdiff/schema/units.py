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
        "3600": "hour hours hrs | h hr", "86400": "day days | d", "604800": "week weeks wk wks | w",
        "1209600": "fortnight fortnights",
    },
    "calendar": {"1": "month months", "3": "", "12": "year years yr yrs | y", "120": "decade decades", "1200": "century"},
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
    "area": {"1": "m² m2 sqm", "10000": "hectare hectares | ha", "1000000": "km² km2"},
    "bytes": {
        "1": "byte bytes", "1000": "kilobyte kilobytes | kb", "1000000": "megabyte megabytes | mb",
        "1000000000": "gigabyte gigabytes | gb", "1000000000000": "terabyte terabytes | tb",
    },
    "binary bytes": {"1": "kib", "1024": "mib", "1048576": "gib", "1073741824": "tib"},
    "bit rate": {"1": "kbps kbit/s kb/s", "1000": "mbps mbit/s mb/s", "1000000": "gbps gbit/s gb/s", "1/1000": "bps bit/s"},
    "energy": {"1": "watt-hour wh", "1000": "kwh", "1000000": "mwh", "1000000000": "gwh"},
    "power": {"1": "watt watts | w", "1000": "kilowatt kilowatts | kw", "1000000": "megawatt megawatts"},
    "frequency": {
        "1": "hertz | hz", "1000": "kilohertz | khz", "1000000": "megahertz | mhz", "1000000000": "gigahertz | ghz",
    },
    "cores": {"1": "core cores", "1/1000": "millicore millicores"},
}  # fmt: skip

Unit = tuple[str, Fraction]
_LONG: dict[str, Unit] = {}
_SHORT: dict[str, Unit] = {}
for _dimension, _units in _TABLE.items():
    for _factor, _names in _units.items():
        _long, _, _short = _names.partition("|")
        _LONG.update(dict.fromkeys(_long.split(), (_dimension, Fraction(_factor))))
        _SHORT.update(dict.fromkeys(_short.split(), (_dimension, Fraction(_factor))))
_SHORT |= _LONG

_NAME_PART = re.compile(r"[A-Z]?[a-zµ]+|[A-Z]+(?![a-z])|\d+")
_WORD = re.compile(r"[^\W_]+(?:/[^\W_]+)?")


def said_unit(words: tuple[str, ...]) -> Unit | None:
    """Dimension and factor of the unit that opens `words` (lower-case words behind a number); None for other words."""
    for skipped, word in enumerate(words):
        if word in ("whole", "full", "more", "extra", "-", "another"):
            continue
        if words[skipped + 1 : skipped + 2] == ("/",) or "per" in words:
            return None
        return _SHORT.get(word)
    return None


@lru_cache(maxsize=65536)
def asked_unit(name: str, description: str) -> tuple[Unit, bool] | None:
    """The unit that a field asks for, and whether its name says so; None where neither name nor description does."""
    parts = [part.lower() for part in _NAME_PART.findall(name)]
    if parts and "per" not in parts and parts[-1] in _SHORT:
        return _SHORT[parts[-1]], True
    words = _WORD.findall(description.lower())
    for index, word in enumerate(words):
        if word in ("in", "whole") and index + 1 < len(words) and words[index + 1] in _SHORT:
            return _SHORT[words[index + 1]], False
    named = {_LONG[word] for word in words if word in _LONG}
    return (named.pop(), False) if len(named) == 1 else None
