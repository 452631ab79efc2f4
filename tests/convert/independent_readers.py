"""Safetensors and GGUF read in plain Python from their specifications, to hold other readers against."""

import json
import math
import struct
from typing import Any

import ml_dtypes
import numpy as np

SAFETENSORS_DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": ml_dtypes.bfloat16}
GGUF_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
GGUF_STRING, GGUF_ARRAY, GGUF_F32 = 8, 9, 0


def read_safetensors(data: bytes) -> dict[str, np.ndarray]:
    """https://github.com/huggingface/safetensors#format"""
    (length,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + length])
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in header.items():
        start, end = entry["data_offsets"]
        raw = data[8 + length + start : 8 + length + end]
        tensors[name] = np.frombuffer(raw, SAFETENSORS_DTYPES[entry["dtype"]]).reshape(entry["shape"])
    return tensors


class _Cursor:
    def __init__(self, data: bytes):
        self.data, self.at = data, 0

    def scalar(self, code: str) -> Any:
        (value,) = struct.unpack_from(f"<{code}", self.data, self.at)
        self.at += struct.calcsize(f"<{code}")
        return value

    def string(self) -> str:
        length = self.scalar("Q")
        raw = self.data[self.at : self.at + length]
        assert len(raw) == length
        self.at += length
        return raw.decode("utf-8")

    def value(self, kind: int) -> Any:
        if kind == GGUF_STRING:
            return self.string()
        if kind == GGUF_ARRAY:
            inner, length = self.scalar("I"), self.scalar("Q")
            return [self.value(inner) for _ in range(length)]
        return self.scalar(GGUF_SCALARS[kind])


def read_gguf(data: bytes) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Metadata, and tensors of float32: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md"""
    cursor = _Cursor(data)
    assert cursor.scalar("I") == 0x46554747
    assert cursor.scalar("I") in (2, 3)
    tensor_count, key_count = cursor.scalar("Q"), cursor.scalar("Q")
    metadata = {}
    for _ in range(key_count):
        key = cursor.string()
        assert key not in metadata
        metadata[key] = cursor.value(cursor.scalar("I"))
    infos = []
    for _ in range(tensor_count):
        name = cursor.string()
        sizes = [cursor.scalar("Q") for _ in range(cursor.scalar("I"))]
        infos.append((name, sizes[::-1], cursor.scalar("I"), cursor.scalar("Q")))
    alignment = metadata.get("general.alignment", 32)
    begin = -(-cursor.at // alignment) * alignment
    tensors: dict[str, np.ndarray] = {}
    for name, shape, kind, offset in infos:
        assert kind == GGUF_F32 and name not in tensors
        raw = data[begin + offset : begin + offset + 4 * math.prod(shape)]
        tensors[name] = np.frombuffer(raw, "<f4").reshape(shape)
    return metadata, tensors
