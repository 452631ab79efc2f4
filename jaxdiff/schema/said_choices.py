"""Which of a field's listed values words name: "an injury claim" is `injury`, "centimetres" `cm`, "a d10" 10."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from jaxdiff.schema.numbers import read_quantities
from jaxdiff.schema.said_words import FUNCTION_WORDS, NEGATIONS, TURNS, stem, words
from jaxdiff.schema.unit_names import named_units

_INTEGER = re.compile(r"(?<![\d.,])\d+(?![.,]?\d)")
_HYPHEN = re.compile(r"\w-$")
# "Extra large" is not `large`.
_GRADES = frozenset("extra ultra semi half near nearly almost quasi pre post mid sub".split())
_TURNS = (NEGATIONS | TURNS) - {"only", "just", "when"}
SHORTEST = 3
"""Characters that a value or a word must have to be looked for among other words or as the start of one."""


def said_choice(text: str, candidates: tuple[Any, ...]) -> int | None:
    """The place of the one candidate that `text` names among other words, or None where it does not determine one."""
    said = words(text)
    if not said or _TURNS & set(said):
        return None
    numbers = _INTEGER.findall(text)
    if len(numbers) == 1 and (found := [i for i, value in enumerate(candidates) if _is_number(value, numbers[0])]):
        return found[0]
    named = _named(text, said, candidates)
    if len(named) > 1 or any(_compound(text, candidates[i]) for i in named):
        return None
    ways = (named, _abridged(said, candidates), _measured(text, candidates))
    place = next((found[0] for found in ways if len(found) == 1), None)
    if place is None or _GRADES & set(said) - set(words(str(candidates[place]))):
        return None
    return place if _as_many(text, candidates[place]) else None


def _is_number(value: Any, digits: str) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value == int(digits[:300])


def _named(text: str, said: tuple[str, ...], candidates: tuple[Any, ...]) -> list[int]:
    """Candidates whose words stand in the text, one after the other, and not as a part of a longer one."""
    runs: dict[str, tuple[int, int]] = {}
    for first in range(len(said)):
        for end in range(first + 1, len(said) + 1):
            for key in _keys(said[first:end]):
                runs.setdefault(key, (first, end))
    found = {}
    for i, (_, keys) in enumerate(map(_looked_for, candidates)):
        place = next((runs[key] for key in keys if key in runs), None)
        if place:
            found[i] = place
    return [
        i
        for i, (first, end) in found.items()
        if not any(a <= first and end <= b and (a, b) != (first, end) for a, b in found.values())
    ]


def _compound(text: str, candidate: Any) -> bool:
    """Whether the candidate stands as the end of a compound, which may be something else: "half-dry"."""
    at = text.lower().find(words(str(candidate))[0])
    return at > 0 and bool(_HYPHEN.search(text[:at]))


def _as_many(text: str, candidate: Any) -> bool:
    """Whether no number is said that the candidate does not have: "every two days" is not `daily`."""
    own = {quantity.value for quantity in read_quantities(" ".join(words(str(candidate))))} | {1}
    counted = {quantity.value for quantity in read_quantities(text) if not quantity.article}
    return counted <= own or any(map(str.isdigit, str(candidate)))


def _abridged(said: tuple[str, ...], candidates: tuple[Any, ...]) -> list[int]:
    """Candidates that say more or less of the same: "the waves' height", "temp" and "pickup" against "pickup_truck"."""
    content = [word for word in said if word not in FUNCTION_WORDS]
    stemmed = set(map(stem, content))
    if not content:
        return []
    found = []
    for i, (own, _) in enumerate(map(_looked_for, candidates)):
        telling = [word for word in own if word not in FUNCTION_WORDS]
        # "Temp" is short for "temporary", while "car" is not for "cargo".
        short = len(content) == 1 and len(content[0]) >= SHORTEST
        shorter = short and any(part.startswith(content[0]) and len(part) > 2 * len(content[0]) for part in own)
        least = SHORTEST if len(content) == 1 else SHORTEST + 1
        longer = bool(telling) and all(
            len(part) >= least and any(word.startswith(part) for word in content) for part in telling
        )
        if stemmed <= set(map(stem, own)) or shorter or longer:
            found.append(i)
    return found


def _measured(text: str, candidates: tuple[Any, ...]) -> list[int]:
    """Candidates that are another name of the unit of measure that is said."""
    said = named_units(text)
    return [i for i, value in enumerate(candidates) if said and isinstance(value, str) and said & named_units(value)]


def _looked_for(candidate: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The words of a candidate, and the keys that it is looked for by; none where it is too short to be told."""
    return _searched(candidate) if isinstance(candidate, str) else ((), ())


@lru_cache(maxsize=65536)
def _searched(candidate: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    own = words(candidate)
    plain = "".join(own)
    if len(plain) < SHORTEST and not any(map(str.isdigit, plain)):
        return own if len(plain) > 1 else (), ()
    return own, _keys(own)


def _keys(said: tuple[str, ...]) -> tuple[str, ...]:
    return "".join(map(stem, said)), "".join(said)
