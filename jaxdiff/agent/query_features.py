"""A head's features of queries: what the device computed, joined with what the host knows of words and schema."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from jaxdiff.agent.asked import Placed
from jaxdiff.agent.evidence import FLOOR, Evidence
from jaxdiff.agent.key_block import Block
from jaxdiff.agent.prompting import QueryPrompt, candidate_text
from jaxdiff.diffusion.features import Array, QueryFeatures
from jaxdiff.schema.fields import Field, Kind

KINDS = tuple(Kind)
TOKEN_FACTS = 6
CANDIDATE_FACTS = 4
FIELD_FACTS = 4 + len(KINDS)


@struct.dataclass
class QueryFacts:
    """What the host knows of a block's rows; names are those of `QueryFeatures`.

    candidate_words: [B, F, C, 2] float, whether the candidate stands in the query, and whether one of its longer words
    does.
    """

    token_shape: Array
    field_facts: Array
    field_kind: Array
    candidate_words: Array
    candidate_mask: Array


def facts_of(asked: Sequence[Placed], prompts: Sequence[QueryPrompt], block: Block) -> QueryFacts:
    """Facts of the block's rows; prompts: those of the calls asked for."""
    rows, query = block.query_ids.shape
    fields, candidates = block.candidate_first.shape[1:]
    facts = QueryFacts(
        token_shape=np.zeros((rows, query, TOKEN_FACTS), np.float32),
        field_facts=np.zeros((rows, fields, FIELD_FACTS), np.float32),
        field_kind=np.zeros((rows, fields), np.int32),
        candidate_words=np.zeros((rows, fields, candidates, 2), np.float32),
        candidate_mask=np.zeros((rows, fields, candidates), bool),
    )
    for row, (call, prompt) in enumerate(zip(asked, prompts, strict=True)):
        facts.token_shape[row, : len(prompt.ids)] = _token_facts(call.query, prompt.offsets)
        words = _normal(call.query)
        for i, field in enumerate(call.tool.fields):
            facts.field_facts[row, i] = _field_facts(field, len(call.tool.fields))
            facts.field_kind[row, i] = KINDS.index(field.kind)
            facts.candidate_mask[row, i, : min(len(field.candidates), candidates)] = True
            for j, value in enumerate(field.candidates[:candidates]):
                facts.candidate_words[row, i, j] = _lexical_match(_normal(candidate_text(value)), words)
    return facts


def join(facts: QueryFacts, block: Block, evidence: Evidence) -> QueryFeatures:
    """Features of the block's rows, where the evidence is: with NumPy on the host, with JAX on the device."""
    xp: Any = jnp if isinstance(evidence.key_attention, jax.Array) else np
    # The log-probability, and its distance to the best candidate of the field.
    logprob = xp.where(facts.candidate_mask, evidence.candidate_logprob, FLOOR)
    distance = logprob - logprob.max(-1, keepdims=True)
    measured = xp.stack([logprob, distance], -1)
    return QueryFeatures(
        key_attention=evidence.key_attention,
        token_logprob=evidence.token_logprob,
        token_states=evidence.token_states,
        token_shape=facts.token_shape,
        token_ids=block.query_ids,
        token_mask=block.query_valid,
        key_states=evidence.key_states,
        key_logprob=evidence.key_logprob,
        field_facts=facts.field_facts,
        field_kind=facts.field_kind,
        field_mask=block.field_valid,
        candidate_attention=evidence.candidate_attention,
        candidate_facts=xp.concatenate([measured, facts.candidate_words], -1).astype(np.float32),
        candidate_mask=facts.candidate_mask,
    )


def assemble(
    asked: Sequence[Placed], prompts: Sequence[QueryPrompt], block: Block, evidence: Evidence
) -> QueryFeatures:
    """Facts and evidence of the block's rows, joined; prompts: those of the calls asked for."""
    return join(facts_of(asked, prompts, block), block, evidence)


def stack_rows(rows: Sequence[QueryFeatures], count: int) -> QueryFeatures:
    """Single rows of various sizes as one batch of `count` rows; what is added is zero, and masked."""

    def stacked(*parts: np.ndarray) -> np.ndarray:
        sizes = [max(size) for size in zip(*(part.shape[1:] for part in parts), strict=True)]
        out = np.zeros((count, *sizes), parts[0].dtype)
        for row, part in enumerate(parts):
            out[row][tuple(slice(size) for size in part.shape[1:])] = part[0]
        return out

    return jax.tree.map(stacked, *rows)


def _field_facts(field: Field, count: int) -> list[float]:
    description = field.description.lower()
    defaulted = field.has_default or "default" in description or "optional" in description
    return [
        float(field.required),
        float(defaulted),
        float(bool(field.candidates)),
        count / 8,
        *(float(field.kind is kind) for kind in KINDS),
    ]


def _token_facts(text: str, offsets: list[tuple[int, int]]) -> np.ndarray:
    facts = np.zeros((len(offsets), TOKEN_FACTS), np.float32)
    for i, (start, end) in enumerate(offsets):
        piece = text[start:end]
        word = piece.strip()
        facts[i] = (
            piece.startswith(" "),
            word.isalpha(),
            word[:1].isupper(),
            any(c.isdigit() for c in word),
            bool(word) and word in ",.?!;:",
            i == len(offsets) - 1,
        )
    return facts


def _normal(text: str) -> str:
    """Lower case, one space between words, underscores and hyphens read as spaces, a space at both ends."""
    return f" {' '.join(text.lower().replace('_', ' ').replace('-', ' ').split())} "


def _lexical_match(candidate: str, text: str) -> tuple[float, float]:
    """Whether the candidate's words stand in the text; whether one of its longer words does."""
    return float(candidate.strip() in text), float(any(len(w) >= 4 and w in text for w in candidate.split()))
