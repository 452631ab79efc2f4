"""Composing what the query does not say as it is written: one canvas a call, all denoised together.

A canvas holds the slots of a call's text fields: masks where the value is to be composed, words of the query where they
give it. No row sees another, and randomness belongs to what a call asks for, so that a call comes out the same alone
or among others.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxdiff.agent.composition import Composed, Composition, parts_of, slot_size
from jaxdiff.agent.constraints import canvas_constraint, field_table
from jaxdiff.agent.filled import FillTrace
from jaxdiff.base.buckets import CALLS, TOKENS, bucket
from jaxdiff.base.frozen import FrozenBase
from jaxdiff.diffusion.automata import Constraint
from jaxdiff.diffusion.block_order import block_numbers
from jaxdiff.diffusion.denoise import DenoiseConfig, DenoiseResult, denoise
from jaxdiff.diffusion.features import Canvas
from jaxdiff.diffusion.reader import head as reader
from jaxdiff.diffusion.reader.config import ReaderConfig
from jaxdiff.diffusion.reader.trunk import Encoding
from jaxdiff.schema.budget import grown_slot
from jaxdiff.schema.languages.token_table import TokenTable


@dataclass(frozen=True)
class _Slots:
    """A call's canvas, unpadded: token, number of the field, and offset in its slot, of each position."""

    tokens: list[int]
    field: list[int]
    offset: list[int]

    def of(self, number: int) -> slice:
        """The positions of a field."""
        start = self.field.index(number)
        return slice(start, start + self.field.count(number))


def compose(
    base: FrozenBase,
    config: ReaderConfig,
    params: dict[str, Any],
    encoding: Encoding,
    calls: Sequence[Composition],
    denoising: DenoiseConfig,
    seed: int,
) -> list[Composed]:
    """Composes the fields of calls, in batches of as many canvases as the largest bucket holds.

    Numbers, and strings with bounds, formats or patterns, come out as texts that their schemas allow. A slot that is
    filled to its end grows, and only its field is composed again. A call with more slots than the largest canvas has
    several.
    """
    composer = _Composer(base, config, params, encoding, denoising, seed)
    parts = [(number, part) for number, call in enumerate(calls) for part in parts_of(base, call, TOKENS[-1])]
    found: dict[int, Composed] = {}
    for start in range(0, len(parts), CALLS[-1]):
        numbers, together = zip(*parts[start : start + CALLS[-1]], strict=True)
        for number, part in zip(numbers, composer.grown(together), strict=True):
            found[number] = found[number].beside(part) if number in found else part
    return [found[number] for number in range(len(calls))]


@dataclass(frozen=True, eq=False)
class _Composer:
    """What all canvases of an encoding have in common."""

    base: FrozenBase
    config: ReaderConfig
    params: dict[str, Any]
    encoding: Encoding
    denoising: DenoiseConfig
    seed: int

    def grown(self, calls: Sequence[Composition]) -> list[Composed]:
        """Composes calls, and again with larger slots what fills its slot."""
        found = self.once(calls)
        while again := [
            (place, larger)
            for place, (call, here) in enumerate(zip(calls, found, strict=True))
            if (larger := self._with_larger_slots(call, here)) is not None
        ]:
            calls = list(calls)
            for (place, larger), anew in zip(again, self.once([larger for _, larger in again]), strict=True):
                calls[place] = replace(larger, fields=calls[place].fields)
                still = {i: size for i, size in found[place].full.items() if i not in anew.texts}
                found[place] = Composed(found[place].texts | anew.texts, anew.trace, still | anew.full)
        return found

    def once(self, calls: Sequence[Composition]) -> list[Composed]:
        """Composes calls in slots of the sizes that they have, in one denoising."""
        base, config = self.base, self.config
        rows, names = bucket(len(calls), CALLS, "calls"), {config.mask_id: "·", config.null_id: ""}
        slots = [self._slots(call) for call in calls]
        sizes = [
            bucket(len(row.tokens), TOKENS, f"canvas of {call.tool.name!r}")
            for row, call in zip(slots, calls, strict=True)
        ]
        shape = (rows, max(sizes))
        canvas = Canvas(
            field=np.full(shape, -1, np.int32), offset=np.zeros(shape, np.int32), exists=np.zeros(shape, bool)
        )
        tokens, content = np.full(shape, config.null_id, np.int32), np.zeros(rows, np.uint32)
        owner = np.zeros(rows, np.int32)
        held: list[tuple[TokenTable, range]] = []
        tabled: list[set[int]] = [set() for _ in calls]
        for row, (here, call) in enumerate(zip(slots, calls, strict=True)):
            length = len(here.tokens)
            canvas.field[row, :length], canvas.offset[row, :length] = here.field, here.offset
            canvas.exists[row, :length], tokens[row, :length] = True, here.tokens
            owner[row], content[row] = call.row, zlib.crc32(f"{call.tool.name}\n{call.query}".encode())
            for i in call.fields:
                place = here.of(i)
                if (table := field_table(base, call.tool.fields[i], place.stop - place.start)) is not None:
                    held.append((table, range(row * shape[1] + place.start, row * shape[1] + place.stop)))
                    tabled[row].add(i)
        chosen = _take(self.encoding, owner)
        constraint = canvas_constraint(held, shape, base)
        key = jax.random.key(self.seed)
        result = jax.device_get(
            _denoise(
                config, self.denoising, self.params, chosen, canvas, tokens, key, content, base.embedding, constraint
            )
        )
        found = []
        for row, (here, call) in enumerate(zip(slots, calls, strict=True)):
            texts = {i: self._text(result, row, here.of(i), i in tabled[row]) for i in call.fields}
            taken = {i: result.tokens[row, here.of(i)] for i in call.fields}
            full = {i: len(value) for i, value in taken.items() if config.null_id not in value}
            owners = tuple(call.tool.fields[i].name for i in here.field)
            found.append(Composed(texts, FillTrace.of(base, result.trace, row, owners, names), full))
        return found

    def _with_larger_slots(self, call: Composition, found: Composed) -> Composition | None:
        """For the fields that filled theirs; None where none can grow, or the canvas cannot."""
        fields = call.tool.fields
        larger = {i: more for i, size in found.full.items() if (more := grown_slot(fields[i], size)) is not None}
        if not larger:
            return None
        texts = {i: text for i, (text, _) in found.texts.items() if i not in larger}
        grown = replace(call, fields=sorted(larger), sizes=call.sizes | larger, texts=call.texts | texts)
        return grown if len(self._slots(grown).tokens) <= TOKENS[-1] else None

    def _slots(self, call: Composition) -> _Slots:
        tokens: list[int] = []
        field: list[int] = []
        offset: list[int] = []
        for i, span in call.spans.items():
            size = slot_size(self.base, call, i)
            if i in call.fields:
                content = [self.config.mask_id] * size
            else:
                text = call.texts.get(i, "" if span is None else call.query[span.start : span.end])
                known = self.base.encode(f" {text}")[:size] if text else []
                content = known + [self.config.null_id] * (size - len(known))
            tokens += content
            field += [i] * size
            offset += range(size)
        return _Slots(tokens, field, offset)

    def _text(self, result: DenoiseResult, row: int, slot: slice, exact: bool) -> tuple[str, float]:
        """Text and confidence of a slot. exact: but for the blank before it, every character counts."""
        value = result.tokens[row, slot].tolist()
        length = value.index(self.config.null_id) if self.config.null_id in value else len(value)
        confidence = float(np.prod(np.asarray(result.confidence[row, slot][: length + 1], np.float64)))
        text = self.base.decode([token for token in value[:length] if token < self.base.config.vocab_size])
        return text.removeprefix(" ") if exact else text.strip(), min(1.0, confidence)


@jax.jit
def _take(encoding: Encoding, rows: Array) -> Encoding:
    chosen: Encoding = jax.tree.map(lambda x: x[rows], encoding)
    return chosen


@partial(jax.jit, static_argnums=(0, 1))
def _denoise(
    config: ReaderConfig,
    steps: DenoiseConfig,
    params: dict[str, Any],
    encoding: Encoding,
    canvas: Canvas,
    tokens: Array,
    key: Array,
    content: Array,
    embedding: Array,
    constraint: Constraint | None,
) -> DenoiseResult:
    """content: [B] uint32, what a row's randomness depends on beside the key."""

    def predict_logits(tokens: Array, t: Array) -> Array:
        return reader.logits(params, config, encoding, canvas, tokens, t, embedding)

    def predict_unconditional(tokens: Array, t: Array) -> Array:
        unseen = reader.without_query(encoding, jnp.ones(tokens.shape[0], bool))
        return reader.logits(params, config, unseen, canvas, tokens, t, embedding)

    keys = jax.vmap(jax.random.fold_in, (None, 0))(key, content)
    return denoise(
        predict_logits, tokens, canvas.value_mask, keys, mask_id=config.mask_id, null_id=config.null_id,
        config=steps, unconditional=predict_unconditional, constraint=constraint,
        block=block_numbers(jnp.asarray(canvas.field)),
    )  # fmt: skip
