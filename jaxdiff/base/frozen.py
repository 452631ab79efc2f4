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
from jaxdiff.config import BaseConfig
from jaxdiff.errors import InputError


@dataclass(frozen=True, eq=False)
class FrozenBase:
    """A language model that is read and never trained.

    params: nested dict of arrays (layout: docs/conversion.md). fingerprint: SHA-256 of the stored parameters, by which
    heads name the base they were trained for. chat_template: Jinja source, or None.
    """

    config: BaseConfig
    params: dict[str, Any]
    tokenizer: Tokenizer
    name: str
    fingerprint: str
    dtype: Any = jnp.float32
    chat_template: str | None = None

    @cached_property
    def module(self) -> SmolLM:
        """The Flax module that the parameters belong to."""
        return SmolLM(self.config, self.dtype)

    @property
    def embedding(self) -> Array:
        """[V, D] the token embedding."""
        return self.params["embed_tokens"]["embedding"]

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

    def logits(self, ids: Any, valid: Any = None) -> Array:
        """Next-token logits [B, T, V] float32 for ids [B, T] int32.

        valid: [B, T] bool, False for padding (anywhere in a row; positions count valid tokens only). Raises InputError for
        ids of another rank, out of the vocabulary, or longer than the model's positions.
        """
        ids = np.asarray(ids)
        if ids.ndim != 2:
            raise InputError(f"ids of shape {ids.shape}: expected [batch, tokens]")
        if ids.shape[1] > self.config.max_positions:
            raise InputError(f"{ids.shape[1]} tokens: the base reads at most {self.config.max_positions}")
        if ids.size and not (0 <= ids.min() and ids.max() < self.config.vocab_size):
            raise InputError(f"token ids {ids.min()}…{ids.max()} outside the vocabulary of {self.config.vocab_size}")
        valid = np.ones(ids.shape, bool) if valid is None else np.asarray(valid, bool)
        return _logits(self.module, self.params, jnp.asarray(ids, jnp.int32), jnp.asarray(valid))


@partial(jax.jit, static_argnums=0)
def _logits(module: SmolLM, params: dict[str, Any], ids: Array, valid: Array) -> Array:
    positions = jnp.maximum(jnp.cumsum(valid, axis=1) - 1, 0)
    return module.apply({"params": params}, ids, positions, masks.causal(valid), method="logits")
