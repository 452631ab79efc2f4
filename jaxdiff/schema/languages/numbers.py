"""JSON texts of integers and numbers within exact bounds.

Texts are canonical: no leading zeros, no plus sign, no negative zero, no exponent. Numbers may have decimals, as many
as a double tells apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from fractions import Fraction
from functools import lru_cache, reduce
from math import gcd, lcm

from jaxdiff.errors import UnsupportedLanguage
from jaxdiff.schema.languages import code_points as cp
from jaxdiff.schema.languages.decimal_digits import Bound, Exact, exact
from jaxdiff.schema.languages.dfa import Dfa, explore

# Any two decimals of so many digits are two doubles (IEEE 754), so that what is written and what is read compare alike.
_EXACT_DIGITS = 15
MAX_DECIMALS = 12
MAX_REMAINDERS = 2048
_SYMBOLS = [*(cp.of(digit) for digit in "0123456789"), cp.of("-"), cp.of(".")]
_MINUS, _POINT = 10, 11


def integer_language(
    minimum: Exact | None = None,
    maximum: Exact | None = None,
    *,
    exclusive_minimum: bool = False,
    exclusive_maximum: bool = False,
    multiples_of: Sequence[Exact] = (),
) -> Dfa:
    """Integers between the bounds (None: no bound) that are multiples of each of the numbers, exactly.

    Raises UnsupportedLanguage where the multiples would need too many states.
    """
    factor = _common_factor([1, *multiples_of]) if multiples_of else None
    return _language(*_limits(minimum, maximum, exclusive_minimum, exclusive_maximum), factor, 0)


def number_language(
    minimum: Exact | None = None,
    maximum: Exact | None = None,
    *,
    exclusive_minimum: bool = False,
    exclusive_maximum: bool = False,
    multiples_of: Sequence[Exact] = (),
) -> Dfa:
    """As `integer_language`, for numbers with up to `MAX_DECIMALS` decimals, or as many as their least multiple has."""
    limits = _limits(minimum, maximum, exclusive_minimum, exclusive_maximum)
    return _language(*limits, _common_factor(multiples_of), MAX_DECIMALS)


def number_text(value: Exact) -> str:
    """A number as these languages write it: 1e-07 is 0.0000001. Integral floats keep no point.

    Raises UnsupportedLanguage for a fraction that no decimal equals.
    """
    value = exact(value)
    if 10 ** value.denominator.bit_length() % value.denominator:
        raise UnsupportedLanguage(str(value), "no decimal equals it")
    sign, value = "-" if value < 0 else "", abs(value)
    places = 0
    while (value * 10**places).denominator > 1:
        places += 1
    digits = str(int(value * 10**places)).rjust(places + 1, "0")
    return sign + (f"{digits[:-places]}.{digits[-places:]}" if places else digits)


def _common_factor(multiples_of: Sequence[Exact]) -> Fraction | None:
    """The least number that is a multiple of all."""
    factors = [abs(exact(value)) for value in multiples_of]
    if not factors:
        return None
    return reduce(lambda a, b: Fraction(lcm(a.numerator, b.numerator), gcd(a.denominator, b.denominator)), factors)


@dataclass(frozen=True)
class _Limit:
    value: Fraction
    excluded: bool


def _limits(
    minimum: Exact | None, maximum: Exact | None, exclusive_minimum: bool, exclusive_maximum: bool
) -> tuple[_Limit | None, _Limit | None]:
    low = None if minimum is None else _Limit(exact(minimum), exclusive_minimum)
    high = None if maximum is None else _Limit(exact(maximum), exclusive_maximum)
    return low, high


@lru_cache(maxsize=1024)
def _language(low: _Limit | None, high: _Limit | None, step: Fraction | None, decimals: int) -> Dfa:
    reader = _Reader(low, high, step, decimals)
    name = f"numbers from {low and str(low.value)} to {high and str(high.value)}"
    return explore(_Place(_Part.NOTHING), _SYMBOLS, reader.advance, reader.accepts, name)


class _Part(IntEnum):
    NOTHING = 0
    SIGN = 1
    ZERO = 2
    WHOLE = 3
    POINT = 4
    DECIMALS = 5


@dataclass(frozen=True)
class _Place:
    """Where a number is while it is read.

    part: what was read last. negative: its sign. digits: how many stand before the point. left: how many decimals may
    follow. places: how many stand behind the point, as long as it matters. least, most: -1, 0, 1 as the digits so far
    compare with those of the two bounds of the magnitude. remainder: of all digits read as one integer.
    """

    part: _Part
    negative: bool = False
    digits: int = 0
    left: int = 0
    places: int = 0
    least: int = 0
    most: int = 0
    remainder: int = 0


def _magnitudes(low: _Limit | None, high: _Limit | None) -> tuple[Bound | None, Bound | None] | None:
    """Bounds of numbers that are not negative; None where no such number is left."""
    if high is not None and high.value < 0:
        return None
    least = None if low is None or low.value < 0 else Bound.of(low.value, low.excluded)
    return least, None if high is None else Bound.of(high.value, high.excluded)


class _Reader:
    """Reads numbers character by character. A multiple of `step` is one of `unit` counted in units of 10^-scale."""

    def __init__(self, low: _Limit | None, high: _Limit | None, step: Fraction | None, decimals: int):
        self.scale, self.unit, self.decimals = 0, 1, decimals
        if step is not None:
            while (step * 10**self.scale).denominator > 1 and self.scale <= decimals:
                self.scale += 1
            self.unit = int(step * 10**self.scale)
            if self.scale > decimals or self.unit * (self.scale + 1) > MAX_REMAINDERS:
                raise UnsupportedLanguage("multipleOf", f"multiples of {step} need more than {MAX_REMAINDERS} states")
            self.decimals = self.scale
        mirrored = [limit and _Limit(-limit.value, limit.excluded) for limit in (high, low)]
        if mirrored[0] is None or mirrored[0].value <= 0:
            mirrored[0] = _Limit(Fraction(0), True)  # There is no negative zero.
        self.bounds = {False: _magnitudes(low, high), True: _magnitudes(*mirrored)}
        known = [len(bound.whole) for pair in self.bounds.values() if pair for bound in pair if bound]
        self.most_digits = max([*known, _EXACT_DIGITS if self.decimals else 0]) + 1  # Beyond, they are counted no more.

    def advance(self, place: _Place, symbol: int) -> _Place | None:
        """The place behind one more character."""
        if place.part is _Part.NOTHING:
            negative = symbol == _MINUS
            if self.bounds[negative] is None:
                return None
            begun = _Place(_Part.SIGN, negative)
            return begun if negative else self.advance(begun, symbol)
        if symbol == _MINUS or (place.part is _Part.SIGN and symbol == _POINT):
            return None
        if symbol == _POINT:
            return self._point(place)
        return self._decimal(place, symbol) if place.part >= _Part.POINT else self._whole(place, symbol)

    def _of(self, place: _Place) -> tuple[tuple[Bound | None, int], tuple[Bound | None, int]]:
        bounds = self.bounds[place.negative]
        assert bounds is not None
        return (bounds[0], place.least), (bounds[1], place.most)

    def _whole(self, place: _Place, digit: int) -> _Place | None:
        if place.part is _Part.ZERO:
            return None
        if place.part is _Part.SIGN and digit == 0:
            return replace(place, part=_Part.ZERO)
        least, most = (
            order or _compared(digit, None if bound is None else bound.whole_digit(place.digits))
            for bound, order in self._of(place)
        )
        return replace(
            place, part=_Part.WHOLE, digits=min(place.digits + 1, self.most_digits), least=least, most=most,
            remainder=(place.remainder * 10 + digit) % self.unit,
        )  # fmt: skip

    def _point(self, place: _Place) -> _Place | None:
        left = min(self.decimals, _EXACT_DIGITS - place.digits)
        if place.part >= _Part.POINT or left <= 0:
            return None
        least, most = (  # Where there is no bound, any decided order will do.
            1 if bound is None else bound.by_length(place.digits) or order for bound, order in self._of(place)
        )
        return replace(place, part=_Part.POINT, digits=0, left=left, least=least, most=most)

    def _decimal(self, place: _Place, digit: int) -> _Place | None:
        if not place.left:
            return None
        least, most = (
            order or _compared(digit, None if bound is None else bound.decimal(place.places))
            for bound, order in self._of(place)
        )
        places = place.places + 1
        if least and most:
            places = min(places, self.scale)
        return replace(
            place, part=_Part.DECIMALS, left=place.left - 1, places=places, least=least, most=most,
            remainder=(place.remainder * 10 + digit) % self.unit,
        )  # fmt: skip

    def accepts(self, place: _Place) -> bool:
        """Whether the number may end here."""
        if place.part in (_Part.NOTHING, _Part.SIGN, _Part.POINT):
            return False
        if place.remainder * 10 ** max(self.scale - place.places, 0) % self.unit:
            return False
        for (bound, order), wrong in zip(self._of(place), (-1, 1), strict=True):
            if bound is None:
                continue
            if place.part is not _Part.DECIMALS:
                order = bound.by_length(place.digits) or order
            order = order or (-1 if bound.behind(place.places) else 0)
            if order == wrong or (order == 0 and bound.excluded):
                return False
        return True


def _compared(digit: int, bound: int | None) -> int:
    return 0 if bound is None else (digit > bound) - (digit < bound)
