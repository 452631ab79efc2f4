"""Conversations in the layout of the OpenAI chat API, checked when read."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jaxdiff.errors import InputError

KEYS = {
    "system": {"role", "content", "name"},
    "user": {"role", "content", "name"},
    "assistant": {"role", "content", "name", "tool_calls"},
    "tool": {"role", "content", "name", "tool_call_id"},
}
ROLES = tuple(KEYS)


@dataclass(frozen=True)
class RequestedCall:
    """One call that an assistant's message asks for."""

    id: str
    name: str
    arguments: dict[str, Any] = field(hash=False)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON; the arguments are JSON text, as in the OpenAI API."""
        arguments = json.dumps(self.arguments, ensure_ascii=False)
        return {"id": self.id, "type": "function", "function": {"name": self.name, "arguments": arguments}}


@dataclass(frozen=True)
class Message:
    """One turn. content: None only for an assistant that asks for calls alone.

    tool_calls: of an assistant. tool_call_id: of a tool, the call that it answers. name: of whoever speaks.
    """

    role: str
    content: str | None
    tool_calls: tuple[RequestedCall, ...] = ()
    tool_call_id: str | None = None
    name: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON, without what the message does not have; `parse_messages` reads it back."""
        found: dict[str, Any] = {"role": self.role, "content": self.content}
        if self.tool_calls:
            found["tool_calls"] = [call.to_dict() for call in self.tool_calls]
        if self.tool_call_id is not None:
            found["tool_call_id"] = self.tool_call_id
        if self.name is not None:
            found["name"] = self.name
        return found


def parse_messages(data: Any) -> tuple[Message, ...]:
    """Messages from a list of objects (or of `Message`s), or from a text, which is one message of the user.

    Raises InputError, naming message and value: for an unknown role or key, text that is missing, empty (the user's) or
    no valid Unicode, a tool's result without a call that waits for it, and a last message that nobody has to answer.
    """
    if isinstance(data, str):
        data = [{"role": "user", "content": data}]
    if isinstance(data, str | bytes | Mapping) or not isinstance(data, Sequence):
        raise InputError(f"messages must be a list of objects or a text, not {type(data).__name__}")
    if not data:
        raise InputError("messages is an empty list; at least one message of the user is needed")
    messages: list[Message] = []
    used: set[str] = set()
    waiting: set[str] = set()
    for index, entry in enumerate(data):
        where = f"messages[{index}]"
        message = _parse_message(entry.to_dict() if isinstance(entry, Message) else entry, where)
        for call in message.tool_calls:
            if call.id in used:
                raise InputError(f"{where}: two calls have the id {call.id!r}")
            used.add(call.id)
            waiting.add(call.id)
        if message.tool_call_id is not None:
            if message.tool_call_id not in waiting:
                raise InputError(f"{where}: no call waits for a result with tool_call_id {message.tool_call_id!r}")
            waiting.remove(message.tool_call_id)
        messages.append(message)
    if messages[-1].role not in ("user", "tool"):
        raise InputError(
            f"messages[{len(messages) - 1}], the last, is from {messages[-1].role!r}; needed: user or tool"
        )
    return tuple(messages)


def _parse_message(entry: Any, where: str) -> Message:
    if not isinstance(entry, Mapping):
        raise InputError(f"{where} must be an object, not {type(entry).__name__}")
    role = entry.get("role")
    if not isinstance(role, str) or role not in KEYS:
        raise InputError(f"{where}: role {_shown(role)} is not known; choose from {', '.join(ROLES)}")
    # Clients send what is absent as null.
    given = {key: value for key, value in entry.items() if value is not None}
    if unknown := [key for key in given if key not in KEYS[role]]:
        raise InputError(f"{where}: a message from {role!r} has no {unknown[0]!r}")
    calls = _parse_calls(given.get("tool_calls", ()), f"{where}.tool_calls")
    content = given.get("content")
    if content is not None or not calls:
        content = _text(content, f"{where}.content")
    if role == "user" and not (content or "").strip():
        raise InputError(f"{where}: the user's text is empty")
    return Message(
        role=role,
        content=content,
        tool_calls=calls,
        tool_call_id=_text(given.get("tool_call_id"), f"{where}.tool_call_id") if role == "tool" else None,
        name=_text(given["name"], f"{where}.name") if "name" in given else None,
    )


def _parse_calls(data: Any, where: str) -> tuple[RequestedCall, ...]:
    if isinstance(data, str | bytes) or not isinstance(data, Sequence):
        raise InputError(f"{where} must be a list, not {type(data).__name__}")
    calls = []
    for index, entry in enumerate(data):
        place = f"{where}[{index}]"
        if not isinstance(entry, Mapping) or not isinstance(entry.get("function"), Mapping):
            raise InputError(f"{place} must be an object with 'id' and 'function', not {_shown(entry)}")
        if entry.get("type", "function") != "function":
            raise InputError(f"{place} has type {entry['type']!r}; only 'function' is known")
        name = _name(entry["function"].get("name"), f"{place}.function.name")
        arguments = _parse_arguments(entry["function"].get("arguments"), f"{place}.function.arguments")
        calls.append(RequestedCall(_name(entry.get("id"), f"{place}.id"), name, arguments))
    return tuple(calls)


def _parse_arguments(data: Any, where: str) -> dict[str, Any]:
    try:
        # Written and read again even where it is an object, so that nothing but plain JSON comes out.
        text = data if isinstance(data, str) else json.dumps(data, allow_nan=False)
        arguments = json.loads(text, parse_constant=_refuse_constant)
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(f"{where} is not JSON: {_shown(data)} ({error})") from error
    if not isinstance(arguments, dict):
        raise InputError(f"{where} must be a JSON object, not {_shown(data)}")
    _check_unicode(json.dumps(arguments, ensure_ascii=False), where)
    return arguments


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise InputError(f"{where} must be text, not {_shown(value)}")
    _check_unicode(value, where)
    return value


def _name(value: Any, where: str) -> str:
    if not _text(value, where).strip():
        raise InputError(f"{where} is empty")
    return str(value)


def _check_unicode(text: str, where: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        code = f"U+{ord(text[error.start]):04X}"
        raise InputError(f"{where} holds a lone surrogate, {code}, at character {error.start}") from error


def _shown(value: Any) -> str:
    return textwrap.shorten(repr(value), 100, placeholder="…")


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON value")
