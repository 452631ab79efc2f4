"""What the host knows of words: how a query's tokens look, which of them a field's name or description has as well,
and words that turn a meaning round."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from jaxdiff.agent.lexical import words
from jaxdiff.agent.prompting import candidate_text
from jaxdiff.schema.fields import Field, Kind

Offsets = tuple[tuple[int, int], ...]

KINDS = tuple(Kind)
TOKEN_FACTS = 9
TOKEN_MATCHES = 3
FIELD_FACTS = 6 + len(KINDS)
CANDIDATE_WORDS = 2

_WORD = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)*")
_PIECE = re.compile(r"\d+(?:[.,]\d+)*|[^\W_]+|[^\w\s-]")
_NEGATION = frozenset(
    "no not none never nothing nobody neither nor cannot without".split()
    + "skip exclude excluding except omit ignore hide avoid disable disabled deny remove drop off stop".split()
)
_NOT = re.compile(r"n['\u2019]t$|^(?:do|does|did|is|are|was|were|ca|wo|should|could|would)nt$")
_AFFIRMATION = frozenset(
    "yes yeah with include including also plus please do enable enabled allow show keep add on want need must".split()
)
_RESTRICTION = frozenset("only just exclusively solely".split())
# A candidate's longer words have as many letters.
_LONG = 4
# Shorter words are mostly grammar, which every query has.
_LEAST_LETTERS = 3
_GRAMMAR = frozenset(
    "the and for are was its this that any all who how from into has have can not with whether".split()
)


def token_facts(query: str, offsets: Offsets) -> np.ndarray:
    """[T, TOKEN_FACTS] float32: leading space, letters alone, capital, digit, punctuation, last; and of the word that
    the token belongs to: negation, affirmation, restriction ("only").

    offsets: code points of the tokens.
    """
    facts = np.zeros((len(offsets), TOKEN_FACTS), np.float32)
    for i, ((start, end), word) in enumerate(zip(offsets, _whole_words(query, offsets), strict=True)):
        piece = query[start:end]
        bare, folded = piece.strip(), word.casefold()
        facts[i] = (
            piece.startswith(" "),
            bare.isalpha(),
            bare[:1].isupper(),
            any(c.isdigit() for c in bare),
            bool(bare) and bare in ",.?!;:",
            i == len(offsets) - 1,
            _negates(folded),
            folded in _AFFIRMATION,
            folded in _RESTRICTION,
        )
    return facts


def token_matches(query: str, offsets: Offsets, fields: Sequence[Field]) -> np.ndarray:
    """[F, T, TOKEN_MATCHES] float32: whether the word of a token stands in the field's name, in its description, in
    either and in no other field's."""
    matches = np.zeros((len(fields), len(offsets), TOKEN_MATCHES), np.float32)
    stems = [frozenset(_stems(word)) for word in _whole_words(query, offsets)]
    known = [_field_stems(field) for field in fields]
    for t, stem in enumerate(stems):
        if not stem:
            continue
        named = [bool(stem & name) for name, _ in known]
        described = [bool(stem & description) for _, description in known]
        either = [a or b for a, b in zip(named, described, strict=True)]
        alone = sum(either) == 1
        for f, found in enumerate(either):
            if found:
                matches[f, t] = named[f], described[f], alone
    return matches


def field_facts(field: Field, count: int) -> list[float]:
    """FIELD_FACTS numbers: required, with a default, with candidates, a negation in the name and in the description,
    number of fields (`count`) in eighths, and one for each kind."""
    description = field.description.lower()
    defaulted = field.has_default or "default" in description or "optional" in description
    return [
        float(field.required),
        float(defaulted),
        float(bool(field.candidates)),
        float(any(map(_negates, words(field.name)))),
        float(any(_negates(word) for word in _WORD.findall(description))),
        count / 8,
        *(float(field.kind is kind) for kind in KINDS),
    ]


def candidate_words(field: Field, query: str) -> list[tuple[float, float]]:
    """For each candidate whether its words stand in the query ("male" is none of "female"), and whether a word of the
    query begins with one of its longer words ("wooden" with "wood")."""
    asked = _normal(query)
    return [_lexical_match(_normal(candidate_text(value)), asked) for value in field.candidates]


def _negates(word: str) -> bool:
    return word in _NEGATION or _NOT.search(word) is not None


@lru_cache(maxsize=4096)
def _whole_words(query: str, offsets: Offsets) -> tuple[str, ...]:
    """The word that each token is, or is a part of; an empty string for what is none."""
    spans = [word.span() for word in _WORD.finditer(query)]
    found, place = [], 0
    for start, end in offsets:
        while start < end and query[start].isspace():
            start += 1
        while place < len(spans) and spans[place][1] <= start:
            place += 1
        inside = place < len(spans) and spans[place][0] < end
        found.append(query[slice(*spans[place])] if inside else "")
    return tuple(found)


@lru_cache(maxsize=65536)
def _stems(text: str) -> tuple[str, ...]:
    # Twice, so that "bookings" meets "book" too.
    stems = [stem for word in words(text) for stem in words(word)]
    return tuple(stem for stem in stems if len(stem) >= _LEAST_LETTERS and stem not in _GRAMMAR)


@lru_cache(maxsize=16384)
def _field_stems(field: Field) -> tuple[frozenset[str], frozenset[str]]:
    """Stems of the name and of the description."""
    return frozenset(_stems(field.name)), frozenset(_stems(field.description))


def _normal(text: str) -> str:
    """Words, numbers and marks in lower case, with a space before, between and behind; so are underscores and hyphens
    read."""
    return f" {' '.join(_PIECE.findall(text.lower()))} "


def _lexical_match(candidate: str, text: str) -> tuple[float, float]:
    pieces = candidate.split()
    begun = any(len(piece) >= _LONG and f" {piece}" in text for piece in pieces)
    return float(bool(pieces) and candidate in text), float(begun)
