"""What a head reads and what it answers: the structs shared by all heads, the loss and the denoising loop.

Shapes: B rows, F fields (padded), T query tokens (padded), C candidates a field (padded), N canvas positions (padded),
A attention numbers a token pair (layers x heads of the base), D the base's hidden size, V the canvas vocabulary.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from flax import struct

# Laid out by the host with NumPy, computed with by JAX.
Array: TypeAlias = Any


@struct.dataclass
class Canvas:
    """Which canvas position belongs to which value.

    field: [B, N] int32, index of the field that owns the position; -1 for scaffold text and padding.
    offset: [B, N] int32, index of the position within its field's slot.
    exists: [B, N] bool, False for padding.
    """

    field: Array
    offset: Array
    exists: Array

    @property
    def value_mask(self) -> Array:
        """[B, N] bool: positions that hold value tokens."""
        return self.field >= 0


@struct.dataclass
class QueryFeatures:
    """What the frozen base says about the query at each field's key (the `reader` head's input).

    key_attention: [B, F, T, A] float, log-attention of every layer and head from the field's key to each query token.
    name_attention: [B, F, T, A] float, the same from the tokens of the field's name, their mean.
    definition_attention: [B, F, T, A] float, log-attention from each query token to the line that defines the field.
    token_logprob: [B, F, T] float, the base's next-token log-probability of each query token at the key.
    token_states: [B, T, K * D] float, states of the query tokens after K layers.
    token_shape: [B, T, S] float, facts of tokens (how they look, words that turn a meaning round).
    token_matches: [B, F, T, M] float, whether the field's name or description has the token's word.
    token_ids: [B, T] int32.        token_mask: [B, T] bool.
    key_states: [B, F, J * D] float, states of the keys after J layers.
    key_logprob: [B, F, W] float, the base's log-probability of a few telling words at the key.
    field_facts: [B, F, R] float, facts from the schema (required, default, candidates, negation, number of fields,
        one-hot kind).
    field_kind: [B, F] int32, index of the field's kind.       field_mask: [B, F] bool.
    candidate_attention: [B, F, C, 2 * A] float, log-attention from the key to the candidate (maximum, first token).
    candidate_facts: [B, F, C, X] float, base's log-probability, its distance to the best, lexical matches.
    candidate_mask: [B, F, C] bool.
    """

    key_attention: Array
    name_attention: Array
    definition_attention: Array
    token_logprob: Array
    token_states: Array
    token_shape: Array
    token_matches: Array
    token_ids: Array
    token_mask: Array
    key_states: Array
    key_logprob: Array
    field_facts: Array
    field_kind: Array
    field_mask: Array
    candidate_attention: Array
    candidate_facts: Array
    candidate_mask: Array


@struct.dataclass
class Features:
    """A head's whole input besides the canvas tokens; a head leaves empty what it does not read.

    canvas: layout of the canvas.
    canvas_states: [B, N, D] base states read once over prompt and fully masked canvas (`residual`), or None.
    prompt_states: [B, P, D] base states of the prompt's tokens (`residual` with prompt attention), or None.
    prompt_mask: [B, P] bool, False for padding, beside them.
    query: evidence at the keys (`reader`), or None.
    embedding: [vocab, D] the base's frozen tied embedding, or None for heads that own their vocabulary.
    """

    canvas: Canvas
    canvas_states: Array | None = None
    query: QueryFeatures | None = None
    embedding: Array | None = None
    prompt_states: Array | None = None
    prompt_mask: Array | None = None


@struct.dataclass
class Prediction:
    """A head's answer. Heads without spans, presence or candidates leave them None.

    logits: [B, N, V] over the canvas vocabulary.
    span_start: [B, F, T] log-probability of the first token of the field's value in the query.
    span_end: [B, F, T, T] log-probability of the last token given the first (axis 2 = first).
    presence: [B, F] logit that the call has the field.
    copied: [B, F] logit that the value is what the span says (otherwise it is composed).
    candidates: [B, F, C] log-probability among the listed candidates.
    """

    logits: Array
    span_start: Array | None = None
    span_end: Array | None = None
    presence: Array | None = None
    copied: Array | None = None
    candidates: Array | None = None


@struct.dataclass
class Labels:
    """What a training row asks of a head.

    tokens: [B, N] int32 canvas with the gold values, <NULL> behind each.
    start, end: [B, F] int32 first and last query token of the value's span, -1 where none is known.
    presence: [B, F] bool.        candidate: [B, F] int32, -1 where the field has no candidates or is absent.
    copied: [B, F] int32: 1 the span's words give the value, 0 they do not, -1 unknown (absent or candidate field).
    further: [B, T] int32 field of which the query token says an item that stands apart from the span, -1 elsewhere;
        None where nothing does.
    teacher_ids: [B, N, K] int32 the frozen base's most probable tokens at each canvas position, given the value before
        it; teacher_logprob: [B, N, K] their log-probabilities, -inf where there is none. None where not asked for.
    """

    tokens: Array
    start: Array
    end: Array
    presence: Array
    candidate: Array
    copied: Array
    further: Array | None = None
    teacher_ids: Array | None = None
    teacher_logprob: Array | None = None
