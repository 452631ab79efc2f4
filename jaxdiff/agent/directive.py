"""What the caller decides beforehand: the mode, whether a tool must be called, and which."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from jaxdiff.errors import InputError

MODES = ("chat", "think", "tool")
_WORDS = ("auto", "none", "required")


@dataclass(frozen=True)
class Directive:
    """modes: those that may answer, never empty. name: the tool that must be called, or None."""

    modes: tuple[str, ...]
    name: str | None = None

    @property
    def mode(self) -> str | None:
        """The mode, where only one is allowed."""
        return self.modes[0] if len(self.modes) == 1 else None


def directive(mode: str, tool_choice: Any, names: Collection[str]) -> Directive:
    """Brings `mode` and OpenAI's `tool_choice` together.

    mode: "auto" or one of `MODES`. tool_choice: "auto", "none", "required", the name of a tool, or
    {"type": "function", "function": {"name": ...}} (a tool that is itself named like one of the words is chosen so).
    names: those of the tools at hand. Raises InputError for a value that is not known, an unknown tool, two that
    contradict each other, and a call demanded where there are no tools.
    """
    if mode not in ("auto", *MODES):
        raise InputError(f"mode {mode!r} is not known; choose from auto, {', '.join(MODES)}")
    word, name = _parse(tool_choice, names)
    if word == "none" and mode == "tool":
        raise InputError("mode 'tool' and tool_choice 'none' contradict each other")
    if word in ("required", "name") and mode in ("chat", "think"):
        raise InputError(f"mode {mode!r} and tool_choice {name or word!r} contradict each other")
    by_choice = {"auto": MODES, "none": ("chat", "think")}.get(word, ("tool",))
    allowed = by_choice if mode == "auto" else (mode,)
    if not names:
        if allowed == ("tool",):
            raise InputError("a call was asked for, and no tools were given")
        allowed = tuple(each for each in allowed if each != "tool")
    return Directive(allowed, name)


def _parse(tool_choice: Any, names: Collection[str]) -> tuple[str, str | None]:
    if isinstance(tool_choice, str) and tool_choice in _WORDS:
        return tool_choice, None
    name = tool_choice
    if isinstance(tool_choice, Mapping):
        function = tool_choice.get("function")
        if tool_choice.get("type") != "function" or not isinstance(function, Mapping):
            raise InputError(f"tool_choice {tool_choice!r}: expected {{'type': 'function', 'function': {{'name': …}}}}")
        name = function.get("name")
    if not isinstance(name, str):
        raise InputError(f"tool_choice {tool_choice!r} is not known; choose from {', '.join(_WORDS)}, or name a tool")
    if name not in names:
        raise InputError(f"tool_choice names {name!r}, which is not among the tools: {', '.join(names) or 'none'}")
    return "name", name
