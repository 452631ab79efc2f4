"""What the base says of calls at each field's key, several calls in one pass: the features that a reader fills from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax
import numpy as np

from jaxdiff.agent.asked import Asked
from jaxdiff.agent.evidence import (
    EVIDENCE_OF_FIELDS,
    TELLING_WORDS,
    Evidence,
    key_taps,
    read_block,
    telling_ids,
    token_taps,
)
from jaxdiff.agent.key_block import Sizes, build_block, sizes_of
from jaxdiff.agent.prefix import stack
from jaxdiff.agent.prompting import QueryPrompt, key_ids, query_prompt
from jaxdiff.agent.query_features import CANDIDATE_FACTS, Words, facts_of, join
from jaxdiff.agent.word_facts import FIELD_FACTS, KINDS, TOKEN_FACTS, TOKEN_MATCHES
from jaxdiff.base.buckets import CALLS
from jaxdiff.base.frozen import FrozenBase
from jaxdiff.config import BaseConfig
from jaxdiff.diffusion.features import QueryFeatures
from jaxdiff.diffusion.reader.config import ReaderConfig
from jaxdiff.schema.tools import Tool

# Fields of one row of a pass; a tool with more takes several rows. One of the buckets of fields.
ROW_FIELDS = 64


def reader_config(base: BaseConfig, **changes: Any) -> ReaderConfig:
    """The reader for what is read here from a base, with `changes` to the network."""
    widths: dict[str, Any] = dict(
        attention=base.num_layers * base.num_heads,
        token_states=len(token_taps(base)) * base.hidden_size,
        key_states=len(key_taps(base)) * base.hidden_size,
        telling=len(TELLING_WORDS),
        token_facts=TOKEN_FACTS,
        token_matches=TOKEN_MATCHES,
        field_facts=FIELD_FACTS,
        candidate_facts=CANDIDATE_FACTS,
        kinds=len(KINDS),
        embedding=base.hidden_size,
        vocab_size=base.vocab_size,
        canvas_vocab_size=base.canvas_vocab_size,
        mask_id=base.mask_id,
        null_id=base.null_id,
    )
    return ReaderConfig(**(widths | changes))


@dataclass(frozen=True)
class CallFeatures:
    """What a reader fills one call from.

    offsets: code points of the query's tokens. features: one row, padded, on the host.
    """

    tool: Tool
    query: str
    offsets: list[tuple[int, int]]
    features: QueryFeatures


@dataclass(frozen=True)
class Reading(CallFeatures):
    """A call that has been read.

    What tells whether the tool fits the query are the base's states at the last token before the answer. opening:
    [4, D] float32, raw, after the layers `opening_taps`. opening_hidden: [D] float32, after the final norm.
    """

    opening: np.ndarray
    opening_hidden: np.ndarray


def read_calls(base: FrozenBase, asked: Sequence[Asked]) -> list[Reading]:
    """Reads calls of one tool or of several, as many in one pass of the base as the largest bucket holds.

    A call is read as if it were alone. Raises InputError where a query is longer than the largest bucket.
    """
    prompts = [query_prompt(base, call.query) for call in asked]
    for call, prompt in zip(asked, prompts, strict=True):
        longest = max((len(key_ids(base, field)) for field in call.tool.fields), default=0)
        base.check_length(call.known.prefix.length + len(prompt.restated) + longest)
    readings: dict[int, Reading] = {}
    narrow = [i for i, call in enumerate(asked) if len(call.tool.fields) <= ROW_FIELDS]
    for start in range(0, len(narrow), CALLS[-1]):
        together = narrow[start : start + CALLS[-1]]
        found = _read_together(base, [asked[i] for i in together], [prompts[i] for i in together])
        readings |= zip(together, found, strict=True)
    for i, call in enumerate(asked):
        if len(call.tool.fields) > ROW_FIELDS:
            readings[i] = _read_in_rows(base, call, prompts[i])
    return [readings[i] for i in range(len(asked))]


def _read_together(base: FrozenBase, asked: Sequence[Asked], prompts: Sequence[QueryPrompt]) -> list[Reading]:
    sizes = sizes_of(base, asked, prompts)
    evidence = _evidence(base, asked, prompts, sizes)
    words = [Words.of(call.tool, call.query, prompt) for call, prompt in zip(asked, prompts, strict=True)]
    features = join(facts_of(words, sizes.rows, sizes.fields, sizes.query, sizes.candidates), evidence)
    return [
        _reading(call, prompt, features, evidence, row)
        for row, (call, prompt) in enumerate(zip(asked, prompts, strict=True))
    ]


def _read_in_rows(base: FrozenBase, call: Asked, prompt: QueryPrompt) -> Reading:
    """A call of a tool with many fields: rows of some of them each, as no key sees another."""
    tool, starts = call.tool, range(0, len(call.tool.fields), ROW_FIELDS)
    rows = [replace(call, tool=replace(tool, fields=tool.fields[start : start + ROW_FIELDS])) for start in starts]
    prompts = [prompt] * len(rows)
    sizes = sizes_of(base, rows, prompts)
    evidence = _evidence(base, rows, prompts, sizes)
    # All rows but the last are full, so that one behind the other they have the fields in order.
    behind = {
        name: getattr(evidence, name).reshape(1, -1, *getattr(evidence, name).shape[2:]) for name in EVIDENCE_OF_FIELDS
    }
    evidence = jax.tree.map(lambda x: x[:1], evidence).replace(**behind)
    words = [Words.of(tool, call.query, prompt)]
    features = join(facts_of(words, 1, sizes.rows * sizes.fields, sizes.query, sizes.candidates), evidence)
    return _reading(call, prompt, features, evidence, 0)


def _evidence(base: FrozenBase, asked: Sequence[Asked], prompts: Sequence[QueryPrompt], sizes: Sizes) -> Evidence:
    """One pass over a block of calls, brought to the host."""
    block = build_block(base, asked, prompts, sizes)
    cache, valid = stack([call.known.prefix for call in asked], sizes.rows)
    found: Evidence = jax.device_get(read_block(base.module, base.params, cache, valid, block, telling_ids(base)))
    return found


def _reading(call: Asked, prompt: QueryPrompt, features: QueryFeatures, evidence: Evidence, row: int) -> Reading:
    return Reading(
        tool=call.tool,
        query=call.query,
        offsets=prompt.offsets,
        features=jax.tree.map(lambda x: x[row : row + 1], features),
        opening=evidence.opening_states[row],
        opening_hidden=evidence.opening_hidden[row],
    )
