"""The frozen base decides fields whose keys have been read: candidates scored whole, other values decoded, ` none`."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxdiff.agent.assignment import understood
from jaxdiff.agent.filled import FilledField
from jaxdiff.agent.frozen_context import Context, Keys, Written, padded
from jaxdiff.agent.frozen_decoding import DECODED_TOKENS, GIVEN_TOKENS, ROWS, DecodingRows, decode_rows, score_rows
from jaxdiff.agent.prompting import candidate_text
from jaxdiff.agent.sources import find_source
from jaxdiff.agent.value_tables import FieldTables, decoded_tokens
from jaxdiff.agent.value_tokens import value_tokens
from jaxdiff.base.buckets import bucket
from jaxdiff.base.frozen import FrozenBase
from jaxdiff.errors import InputError
from jaxdiff.schema.fields import Field
from jaxdiff.schema.tools import Tool

# Value tokens scored in one pass: each needs the logits of the whole vocabulary.
SCORED_TOKENS = 256


@dataclass(frozen=True)
class Row:
    """A value that the base has written: row `index` of `written`, and its log-probability with its end."""

    written: Written
    index: int
    logprob: float


@dataclass(frozen=True)
class Decision:
    """What stands after a field's key, `row`; where present is False it is ` none`, without value and confidence.

    odds: by how much the best value beats ` none` and the margin, in nats; infinite for a field that must be there.
    listed: [C] log-probability of the field's candidates among themselves.
    """

    row: Row
    present: bool
    value: Any = None
    confidence: float = 0.0
    odds: float = math.inf
    listed: np.ndarray | None = None

    def filled(self, query: str, by: str) -> FilledField:
        """The field as a fill hands it back."""
        return FilledField(self.value, self.confidence, by, find_source(query, candidate_text(self.value)))


def asked_fields(tool: Tool, present: frozenset[str] | None) -> list[Field]:
    """The fields to decide: all, or exactly the present ones. Raises InputError for a name that the tool lacks."""
    if present is None:
        return list(tool.fields)
    if unknown := sorted(present - {field.name for field in tool.fields}):
        raise InputError(f"present: tool {tool.name!r} has no field {unknown[0]!r}")
    return [field for field in tool.fields if field.name in present]


def value_width(base: FrozenBase, fields: Sequence[Field]) -> int:
    """Slots that the longest value of the fields needs, a bucket."""
    longest = max((longest_value(base, field) for field in fields), default=1)
    return bucket(longest, DECODED_TOKENS, "tokens of a value")


def decide(
    base: FrozenBase,
    context: Context,
    keys: Keys,
    fields: Sequence[Field],
    tables: FieldTables,
    width: int,
    none_margin: float,
    told: bool,
) -> list[Decision]:
    """Decides `fields`, whose keys are the first rows of `keys`.

    tables: of these fields, and maybe others. width: see `value_width`. none_margin: an optional field is left out
    where the log-probability of ` none` beats that of its best value by more than this. told: all fields are known to
    be present.
    """
    none = [int(i) for i in np.asarray(value_tokens(base).none)]
    rows: list[tuple[int, list[int]]] = []
    for owner, field in enumerate(fields):
        rows += [(owner, base.encode(f" {candidate_text(value)}")) for value in field.candidates]
        if not (told or field.required):
            rows.append((owner, none))
    scored = iter(_score(base, context, keys, rows))
    candidates = [[next(scored) for _ in field.candidates] + _none_row(scored, field, told) for field in fields]

    decisions: dict[int, Decision] = {}
    wanted: list[_Wanted] = []
    for owner, (field, found) in enumerate(zip(fields, candidates, strict=True)):
        listed, left_out = found[: len(field.candidates)], found[len(field.candidates) :]
        if field.candidates:
            decisions[owner] = _best_candidate(field, listed, left_out, none_margin)
        else:
            wanted.append(_Wanted(owner, field, left_out[0] if left_out else None))
    for start in range(0, len(wanted), ROWS[-1]):
        decisions |= _decode(base, context, keys, wanted[start : start + ROWS[-1]], tables, width, none_margin)
    return [decisions[owner] for owner in range(len(fields))]


@dataclass(frozen=True)
class _Wanted:
    """A field whose value is to be decoded; `none` is the row of ` none` where the field may be left out."""

    owner: int
    field: Field
    none: Row | None


def _none_row(scored: Any, field: Field, told: bool) -> list[Row]:
    return [] if told or field.required else [next(scored)]


def _best_candidate(field: Field, listed: list[Row], left_out: list[Row], none_margin: float) -> Decision:
    logprob = np.array([row.logprob for row in listed])
    best = int(logprob.argmax())
    among = logprob - logprob[best]
    among -= np.log(np.exp(among).sum())
    odds = logprob[best] - left_out[0].logprob + none_margin if left_out else math.inf
    if odds < 0:
        return Decision(left_out[0], present=False, odds=float(odds), listed=among)
    return Decision(listed[best], True, field.candidates[best], float(np.exp(among[best])), float(odds), among)


def _score(base: FrozenBase, context: Context, keys: Keys, rows: Sequence[tuple[int, list[int]]]) -> list[Row]:
    """Scores given values (key, tokens), those of like length together."""
    tokens = value_tokens(base)
    found: dict[int, Row] = {}
    widths = [bucket(len(ids), GIVEN_TOKENS, "tokens of a listed value") for _, ids in rows]
    for width in sorted(set(widths)):
        same = [i for i, other in enumerate(widths) if other == width]
        most = min(max(SCORED_TOKENS // width, 1), ROWS[-1])
        for chunk in (same[i : i + most] for i in range(0, len(same), most)):
            count = bucket(len(chunk), ROWS, "values")
            owner = np.zeros(count, np.int32)
            owner[: len(chunk)] = [rows[i][0] for i in chunk]
            ids, valid = padded([rows[i][1] for i in chunk], count, width)
            written = score_rows(base.module, base.params, context, keys, owner, ids, valid, tokens.ending)
            logprob = np.asarray(written.logprob)
            found |= {i: Row(written, at, float(logprob[at])) for at, i in enumerate(chunk)}
    return [found[i] for i in range(len(rows))]


def _decode(
    base: FrozenBase,
    context: Context,
    keys: Keys,
    wanted: list[_Wanted],
    tables: FieldTables,
    width: int,
    none_margin: float,
) -> dict[int, Decision]:
    """Decodes values; one that must be there and is not usable is decoded again from its second-best first token."""
    decided: dict[int, Decision] = {}
    again: list[tuple[_Wanted, int]] = []
    # The second attempt has as many rows as the first, so that it needs no program of its own.
    count = bucket(len(wanted), ROWS, "fields")
    first = [(one, -1) for one in wanted]
    for one, row, ids in _decode_once(base, context, keys, first, tables, count, width, none_margin):
        text = _text(base, ids)
        odds = math.inf if one.none is None else row.logprob - one.none.logprob + none_margin
        if one.none is not None and (_says_none(text) or odds < 0):
            decided[one.owner] = Decision(one.none, present=False, odds=min(odds, 0.0))
            continue
        decided[one.owner] = Decision(row, True, text, math.exp(row.logprob), odds)
        if one.none is None and ids and not _usable(text, one.field):
            again.append((one, ids[0]))
    if again:
        for one, row, ids in _decode_once(base, context, keys, again, tables, count, width, none_margin):
            text = _text(base, ids)
            if _usable(text, one.field) or _says_none(decided[one.owner].value):
                decided[one.owner] = Decision(row, True, text, math.exp(row.logprob))
    return decided


def _decode_once(
    base: FrozenBase,
    context: Context,
    keys: Keys,
    wanted: list[tuple[_Wanted, int]],
    tables: FieldTables,
    count: int,
    width: int,
    none_margin: float,
) -> list[tuple[_Wanted, Row, list[int]]]:
    """Decodes all wanted values in `count` rows, each with a first token that it may not begin with (or -1)."""
    owner, table, start, budget = (np.zeros(count, np.int32) for _ in range(4))
    floor, refused = np.full(count, -np.inf, np.float32), np.full(count, -1, np.int32)
    for i, (one, first) in enumerate(wanted):
        name, owner[i], refused[i] = one.field.name, one.owner, first
        table[i], start[i], budget[i] = tables.row[name], tables.start[name], tables.tokens[name]
        if one.none is not None:
            floor[i] = one.none.logprob - none_margin
    active = np.arange(count) < len(wanted)
    rows = DecodingRows(*map(jnp.asarray, (owner, table, start, budget, floor, refused, active)))
    written = decode_rows(base.module, base.params, context, keys, rows, value_tokens(base), tables.tables, width)
    logprob, counts, tokens = np.asarray(written.logprob), np.asarray(written.count), np.asarray(written.tokens)
    return [
        (one, Row(written, i, float(logprob[i])), tokens[i, : counts[i]].tolist()) for i, (one, _) in enumerate(wanted)
    ]


def _text(base: FrozenBase, ids: list[int]) -> str:
    """The decoded line; a last token may hold the line's end too."""
    return re.split(r"[\r\n]", base.decode(ids))[0].strip()


def _says_none(text: str) -> bool:
    return text.rstrip(".").casefold() == "none"


def _usable(text: str, field: Field) -> bool:
    """True where the text is a valid value of the field."""
    return not _says_none(text) and understood(text, field)


def longest_value(base: FrozenBase, field: Field) -> int:
    """Most tokens that a value of the field takes."""
    listed = [len(base.encode(f" {candidate_text(value)}")) for value in field.candidates]
    return max(listed) if listed else decoded_tokens(base, field)
