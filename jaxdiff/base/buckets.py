"""Static shapes: sizes are rounded up to a short list, so that few programs are compiled."""

from __future__ import annotations

from jaxdiff.errors import InputError

TOKENS = (16, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024, 1536, 2048)
# Of a tool with its fields.
PROMPT_TOKENS = (*TOKENS, 3072, 4096, 6144)
FIELDS = (4, 8, 16, 32, 64, 128, 256)
CANDIDATES = (2, 4, 8, 16, 32)
# Calls that are read and filled at once.
CALLS = (1, 2, 3, 4, 6, 8)
# Of a request and a tool that may serve it.
PAIRS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)


def bucket(size: int, sizes: tuple[int, ...], what: str) -> int:
    """The smallest of `sizes` that holds `size`. Raises InputError naming `what` where none does."""
    for candidate in sizes:
        if size <= candidate:
            return candidate
    raise InputError(f"{what}: {size} is more than the largest supported, {sizes[-1]}")
