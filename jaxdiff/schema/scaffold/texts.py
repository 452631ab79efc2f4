"""Texts of slots and the values they stand for."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from random import Random
from typing import Any

from jaxdiff.schema.languages.dfa import Dfa
from jaxdiff.schema.languages.numbers import number_text
from jaxdiff.schema.normal.nodes import Number, Text
from jaxdiff.schema.scaffold.walks import random_text

EXAMPLES, WALKS = 16, 4
# Texts that a free string may have where a text of its own does not do.
FREE_TEXTS = ("", "a", "text", "0", "A", "-", "a b", "é", '"')
_LONGEST_INTEGER = 4000


def read_text(node: Text | Number, language: Dfa | None, text: str) -> Any:
    """The value that the text of a slot stands for; None where it is not one of the node."""
    if language is not None and not language.accepts(text):
        return None
    if isinstance(node, Text):
        return text
    value = _number(text, node.integer)
    return value if value is not None and number_fits(node, value) else None


def number_fits(node: Number, value: int | float) -> bool:
    """Whether a number, as it is held, is one of the node: bounds are exact, multiples as `jsonschema` divides."""
    exact = Fraction(value) if isinstance(value, int) else Fraction(repr(value))
    if node.integer and exact.denominator != 1:
        return False
    if node.minimum is not None and (exact < node.minimum or (node.exclusive_minimum and exact == node.minimum)):
        return False
    if node.maximum is not None and (exact > node.maximum or (node.exclusive_maximum and exact == node.maximum)):
        return False
    return all(_divides(step, value, exact) for step in node.multiples_of)


def spare_texts(node: Text | Number, language: Dfa | None, given: str | None, more: int = 0) -> Iterator[str]:
    """Up to `EXAMPLES` + `more` texts to be tried in place of `given`; some are not of the node."""
    count = EXAMPLES + more
    if language is not None:
        shortest = itertools.islice(language.examples(), count)
        yield from itertools.islice(shortest, WALKS)
        if isinstance(node, Number):
            yield from map(number_text, itertools.islice(_steps(node), WALKS))
        # The shortest texts are alike; a check may ask for a longer one.
        draw = Random(0)
        walked = (random_text(language, draw, longest) for longest in range(2, 2 + 2 * WALKS, 2))
        yield from (text for text in dict.fromkeys(walked) if text is not None)
        yield from shortest
    elif given:
        yield from (f"{given}{number}" for number in range(2, 2 + count))
    else:
        yield from FREE_TEXTS
        yield from (f"text{number}" for number in range(2, 2 + count))


def _steps(node: Number) -> Iterator[Fraction]:
    """Numbers from the lower bound on, or down from the upper one, by the step that the node asks for."""
    step = max(node.multiples_of, default=Fraction(1, 1 if node.integer else 2))
    if node.minimum is None and node.maximum is not None:
        start, step = node.maximum // step * step, -step
    else:
        start = -(-(node.minimum or Fraction(0)) // step) * step
    return (start + step * count for count in itertools.count())


def json_key(value: Any) -> Any:
    """Equal for equal JSON values and for no others, hashable: 1 and 1.0 are equal, 1 and True are not."""
    if isinstance(value, bool):
        return ("bool", value)
    if isinstance(value, list):
        return ("array", *map(json_key, value))
    if isinstance(value, dict):
        return ("object", frozenset((name, json_key(part)) for name, part in value.items()))
    return value


def _number(text: str, integer: bool) -> int | float | None:
    # Blanks and digits of other scripts, which `int` and `float` read, are no JSON numbers.
    if not text.isascii() or text.strip() != text or "_" in text or len(text) > _LONGEST_INTEGER:
        return None
    try:
        exact = Decimal(text)
    except InvalidOperation:
        return None
    if not exact.is_finite():
        return None
    if integer or not any(letter in text for letter in ".eE"):
        # "-0" is the integer 0; an exponent that would make a number of millions of digits is refused.
        if exact.adjusted() > _LONGEST_INTEGER or exact != exact.to_integral_value():
            return None
        return int(exact)
    value = float(exact)
    return value if math.isfinite(value) else None


def _divides(step: Fraction, value: int | float, exact: Fraction) -> bool:
    if (exact / step).denominator != 1:
        return False
    if isinstance(value, int) and step.denominator == 1:
        return True
    try:
        quotient = value / float(step)
        return math.isfinite(quotient) and int(quotient) == quotient
    except OverflowError:
        return False


def distinct_texts(node: Text, language: Dfa | None, taken: frozenset[str], count: int) -> list[str]:
    """Up to `count` different texts of the node that are not `taken`."""
    if language is not None:
        # A language whose texts are all taken, or that has few, is not read to its end.
        texts = itertools.islice(language.examples(), count + len(taken))
        return [text for text in texts if text not in taken][:count]
    numbered = (f"key{number}" for number in itertools.count(1))
    return list(itertools.islice((text for text in numbered if text not in taken), count))
