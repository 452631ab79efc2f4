"""Dividing what does not fit at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

T = TypeVar("T")


def parts_within(items: Iterable[T], size: Callable[[T], int], room: int) -> list[list[T]]:
    """The items in order, in parts of which each is as long as fits; one that is too large alone is a part.

    One empty part where there are no items.
    """
    parts: list[list[T]] = [[]]
    left = room
    for item in items:
        needed = size(item)
        if parts[-1] and needed > left:
            parts.append([])
            left = room
        parts[-1].append(item)
        left -= needed
    return parts
