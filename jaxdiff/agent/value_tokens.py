"""The tokens of a base's tokenizer as parts of a decoded value, which is one line."""

from __future__ import annotations

import re
import weakref
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from flax import struct
from jax import Array

from jaxdiff.agent.prompting import TURN_END
from jaxdiff.base.frozen import FrozenBase
from jaxdiff.schema.languages.vocabulary import Vocabulary

_LINE_END = re.compile(r"[\r\n]")


@struct.dataclass
class ValueTokens:
    """Tokens by what they do to a value, on the device.

    ending: [V] bool, end a value and add nothing to it: line ends and the end of the turn. closing: [V] bool, add to a
    value and end it: text with a line end behind. none: [N] int32, ids of ` none`.
    """

    ending: Array
    closing: Array
    none: Array


@dataclass(frozen=True, eq=False)
class ValueVocabulary:
    """What tokens write, on the host; two are the same only if they are one object.

    written: of n tokens, what stands before a line end within them; nothing for those that no value has. closing: [n]
    bool, as in `ValueTokens`. size: V, which n may fall short of.
    """

    written: Vocabulary
    closing: np.ndarray
    size: int


def value_tokens(base: FrozenBase) -> ValueTokens:
    """The tokens of a base on the device, computed once."""
    return _known(base)[0]


def value_vocabulary(base: FrozenBase) -> ValueVocabulary:
    """The tokens of a base on the host, computed once."""
    return _known(base)[1]


_KNOWN: weakref.WeakKeyDictionary[FrozenBase, tuple[ValueTokens, ValueVocabulary]] = weakref.WeakKeyDictionary()


def _known(base: FrozenBase) -> tuple[ValueTokens, ValueVocabulary]:
    found = _KNOWN.get(base)
    if found is None:
        found = _KNOWN[base] = _compute(base)
    return found


def _compute(base: FrozenBase) -> tuple[ValueTokens, ValueVocabulary]:
    size, whole = base.config.vocab_size, Vocabulary.of_tokenizer(base.tokenizer)
    ending, closing = np.zeros(size, bool), np.zeros(size, bool)
    ending[list(base.config.eos_token_ids)] = True
    if base.tokenizer.token_to_id(TURN_END) is not None:
        ending[base.special(TURN_END)] = True
    texts = base.tokenizer.decode_batch([[i] for i in range(min(size, whole.size))], skip_special_tokens=False)
    special = {i for i, token in base.tokenizer.get_added_tokens_decoder().items() if token.special}
    for i, text in enumerate(texts):
        line, *rest = _LINE_END.split(text, maxsplit=1)
        if rest and i not in special:
            ending[i] |= not line.strip()
            closing[i] = not ending[i]
    written: list[bytes | None] = [None] * len(texts)
    for i, length, column in zip(whole.ids.tolist(), whole.lengths.tolist(), whole.written.T, strict=True):
        if i < len(texts) and not ending[i]:
            written[i] = re.split(rb"[\r\n]", column[:length].tobytes(), maxsplit=1)[0]
    none = jnp.array(base.encode(" none"), jnp.int32)
    vocabulary = ValueVocabulary(Vocabulary.of(written), closing[: len(written)], size)
    return ValueTokens(jnp.asarray(ending), jnp.asarray(closing), none), vocabulary
