"""`glaiveai/glaive-function-calling-v2`: two strings, the system text with the functions and the whole chat.

The functions stand as JSON objects one behind the other. Turns begin with USER:, ASSISTANT: or FUNCTION RESPONSE: and
answers end with <|endoftext|>. A call is `<functioncall> {"name": "f", "arguments": '{"a": "b"}'}`, whose arguments are
JSON in single quotes, so that the whole is no JSON; an apostrophe in a value may be escaped or not.
"""

from __future__ import annotations

import re

from .conversations import embedded_objects, up_to_first_call
from .records import Native, Record, UnreadableRecord, message, native, read_literal

_TURN = re.compile(r"(?:^|\n)[ \t]*(USER|ASSISTANT|FUNCTION RESPONSE):")
_ROLES = {"USER": "user", "ASSISTANT": "assistant", "FUNCTION RESPONSE": "tool"}
_CALL = re.compile(r'\{\s*"name"\s*:\s*"([^"]+)"\s*(?:,\s*"arguments"\s*:\s*(.*?))?\s*\}\s*$', re.DOTALL)
_MARK = "<functioncall>"


def convert(record: Record, name: str, source: str) -> Native:
    """The native record. Raises UnreadableRecord."""
    functions, said = embedded_objects(message("system", record["system"])["content"])
    chat = message("chat", record["chat"])["content"]
    parts = _TURN.split(chat)[1:]
    turns = [
        {"role": _ROLES[role], "content": text.replace("<|endoftext|>", "").strip()}
        for role, text in zip(parts[::2], parts[1::2], strict=True)
    ]
    messages, calls = up_to_first_call(turns, _read_calls)
    return native(source, name, functions, [message("system", said.strip()), *messages], calls)


def _read_calls(text: str) -> list[Record]:
    return [_read_call(part.strip()) for part in text.split(_MARK)[1:]]


def _read_call(text: str) -> Record:
    found = _CALL.match(text)
    if found is None:
        raise UnreadableRecord(f"not a call: {text[:60]!r}")
    arguments = (found[2] or "{}").strip()
    if arguments.startswith("'") and arguments.endswith("'"):
        arguments = arguments[1:-1].replace("\\'", "'")
    return {"name": found[1], "arguments": read_literal(arguments)}
