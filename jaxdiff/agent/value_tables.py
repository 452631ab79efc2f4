"""What decoded values are held to: from fields to tables of all of them, side by side on the device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, reduce

import jax.numpy as jnp
import numpy as np
from flax import struct
from jax import Array

from jaxdiff.agent.constraints import field_language
from jaxdiff.agent.value_tokens import ValueVocabulary, value_vocabulary
from jaxdiff.base.frozen import FrozenBase
from jaxdiff.errors import UnsupportedLanguage
from jaxdiff.schema.budget import grown_slot, slot_tokens
from jaxdiff.schema.fields import Field, Kind
from jaxdiff.schema.languages.dfa import Dfa
from jaxdiff.schema.languages.numbers import integer_language, number_language
from jaxdiff.schema.languages.patterns import pattern_language
from jaxdiff.schema.languages.token_table import TokenTable, token_table

# Of fields without bounds: numbers as people write them ("1,000", "-3", "50%"), else one line that is not blank.
_SAID = {
    Kind.INTEGER: "^ *-?[0-9]+(?:,[0-9]{3})*%?$",
    Kind.NUMBER: "^ *-?[0-9]+(?:,[0-9]{3})*(?:\\.[0-9]+)?%?$",
}
_SAID_LINE = "^[^\\r\\n]*\\S[^\\r\\n]*$"
# Enough for every state to be on the way of a text: a sign, groups of digits, a point, a digit, "%"; a character.
_SAID_TOKENS = 16
# One line that `schema.values.clean_string` leaves as it is: without blanks, quotes and signs that it takes away. Where
# no valid text is such a line, any line.
_QUOTES = "\"'`\\u00ab\\u00bb\\u2018\\u2019\\u201c\\u201d"
_CLEAN = (f"^(?:\\S|[^\\s{_QUOTES}](?:.*[^\\s{_QUOTES},;])?)$", "^(?:.|.*[^)]|.*\\(.*\\))$")
_LINE = ("^.*$",)
# Sizes of what lies side by side, least: tables, states, classes. Four times the last is the next.
_LEAST = (4, 64, 64)


@struct.dataclass
class ValueTables:
    """Tables of K languages side by side; every size but V is padded.

    classes: [K, V] int32, the class of each token. transitions: [S, C] int32, -1 where refused. missing: [S] int32,
    fewest tokens from a state to an accepting one, 0 for those themselves.
    """

    classes: Array
    transitions: Array
    missing: Array


@dataclass(frozen=True, eq=False)
class FieldTables:
    """The tables of some fields.

    tables: all of them. row, start: by name of the field, its row of `tables.classes` and its first state. tokens: by
    name of the field, the most tokens of its value.
    """

    tables: ValueTables
    row: dict[str, int]
    start: dict[str, int]
    tokens: dict[str, int]


def field_tables(base: FrozenBase, fields: Sequence[Field]) -> FieldTables:
    """What values of the fields are held to.

    Fields with bounds, formats or patterns: texts that are valid as they stand. Other numbers: as people write them.
    Everything else, also where no valid text fits the field's budget: a line that is not blank.
    """
    fields = [field for field in fields if not field.candidates]
    tokens = {field.name: decoded_tokens(base, field) for field in fields}
    held = {field.name: _table_of(value_vocabulary(base), field, tokens[field.name]) for field in fields}
    distinct = list(dict.fromkeys(held.values()))
    first = np.cumsum([0, *(len(table.missing) for table in distinct)]).tolist()
    row = {name: distinct.index(table) for name, table in held.items()}
    tables = _side_by_side(tuple(distinct), base.config.vocab_size)
    return FieldTables(tables, row, {name: first[place] for name, place in row.items()}, tokens)


def decoded_tokens(base: FrozenBase, field: Field) -> int:
    """Most tokens of a decoded value: those of the field's slot, grown until its shortest valid text surely fits."""
    tokens, language = slot_tokens(field, base.encode), _bounded_language(field)
    least = 0 if language is None else len((language.shortest() or "").encode())
    while tokens < least and (larger := grown_slot(field, tokens)) is not None:
        tokens = larger
    return tokens


@lru_cache(maxsize=4096)
def _bounded_language(field: Field) -> Dfa | None:
    """Valid texts of one line; None where the schema asks for nothing but the kind, or no such text can be told."""
    language = field_language(field)
    if language is None or language in (integer_language(), number_language()):
        return None
    for lines in (_CLEAN, _LINE):
        try:
            found = reduce(Dfa.intersect, map(pattern_language, lines), language)
        except UnsupportedLanguage:
            continue
        if not found.is_empty():
            return found
    return None


@dataclass(frozen=True, eq=False)
class _Table:
    """One language: classes [V], transitions [S, C] and missing [S], as in `ValueTables`. State 0 is the first."""

    classes: np.ndarray
    transitions: np.ndarray
    missing: np.ndarray


def _table_of(vocabulary: ValueVocabulary, field: Field, tokens: int) -> _Table:
    language = _bounded_language(field)
    if language is not None and (found := _bounded_table(vocabulary, language, tokens)) is not None:
        return found
    return _said_table(vocabulary, _SAID_LINE if field.alternatives else _SAID.get(field.kind, _SAID_LINE))


@lru_cache(maxsize=256)
def _bounded_table(vocabulary: ValueVocabulary, language: Dfa, tokens: int) -> _Table | None:
    """None where no text of the language has so few tokens."""
    try:
        table = token_table(language, vocabulary.written, tokens, leading_space=True)
    except UnsupportedLanguage:
        return None
    found = _closed(table, vocabulary)
    return found if found.missing[0] <= tokens else None


@lru_cache(maxsize=32)
def _said_table(vocabulary: ValueVocabulary, pattern: str) -> _Table:
    return _closed(token_table(pattern_language(pattern), vocabulary.written, _SAID_TOKENS), vocabulary)


def _closed(table: TokenTable, vocabulary: ValueVocabulary) -> _Table:
    """The table with tokens that end a value held to the states in which it may end: classes of their own."""
    moves = table.transitions.astype(np.int32)
    ends = np.where((moves >= 0) & table.accepting[moves], moves, -1)
    classes = np.zeros(vocabulary.size, np.int32)
    classes[: len(table.classes)] = table.classes + moves.shape[1] * vocabulary.closing
    used, place = np.unique(classes, return_inverse=True)
    moves = np.concatenate([moves, ends], axis=1)[:, used]
    return _Table(place.reshape(-1).astype(np.int32), moves, _missing(moves, table.accepting))


def _missing(moves: np.ndarray, accepting: np.ndarray) -> np.ndarray:
    """[S] int32, the fewest tokens to an accepting state; S where there is no way to one."""
    missing, known = np.zeros(len(accepting), np.int32), np.append(accepting, False)  # -1 is the last place.
    left = np.flatnonzero(~accepting)
    while len(left):
        missing[left] += 1
        near = known[moves[left]].any(axis=1)
        if not near.any():
            break
        known[left[near]] = True
        left = left[~near]
    missing[left] = len(accepting)
    return missing


@lru_cache(maxsize=16)
def _side_by_side(held: tuple[_Table, ...], size: int) -> ValueTables:
    sizes = len(held), sum(len(table.missing) for table in held), max((t.transitions.shape[1] for t in held), default=0)
    rows, states, kinds = (_padded(size, least) for size, least in zip(sizes, _LEAST, strict=True))
    classes, missing = np.zeros((rows, size), np.int32), np.zeros(states, np.int32)
    transitions = np.full((states, kinds), -1, np.int32)
    first = 0
    for i, table in enumerate(held):
        count, width = table.transitions.shape
        here = slice(first, first + count)
        classes[i], missing[here] = table.classes, table.missing
        transitions[here, :width] = np.where(table.transitions < 0, -1, table.transitions + first)
        first += count
    return ValueTables(jnp.asarray(classes), jnp.asarray(transitions), jnp.asarray(missing))


def _padded(count: int, least: int) -> int:
    """The first of `least`, four times it and so on that is enough."""
    while least < count:
        least *= 4
    return least
