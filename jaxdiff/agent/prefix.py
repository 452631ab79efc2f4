"""Keys and values of a prompt's fixed parts: the worked example, then each tool, read once and kept."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxdiff.agent.prompting import ToolPrompt, example_ids, tool_prompt
from jaxdiff.base import masks
from jaxdiff.base.buckets import FIELDS, PROMPT_TOKENS, bucket
from jaxdiff.base.cache import KVCache
from jaxdiff.base.frozen import FrozenBase
from jaxdiff.base.module import SmolLM
from jaxdiff.schema.tools import Tool


@dataclass(frozen=True)
class Prefix:
    """A text that has been read.

    cache: one row of S slots. valid: [1, S] bool, slots that hold tokens. length: number of tokens, the next position.
    """

    cache: KVCache
    valid: np.ndarray
    length: int


@dataclass(frozen=True)
class ToolPrefix:
    """Example and tool, read; `prompt` tells where the candidates stand, counted from slot `offset`."""

    prefix: Prefix
    prompt: ToolPrompt
    offset: int

    @property
    def length(self) -> int:
        """Tokens of example and tool, the next position."""
        return self.prefix.length


class PrefixReader:
    """Reads fixed parts through a base and keeps the most recently used ones."""

    def __init__(self, base: FrozenBase, keep: int = 64):
        self.base = base
        self._keep = keep
        self._tools: OrderedDict[str, ToolPrefix] = OrderedDict()
        self._example: Prefix | None = None

    def example(self) -> Prefix:
        """The worked example."""
        if self._example is None:
            self._example = read(self.base, example_ids(self.base), None)
        return self._example

    def tool(self, tool: Tool) -> ToolPrefix:
        """Example and tool. Raises InputError for a tool longer, or with more fields, than the largest bucket."""
        bucket(len(tool.fields), FIELDS, f"fields of {tool.name!r}")
        prompt = tool_prompt(self.base, tool)
        key = repr(prompt.ids)
        if key in self._tools:
            self._tools.move_to_end(key)
            return self._tools[key]
        example = self.example()
        found = ToolPrefix(read(self.base, prompt.ids, example, f"tool {tool.name!r}"), prompt, example.cache.slots)
        self._tools[key] = found
        if len(self._tools) > self._keep:
            self._tools.popitem(last=False)
        return found


def read(base: FrozenBase, ids: list[int], before: Prefix | None, what: str = "prompt") -> Prefix:
    """Reads `ids` after another prefix, or from the beginning. Raises InputError for a text that is too long."""
    base.check_length(len(ids) + (0 if before is None else before.length))
    slots = bucket(len(ids), PROMPT_TOKENS, f"tokens of {what}")
    block = np.zeros((1, slots), np.int32)
    block[0, : len(ids)] = ids
    valid = np.arange(slots)[None] < len(ids)
    start = 0 if before is None else before.length
    cache = _read(
        base.module, base.params, block, valid, np.int32(start), before and before.cache, before and before.valid
    )
    if before is None:
        return Prefix(cache, valid, len(ids))
    return Prefix(cache, np.concatenate([before.valid, valid], 1), start + len(ids))


def stack(prefixes: Sequence[Prefix], rows: int) -> tuple[KVCache, np.ndarray]:
    """Keys and values of one prefix a row, padded to S common slots, and which slots hold tokens [B, S] bool.

    Where all are the same, one row for all; else `rows` rows, of which those beyond the prefixes repeat the first.
    """
    first = prefixes[0]
    if all(prefix is first for prefix in prefixes):
        return first.cache, first.valid
    slots = max(prefix.cache.slots for prefix in prefixes)
    padded = {id(prefix): _padded(prefix, slots) for prefix in prefixes}
    caches, valid = zip(*(padded[id(prefix)] for prefix in [*prefixes, *[first] * (rows - len(prefixes))]), strict=True)
    return _side_by_side(caches), np.concatenate(valid)


def _padded(prefix: Prefix, slots: int) -> tuple[KVCache, np.ndarray]:
    if prefix.cache.slots == slots:
        return prefix.cache, prefix.valid
    return prefix.cache.pad_to(slots), np.pad(prefix.valid, ((0, 0), (0, slots - prefix.cache.slots)))


@jax.jit
def _side_by_side(caches: tuple[KVCache, ...]) -> KVCache:
    """Rows of equally many slots as one cache."""
    stacked: KVCache = jax.tree.map(lambda *rows: jnp.concatenate(rows, axis=1), *caches)
    return stacked


@partial(jax.jit, static_argnums=0)
def _read(
    module: SmolLM,
    params: Any,
    ids: Array,
    valid: Array,
    start: Array,
    before: KVCache | None,
    before_valid: Array | None,
) -> KVCache:
    positions = start + jnp.arange(ids.shape[1], dtype=jnp.int32)[None]
    mask = masks.causal(valid)
    if before is not None and before_valid is not None:
        mask = masks.after_prefix(mask, valid, before_valid)
    output: Any = module.apply({"params": params}, ids, positions, mask, prefix=before)
    return output.cache if before is None else before.followed_by(output.cache)
