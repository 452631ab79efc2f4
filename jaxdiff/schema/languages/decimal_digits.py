"""Exact bounds, digit by digit."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

Exact = int | Fraction | Decimal | float


def exact(value: Exact) -> Fraction:
    """The number as it is written in decimal: the float 0.1 is one tenth."""
    return Fraction(str(value)) if isinstance(value, float) else Fraction(value)


@dataclass(frozen=True)
class Bound:
    """A bound of numbers that are not negative.

    whole: decimal digits of its integer part, without leading zeros, so none for zero. rest: what is behind the point.
    excluded: whether the bound itself is out.
    """

    whole: str
    rest: Fraction
    excluded: bool

    @classmethod
    def of(cls, value: Fraction, excluded: bool) -> Bound:
        """The bound at `value`, which is not negative."""
        whole = value.numerator // value.denominator
        return cls(str(whole) if whole else "", value - whole, excluded)

    def decimal(self, place: int) -> int:
        """The digit at a place behind the point, from 0 on."""
        return int(self.rest * 10 ** (place + 1)) % 10

    def by_length(self, digits: int) -> int:
        """-1, 0 or 1 as a number with so many digits before the point has fewer, as many or more than the bound."""
        return (digits > len(self.whole)) - (digits < len(self.whole))

    def behind(self, places: int) -> bool:
        """Whether the bound has more decimals than so many."""
        return (self.rest * 10**places).denominator > 1

    def whole_digit(self, place: int) -> int | None:
        """The digit at a place before the point, from the left; None behind the last."""
        return int(self.whole[place]) if place < len(self.whole) else None
