"""Numbers of a schema, held exactly: bounds, steps, and whether anything is left between them."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

# (limit, whether it is excluded)
Bound = tuple[Fraction, bool]
# From here on, doubles are whole numbers and integers are compared with what they are, not with what is written.
_EXACT_DOUBLES = 2**53


def exact(number: Any) -> Fraction:
    """The number as it is written; from 2 ** 53 on as it is held, since all doubles are whole there."""
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise TypeError("not a number")
    if isinstance(number, float) and abs(number) < _EXACT_DOUBLES:
        return Fraction(repr(number))
    return Fraction(number)


def tightest_lower(bounds: list[Bound]) -> Bound:
    """The highest of lower bounds (limit, whether it is excluded)."""
    return max(bounds)


def tightest_upper(bounds: list[Bound]) -> Bound:
    """The lowest of upper bounds (limit, whether it is excluded)."""
    return min(bounds, key=lambda bound: (bound[0], not bound[1]))


def common_multiple(numbers: list[Fraction]) -> Fraction | None:
    """The least number above 0 that is a multiple of each; None for none."""
    if not numbers:
        return None
    denominator = math.lcm(*(number.denominator for number in numbers))
    return Fraction(math.lcm(*(int(number * denominator) for number in numbers)), denominator)


def room(low: Bound, high: Bound, step: Fraction | None) -> bool:
    """Whether a multiple of step (any number for None) is within the bounds."""
    if step is None:
        return low[0] < high[0] or (low[0] == high[0] and not low[1] and not high[1])
    first = math.ceil(low[0] / step)
    if low[1] and first * step == low[0]:
        first += 1
    return first * step < high[0] or (first * step == high[0] and not high[1])
