"""`jaxdiff chat` with an agent that answers by a script: through pipes, a simulated terminal and a real one."""

import argparse
import io
import json
import os
import pty
import re
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from prompt_toolkit.history import FileHistory
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput
from rich.console import Console

from jaxdiff.agent.conversation import Conversation
from jaxdiff.agent.messages import parse_messages
from jaxdiff.agent.python_tools import collect_tools
from jaxdiff.agent.result import FieldResult, Result, ToolCall
from jaxdiff.agent.text_pieces import Piece
from jaxdiff.chat.command import add_options, start
from jaxdiff.chat.line_reader import PipeReader, TerminalReader
from jaxdiff.chat.session import MAX_ROUNDS, ChatSession
from jaxdiff.errors import InputError

FIELDS = {"/a": FieldResult(0.98, (4, 5), "copy"), "/b": FieldResult(0.99, None, "ar")}
CALL = ToolCall("add", {"a": 2, "b": 40}, 0.97, FIELDS, {"note": "too long"})


class FakeAgent:
    """Answers by a script of pieces, calls and errors. Keeps what it was asked."""

    def __init__(self, *script: Any):
        self.script, self.asked, self.options = list(script), [], []

    def __call__(self, messages: Any, **options: Any) -> Result:
        raise AssertionError("the chat streams")

    def stream(self, messages: Any, **options: Any):
        self.asked.append(parse_messages(messages))
        self.options.append(options)
        said = self.script.pop(0)
        if isinstance(said, ToolCall):
            return Result("tool", None, (said,), {})
        text = ""
        for piece in said if isinstance(said, list) else [said]:
            if isinstance(piece, BaseException):
                raise piece
            piece = Piece(piece) if isinstance(piece, str) else piece
            text += "" if piece.thinking else piece.text
            yield piece
        return Result("chat", text, (), {})


class Lines:
    """Types lines, and notes the questions that they answer."""

    def __init__(self, *lines: Any):
        self.lines, self.questions = list(lines), []

    def read(self) -> str:
        if not self.lines:
            raise EOFError
        line = self.lines.pop(0)
        if isinstance(line, BaseException):
            raise line
        return line

    def ask(self, question: str) -> str:
        self.questions.append(question)
        return self.read()


def add(a: int, b: int) -> int:
    """Adds two
    numbers."""
    if a < 0:
        raise ValueError("negative\nnumbers")
    return a + b


JSON_TOOL = {"name": "convert", "description": "Converts."}


class Chat:
    """A chat that has ended, and what it showed."""

    def __init__(
        self, lines: Any, *script: Any, width: int = 200, terminal: bool = False, mode: str = "auto", **options: Any
    ):
        self.agent = FakeAgent(*script)
        self.conversation = Conversation(self.agent, mode=mode)
        self.reader = Lines(*lines) if isinstance(lines, list) else lines
        out, errors = io.StringIO(), io.StringIO()
        tools, functions = collect_tools([add, JSON_TOOL])
        ChatSession(
            self.conversation,
            self.reader,
            tools=tools,
            functions=functions,
            console=Console(
                file=out, width=width, force_terminal=terminal, color_system="standard" if terminal else None
            ),
            errors=Console(file=errors, width=width),
            **options,
        ).run()
        self.out, self.errors = out.getvalue(), errors.getvalue()


def test_answers_are_streamed_word_for_word():
    text = "One  two\tthree [bold]four[/bold] :smile: " + "long " * 100 + "\n\n  ```\nend"
    chat = Chat(["Hi"], [*re.findall(r"\s*\S+", text)], width=40)
    assert chat.out == text + "\n" and chat.errors == ""
    assert chat.conversation.messages[-1].content == text


def test_thoughts_are_dim_and_set_apart():
    script = [Piece("Let me", True), Piece(" see", True), "Four"]
    assert Chat(["2+2?"], script).out == "Let me see\n\nFour\n"
    shown = Chat(["2+2?"], script, terminal=True).out
    assert "\x1b[2mLet me\x1b[0m" in shown and "Four" in shown.split("\x1b[0m")[-1]


def test_a_model_cannot_steer_the_terminal():
    assert "\x1b" not in Chat(["Hi"], "a\x1b[2Jb\rc").out


def test_a_call_is_shown_run_when_agreed_and_answered():
    chat = Chat(["add 2 and 40", "y"], CALL, "42 it is")
    assert chat.reader.questions == ["run it? [y/N] "]
    for words in ("add   confidence 0.97", "│ a     │ 2     │ 0.98       │ copy │ 2 ", "left out note: too long"):
        assert words in chat.out
    assert chat.out.endswith("42\n42 it is\n")
    assert [(message.role, message.content) for message in chat.agent.asked[1]][1:] == [
        ("assistant", None),
        ("tool", "42"),
    ]


@pytest.mark.parametrize("answer", ["", "n", "yes please", EOFError()])
def test_a_call_is_not_run_without_a_yes(answer):
    chat = Chat(["add 2 and 40", answer, "thanks"], CALL, "Welcome")
    assert "not run" in chat.out and "\n42\n" not in chat.out
    assert [messages[-1].content for messages in chat.agent.asked[1:]] == ["thanks"]


def test_yes_runs_without_asking():
    chat = Chat(["add 2 and 40"], CALL, "42 it is", assume_yes=True)
    assert chat.reader.questions == [] and chat.out.endswith("42\n42 it is\n")


def test_results_of_forced_calls_are_told_in_words():
    chat = Chat(["add 2 and 40", "add 1 and 1"], CALL, "42 it is", CALL, "2", mode="tool", assume_yes=True)
    assert [options["mode"] for options in chat.agent.options] == ["tool", "chat"] * 2


def test_calls_do_not_go_on_for_ever():
    chat = Chat(["add"], *[CALL] * 20, assume_yes=True)
    assert f"stopped after {MAX_ROUNDS} rounds" in chat.out and len(chat.agent.asked) == MAX_ROUNDS + 1


def test_a_tool_that_fails():
    failing = ToolCall("add", {"a": -1, "b": 1}, 1.0, {})
    chat = Chat(["add"], failing, "Sorry", assume_yes=True)
    assert chat.errors == "add failed: ValueError: negative numbers\n" and chat.out.endswith("Sorry\n")
    assert json.loads(chat.agent.asked[1][-1].content)["error"]["type"] == "ValueError"


def test_results_of_tools_without_code_are_typed_by_the_user():
    call = ToolCall("convert", {}, 1.0, {})
    chat = Chat(["convert", '{"euros": 3}'], call, "3 euros")
    assert chat.agent.asked[1][-1].content == '{"euros": 3}' and chat.out.endswith("3 euros\n")
    chat = Chat(["convert", "", "never mind"], call, "Fine")
    assert [messages[-1].content for messages in chat.agent.asked] == ["convert", "never mind"]
    chat = Chat(["convert"], call, assume_yes=True)
    assert chat.reader.questions == [] and "no code to run" in chat.out


def test_errors_are_one_line_and_the_chat_goes_on():
    chat = Chat(["Hi", "Hi again"], InputError("the prompt\nis too long"), "Hello")
    assert chat.errors == "error: the prompt is too long\n" and chat.out == "Hello\n"
    assert [message.content for message in chat.conversation.messages] == ["Hi again", "Hello"]


def test_ctrl_c_stops_the_generation_and_not_the_chat():
    chat = Chat(["Tell", "More"], ["Once upon", " a time", KeyboardInterrupt()], "The end")
    assert chat.out == "Once upon a time\nstopped\nThe end\n"
    assert [message.content for message in chat.agent.asked[1]] == ["Tell", "Once upon a time", "More"]


def test_ctrl_c_at_the_question_goes_back_to_the_prompt():
    chat = Chat(["add 2 and 40", KeyboardInterrupt(), "More"], CALL, "The end")
    assert chat.out.endswith("stopped\nThe end\n")


@pytest.mark.parametrize("way", [EOFError(), KeyboardInterrupt(), "/exit", " /exit "])
def test_leaving(way):
    chat = Chat([way, "Hi"])
    assert chat.reader.lines == ["Hi"] and chat.agent.asked == []


def test_commands():
    chat = Chat(["/help", "/tools", "", "  ", "/nonsense", "Hi", "/reset", "Hello"], "1", "2")
    for command in ("/help", "/tools", "/reset", "/save FILE", "/exit"):
        assert re.search(rf"^{command} +\w", chat.out, re.MULTILINE)
    assert "add: Adds two numbers.\n" in chat.out and "convert: Converts. (no code)\n" in chat.out
    assert chat.errors == "error: unknown command '/nonsense'; /help lists the commands\n"
    assert [message.content for message in chat.agent.asked[1]] == ["Hello"]


def test_saving(tmp_path):
    path = tmp_path / "my talk.json"
    chat = Chat(["add 2 and 40", f"/save {path}", "More"], CALL, "42 🎉", "Later", assume_yes=True)
    saved = json.loads(path.read_text(encoding="utf-8"))
    assert saved == chat.conversation.to_list()[:4] and "🎉" in path.read_text(encoding="utf-8")
    assert f"saved 4 messages in {path}" in chat.out


def test_saving_where_it_cannot_be(tmp_path):
    (tmp_path / "there").write_text("kept")
    chat = Chat(["/save", f"/save {tmp_path}/there", f"/save {tmp_path}/no/where", "/save a\0b", "Hi"], "Hello")
    assert [re.search(r"needs|already|No such file|null", line).group() for line in chat.errors.splitlines()] == [
        "needs", "already", "No such file", "null",
    ]  # fmt: skip
    assert (tmp_path / "there").read_text() == "kept" and chat.out == "Hello\n"


def test_lines_from_a_pipe(monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"caf\xe9\nadd 2 and 40\ny\nna\xc3\xafve"), "utf-8"))
    chat = Chat(PipeReader(), CALL, "42 it is", "Indeed")
    assert chat.errors.count("\n") == 1 and "lone surrogate" in chat.errors
    assert [messages[-1].content for messages in chat.agent.asked] == ["add 2 and 40", "42", "naïve"]
    assert capsys.readouterr().out == "run it? [y/N] "


PYTHON_TOOLS = """
import jaxdiff.agent.python_tools as python_tools

@python_tools.tool
def add(a: int, b: int) -> int:
    "Adds."
    return a + b
"""


def chat_command(monkeypatch, tmp_path, lines: str, *words: str, script: Any = ()) -> tuple[FakeAgent, dict[str, Any]]:
    """What `jaxdiff chat` loads and asks, with lines from a pipe."""
    agent, loaded = FakeAgent(*script), {}

    def load(base: Any, **options: Any) -> FakeAgent:
        loaded.update(options, base=base)
        return agent

    monkeypatch.setattr("jaxdiff.agent.agent.Agent.load", load)
    monkeypatch.setattr("jaxdiff.runtime.compilation.keep_compiled_programs", lambda: None)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(lines.encode()), "utf-8"))
    parser = argparse.ArgumentParser()
    add_options(parser)
    assert start(parser.parse_args(words)) == 0
    return agent, loaded


def test_the_command_with_python_tools(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr("sys.path", [*sys.path])
    (tmp_path / "tools.py").write_text(PYTHON_TOOLS)
    words = ("--tools", f"{tmp_path}/tools.py", "--yes", "--system", "Be kind.", "--base", "tiny", "--dtype", "float32")
    agent, loaded = chat_command(monkeypatch, tmp_path, "add 2 and 40\n", *words, script=[CALL, "42 it is"])
    assert (loaded["base"], loaded["dtype"], [tool.name for tool in loaded["tools"]]) == ("tiny", "float32", ["add"])
    assert [message.content for message in agent.asked[1]] == ["Be kind.", "add 2 and 40", None, "42"]
    assert agent.options == [{"mode": "auto"}] * 2
    assert capsys.readouterr().out.endswith("42\n42 it is\n")


def test_the_command_without_tools(monkeypatch, tmp_path, capsys):
    agent, loaded = chat_command(monkeypatch, tmp_path, "Hi\n/tools\n", "--mode", "think", script=["Hello"])
    assert loaded["tools"] is None and agent.options == [{"mode": "think"}]
    assert capsys.readouterr().out == "Hello\nno tools\n"


def test_a_tool_file_that_is_not_there(monkeypatch, tmp_path):
    with pytest.raises(InputError, match="cannot read tool file"):
        chat_command(monkeypatch, tmp_path, "", "--tools", str(tmp_path / "none.py"))


@pytest.fixture
def keyboard():
    """Bytes as keys of a terminal without a screen."""
    with create_pipe_input() as keys:
        yield keys


def test_keys_of_a_terminal(keyboard, tmp_path):
    history = tmp_path / "new" / "chat_history"
    reader = TerminalReader(history, input=keyboard, output=DummyOutput())
    keyboard.send_text("Hellp\x7fo\r")
    assert reader.read() == "Hello"
    keyboard.send_text("thrown away\x03And \x03this\r")
    assert reader.read() == "this"
    keyboard.send_text("secret\r")
    assert reader.ask("password? ") == "secret"
    keyboard.send_text("\x03")
    with pytest.raises(KeyboardInterrupt):
        reader.read()
    keyboard.send_text("\x04")
    with pytest.raises(EOFError):
        reader.read()
    # Arrow up, in another run.
    again = TerminalReader(history, input=keyboard, output=DummyOutput())
    assert list(FileHistory(history).load_history_strings()) == ["this", "Hello"]
    assert history.stat().st_mode & 0o077 == 0
    keyboard.send_text("\x1b[A\r")
    assert again.read() == "this"


def test_a_history_that_cannot_be_written(keyboard, tmp_path):
    (tmp_path / "file").write_text("")
    reader = TerminalReader(tmp_path / "file" / "chat_history", input=keyboard, output=DummyOutput())
    keyboard.send_text("Hello\r")
    assert reader.read() == "Hello"


PROGRAM = """
import fcntl, sys, termios, time
from pathlib import Path
from jaxdiff.agent.conversation import Conversation
from jaxdiff.agent.result import Result
from jaxdiff.agent.text_pieces import Piece
from jaxdiff.chat.line_reader import TerminalReader
from jaxdiff.chat.session import ChatSession

# Ctrl-C reaches the program by its controlling terminal.
fcntl.ioctl(0, termios.TIOCSCTTY, 0)

class Slow:
    def stream(self, messages, **options):
        for number in range(1000 if messages[-1].content == "count" else 1):
            yield Piece(f"piece{number} ")
            time.sleep(0.02)
        return Result("chat", "done", (), {})

ChatSession(Conversation(Slow()), TerminalReader(Path(sys.argv[1]))).run()
print("left", "for good")
"""


# What prompt_toolkit switches on (bracketed paste) when it begins to read a line.
READY = "\x1b[?2004h"


class Terminal:
    """A program in a terminal of its own."""

    def __init__(self, *words: str):
        self.master, slave = pty.openpty()
        environment = os.environ | {"TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1"}
        self.process = subprocess.Popen(
            # A test run in the background would hand its ignored Ctrl-C on.
            ("env", "--default-signal=INT", *words),
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            env=environment,
        )
        os.close(slave)
        self.seen = ""

    def wait_for(self, words: str, timeout: float = 60) -> None:
        end = time.monotonic() + timeout
        while words not in self.seen:
            ready, _, _ = select.select([self.master], [], [], max(0, end - time.monotonic()))
            try:
                more = os.read(self.master, 65536) if ready else b""
            except OSError:
                more = b""
            assert more, f"no {words!r} in {self.seen!r}"
            self.seen += more.decode(errors="replace")

    def type(self, keys: str) -> None:
        self.seen = ""
        os.write(self.master, keys.encode())


def test_ctrl_c_in_a_real_terminal(tmp_path):
    terminal = Terminal(sys.executable, "-c", PROGRAM, str(tmp_path / "history"))
    try:
        terminal.wait_for(READY)
        terminal.type("count\r")
        terminal.wait_for("piece3 ")
        terminal.type("\x03")
        terminal.wait_for("stopped")
        terminal.wait_for(READY)
        terminal.type("Hello\r")
        terminal.wait_for("piece0 ")
        terminal.wait_for(READY)
        terminal.type("\x03")
        terminal.wait_for("left for good")
        assert terminal.process.wait(20) == 0
    finally:
        terminal.process.kill()
        terminal.process.wait()
        os.close(terminal.master)
    assert "Hello" in Path(tmp_path / "history").read_text()
