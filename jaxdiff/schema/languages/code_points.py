"""Sets of characters as sorted, disjoint ranges of Unicode code points.

Lone surrogates are no characters: whether a set holds them means nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from functools import lru_cache

import numpy as np

Ranges = tuple[tuple[int, int], ...]

EVERY: Ranges = ((0, sys.maxunicode),)


def union(*sets: Iterable[tuple[int, int]]) -> Ranges:
    """All characters of any of the sets, which need not be sorted."""
    merged: list[tuple[int, int]] = []
    for low, high in sorted(pair for ranges in sets for pair in ranges):
        if merged and low <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], high))
        else:
            merged.append((low, high))
    return tuple(merged)


def complement(ranges: Ranges) -> Ranges:
    """All characters that are not in the set."""
    gaps, start = [], 0
    for low, high in ranges:
        if start < low:
            gaps.append((start, low - 1))
        start = high + 1
    if start <= sys.maxunicode:
        gaps.append((start, sys.maxunicode))
    return tuple(gaps)


def intersection(left: Ranges, right: Ranges) -> Ranges:
    """The characters in both sets."""
    return complement(union(complement(left), complement(right)))


def of(text: str) -> Ranges:
    """The characters of a text."""
    return union((ord(char), ord(char)) for char in text)


def _where(holds: np.ndarray) -> Ranges:
    """The code points at which a [1114112] bool table holds."""
    edges = np.flatnonzero(np.diff(holds.astype(np.int8), prepend=0, append=0))
    return tuple(zip(edges[::2].tolist(), (edges[1::2] - 1).tolist(), strict=True))


@lru_cache(maxsize=1)
def _characters() -> np.ndarray:
    return np.arange(sys.maxunicode + 1, dtype=np.uint32).view("U1")


ASCII_DIGITS: Ranges = ((48, 57),)
ASCII_WORD: Ranges = ((48, 57), (65, 90), (95, 95), (97, 122))
LINE_ENDS: Ranges = of("\n\r\u2028\u2029")
# White space and line terminators of ECMA-262, and what `str.isspace` calls so: Python's `\s`.
ECMA_SPACE: Ranges = of("\t\v\f \xa0\u1680\u202f\u205f\u3000\ufeff\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007"
                        "\u2008\u2009\u200a\n\r\u2028\u2029")  # fmt: skip
PYTHON_SPACE: Ranges = of("\t\n\v\f\r\x1c\x1d\x1e\x1f \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007"
                          "\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000")  # fmt: skip
SPACE: Ranges = intersection(ECMA_SPACE, PYTHON_SPACE)


@lru_cache(maxsize=1)
def python_word() -> Ranges:
    """What Python's `\\w` matches."""
    return union(_where(np.strings.isalnum(_characters())), of("_"))


@lru_cache(maxsize=4)
def differing(escape: str) -> Ranges:
    """The characters that ECMA-262 and Python do not both take as `d`, `w` or `s` behind a backslash, or as a dot."""
    if escape == ".":
        return intersection(LINE_ENDS, complement(of("\n")))
    if escape == "d":
        return intersection(_where(np.strings.isdecimal(_characters())), complement(ASCII_DIGITS))
    if escape == "w":
        return intersection(python_word(), complement(ASCII_WORD))
    return intersection(union(ECMA_SPACE, PYTHON_SPACE), complement(SPACE))
