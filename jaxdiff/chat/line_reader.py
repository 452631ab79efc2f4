"""Lines that the user types: with editing and history in a terminal, plain ones from a pipe."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Protocol

from prompt_toolkit import PromptSession
from prompt_toolkit.history import DummyHistory, FileHistory, History, InMemoryHistory
from prompt_toolkit.input import Input
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.output import Output


class LineReader(Protocol):
    """Where lines come from. Raises EOFError at the end (Ctrl-D), KeyboardInterrupt for Ctrl-C at an empty line."""

    def read(self) -> str:
        """What the user says next."""
        ...

    def ask(self, question: str) -> str:
        """The answer to a question; it is not kept in the history."""
        ...


class TerminalReader:
    """Lines edited in the terminal; those that are said are kept in the file `history` where it can be written.

    Ctrl-C empties a line that is not empty. input, output: the terminal, by default that of this process.
    """

    def __init__(self, history: Path, *, input: Input | None = None, output: Output | None = None):
        keys = _keys()
        self._said: PromptSession[str] = PromptSession(
            history=_history(history), key_bindings=keys, input=input, output=output
        )
        self._asked: PromptSession[str] = PromptSession(
            history=DummyHistory(), key_bindings=keys, input=input, output=output
        )

    def read(self) -> str:
        return self._said.prompt("> ")

    def ask(self, question: str) -> str:
        return self._asked.prompt(question)


class PipeReader:
    """Lines of the standard input, which is no terminal."""

    def __init__(self) -> None:
        if isinstance(sys.stdin, io.TextIOWrapper):
            # Bytes that are not UTF-8 then spoil their own line only.
            sys.stdin.reconfigure(errors="surrogateescape")

    def read(self) -> str:
        return input()

    def ask(self, question: str) -> str:
        return input(question)


def _history(path: Path) -> History:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # What people say is their own.
        path.touch(mode=0o600)
        path.open("ab").close()
    except OSError:
        return InMemoryHistory()
    return FileHistory(path)


def _keys() -> KeyBindings:
    keys = KeyBindings()

    @keys.add("c-c")
    def _(event: KeyPressEvent) -> None:
        if event.current_buffer.text:
            event.current_buffer.reset()
        else:
            event.app.exit(exception=KeyboardInterrupt, style="class:aborting")

    return keys
