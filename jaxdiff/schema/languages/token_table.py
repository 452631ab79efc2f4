"""A language over characters as one over the tokens of a tokenizer.

Tokens that move every state alike share a class: a table has a column a class, never one a token, whatever the size of
the vocabulary. Shapes: V tokens, S states, C classes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from jaxdiff.errors import UnsupportedLanguage
from jaxdiff.schema.languages.dfa import Dfa
from jaxdiff.schema.languages.utf8 import byte_language
from jaxdiff.schema.languages.vocabulary import MAX_BYTES, Vocabulary

MAX_ENTRIES = 1 << 22
# A limit on the number of characters is counted exactly where that takes so few states. Else it is kept by a limit on
# the characters of each token, where that leaves enough of them.
MAX_COUNTING = 512
ENOUGH_CHARACTERS = 4
# Beyond so many states, none lies within a character: tokens that end within one are then in no text.
MAX_WITHIN = 1024
DEAD = 0


@dataclass(frozen=True, eq=False)
class TokenTable:
    """Which tokens may follow one another. State 0 is the first.

    classes: [V] int32, `DEAD` for tokens that no state takes. transitions: [S, C] int16, -1 where refused; the column
    of `DEAD` refuses everything. accepting: [S] bool.
    """

    classes: np.ndarray
    transitions: np.ndarray
    accepting: np.ndarray

    def accepts(self, tokens: list[int]) -> bool:
        """Whether the tokens are a text of the language."""
        state = 0
        for token in tokens:
            state = int(self.transitions[state, self.classes[token]])
            if state < 0:
                return False
        return bool(self.accepting[state])


@lru_cache(maxsize=256)
def token_table(language: Dfa, vocabulary: Vocabulary, length: int, *, leading_space: bool = False) -> TokenTable:
    """The texts of the language that have at most `length` tokens.

    leading_space: one blank before the text is no part of it, as of a value that follows a colon.
    Raises UnsupportedLanguage where the language has no such text, and for tables beyond `MAX_ENTRIES`.
    """
    longest = MAX_BYTES
    if language.max_characters is not None:
        longest, language = _without_limit(language, language.max_characters // length)
    classes, columns, accepting = _walk(language, vocabulary, leading_space, longest)
    keep = _within_reach(columns, accepting, length)
    if not keep[0]:
        raise UnsupportedLanguage(_name(language), f"no text of it has at most {length} tokens")
    number = np.where(keep, np.cumsum(keep) - 1, -1)
    kept = np.where(columns >= 0, number[columns], -1)[:, keep]
    found, merged = _distinct(kept)
    if found.size > MAX_ENTRIES:
        raise UnsupportedLanguage(_name(language), f"its table has more than {MAX_ENTRIES} entries")
    return TokenTable(merged[classes], np.ascontiguousarray(found.T).astype(np.int16), accepting[keep])


def _without_limit(language: Dfa, characters: int) -> tuple[int, Dfa]:
    """(most characters of a token, a language whose tables keep the limit on all characters together with that).

    characters: how many of them each token may have so that the limit is kept without counting.
    """
    states = len(language.accepting) * (language.max_characters or 0)
    if characters < MAX_BYTES and (states <= MAX_COUNTING or characters < ENOUGH_CHARACTERS):
        return MAX_BYTES, language.counted()
    return min(characters, MAX_BYTES), replace(language, max_characters=None)


def _name(language: Dfa) -> str:
    example = language.shortest()
    return "no text at all" if example is None else f"texts such as {example[:40]}"


def _distinct(columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(distinct columns, the one of `DEAD` first; for each column its place among them)."""
    places: dict[bytes, int] = {np.full_like(columns[0], -1).tobytes(): DEAD}
    merged = np.array([places.setdefault(column.tobytes(), len(places)) for column in columns], np.int32)
    found = np.full((len(places), columns.shape[1]), -1, columns.dtype)
    found[merged] = columns
    return found, merged


@lru_cache(maxsize=256)
def _walk(
    language: Dfa, vocabulary: Vocabulary, leading_space: bool, longest: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """([V] int32 class of each token, [C, S] int32 where classes lead from each state, [S] bool accepting states).

    The class `DEAD` is the first. All tokens of at most `longest` characters are walked at once, byte by byte, over
    what their beginnings do to all states.
    """
    whole = byte_language(language.after_space() if leading_space else language)
    states = len(whole.accepting)
    refused = states  # Stands for -1, so that steps can be indexed with it.
    moves, kind_of = np.unique(whole.transitions, axis=1, return_inverse=True)
    kind_of, kinds = kind_of.reshape(-1).astype(np.int64), moves.shape[1]
    steps = np.full((kinds, states + 1), refused, np.int32)
    steps[:, :states] = np.where(moves < 0, refused, moves).T

    dead, start = np.full(states, refused, np.int32), np.arange(states, dtype=np.int32)
    rows, places = [dead, start], {dead.tobytes(): 0, start.tobytes(): 1}
    behaviour = (vocabulary.characters <= longest).astype(np.int64)
    active = np.arange(len(vocabulary.ids))
    for depth in range(int(vocabulary.lengths[0]) if len(vocabulary.ids) else 0):
        active = active[behaviour[active] != 0]
        longer = active[: np.count_nonzero(vocabulary.lengths[active] > depth)]
        pairs = behaviour[longer] * kinds + kind_of[vocabulary.written[depth, longer]]
        met = np.zeros(len(rows) * kinds, bool)
        met[pairs] = True
        following = np.zeros(len(met), np.int64)
        for pair in np.flatnonzero(met).tolist():
            row = steps[pair % kinds][rows[pair // kinds]]
            place = places.setdefault(row.tobytes(), len(rows))
            if place == len(rows):
                rows.append(row)
                if len(rows) * states > 4 * MAX_ENTRIES:
                    raise UnsupportedLanguage(_name(language), "its tokens differ in too many ways")
            following[pair] = place
        behaviour[longer] = following[pairs]
    used = np.union1d(behaviour, DEAD)
    classes = np.zeros(vocabulary.size, np.int32)
    classes[vocabulary.ids] = np.searchsorted(used, behaviour)
    columns = np.stack([rows[i] for i in used.tolist()])
    if states > MAX_WITHIN:
        refused = whole.between
    return classes, np.where(columns >= refused, -1, columns), whole.accepting


def _within_reach(columns: np.ndarray, accepting: np.ndarray, length: int) -> np.ndarray:
    """[S] bool, states on the way of a text of at most `length` tokens. columns: [C, S] int32."""
    far = length + 1
    before = np.full(len(accepting), far)
    before[0] = 0
    frontier = np.zeros(1, np.int64)
    for count in range(1, far):
        targets = np.zeros(len(accepting) + 1, bool)
        targets[columns[:, frontier]] = True  # -1 is the last place, which is no state.
        frontier = np.flatnonzero(targets[:-1] & (before == far))
        if not len(frontier):
            break
        before[frontier] = count
    behind = np.append(np.where(accepting, 0, far), far)
    for _ in range(length):
        nearer = np.minimum(behind[:-1], behind[columns].min(axis=0) + 1)
        if (nearer == behind[:-1]).all():
            break
        behind[:-1] = nearer
    return before + behind[:-1] <= length
