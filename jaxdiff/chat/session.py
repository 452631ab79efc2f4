"""The terminal chat: lines in, streamed answers and calls out."""

from __future__ import annotations

import json
from collections.abc import Generator, Mapping, Sequence
from pathlib import Path

from rich.color import ColorSystem
from rich.console import Console
from rich.style import Style

from jaxdiff.agent.conversation import Conversation
from jaxdiff.agent.execution import ToolResult, execute
from jaxdiff.agent.messages import RequestedCall
from jaxdiff.agent.python_tools import PythonTool
from jaxdiff.agent.result import Result
from jaxdiff.agent.text_pieces import Piece
from jaxdiff.chat.call_table import show_call
from jaxdiff.chat.line_reader import LineReader
from jaxdiff.errors import InputError, JaxdiffError
from jaxdiff.schema.tools import Tool

HELP = {
    "/help": "list the commands",
    "/tools": "list the tools",
    "/reset": "begin a new conversation",
    "/save FILE": "write the conversation as JSON",
    "/exit": "leave (or Ctrl-D; Ctrl-C at an empty line)",
}
# With --yes nobody else would end an exchange of calls and results.
MAX_ROUNDS = 8
MAX_SHOWN = 2000
# Nothing that a model or a tool writes may steer the terminal.
CONTROLS = {code: "\N{REPLACEMENT CHARACTER}" for code in [*range(32), *range(127, 160)] if chr(code) not in "\n\t"}


class ChatSession:
    """One chat. errors: console for what goes wrong. assume_yes: calls are made without asking."""

    def __init__(
        self,
        conversation: Conversation,
        reader: LineReader,
        *,
        tools: Sequence[Tool] = (),
        functions: Mapping[str, PythonTool] | None = None,
        assume_yes: bool = False,
        console: Console | None = None,
        errors: Console | None = None,
    ):
        self.conversation, self.reader = conversation, reader
        self.tools, self.functions, self.assume_yes = tools, functions or {}, assume_yes
        self.console = console or Console()
        self.errors = errors or Console(stderr=True)
        self._colours = ColorSystem.STANDARD if self.console.color_system else None

    def run(self) -> None:
        """Reads and answers lines until the user leaves. Errors are shown in one line, and the chat goes on."""
        while True:
            try:
                line = self.reader.read().strip()
            except (EOFError, KeyboardInterrupt):
                return
            if line == "/exit":
                return
            try:
                if line.startswith("/"):
                    self._command(*line.split(maxsplit=1))
                elif line:
                    self._turn(line)
            except JaxdiffError as error:
                self._complain(f"error: {error}")
            except KeyboardInterrupt:
                self._remark("stopped")

    def _command(self, name: str, argument: str = "") -> None:
        if name == "/help":
            for command, text in HELP.items():
                self._print(f"{command:<12}{text}\n")
        elif name == "/tools":
            for tool in self.tools:
                description = " ".join(tool.description.split())
                self._print(f"{tool.name}: {description}" + ("\n" if tool.name in self.functions else " (no code)\n"))
            if not self.tools:
                self._remark("no tools")
        elif name == "/reset":
            self.conversation.reset()
            self._remark("a new conversation")
        elif name == "/save":
            self._save(argument)
        else:
            raise InputError(f"unknown command {name!r}; /help lists the commands")

    def _save(self, file: str) -> None:
        if not file:
            raise InputError("/save needs the name of a file")
        path = Path(file).expanduser()
        text = json.dumps(self.conversation.to_list(), ensure_ascii=False, indent=2) + "\n"
        try:
            with path.open("x", encoding="utf-8") as opened:
                opened.write(text)
        except FileExistsError as error:
            raise InputError(f"{str(path)!r} is there already; choose another name") from error
        except (OSError, ValueError) as error:
            raise InputError(f"cannot write {str(path)!r}: {getattr(error, 'strerror', None) or error}") from error
        self._remark(f"saved {len(self.conversation.messages)} messages in {path}")

    def _turn(self, text: str) -> None:
        result = self._show(self.conversation.stream(text))
        # Where calls are forced, what came of them is still told in words.
        telling = {"mode": "chat"} if self.conversation.options.get("mode") == "tool" else {}
        for _ in range(MAX_ROUNDS):
            if not self._carry_out(result, text):
                return
            result = self._show(self.conversation.stream_answer(**telling))
        self._remark(f"stopped after {MAX_ROUNDS} rounds of calls")

    def _show(self, pieces: Generator[Piece, None, Result]) -> Result:
        """Prints pieces as they come. Raises KeyboardInterrupt, with what was printed kept, where the user stops it."""
        last: Piece | None = None
        try:
            while True:
                piece = next(pieces)
                if last is not None and piece.thinking != last.thinking:
                    self._print("\n\n")
                self._print(piece.text, style="dim" if piece.thinking else "")
                last = piece
        except StopIteration as end:
            result: Result = end.value
            return result
        finally:
            if last is not None:
                self._print("\n")
            pieces.close()

    def _carry_out(self, result: Result, query: str) -> bool:
        """Shows the answer's calls and adds the results of those that are made; whether there are any."""
        found = False
        for call, waiting in zip(result.calls, self.conversation.waiting, strict=True):
            show_call(self.console, call, query)
            made = self._result(waiting)
            if made is not None:
                self.conversation.add_results([made])
                found = True
        return found

    def _result(self, call: RequestedCall) -> ToolResult | None:
        if call.name not in self.functions:
            if self.assume_yes:
                self._remark(f"{call.name} has no code to run")
                return None
            typed = self._ask(f"{call.name} has no code; its result (empty: none): ")
            return ToolResult(call.name, call.arguments, typed, None, typed, call.id) if typed else None
        if not self.assume_yes and self._ask("run it? [y/N] ").lower() not in ("y", "yes"):
            self._remark("not run")
            return None
        made = execute(call, self.functions, call_id=call.id)
        if made.error is not None:
            self._complain(f"{call.name} failed: {made.error}")
        else:
            shown = made.content if len(made.content) <= MAX_SHOWN else made.content[:MAX_SHOWN] + "…"
            self._print(shown + "\n")
        return made

    def _ask(self, question: str) -> str:
        try:
            return self.reader.ask(question).strip()
        except EOFError:
            return ""

    def _print(self, text: str, style: str = "") -> None:
        """Exactly this text: `Console.print` would wrap it and turn tabs into blanks."""
        rendered = Style.parse(style).render(text.translate(CONTROLS), color_system=self._colours)
        self.console.file.write(rendered)
        self.console.file.flush()

    def _remark(self, text: str) -> None:
        self._print(text + "\n", style="dim")

    def _complain(self, text: str) -> None:
        self.errors.out(" ".join(text.translate(CONTROLS).split()), style="red", highlight=False)
