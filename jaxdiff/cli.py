"""The command line: `jaxdiff call`, `extract` and `chat`; `train` and `convert` hand over to their own packages."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from typing import TYPE_CHECKING, NoReturn

from jaxdiff import extract_cli
from jaxdiff.chat.command import add_options, start
from jaxdiff.command_options import add_answering, add_filling, add_model, agent_options
from jaxdiff.errors import JaxdiffError

if TYPE_CHECKING:
    from jaxdiff.agent.result import Result, ToolCall

HANDED_OVER = {
    "train": "train a head on rows and tool packs",
    "convert": "convert a checkpoint into a base folder, or compare the two",
}


def main(argv: list[str] | None = None) -> int:
    """Runs one command; returns the exit status: 0, or 2 with one line on stderr where something cannot be done."""
    words = sys.argv[1:] if argv is None else argv
    if words and words[0] in HANDED_OVER:
        return _hand_over(words[0], words[1:])
    options = _parser().parse_args(words)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        commands = {"call": _call, "chat": start, "extract": extract_cli.start}
        return commands[options.command](options)
    except JaxdiffError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def _hand_over(command: str, words: list[str]) -> int:
    # Both are packages of their own, which import this one.
    if command == "train":
        from jaxdiff_train.cli import main as run
    else:
        from jaxdiff_convert.cli import main as run
    return run(words)


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message} (see {self.prog} --help)\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="jaxdiff", description="Function calls by diffusion over a frozen base.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    call = commands.add_parser("call", help="answer one query by function calls or in text")
    call.add_argument("query", metavar="QUERY")
    call.add_argument(
        "--tools", metavar="FILE", help="JSON list of function definitions, or a Python file of tools (default: none)"
    )
    call.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    call.add_argument(
        "--tool-choice", default="auto", metavar="CHOICE", help="auto (default), none, required or a name"
    )
    call.add_argument("--trace", action="store_true", help="show what each denoising step did")
    add_answering(call)
    add_filling(call)
    add_model(call)
    extract_cli.add_options(commands.add_parser("extract", help="fill a JSON Schema from a text"))
    add_options(commands.add_parser("chat", help="talk in the terminal, with calls of tools"))
    for name, text in HANDED_OVER.items():
        commands.add_parser(name, help=text, add_help=False)
    return parser


def _call(options: argparse.Namespace) -> int:
    # Imported late: a misspelt option should not wait for JAX.
    from jaxdiff.agent.agent import Agent, check_query
    from jaxdiff.runtime.compilation import keep_compiled_programs

    check_query(options.query)
    keep_compiled_programs()
    agent = Agent.load(options.base, tools=options.tools, mode=options.mode, **agent_options(options))
    result = agent(options.query)
    if options.json:
        print(json.dumps(result.to_dict(), ensure_ascii=False))
    else:
        _show(options.query, result)
    if options.trace:
        for call in result.calls:
            _show_trace(call, to_stderr=options.json)
    return 0


def _show(query: str, result: Result) -> None:
    from rich.console import Console
    from rich.markup import escape

    from jaxdiff.chat.call_table import show_call

    console = Console()
    for call in result.calls:
        show_call(console, call, query)
        print(json.dumps({"name": call.name, "arguments": call.arguments}, ensure_ascii=False))
    if result.thinking is not None:
        console.print(escape(result.thinking), style="dim")
    if result.text is not None:
        print(result.text)
    chosen = "".join(f"{mode} {value:.2f}  " for mode, value in (result.modes or {}).items())
    stages = "  ".join(f"{stage} {value:.0f} ms" for stage, value in result.timing_ms.items())
    console.print(escape(chosen + stages), style="dim")


def _show_trace(call: ToolCall, to_stderr: bool) -> None:
    from rich.console import Console
    from rich.markup import escape

    console = Console(stderr=to_stderr)
    if call.trace is None:
        console.print(escape(f"{call.name}: nothing was composed, so no denoising step ran"))
        return
    for number, texts in enumerate(call.trace.texts):
        revealed = call.trace.revealed[number]
        console.print(escape(f"step {number + 1}: {int(revealed.sum())} positions revealed"), style="bold")
        for name in dict.fromkeys(call.trace.fields):
            places = [i for i, owner in enumerate(call.trace.fields) if owner == name]
            pieces = (f"[reverse]{escape(texts[i])}[/reverse]" if revealed[i] else escape(texts[i]) for i in places)
            console.print(f"  {escape(name)}: " + "".join(pieces))


if __name__ == "__main__":
    raise SystemExit(main())
