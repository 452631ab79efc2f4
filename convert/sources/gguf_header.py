"""A walk over the header of a GGUF file, that it ends where the file says and before the file does.

The `gguf` package believes the lengths in the file: a damaged one lets it read nothing for hours.
https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import mmap
from pathlib import Path

_MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_SCALAR_BYTES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_STRING, _ARRAY = 8, 9
# Of what every entry of a list takes at least: a string its length, a list its type and length.
_LEAST_BYTES = {_STRING: 8, _ARRAY: 12}
_DEEPEST = 4


def check_header(path: Path) -> None:
    """Raises ValueError for a header that is damaged or cut off or of another kind, OSError where it cannot be read."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        _Walk(data).header()


class _Walk:
    def __init__(self, data: mmap.mmap):
        self._data = data
        self._at = 0

    def header(self) -> None:
        if self._data[: len(_MAGIC)] != _MAGIC:
            raise ValueError("it does not begin with GGUF")
        self._skip(len(_MAGIC))
        version = self._number(4)
        if version not in _VERSIONS:
            raise ValueError(f"version {version} (or another byte order) is not supported")
        tensors, keys = self._number(8), self._number(8)
        for _ in range(keys):
            self._string()
            self._value(self._number(4), depth=0)
        for _ in range(tensors):
            self._string()
            self._skip(8 * self._number(4))  # sizes
            self._skip(4 + 8)  # type, offset

    def _skip(self, size: int) -> None:
        if size > len(self._data) - self._at:
            raise ValueError("it ends within its header")
        self._at += size

    def _number(self, size: int) -> int:
        start = self._at
        self._skip(size)
        return int.from_bytes(self._data[start : self._at], "little")

    def _string(self) -> None:
        self._skip(self._number(8))

    def _value(self, kind: int, depth: int) -> None:
        if kind in _SCALAR_BYTES:
            self._skip(_SCALAR_BYTES[kind])
        elif kind == _STRING:
            self._string()
        elif kind == _ARRAY and depth < _DEEPEST:
            self._list(depth)
        else:
            raise ValueError(f"a value of type {kind} at depth {depth}")

    def _list(self, depth: int) -> None:
        kind, length = self._number(4), self._number(8)
        if kind in _SCALAR_BYTES:
            self._skip(length * _SCALAR_BYTES[kind])
            return
        if length * _LEAST_BYTES.get(kind, 1) > len(self._data) - self._at:
            raise ValueError("it ends within its header")
        for _ in range(length):
            self._value(kind, depth + 1)
