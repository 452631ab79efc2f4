"""Random texts of an automaton's language, of all lengths."""

from __future__ import annotations

import sys
from random import Random

from jaxdiff.schema.languages.dfa import Dfa

# Of a range of characters only the first so many are drawn from: the rest of a large one reads like them.
_NEAR = 200


def random_text(language: Dfa, draw: Random, longest: int) -> str | None:
    """The last accepted text of a random walk of at most so many characters; None where it met none."""
    state, text = 0, ""
    found = "" if language.accepting[0] else None
    lows = language.bounds.tolist()
    highs = [*lows[1:], sys.maxunicode + 1]
    kinds = language.classes.tolist()
    if language.max_characters is not None:
        longest = min(longest, language.max_characters)
    for _ in range(longest):
        row = language.transitions[state].tolist()
        spans = [(low, high, kind) for low, high, kind in zip(lows, highs, kinds, strict=True) if row[kind] >= 0]
        if not spans:
            break
        low, high, kind = draw.choice(spans)
        code = draw.randrange(low, min(high, low + _NEAR))
        if 0xD800 <= code <= 0xDFFF:
            continue
        text += chr(code)
        state = row[kind]
        if language.accepting[state]:
            found = text
    return found
