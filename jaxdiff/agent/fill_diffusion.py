"""Filling by a trained head: spans of the query where the value is said, denoising where it must be composed.

The frozen base reads the query once; the head's encoding, computed once, says which fields are present, which
candidate is meant, where in the query each value stands, and whether those words give the value. What they do not give
is composed on a canvas in a few denoising steps, beside the values that are already known. Several calls are rows of
one batch, and independent of one another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff.agent.asked import Asked, Present
from jaxdiff.agent.assignment import Span, understood
from jaxdiff.agent.compose import compose
from jaxdiff.agent.composition import Composed, Composition
from jaxdiff.agent.evidence import FLOOR
from jaxdiff.agent.filled import FilledField, Filling
from jaxdiff.agent.items_apart import ItemsApart, items_apart
from jaxdiff.agent.presence import FieldWords, probability, take
from jaxdiff.agent.query_features import stack_rows
from jaxdiff.agent.reading import CallFeatures, Reading, read_calls
from jaxdiff.base.buckets import CALLS, bucket
from jaxdiff.base.frozen import FrozenBase
from jaxdiff.diffusion.denoise import DenoiseConfig
from jaxdiff.diffusion.features import QueryFeatures
from jaxdiff.diffusion.head_files import LoadedHead
from jaxdiff.diffusion.reader import head as reader
from jaxdiff.diffusion.reader.config import ReaderConfig
from jaxdiff.diffusion.reader.trunk import LOOKS, Encoding
from jaxdiff.errors import WeightsError
from jaxdiff.schema.branches import Branches, narrowed_candidates
from jaxdiff.schema.fields import Field
from jaxdiff.schema.values import valid_value, write_value

# Probability from which words of the query are taken for a value.
COPIED = 0.5


@dataclass(frozen=True, eq=False)
class ReaderHead:
    """A reader and the base that it was trained for, ready to fill."""

    base: FrozenBase
    config: ReaderConfig
    params: dict[str, Any]

    @classmethod
    def from_loaded(cls, base: FrozenBase, loaded: LoadedHead) -> ReaderHead:
        """Puts a head from disk on the device. Raises WeightsError for one that was trained on less than is read."""
        trunk = loaded.params.get("trunk", {})
        if unread := [look for look in LOOKS if look not in trunk]:
            raise WeightsError(f"the reader was trained without {unread[0]}, which this version reads; train it again")
        config = ReaderConfig.from_dict(loaded.config)
        if "contest" not in (*trunk, *config.without):
            # Trained before there was one.
            config = replace(config, without=(*config.without, "contest"))
        return cls(base, config, jax.tree.map(jnp.asarray, loaded.params))

    def encode(self, query: QueryFeatures) -> Encoding:
        """The encoding of a query (or a batch)."""
        return _encode(self.config, self.params, query)

    def read(self, asked: Sequence[Asked]) -> list[Reading]:
        """What the base says at the keys of each call. Raises InputError for a query beyond the largest bucket."""
        return read_calls(self.base, asked)

    def fill(
        self,
        readings: Sequence[CallFeatures],
        denoising: DenoiseConfig,
        *,
        seed: int = 0,
        present: Sequence[Present] | None = None,
    ) -> list[Filling]:
        """Fills each call as if it were alone; present: of each call."""
        return fill_diffusion(self, readings, denoising, seed=seed, present=present)


def fill_diffusion(
    head: ReaderHead,
    readings: Sequence[CallFeatures],
    config: DenoiseConfig,
    *,
    seed: int = 0,
    present: Sequence[Present] | None = None,
) -> list[Filling]:
    """Fills each call as if it were alone: as many as the largest bucket holds in one encoding and one denoising.

    present: of each call; None: the head decides for all. Raises ConfigError for a sampler that the head cannot serve.
    """
    config.check_head(prompt_dropout=head.config.prompt_dropout, time_conditioning=head.config.time_conditioning)
    told = [None] * len(readings) if present is None else present
    asked = [pair for pair in zip(readings, told, strict=True) if pair[0].tool.fields]
    filled: list[Filling] = []
    for start in range(0, len(asked), CALLS[-1]):
        filled += _fill_together(head, asked[start : start + CALLS[-1]], config, seed)
    rest = iter(filled)
    return [next(rest) if reading.tool.fields else Filling({}) for reading in readings]


def _fill_together(
    head: ReaderHead, asked: Sequence[tuple[CallFeatures, Present]], config: DenoiseConfig, seed: int
) -> list[Filling]:
    rows = bucket(len(asked), CALLS, "calls")
    encoding = head.encode(stack_rows([reading.features for reading, _ in asked], rows))
    names = ("span_start", "span_end", "owner", "presence", "copied", "candidates")
    seen = jax.device_get({name: getattr(encoding, name) for name in names})
    plans = [
        _plan(reading, {name: value[row] for name, value in seen.items()}, present)
        for row, (reading, present) in enumerate(asked)
    ]
    open_plans = [(row, plan) for row, plan in enumerate(plans) if plan.composed]
    compositions = [
        Composition(
            row,
            replace(plan.reading.tool, fields=plan.fields),
            plan.reading.query,
            plan.spans,
            plan.composed,
            texts={i: write_value(found.value) for i, found in plan.apart.items()},
        )
        for row, plan in open_plans
    ]
    composed = compose(head.base, head.config, head.params, encoding, compositions, config, seed)
    by_row = {row: found for (row, _), found in zip(open_plans, composed, strict=True)}
    return [_filling(plan, by_row.get(row)) for row, plan in enumerate(plans)]


@dataclass(frozen=True)
class _Plan:
    """What the encoding says of a call before anything is composed; fields by their numbers.

    fields: the tool's, as the branches that are taken have them. branches: see `Filling`. wanted: fields that the call
    has. spans: words of the query for those of them without listed candidates. apart: lists of which the span says only
    a part. composed: fields whose words do not give the value. said: words that name one of the listed candidates.
    presence: [F] probability. candidates: [C] log-probability of a field's candidates.
    """

    reading: CallFeatures
    fields: tuple[Field, ...]
    branches: Branches
    present: Present
    wanted: list[int]
    spans: dict[int, Span | None]
    apart: dict[int, ItemsApart]
    composed: list[int]
    said: dict[int, Span]
    presence: np.ndarray
    candidates: dict[int, np.ndarray]


def _plan(reading: CallFeatures, seen: dict[str, np.ndarray], present: Present) -> _Plan:
    """seen: this row's part of the encoding."""
    whole, query, offsets = reading.tool.fields, reading.query, reading.offsets
    words = FieldWords(whole, query, offsets, seen["span_start"], seen["span_end"])
    listed = logprob_of_all(seen["candidates"], whole)
    taken = take(words, probability(seen["presence"][: len(whole)]), present, candidates=listed)
    fields, spans, said = taken.fields, taken.spans, taken.named
    candidates = {
        i: narrowed_candidates(listed.get(i), whole[i], field) for i, field in enumerate(fields) if field.candidates
    }
    found_spans = {i: span for i, span in spans.items() if span is not None}
    covered = [*found_spans.values(), *said.values()]
    apart = {
        i: found
        for i, span in found_spans.items()
        # Number 0 of the owners is nobody.
        if (found := items_apart(seen["owner"][i + 1], fields[i], span, covered, query, offsets)) is not None
    }
    given = {i for i, span in found_spans.items() if span.understood or i in apart}
    copied = probability(seen["copied"])
    composed = [i for i in spans if copied[i] < COPIED or i not in given]
    return _Plan(
        reading, fields, taken.branches, present, taken.wanted, spans, apart, composed, said, taken.presence, candidates
    )


def logprob_of_all(logprob: np.ndarray, fields: Sequence[Field]) -> dict[int, np.ndarray]:
    """Number of a field -> [C] of all its candidates, where those that were not read for their number are improbable:
    words may name them. logprob: [F, C] of those that were read."""
    counts = {i: len(field.candidates) for i, field in enumerate(fields) if field.candidates}
    read = logprob.shape[1]
    return {
        i: np.pad(logprob[i, :count], (0, max(0, count - read)), constant_values=FLOOR) for i, count in counts.items()
    }


def _filling(plan: _Plan, composed: Composed | None) -> Filling:
    query, told = plan.reading.query, plan.present is not None
    texts = {} if composed is None else composed.texts
    filled: dict[str, FilledField] = {}
    for i in plan.wanted:
        field = plan.fields[i]
        certainty = 1.0 if field.required or told else float(plan.presence[i])
        if (named := plan.said.get(i)) is not None:
            # Words that name a listed value, or affirm or deny what a boolean is about, tell more than the head.
            confidence = min(1.0, float(np.exp(named.score))) * certainty
            words = query[named.start : named.end]
            filled[field.name] = FilledField(valid_value(words, field), confidence, "copy", (named.start, named.end))
            continue
        if field.candidates:
            logprob = plan.candidates[i]
            best = int(np.argmax(logprob))
            filled[field.name] = FilledField(
                field.candidates[best], float(np.exp(logprob[best])) * certainty, "candidate"
            )
            continue
        span, apart = plan.spans[i], plan.apart.get(i)
        words_give = apart is not None or (span is not None and span.understood)
        # Composed words that are no value give way to the query's own, if those are one.
        if i in texts and (understood(texts[i][0], field) or not words_give):
            text, confidence = texts[i]
            if text or field.required:
                cut = composed is not None and i in composed.full
                filled[field.name] = FilledField(text, confidence * certainty, "compose", cut=cut)
        elif apart is not None:
            sources = tuple((place.start, place.end) for place in apart.places)
            confidence = min(1.0, float(np.exp(apart.score))) * certainty
            filled[field.name] = FilledField(apart.value, confidence, "copy", sources=sources)
        elif span is not None:
            source = (span.start, span.end)
            confidence = min(1.0, float(np.exp(span.score))) * certainty
            filled[field.name] = FilledField(query[span.start : span.end], confidence, "copy", source)
    absent = [plan.presence[i] for i in range(len(plan.fields)) if i not in plan.wanted and not told]
    trace = None if composed is None else composed.trace
    return Filling(filled, absence=float(np.prod(1 - np.array(absent))), trace=trace, branches=plan.branches)


@partial(jax.jit, static_argnums=0)
def _encode(config: ReaderConfig, params: dict[str, Any], query: QueryFeatures) -> Encoding:
    return reader.encode(params, config, query)
