"""What the base says of a query at each field's key, as a head's features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct
from jax import Array

from jaxdiff.agent.key_block import Block, build_block, sizes_of
from jaxdiff.agent.prefix import ToolPrefix
from jaxdiff.agent.prompting import QueryPrompt, candidate_text, key_ids, query_prompt
from jaxdiff.base import masks
from jaxdiff.base.cache import KVCache
from jaxdiff.base.frozen import FrozenBase
from jaxdiff.base.module import SmolLM
from jaxdiff.config import BaseConfig
from jaxdiff.diffusion.features import QueryFeatures
from jaxdiff.diffusion.reader.config import ReaderConfig
from jaxdiff.schema.fields import Field, Kind
from jaxdiff.schema.tools import Tool

# Attention far below this tells nothing more, and float16 must hold it.
FLOOR = -20.0
TELLING_WORDS = (" none", " true", " false", " not", " no")
KINDS = tuple(Kind)
TOKEN_FACTS = 6
CANDIDATE_FACTS = 4
FIELD_FACTS = 4 + len(KINDS)


def token_taps(config: BaseConfig) -> tuple[int, ...]:
    """Layers (from 1) after which query tokens are looked at: a third and two thirds of the way."""
    return tuple(round(config.num_layers * share) for share in (1 / 3, 2 / 3))


def key_taps(config: BaseConfig) -> tuple[int, ...]:
    """Layers (from 1) after which keys are looked at."""
    return tuple(round(config.num_layers * share) for share in (16 / 30, 24 / 30, 1.0))


def reader_config(base: BaseConfig, **changes: Any) -> ReaderConfig:
    """The reader for what is read here from a base, with `changes` to the network."""
    widths: dict[str, Any] = dict(
        attention=base.num_layers * base.num_heads,
        token_states=len(token_taps(base)) * base.hidden_size,
        key_states=len(key_taps(base)) * base.hidden_size,
        telling=len(TELLING_WORDS),
        token_facts=TOKEN_FACTS,
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
class Reading:
    """A query that has been read: its prompt, and what the base says of it (one row)."""

    prompt: QueryPrompt
    features: QueryFeatures


@struct.dataclass
class Evidence:
    """What the device computes of a block; the names are those of `QueryFeatures`."""

    key_attention: Array
    token_logprob: Array
    token_states: Array
    key_states: Array
    key_logprob: Array
    candidate_attention: Array
    candidate_logprob: Array


@partial(jax.jit, static_argnums=0)
def read_block(
    module: SmolLM, params: Any, prefix: KVCache, prefix_valid: Array, block: Block, telling: Array
) -> Evidence:
    """One pass of the base over a block after a prefix; telling: [W] int32 ids whose log-probability is reported."""
    config = module.config
    mask = masks.after_prefix(masks.streams(block.stream, block.valid), block.valid, prefix_valid)
    output: Any = module.apply(
        {"params": params}, block.ids, block.positions, mask, prefix=prefix, taps=token_taps(config), rows=block.keys
    )
    rows, fields = block.keys.shape
    slots, query = prefix.slots, block.query_ids.shape[1]
    attention = jnp.maximum(output.key_attention, FLOOR)
    to_query = attention[..., slots : slots + query].swapaxes(2, 3)

    candidates = block.candidate_slots.reshape(rows, fields, 1, -1)
    to_candidates = jnp.take_along_axis(attention, candidates, axis=3)
    to_candidates = to_candidates.reshape(rows, fields, -1, *block.candidate_slots.shape[2:])
    to_candidates = jnp.concatenate([to_candidates.max(-1), to_candidates[..., 0]], axis=2).swapaxes(2, 3)

    at_keys = jnp.take_along_axis(output.hidden, block.keys[..., None], axis=1)
    logits: Any = module.apply({"params": params}, at_keys, method="unembed")
    logprob = jax.nn.log_softmax(logits, axis=-1)
    logprob = jnp.maximum(logprob, FLOOR)
    by_token = jnp.take_along_axis(logprob, jnp.broadcast_to(block.query_ids[:, None], (rows, fields, query)), axis=2)
    by_candidate = jnp.take_along_axis(logprob, block.candidate_first, axis=2)

    key_layers = np.array(key_taps(config)) - 1
    key_states = jnp.moveaxis(output.key_states[key_layers], 0, 2).reshape(rows, fields, -1)
    taps = output.taps[:, :query]
    evidence = Evidence(
        key_attention=to_query,
        token_logprob=by_token,
        token_states=taps.reshape(*taps.shape[:2], -1),
        key_states=key_states,
        key_logprob=logprob[..., telling],
        candidate_attention=to_candidates,
        candidate_logprob=by_candidate,
    )
    return jax.tree.map(lambda x: x.astype(jnp.float32), evidence)


def telling_ids(base: FrozenBase) -> np.ndarray:
    """[W] int32 first tokens of the telling words."""
    return np.array([base.encode(word)[0] for word in TELLING_WORDS], np.int32)


def assemble(tool: Tool, block: Block, evidence: Evidence, queries: Sequence[tuple[str, QueryPrompt]]) -> QueryFeatures:
    """Joins what the device computed with what the host knows of the words and the schema."""
    rows, query = block.query_ids.shape
    fields, candidates = block.candidate_first.shape[1:]
    shape = np.zeros((rows, query, TOKEN_FACTS), np.float32)
    facts = np.zeros((rows, fields, FIELD_FACTS), np.float32)
    kind = np.zeros((rows, fields), np.int32)
    lexical = np.zeros((rows, fields, candidates, 2), np.float32)
    mask = np.zeros((rows, fields, candidates), bool)
    for i, field in enumerate(tool.fields):
        facts[:, i] = _field_facts(field, len(tool.fields))
        kind[:, i] = KINDS.index(field.kind)
        mask[:, i, : min(len(field.candidates), candidates)] = True
    for row, (text, prompt) in enumerate(queries):
        shape[row, : len(prompt.ids)] = _token_facts(text, prompt.offsets)
        words = _normal(text)
        for i, field in enumerate(tool.fields):
            for j, value in enumerate(field.candidates[:candidates]):
                lexical[row, i, j] = _lexical_match(_normal(candidate_text(value)), words)
    # The log-probability, and its distance to the best candidate of the field.
    logprob = np.where(mask, np.asarray(evidence.candidate_logprob), FLOOR)
    distance = logprob - logprob.max(-1, keepdims=True)
    return QueryFeatures(
        key_attention=evidence.key_attention,
        token_logprob=evidence.token_logprob,
        token_states=evidence.token_states,
        token_shape=shape,
        token_ids=block.query_ids,
        token_mask=block.query_valid,
        key_states=evidence.key_states,
        key_logprob=evidence.key_logprob,
        field_facts=facts,
        field_kind=kind,
        field_mask=block.field_valid,
        candidate_attention=evidence.candidate_attention,
        candidate_facts=np.concatenate([logprob[..., None], distance[..., None], lexical], -1).astype(np.float32),
        candidate_mask=mask & block.field_valid[..., None],
    )


def read_query(base: FrozenBase, tool: Tool, known: ToolPrefix, query: str) -> Reading:
    """Reads one query for one tool. Raises InputError where it is longer than the largest bucket."""
    prompt = query_prompt(base, query)
    keys = [key_ids(base, field) for field in tool.fields]
    longest = max(map(len, keys), default=0)
    base.check_length(known.prefix.length + len(prompt.ids) + len(prompt.ending) + longest)
    block = build_block(base, tool, known, [prompt], sizes_of(tool, prompt, keys), rows=1)
    evidence = read_block(base.module, base.params, known.prefix.cache, known.prefix.valid, block, telling_ids(base))
    return Reading(prompt, assemble(tool, block, evidence, [(query, prompt)]))


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
