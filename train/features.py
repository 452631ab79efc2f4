"""Features of the frozen base, computed once per row and kept on disk.

The base never changes, so what it says of a row need not be computed in every epoch. Rows of one tool share the tool's prefix
and are read together. A store is a folder of flat float16 files (one per part, rows one behind the other without padding) and
`index.npz` with each row's sizes; the last is written at the end, so that a store without it is incomplete. Labels are not
in it: they come from the rows, and may change without reading the base again.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from jaxdiff.agent.prefix import PrefixReader
from jaxdiff.agent.prompting import QueryPrompt, example_ids, key_ids, query_prompt
from jaxdiff.agent.reading import Sizes, assemble, build_block, read_block, telling_ids
from jaxdiff.base.frozen import FrozenBase
from jaxdiff.diffusion.features import QueryFeatures
from jaxdiff.schema.tools import Tool, parse_tools

from .rows import Row

# One pass reads at most this many rows; fewer sizes mean fewer programs to compile.
_ROWS = (1, 4, 12)
_SLOTS = (48, 64, 96, 128, 192, 256)
_FIELDS = (4, 8)
_CANDIDATES = (2, 8, 32)

# Which axes of each part are as long as the row's fields (F), query tokens (T) and candidates (C).
PARTS = {
    "key_attention": "FT", "token_logprob": "FT", "token_states": "T", "token_shape": "T", "key_states": "F",
    "key_logprob": "F", "field_facts": "F", "candidate_attention": "FC", "candidate_facts": "FC",
}  # fmt: skip

Progress = Callable[[int, int], None]


class FeatureStore:
    """A complete store, opened for reading; parts are memory-mapped.

    rows: the rows that were read, in the store's order (rows too long for a pass are not among them).
    """

    def __init__(self, folder: Path, rows: Sequence[Row]):
        self.folder = folder
        index = np.load(folder / "index.npz")
        self.rows = [rows[i] for i in index["rows"]]
        self.sizes: dict[str, np.ndarray] = {axis: index[axis] for axis in "FTC"}
        self.widths: dict[str, int] = {part: int(index[f"width_{part}"]) for part in PARTS}
        self._starts: dict[str, np.ndarray] = {}
        self._parts: dict[str, np.ndarray] = {}
        for part, axes in PARTS.items():
            lengths = np.prod([self.sizes[axis] for axis in axes], axis=0) * self.widths[part]
            self._starts[part] = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
            path = folder / f"{part}.f16"
            self._parts[part] = np.memmap(path, np.float16, "r") if path.stat().st_size else np.zeros(0, np.float16)
        self._ids_start = np.concatenate([[0], np.cumsum(self.sizes["T"], dtype=np.int64)])
        self._ids: np.ndarray = np.fromfile(folder / "token_ids.i32", np.int32)
        self.offsets: np.ndarray = np.fromfile(folder / "offsets.i32", np.int32).reshape(-1, 2)

    def __len__(self) -> int:
        return len(self.rows)

    def part(self, name: str, row: int) -> np.ndarray:
        """One part of one row, unpadded, float16."""
        shape = [int(self.sizes[axis][row]) for axis in PARTS[name]]
        start, end = self._starts[name][row : row + 2]
        return self._parts[name][start:end].reshape(*shape, self.widths[name])

    def token_ids(self, row: int) -> np.ndarray:
        """[T] ids of the query's tokens."""
        return self._ids[self._ids_start[row] : self._ids_start[row + 1]]

    def token_offsets(self, row: int) -> np.ndarray:
        """[T, 2] code points of the query's tokens."""
        return self.offsets[self._ids_start[row] : self._ids_start[row + 1]]

    def tool(self, row: int) -> Tool:
        """The row's tool, parsed."""
        return parse_tools([self.rows[row].tool])[0]


def store_key(base: FrozenBase, rows: Sequence[Row]) -> str:
    """What a store depends on: the base, the prompt's fixed part, tools and queries."""
    digest = hashlib.sha256(base.fingerprint.encode())
    digest.update(repr((example_ids(base), telling_ids(base).tolist(), sorted(PARTS))).encode())
    for row in rows:
        digest.update(json.dumps([row.tool, row.query]).encode())
    return digest.hexdigest()[:16]


def extract(
    base: FrozenBase, rows: Sequence[Row], root: Path, name: str, progress: Progress | None = None
) -> FeatureStore:
    """The store of `rows` under `root`, read from the base where it is not there yet. Rows too long for a pass are left out."""
    folder = root / f"{name}-{store_key(base, rows)}"
    if (folder / "index.npz").is_file():
        return FeatureStore(folder, rows)
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    writer = _Writer(partial)
    for done, (number, prompt, features) in enumerate(_read_rows(base, rows), 1):
        writer.add(number, prompt, features)
        if progress is not None:
            progress(done, len(rows))
    writer.close()
    partial.rename(folder)
    return FeatureStore(folder, rows)


def _read_rows(base: FrozenBase, rows: Sequence[Row]) -> Iterator[tuple[int, QueryPrompt, QueryFeatures]]:
    """Number, prompt and features of each row, tool by tool."""
    reader, telling = PrefixReader(base, keep=2), telling_ids(base)
    by_tool: dict[str, list[int]] = {}
    for number, row in enumerate(rows):
        by_tool.setdefault(json.dumps(row.tool), []).append(number)
    for group in by_tool.values():
        tool = parse_tools([rows[group[0]].tool])[0]
        known = reader.tool(tool)
        keys = sum(len(key_ids(base, field)) for field in tool.fields)
        prompts = [(number, query_prompt(base, rows[number].query)) for number in group]
        prompts = [(n, p) for n, p in prompts if len(p.ids) + len(p.ending) + keys <= _SLOTS[-1]]
        prompts.sort(key=lambda pair: len(pair[1].ids))
        for start in range(0, len(prompts), _ROWS[-1]):
            batch = prompts[start : start + _ROWS[-1]]
            longest = batch[-1][1]
            slots = _up(len(longest.ids) + len(longest.ending) + keys, _SLOTS)
            listed = max((len(field.candidates) for field in tool.fields), default=0)
            sizes = Sizes(slots, slots, _up(len(tool.fields), _FIELDS), _up(min(listed, _CANDIDATES[-1]), _CANDIDATES))
            block = build_block(base, tool, known, [p for _, p in batch], sizes, rows=_up(len(batch), _ROWS))
            prefix = known.prefix
            evidence, _ = read_block(base.module, base.params, prefix.cache, prefix.valid, block, telling)
            features = assemble(tool, block, jax.device_get(evidence), [(rows[n].query, p) for n, p in batch])
            for i, (number, prompt) in enumerate(batch):
                yield number, prompt, jax.tree.map(lambda x, i=i: x[i], features)


def _up(size: int, sizes: tuple[int, ...]) -> int:
    return next(candidate for candidate in sizes if size <= candidate)


class _Writer:
    def __init__(self, folder: Path):
        self._folder = folder
        self._files: dict[str, Any] = {part: open(folder / f"{part}.f16", "wb") for part in PARTS}
        self._ids, self._offsets = open(folder / "token_ids.i32", "wb"), open(folder / "offsets.i32", "wb")
        self._rows: list[int] = []
        self._sizes: dict[str, list[int]] = {axis: [] for axis in "FTC"}
        self._widths: dict[str, int] = {}

    def add(self, number: int, prompt: QueryPrompt, features: QueryFeatures) -> None:
        candidates = int(features.candidate_mask.sum(-1).max(initial=0))
        sizes = {"F": int(features.field_mask.sum()), "T": len(prompt.ids), "C": candidates}
        for axis, size in sizes.items():
            self._sizes[axis].append(size)
        for part, axes in PARTS.items():
            value = np.asarray(getattr(features, part))
            if part == "token_logprob":
                value = value[..., None]
            self._widths[part] = value.shape[-1]
            value = value[tuple(slice(sizes[axis]) for axis in axes)]
            # States of some layers are larger than float16 holds.
            np.clip(value, -60000, 60000).astype(np.float16).tofile(self._files[part])
        np.array(prompt.ids, np.int32).tofile(self._ids)
        np.array(prompt.offsets, np.int32).tofile(self._offsets)
        self._rows.append(number)

    def close(self) -> None:
        for file in (*self._files.values(), self._ids, self._offsets):
            file.close()
        widths = {f"width_{part}": np.array(width) for part, width in self._widths.items()}
        sizes = {axis: np.array(size) for axis, size in self._sizes.items()}
        np.savez(self._folder / "index.npz", rows=np.array(self._rows), **sizes, **widths)


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
