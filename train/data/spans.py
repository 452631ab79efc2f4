"""Where in a query each gold value is said: labels for rows that do not tell."""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from text_to_num import find_numbers

Span = tuple[int, int]

# A string of fewer code points that occurs twice does not tell which occurrence is meant.
_MIN_REPEATED = 4
# Text between the items of a list ("a, b as well as c"): this many code points an item.
_MAX_GLUE = 8
# Digits within dates, times, ratios, ordinals and names ("05/12", "8:30", "4:3", "2nd", "K-9") are not numbers.
_DIGITS = re.compile(
    r"(?<![\w.])(?<!\d[,:/-])(?<!\w-)(-?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?)(?!\d|[.,:/-]\d|(?:st|nd|rd|th)\b)"
    r"(\s?(?:%|per ?cent\b))?"
)
_WORD = re.compile(r"\w+|[^\w\s]+|\s+")


class _Word:
    """A token as `find_numbers` wants it."""

    def __init__(self, match: re.Match[str]):
        self._text = match[0]
        self.span = match.span()

    def text(self) -> str:
        return self._text

    def nt_separated(self, previous: _Word) -> bool:
        return False

    def not_a_number_part(self) -> bool:
        return False


def find_spans(query: str, arguments: dict[str, Any]) -> dict[str, Span]:
    """property -> (start, end) in code points of `query` where its value is said, where that is clear.

    Strings are matched as whole words, case ignored; numbers by value, in digits or in words; a list by the smallest
    window with all its items. Of several occurrences a string of at least four code points takes the first, others
    none, unless as many properties have this value. Properties avoid one another's words where they can.
    """
    numbers = _numbers(query)
    places = {name: found for name, value in arguments.items() if (found := _occurrences(value, query, numbers))}
    spans: dict[str, Span] = {}
    # The longest first: "York" must not take the word from "New York".
    waiting = sorted(places, key=lambda name: -_length(places[name][0]))
    for position, name in enumerate(waiting):
        free = [span for span in places[name] if not any(_overlap(span, taken) for taken in spans.values())]
        free = free or places[name]
        rivals = sum(places[other] == places[name] for other in waiting[position:])
        unambiguous = len(free) <= rivals
        if unambiguous or (not _is_number(arguments[name]) and _length(free[0]) >= _MIN_REPEATED):
            spans[name] = free[0]
    return {name: spans[name] for name in arguments if name in spans}


def find_items(query: str, items: list[Any], taken: Sequence[Span] = ()) -> list[Span]:
    """Where each item of a list is said that no small window holds, from left to right; [] where that is not clear.

    It is clear where each of at least two items has its own place, by the rules of `find_spans`, outside of `taken`,
    where other values are said.
    """
    found = sorted(find_spans(query, {str(number): item for number, item in enumerate(items)}).values())
    apart = all(before[1] <= after[0] for before, after in itertools.pairwise(found))
    own = not any(_overlap(span, other) for span in found for other in taken)
    return found if len(found) == len(items) > 1 and apart and own else []


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _close(number: float, value: float) -> bool:
    try:
        return math.isclose(number, value, rel_tol=1e-9)
    except OverflowError:  # an integer that no float holds
        return False


def _length(span: Span) -> int:
    return span[1] - span[0]


def _overlap(a: Span, b: Span) -> bool:
    return a[0] < b[1] and b[0] < a[1]


def _numbers(query: str) -> list[tuple[Span, float]]:
    """Every number said in the query, with its place, from left to right; a percentage also as a fraction."""
    found: list[tuple[Span, float]] = []
    fractions: list[tuple[Span, float]] = []
    for match in _DIGITS.finditer(query):
        found.append((match.span(1), float(match[1].replace(",", ""))))
        if match[2]:
            fractions.append((match.span(), found[-1][1] / 100))
    words = [_Word(match) for match in _WORD.finditer(query)]
    for number in find_numbers(words, "en", threshold=0):
        span = words[number.start].span[0], words[number.end - 1].span[1]
        if not number.is_ordinal and not any(_overlap(span, other) for other, _ in found):
            found.append((span, float(number.value)))
    return sorted(found + fractions)


def _occurrences(value: Any, query: str, numbers: list[tuple[Span, float]]) -> list[Span]:
    """All places where the value is said, from left to right."""
    if _is_number(value):
        said = [span for span, number in numbers if _close(number, value)]
        # "that one" and "1 room": the digit is the number.
        return [span for span in said if query[slice(*span)].lower() != "one"] or said
    if isinstance(value, str) and value.strip():
        words = r"\s+".join(re.escape(word) for word in value.split())
        # A country code such as "IN" or "IT" is not the common word.
        case = re.NOFLAG if len(value) == 2 and value.isalpha() and value.isupper() else re.IGNORECASE
        return [match.span() for match in re.finditer(rf"(?<!\w){words}(?!\w)", query, case)]
    if isinstance(value, list) and value:
        return _windows(value, query, numbers)
    return []


def _windows(items: list[Any], query: str, numbers: list[tuple[Span, float]]) -> list[Span]:
    """The smallest windows that hold all items, each as often as it is listed, and little else."""
    wanted: Counter[tuple[Span, ...]] = Counter()
    for item in items:
        if isinstance(item, list) or not (places := _occurrences(item, query, numbers)):
            return []
        wanted[tuple(places)] += 1
    windows = []
    for start in sorted({span[0] for places in wanted for span in places}):
        ends: list[int] = []
        for spans, times in wanted.items():
            later = [span[1] for span in spans if span[0] >= start]
            ends += later[times - 1 : times]
        if len(ends) == len(wanted):
            windows.append((start, max(ends)))
    if not windows:
        return []
    shortest = min(map(_length, windows))
    said = sum(_length(places[0]) * times for places, times in wanted.items())
    return (
        [window for window in windows if _length(window) == shortest]
        if shortest <= said + _MAX_GLUE * len(items)
        else []
    )
