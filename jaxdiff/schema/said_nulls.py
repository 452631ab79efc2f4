"""Whether words deny that there is a value: "none", "no discount", "without a coupon"."""

from __future__ import annotations

from functools import lru_cache

from jaxdiff.schema.said_booleans import HAVING
from jaxdiff.schema.said_words import FUNCTION_WORDS, NEGATIONS, TURNS, stem, words

_NULLS = frozenset("null none nothing nobody nil no never".split())
# "Without any coupon" is a plain denial.
_TURNS = TURNS - {"any"}


def says_null(text: str, name: str, description: str) -> bool:
    """Whether `text` says that the field has no value: that alone, or that what it is about is not there.

    What it is about are words of its name and description; there is one denial, and nothing turns it round.
    """
    if text.strip(" .").casefold() in ("n/a", "no one"):
        return True
    said = [word for word in words(text) if word not in FUNCTION_WORDS and word != "any"]
    if len(said) == 1:
        return said[0] in _NULLS
    if sum(word in NEGATIONS for word in said) != 1 or _TURNS & set(said):
        return False
    about = _stems(name, description)
    content = {stem(word) for word in said if word not in NEGATIONS}
    return bool(content & about) and content - HAVING <= about


@lru_cache(maxsize=16384)
def _stems(name: str, description: str) -> frozenset[str]:
    return frozenset(stem(word) for word in words(f"{name} {description}") if word not in FUNCTION_WORDS | NEGATIONS)
