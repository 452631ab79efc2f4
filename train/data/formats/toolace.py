"""`Team-ACE/ToolACE`: tools as a JSON list inside the system text, calls as `[Some API(word="a", count=2), f()]`.

Function names may hold blanks and parentheses, values are JSON or Python literals, and types are loose ("dict"). A turn
in brackets that is no call is text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from .conversations import embedded_objects, up_to_first_call
from .records import Native, Record, UnreadableRecord, message, native, read_literal

_UNLISTED = re.compile(r"[^()\[\],=]+(?=\()")
_ARGUMENT = re.compile(r"\s*([^=\s]+)\s*=(.*)", re.DOTALL)


def convert(record: Record, name: str, source: str) -> Native:
    """The native record. Raises UnreadableRecord."""
    found, said = embedded_objects(message("system", record["system"])["content"])
    specs = [spec for value in found for spec in (value if isinstance(value, list) else [value])]
    names = [spec["name"] for spec in specs if isinstance(spec, dict) and isinstance(spec.get("name"), str)]
    messages, calls = up_to_first_call(record["conversations"], lambda text: read_calls(text, names))
    return native(source, name, specs, [message("system", said.strip()), *messages], calls)


def read_calls(text: str, names: list[str]) -> list[Record]:
    """The calls of a turn, [] for text. names: of the listed functions. Raises UnreadableRecord for a broken call."""
    text = text.strip()
    if not (text.startswith("[") and text.endswith("]")):
        return []
    rest = text[1:-1].strip()
    calls: list[Record] = []
    while rest:
        listed = next((name for name in sorted(names, key=len, reverse=True) if rest.startswith(f"{name}(")), None)
        unlisted = _UNLISTED.match(rest)
        called = listed if listed is not None else unlisted[0].strip() if unlisted else None
        if called is None:
            if not calls:
                return []
            raise UnreadableRecord(f"not a call: {rest[:60]!r}")
        opening = rest.index("(", len(called))
        inside, rest = _parenthesised(rest[opening:])
        calls.append({"name": called, "arguments": dict(_arguments(inside))})
        rest = rest.strip().removeprefix(",").strip()
    return calls


def _arguments(text: str) -> Iterator[tuple[str, Any]]:
    for part in _split(text):
        if not part.strip():
            continue
        found = _ARGUMENT.fullmatch(part)
        if found is None:
            raise UnreadableRecord(f"an argument without a name: {part[:60]!r}")
        yield found[1], read_literal(found[2].strip())


def _parenthesised(text: str) -> tuple[str, str]:
    """What the parentheses that `text` begins with hold, and what follows them."""
    for position, depth in _depths(text):
        if depth == 0:
            return text[1:position], text[position + 1 :]
    raise UnreadableRecord(f"parentheses that do not close: {text[:60]!r}")


def _split(text: str) -> list[str]:
    """Parts between the commas that neither quotes nor brackets hold."""
    cuts = [position for position, depth in _depths(text) if depth == 0 and text[position] == ","]
    return [text[a + 1 : b] for a, b in zip([-1, *cuts], [*cuts, len(text)], strict=True)]


def _depths(text: str) -> Iterator[tuple[int, int]]:
    """Position and depth of brackets, behind each character that no quotes hold."""
    quote, depth, escaped = "", 0, False
    for position, character in enumerate(text):
        if quote:
            quote = "" if character == quote and not escaped else quote
            escaped = character == "\\" and not escaped
            continue
        quote = character if character in "\"'" else ""
        depth += (character in "([{") - (character in ")]}")
        yield position, depth
