"""A head's features of queries: what the device computed, joined with what the host knows of words and schema."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from jaxdiff.agent.evidence import FLOOR, Evidence
from jaxdiff.agent.prompting import QueryPrompt
from jaxdiff.agent.word_facts import (
    CANDIDATE_WORDS,
    FIELD_FACTS,
    KINDS,
    TOKEN_FACTS,
    TOKEN_MATCHES,
    Offsets,
    candidate_words,
    field_facts,
    token_facts,
    token_matches,
)
from jaxdiff.diffusion.features import Array, QueryFeatures
from jaxdiff.schema.tools import Tool

CANDIDATE_FACTS = 2 + CANDIDATE_WORDS


@dataclass(frozen=True)
class Words:
    """A query asked of a tool. ids, offsets: the query's tokens and their code points."""

    tool: Tool
    query: str
    ids: Sequence[int]
    offsets: Offsets

    @classmethod
    def of(cls, tool: Tool, query: str, prompt: QueryPrompt) -> Words:
        """A query as its prompt has it."""
        return cls(tool, query, prompt.ids, tuple(prompt.offsets))


@struct.dataclass
class QueryFacts:
    """What the host knows of rows; names are those of `QueryFeatures`.

    candidate_words: [B, F, C, 2] float, whether the candidate's words stand in the query, and whether a word of the
    query begins with one of the longer of these.
    """

    token_ids: Array
    token_mask: Array
    token_shape: Array
    token_matches: Array
    field_facts: Array
    field_kind: Array
    field_mask: Array
    candidate_words: Array
    candidate_mask: Array


def facts_of(asked: Sequence[Words], rows: int, fields: int, tokens: int, candidates: int) -> QueryFacts:
    """Facts of queries, padded to these sizes; candidates beyond are cut."""
    facts = QueryFacts(
        token_ids=np.zeros((rows, tokens), np.int32),
        token_mask=np.zeros((rows, tokens), bool),
        token_shape=np.zeros((rows, tokens, TOKEN_FACTS), np.float32),
        token_matches=np.zeros((rows, fields, tokens, TOKEN_MATCHES), np.float32),
        field_facts=np.zeros((rows, fields, FIELD_FACTS), np.float32),
        field_kind=np.zeros((rows, fields), np.int32),
        field_mask=np.zeros((rows, fields), bool),
        candidate_words=np.zeros((rows, fields, candidates, CANDIDATE_WORDS), np.float32),
        candidate_mask=np.zeros((rows, fields, candidates), bool),
    )
    for row, call in enumerate(asked):
        length, declared = len(call.ids), call.tool.fields
        facts.token_ids[row, :length], facts.token_mask[row, :length] = call.ids, True
        facts.token_shape[row, :length] = token_facts(call.query, call.offsets)
        facts.token_matches[row, : len(declared), :length] = token_matches(call.query, call.offsets, declared)
        facts.field_mask[row, : len(declared)] = True
        for i, field in enumerate(declared):
            facts.field_facts[row, i] = field_facts(field, len(declared))
            facts.field_kind[row, i] = KINDS.index(field.kind)
            if field.candidates:
                listed = candidate_words(field, call.query)[:candidates]
                facts.candidate_words[row, i, : len(listed)], facts.candidate_mask[row, i, : len(listed)] = listed, True
    return facts


def join(facts: QueryFacts, evidence: Evidence) -> QueryFeatures:
    """Features of rows, where the evidence is: with NumPy on the host, with JAX on the device."""
    xp: Any = jnp if isinstance(evidence.key_attention, jax.Array) else np
    # The log-probability, and its distance to the best candidate of the field.
    logprob = xp.where(facts.candidate_mask, evidence.candidate_logprob, FLOOR)
    distance = logprob - logprob.max(-1, keepdims=True)
    measured = xp.stack([logprob, distance], -1)
    return QueryFeatures(
        key_attention=evidence.key_attention,
        name_attention=evidence.name_attention,
        definition_attention=evidence.definition_attention,
        token_logprob=evidence.token_logprob,
        token_states=evidence.token_states,
        token_shape=facts.token_shape,
        token_matches=facts.token_matches,
        token_ids=facts.token_ids,
        token_mask=facts.token_mask,
        key_states=evidence.key_states,
        key_logprob=evidence.key_logprob,
        field_facts=facts.field_facts,
        field_kind=facts.field_kind,
        field_mask=facts.field_mask,
        candidate_attention=evidence.candidate_attention,
        candidate_facts=xp.concatenate([measured, facts.candidate_words], -1).astype(np.float32),
        candidate_mask=facts.candidate_mask,
    )


def stack_rows(rows: Sequence[QueryFeatures], count: int) -> QueryFeatures:
    """Single rows of various sizes as one batch of `count` rows; what is added is zero, and masked."""

    def stacked(*parts: np.ndarray) -> np.ndarray:
        sizes = [max(size) for size in zip(*(part.shape[1:] for part in parts), strict=True)]
        out = np.zeros((count, *sizes), parts[0].dtype)
        for row, part in enumerate(parts):
            out[row][tuple(slice(size) for size in part.shape[1:])] = part[0]
        return out

    return jax.tree.map(stacked, *rows)
