"""Arrays of rows that differ in length, kept on disk one row behind the other without padding.

A store is a folder of flat files, one a part, and `index.npz` with each row's sizes. It is written under another name
and renamed at the end, so that a store that is there is complete.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from jaxdiff.errors import InputError
from jaxdiff.runtime.exclusive import exclusive
from jaxdiff.schema.tools import Tool, parse_tools

INDEX = "index.npz"
_SUFFIXES: dict[type, str] = {np.float16: "f16", np.int32: "i32"}

# Rows after which what was written is safe.
SAVED_EVERY = 100

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Part:
    """One array of each row, [*axes, width].

    axes: one letter an axis, each as long as the row's size of that letter. width: None for that of the first row.
    """

    axes: str
    width: int | None = None
    dtype: type = np.float16


class RowStore:
    """A complete store, opened for reading; a part of a row is read from its file when it is asked for.

    rows: the rows that were read, in the order of those given, whatever order they were read in (those that could not
    be read are not among them).
    sizes: by axis, [rows] the length of each row. widths: by part.
    """

    def __init__(self, folder: Path, parts: Mapping[str, Part], rows: Sequence[Any]):
        self.folder = folder
        index = np.load(folder / INDEX)
        # A row's place in the files.
        self._places = np.argsort(index["rows"])
        self.rows = [rows[i] for i in np.sort(index["rows"])]
        self.sizes: dict[str, np.ndarray] = {axis: index[axis][self._places] for axis in _axes(parts)}
        self.widths = {name: part.width or int(index[f"width_{name}"]) for name, part in parts.items()}
        self._layout = dict(parts)
        self._starts = {name: self._starts_of(name, part) for name, part in parts.items()}
        self._tools: dict[int, Tool] = {}

    def _starts_of(self, name: str, part: Part) -> np.ndarray:
        """[rows + 1] where each place begins in the part's file, in numbers of its dtype."""
        lengths = np.zeros(len(self.rows), np.int64)
        lengths[self._places] = np.prod([self.sizes[axis] for axis in part.axes], axis=0) * self.widths[name]
        return np.concatenate([[0], np.cumsum(lengths)])

    def __getstate__(self) -> dict[str, Any]:
        """Without parsed tools: a copy parses those of the rows that it is asked for."""
        return self.__dict__ | {"_tools": {}}

    def __len__(self) -> int:
        return len(self.rows)

    def part(self, name: str, row: int) -> np.ndarray:
        """One part of one row, unpadded."""
        part, place = self._layout[name], self._places[row]
        start, end = self._starts[name][place : place + 2].tolist()
        # Not mapped: all that a long run has read would count as its memory.
        offset = start * np.dtype(part.dtype).itemsize
        values: np.ndarray = np.fromfile(_path(self.folder, name, part), part.dtype, end - start, offset=offset)
        return values.reshape(*(int(self.sizes[axis][row]) for axis in part.axes), self.widths[name])

    def tool(self, row: int) -> Tool:
        """The row's tool, parsed once: every batch asks."""
        if row not in self._tools:
            (self._tools[row],) = parse_tools([self.rows[row].tool])
        return self._tools[row]


class RowWriter:
    """Writes a store row by row, behind the rows that an earlier writer saved.

    rows: numbers of those that are written, in order. saved: of those that were when it began.
    """

    def __init__(self, folder: Path, parts: Mapping[str, Part], stack: ExitStack):
        self.rows: list[int] = []
        self._folder, self._parts = folder, parts
        self._sizes: dict[str, list[int]] = {axis: [] for axis in _axes(parts)}
        self._widths: dict[str, int] = {}
        if (folder / INDEX).is_file():
            self._read_index()
        self.saved = frozenset(self.rows)
        self._files: dict[str, BinaryIO] = {}
        for name, part in parts.items():
            self._files[name] = stack.enter_context(_path(folder, name, part).open("ab"))
            # What was written since the index was is written again.
            self._files[name].truncate(self._bytes(name, part))

    def add(self, number: int, sizes: Mapping[str, int], values: Mapping[str, np.ndarray]) -> None:
        """Row `number` of those given to the store, unless it is saved; values may be padded behind `sizes`."""
        if number in self.saved:
            return
        for axis, size in sizes.items():
            self._sizes[axis].append(size)
        for name, part in self._parts.items():
            value = np.asarray(values[name])
            self._widths[name] = value.shape[-1]
            value = value[tuple(slice(sizes[axis]) for axis in part.axes)]
            if part.dtype is np.float16:
                # States of some layers are larger than float16 holds.
                value = np.clip(value, -60000, 60000)
            # Not `tofile`, which does not say why a disk takes no more.
            self._files[name].write(value.astype(part.dtype).tobytes())
        self.rows.append(number)
        if len(self.rows) % SAVED_EVERY == 0:
            self.save()

    def tell(self, progress: Progress | None, rows: int) -> None:
        """Reports how many are written of `rows` in all, those that were saved before left out."""
        if progress is not None:
            progress(len(self.rows) - len(self.saved), rows - len(self.saved))

    def save(self) -> None:
        """Keeps what is written so far, should the process end. Raises InputError for a store without rows."""
        if not self.rows:
            raise InputError(f"no row is short enough for {self._folder}")
        for file in self._files.values():
            file.flush()
        widths = {f"width_{name}": np.array(self._widths[name]) for name, part in self._parts.items() if not part.width}
        sizes = {axis: np.array(size) for axis, size in self._sizes.items()}
        index: dict[str, Any] = {"rows": np.array(self.rows), **sizes, **widths}
        unfinished = self._folder / f"unfinished-{INDEX}"
        np.savez(unfinished, **index)
        unfinished.replace(self._folder / INDEX)

    def _read_index(self) -> None:
        index = np.load(self._folder / INDEX)
        self.rows = index["rows"].tolist()
        self._sizes = {axis: index[axis].tolist() for axis in self._sizes}
        self._widths = {name: part.width or int(index[f"width_{name}"]) for name, part in self._parts.items()}

    def _bytes(self, name: str, part: Part) -> int:
        if not self.rows:
            return 0
        values = np.prod([self._sizes[axis] for axis in part.axes], axis=0, dtype=np.int64).sum()
        return int(values) * self._widths[name] * np.dtype(part.dtype).itemsize


@contextmanager
def new_store(folder: Path, parts: Mapping[str, Part]) -> Iterator[RowWriter | None]:
    """A writer whose store appears as `folder` when the block ends without an error; None where the store is there.

    Only one process writes a store; others wait, and then find it there. What a writer that was interrupted saved is
    written on. Raises InputError where the disk takes no more.
    """
    if _is_complete(folder):
        yield None
        return
    partial = folder.with_name(folder.name + ".partial")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with exclusive(folder.with_name(folder.name + ".lock")):
            if _is_complete(folder):
                yield None
                return
            partial.mkdir(exist_ok=True)
            with ExitStack() as stack:
                writer = RowWriter(partial, parts, stack)
                yield writer
                writer.save()
            partial.rename(folder)
    except OSError as error:
        raise InputError(
            f"cannot write what was read of the rows into {partial}: {error.strerror or error}; "
            "what is saved there is gone on with"
        ) from error


def _is_complete(folder: Path) -> bool:
    return (folder / INDEX).is_file()


def _axes(parts: Mapping[str, Part]) -> list[str]:
    return sorted({axis for part in parts.values() for axis in part.axes})


def _path(folder: Path, name: str, part: Part) -> Path:
    return folder / f"{name}.{_SUFFIXES[part.dtype]}"
