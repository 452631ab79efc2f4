"""Conversations as lists of turns, {"from", "value"} or {"role", "content"}: what is said before the first call."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from .records import Record, UnreadableRecord, message, read_literal

_ROLES = {
    "system": "system", "human": "user", "user": "user", "gpt": "assistant", "assistant": "assistant",
    "function_call": "call", "observation": "tool", "tool": "tool", "function_response": "tool",
}  # fmt: skip
_THOUGHT = re.compile(r"<think>.*?</think>", re.DOTALL)

ReadCalls = Callable[[str], list[Record]]
"""The calls of an assistant's turn; none for a turn of text."""


def up_to_first_call(turns: Any, read_calls: ReadCalls) -> tuple[list[dict[str, str]], list[Record]]:
    """The messages before the first call, and the calls of that turn; the last message is the user's.

    Of a conversation without a call, only what comes before its first answer. Raises UnreadableRecord.
    """
    messages: list[dict[str, str]] = []
    answered_at: int | None = None
    for role, text in _turns(turns):
        if role in ("assistant", "call"):
            calls = _one(text) if role == "call" else read_calls(_THOUGHT.sub("", text))
            if calls:
                return _ending_with_user(messages), calls
            answered_at = len(messages) if answered_at is None else answered_at
            role = "assistant"
        messages.append(message(role, text))
    return _ending_with_user(messages[:answered_at]), []


def embedded_objects(text: str) -> tuple[list[Any], str]:
    """The JSON objects and lists that stand in a text one behind the other, and the text without them."""
    found, rest, position, decoder = [], "", 0, json.JSONDecoder(strict=False)
    for start in re.finditer(r"\{|\[(?=\s*[{\]])", text):
        if start.start() < position:
            continue
        try:
            value, end = decoder.raw_decode(text, start.start())
        except ValueError:
            continue
        found.append(value)
        rest, position = rest + text[position : start.start()], end
    return found, rest + text[position:]


def tagged_calls(text: str, tag: str) -> list[Record]:
    """Calls between <tag> and </tag>, each an object or a list of objects. Raises UnreadableRecord."""
    calls: list[Record] = []
    for inside in re.findall(rf"<{tag}>(.*?)(?:</{tag}>|$)", text, re.DOTALL):
        calls += _one(inside)
    return calls


def _turns(turns: Any) -> Iterable[tuple[str, str]]:
    if not isinstance(turns, list) or not turns:
        raise UnreadableRecord("a conversation without turns")
    for turn in turns:
        if not isinstance(turn, Mapping):
            raise UnreadableRecord(f"a turn is {type(turn).__name__}, not an object")
        said, text = turn.get("from", turn.get("role")), turn.get("value", turn.get("content"))
        if said not in _ROLES or not isinstance(text, str):
            raise UnreadableRecord(f"a turn from {said!r}")
        yield _ROLES[said], text


def _one(text: str) -> list[Record]:
    value = read_literal(text.strip())
    return value if isinstance(value, list) else [value]


def _ending_with_user(messages: list[dict[str, str]]) -> list[dict[str, str]]:
    if not messages or messages[-1]["role"] != "user":
        raise UnreadableRecord("no user speaks before the first call")
    return messages
