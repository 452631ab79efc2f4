"""Fields that are the two ends of a range: the lower one's value is not above the upper one's.

Told by their names alone ("min_price" and "max_price"), for numbers and dates. Times of a day are left out, since a
range may pass midnight, and so are numbers of which the first may well be the larger ("from_base" and "to_base").
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from jaxdiff.schema.fields import Field, Kind
from jaxdiff.schema.said_words import words

_AMOUNTS = (
    ("min", "max"), ("minimum", "maximum"), ("low", "high"), ("lower", "upper"), ("lowest", "highest"),
    ("least", "most"), ("smallest", "largest"),
)  # fmt: skip
_TIMES = (
    ("start", "end"), ("begin", "end"), ("from", "to"), ("from", "until"), ("since", "until"), ("after", "before"),
    ("earliest", "latest"), ("first", "last"), ("in", "out"), ("checkin", "checkout"), ("entry", "exit"),
    ("birth", "death"), ("departure", "return"),
)  # fmt: skip
_NUMBERS = (Kind.INTEGER, Kind.NUMBER)
_DATES = ("date", "date-time")

Ends = tuple[tuple[int, int], ...]
"""Numbers of two fields, the lower end of a range and the upper one."""


@lru_cache(maxsize=4096)
def range_ends(fields: tuple[Field, ...]) -> Ends:
    """The ranges among the fields of a tool."""
    names = [_outer_and_words(field.name) for field in fields]
    return tuple(
        (low, high)
        for low, field in enumerate(fields)
        for high, other in enumerate(fields)
        if names[low][0] == names[high][0] and _are_ends(field, other, names[low][1], names[high][1])
    )


def in_order(low: Any, high: Any) -> bool:
    """Whether two values may be the ends of a range: numbers, or texts that begin with an ISO date; True for others."""
    if isinstance(low, str) and isinstance(high, str):
        return low[:10] <= high[:10]
    numbers = all(isinstance(end, int | float) and not isinstance(end, bool) for end in (low, high))
    return not numbers or bool(low <= high)


def _are_ends(field: Field, other: Field, name: tuple[str, ...], second: tuple[str, ...]) -> bool:
    if field.kind in _NUMBERS and other.kind in _NUMBERS:
        pairs = _AMOUNTS + (_TIMES if "year" in name else ())
    elif field.format in _DATES and other.format in _DATES:
        pairs = _AMOUNTS + _TIMES
    else:
        return False
    differing = [pair for pair in zip(name, second, strict=False) if pair[0] != pair[1]]
    return len(name) == len(second) and len(differing) == 1 and differing[0] in pairs


def _outer_and_words(path: str) -> tuple[str, tuple[str, ...]]:
    """What a field is a part of, and the words of its own name."""
    outer, _, own = path.rpartition(".")
    return outer, words(own)
