"""The loaded base: parameters, configuration and tokenizer in one object that nothing changes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from tokenizers import Tokenizer

from jaxdiff.base import masks
from jaxdiff.base.module import SmolLM
from jaxdiff.base.quantised import embedding_of
from jaxdiff.config import BaseConfig
from jaxdiff.errors import InputError


@dataclass(frozen=True, eq=False)
class FrozenBase:
    """A language model that is read and never trained.

    params: nested dict of arrays (layout: docs/conversion.md). fingerprint: SHA-256 of the stored parameters, by which
    heads name the base they were trained for. chat_template: Jinja source, or None. storage: how the matrices are held
    (`card.STORAGES`). quantised_from: fingerprint of the base that this one was rounded from, or None.
    """

    config: BaseConfig
    params: dict[str, Any]
    tokenizer: Tokenizer
    name: str
    fingerprint: str
    dtype: Any = jnp.float32
    chat_template: str | None = None
    storage: str = "float"
    quantised_from: str | None = None

    @cached_property
    def module(self) -> SmolLM:
        """The Flax module that the parameters belong to."""
        return SmolLM(self.config, self.dtype, self.storage)

    @cached_property
    def embedding(self) -> Array:
        """[V, D] the token embedding; of an int8 base as floats, made when first asked for and then held."""
        return embedding_of(self.params["embed_tokens"], self.storage, self.dtype)

    @property
    def computation(self) -> str:
        """What all depends on that is computed with the base, besides what it reads: its weights and their type."""
        return f"{self.fingerprint} {np.dtype(self.dtype).name}"

    def serves(self, fingerprint: str) -> bool:
        """True for a head that was trained on the base of this fingerprint: this one, or its unrounded origin."""
        return fingerprint in (self.fingerprint, self.quantised_from)

    def encode(self, text: str) -> list[int]:
        """Token ids of `text` as plain text: nothing added, and what looks like a special token is only characters."""
        return self.tokenizer.encode(text, add_special_tokens=False).ids

    def encode_with_offsets(self, text: str) -> tuple[list[int], list[tuple[int, int]]]:
        """Token ids of `text`, and for each its first and past-the-last code point."""
        encoding = self.tokenizer.encode(text, add_special_tokens=False)
        return encoding.ids, encoding.offsets

    def special(self, token: str) -> list[int]:
        """The id of a special token, or its characters' ids where the vocabulary lacks it."""
        found = self.tokenizer.token_to_id(token)
        return self.encode(token) if found is None else [found]

    def decode(self, ids: list[int]) -> str:
        """Text of `ids`, special tokens included."""
        return self.tokenizer.decode(ids, skip_special_tokens=False)

    def check_length(self, tokens: int) -> None:
        """Raises InputError where a text of so many tokens is longer than the base can read."""
        if tokens > self.config.max_positions:
            raise InputError(f"{tokens} tokens: the base reads at most {self.config.max_positions}")

    def logits(self, ids: Any, valid: Any = None) -> Array:
        """Next-token logits [B, T, V] float32 for ids [B, T] int32.

        valid: [B, T] bool, False for padding (anywhere in a row; positions count valid tokens only). Raises InputError:
        see `check_ids`.
        """
        ids, valid = self.check_ids(ids, valid)
        return _logits(self.module, self.params, ids, valid)

    def check_ids(self, ids: Any, valid: Any = None, room: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """ids [B, T] int32 and valid [B, T] bool (by default all True), fit to be read.

        room: number of tokens that will follow. Raises InputError for ids that are not integers, of another rank, out
        of the vocabulary, or too long for the model's positions, and for `valid` of another shape than ids.
        """
        try:
            ids = np.asarray(ids)
        except ValueError as error:
            raise InputError("ids: rows of different length; pad them and mark the padding in `valid`") from error
        if ids.ndim != 2 or 0 in ids.shape:
            raise InputError(f"ids of shape {ids.shape}: expected [batch, tokens], neither of them 0")
        if not np.issubdtype(ids.dtype, np.integer):
            raise InputError(f"ids of type {ids.dtype}: expected integers")
        if ids.min() < 0 or ids.max() >= self.config.vocab_size:
            raise InputError(f"token ids {ids.min()}…{ids.max()} outside the vocabulary of {self.config.vocab_size}")
        valid = np.ones(ids.shape, bool) if valid is None else np.asarray(valid, bool)
        if valid.shape != ids.shape:
            raise InputError(f"valid of shape {valid.shape}: expected {ids.shape}, as ids")
        self.check_length(int(valid.sum(axis=1).max()) + room)
        return ids.astype(np.int32), valid


@partial(jax.jit, static_argnums=0)
def _logits(module: SmolLM, params: dict[str, Any], ids: Array, valid: Array) -> Array:
    logits: Any = module.apply({"params": params}, ids, masks.positions(valid), masks.causal(valid), method="logits")
    return logits
