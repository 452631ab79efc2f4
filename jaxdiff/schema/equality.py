"""When two calls are the same: the one rule that training, evaluation and tests share."""

from __future__ import annotations

from typing import Any


def same_value(a: Any, b: Any) -> bool:
    """JSON equality, strings stripped and case-folded, 1 equal to 1.0 but not to True. Nothing else is forgiven."""
    if isinstance(a, str) and isinstance(b, str):
        return a.strip().casefold() == b.strip().casefold()
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, (int, float)) and isinstance(b, (int, float)):
        return a == b
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(same_value, a, b))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same_value(value, b[key]) for key, value in a.items())
    return a is None and b is None


def same_call(a: dict[str, Any], b: dict[str, Any]) -> bool:
    """Whether two argument objects have the same keys and, per key, the same value."""
    return same_value(a, b)
