"""What the frozen base says of rows for the reader, computed once and kept on disk.

The base never changes, so what it says of a row need not be computed in every epoch. What the host knows of words and
schema is not kept, and labels neither: they come from the rows, and may change without reading the base again.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import jax
import numpy as np

from jaxdiff.agent.asked import Asked
from jaxdiff.agent.evidence import Evidence, key_taps, read_block, telling_ids, token_taps
from jaxdiff.agent.key_block import Sizes, build_block
from jaxdiff.agent.prompting import QueryPrompt, example_ids, key_ids, query_prompt, tool_prompt
from jaxdiff.agent.query_features import Words
from jaxdiff.base.frozen import FrozenBase
from jaxdiff.schema.tools import Tool, parse_tools

from ..data.rows import Row
from .passes import passes, up
from .row_store import Part, Progress, RowStore, new_store

# Few sizes mean few programs to compile.
_SLOTS = (64, 80, 96, 112, 128, 160, 192, 256, 384)
_QUERIES = (64, 256)
_FIELDS = (8, 16)
_CANDIDATES = (8, 32)

# Axes are as long as the row's fields (F), query tokens (T) and candidates (C).
PARTS = {
    "key_attention": "FT", "name_attention": "FT", "definition_attention": "FT", "token_logprob": "FT",
    "token_states": "T", "key_states": "F", "key_logprob": "F", "candidate_attention": "FC", "candidate_logprob": "FC",
}  # fmt: skip
STORED = {name: Part(axes) for name, axes in PARTS.items()} | {
    "token_ids": Part("T", 1, np.int32),
    "offsets": Part("T", 2, np.int32),
}


class FeatureStore(RowStore):
    """Features of rows for the reader; `part` gives each of `STORED`."""

    def __init__(self, folder: Path, rows: Sequence[Row]):
        super().__init__(folder, STORED, rows)

    def words(self, row: int) -> Words:
        """The row's query as it was read."""
        offsets = tuple((start, end) for start, end in self.part("offsets", row).tolist())
        return Words(self.tool(row), self.rows[row].query, self.part("token_ids", row)[:, 0].tolist(), offsets)


def store_key(base: FrozenBase, rows: Sequence[Row]) -> str:
    """What a store depends on: the base and its type, the layers that are looked at, the prompt's fixed part, tools
    with their text and keys, queries."""
    digest = hashlib.sha256(base.computation.encode())
    digest.update(
        repr((example_ids(base), query_prompt(base, "").restated, telling_ids(base).tolist(), sorted(PARTS))).encode()
    )
    digest.update(repr((token_taps(base.config), key_taps(base.config))).encode())
    prompts: dict[str, tuple[list[int], list[list[int]]]] = {}
    for row in rows:
        text = json.dumps(row.tool)
        if text not in prompts:
            (tool,) = parse_tools([row.tool])
            prompts[text] = tool_prompt(base, tool).ids, [key_ids(base, field) for field in tool.fields]
        digest.update(repr((text, prompts[text], row.query)).encode())
    return digest.hexdigest()[:16]


def extract(
    base: FrozenBase, rows: Sequence[Row], root: Path, name: str, progress: Progress | None = None
) -> FeatureStore:
    """The store of `rows` under `root`, read from the base where it is not there yet.

    Rows too long for a pass are left out, and those of tools with more fields than it holds.
    """
    folder = root / f"{name}-{store_key(base, rows)}"
    with new_store(folder, STORED) as writer:
        if writer is not None:
            for number, tool, prompt, evidence in _read_rows(base, rows, writer.saved):
                listed = max((len(field.candidates) for field in tool.fields), default=0)
                sizes = {"F": len(tool.fields), "T": len(prompt.ids), "C": min(listed, _CANDIDATES[-1])}
                values = {part: np.asarray(getattr(evidence, part)) for part in PARTS}
                for part in ("token_logprob", "candidate_logprob"):
                    values[part] = values[part][..., None]
                values["token_ids"] = np.array(prompt.ids, np.int32)[:, None]
                values["offsets"] = np.array(prompt.offsets, np.int32).reshape(-1, 2)
                writer.add(number, sizes, values)
                writer.tell(progress, len(rows))
    return FeatureStore(folder, rows)


def _read_rows(
    base: FrozenBase, rows: Sequence[Row], saved: Collection[int]
) -> Iterator[tuple[int, Tool, QueryPrompt, Evidence]]:
    """Number, tool, prompt and evidence of each row, tool by tool; none of passes whose rows are all saved."""
    telling = telling_ids(base)

    def key_tokens(tool: Tool) -> int:
        return sum(len(key_ids(base, field)) for field in tool.fields)

    def fits(tool: Tool, prompt: QueryPrompt) -> bool:
        needed = (
            (len(tool.fields), _FIELDS),
            (len(prompt.restated) + key_tokens(tool), _SLOTS),
            (len(prompt.ids), _QUERIES),
        )
        return all(size <= sizes[-1] for size, sizes in needed)

    for group in passes(base, rows, fits, saved):
        tool, prefix = group.tool, group.known.prefix
        slots = up(max(len(prompt.restated) for prompt in group.prompts) + key_tokens(tool), _SLOTS)
        query = min(up(max(len(prompt.ids) for prompt in group.prompts), _QUERIES), slots)
        listed = max((len(field.candidates) for field in tool.fields), default=0)
        sizes = Sizes(
            group.rows, slots, query, up(len(tool.fields), _FIELDS), up(min(listed, _CANDIDATES[-1]), _CANDIDATES)
        )
        asked = [Asked(tool, group.known, rows[number].query) for number in group.numbers]
        block = build_block(base, asked, group.prompts, sizes)
        evidence = jax.device_get(read_block(base.module, base.params, prefix.cache, prefix.valid, block, telling))
        for i, (number, prompt) in enumerate(zip(group.numbers, group.prompts, strict=True)):
            yield number, tool, prompt, jax.tree.map(lambda x, i=i: x[i], evidence)


def progress_line(name: str) -> Progress:
    """Prints rows done and rows a second, about once in ten seconds."""
    started = last = time.monotonic()

    def show(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last > 10 or done == total:
            last = now
            print(f"{name}: {done}/{total} rows read, {done / (now - started):.1f} a second", flush=True)

    return show
