"""English words compared by their stems, so that "rewards restaked" is found in "restake the rewards"."""

from __future__ import annotations

import re
from functools import lru_cache

import snowballstemmer  # type: ignore[import-untyped]

# Words that say nothing by themselves. Those that turn a meaning round ("before", "without", "or") are not among them.
FUNCTION_WORDS = frozenset(
    "a an the any this that these those some such ones i me my mine we us our you your he him his she her they them "
    "their theirs it its s who which whether be is are was were been being am do does did done doing have has had "
    "having will would shall should can could may might and also as well too at by for from in into of on onto to with "
    "please thanks thank then there here so again even really very quite simply ok okay hi oh".split()
)
NEGATIONS = frozenset(
    "no not non without never none nothing neither nor cannot nobody nowhere minus sans dont doesnt didnt".split()
)
# Words behind which something else is meant than they name, or only under a condition.
TURNS = frozenset(
    "or but unless if except than instead rather other otherwise like unlike until before after between versus vs "
    "only just when while anything any".split()
)

_CAMEL_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_NOT = re.compile(r"\b(ca|wo|sha)?n['\u2019]?t\b|n['\u2019]t\b", re.IGNORECASE)
_FREE = re.compile(r"([^\W\d_]{3,})[-_]free\b")
_WISH = re.compile(r"(?:\b(?:would|do)|['\u2019]d) (?:like|love)\b", re.IGNORECASE)
_SHORTENED = re.compile(r"['\u2019](?:d|ll|m|re|ve)\b", re.IGNORECASE)
_WORD = re.compile(r"[^\W_]+")
_INDEX = re.compile(r"\[\d+\]")
_stemmer = snowballstemmer.stemmer("english")


@lru_cache(maxsize=65536)
def words(text: str) -> tuple[str, ...]:
    """The words of a text or of a name in camelCase or snake_case, in lower case.

    "Don't" is "do not", "I'd like" is "I want", and "we'll" is "we".
    """
    text = _FREE.sub(r"without \1", _NOT.sub(" not ", _CAMEL_HUMP.sub(" ", text)))
    return tuple(word.lower() for word in _WORD.findall(_SHORTENED.sub(" ", _WISH.sub(" want", text))))


@lru_cache(maxsize=65536)
def stem(word: str) -> str:
    """The stem of a lower-case word (Snowball's English stemmer, "Porter 2"), "daily" being of "day"."""
    return "day" if word == "daily" else str(_stemmer.stemWord(word))


def own_name(path: str) -> str:
    """What the last part of a field's path is called: `name` of "guests[0].name"."""
    return _INDEX.sub("", path).rpartition(".")[2]


def stems(text: str) -> tuple[str, ...]:
    """The stems of the words of a text."""
    return tuple(map(stem, words(text)))
