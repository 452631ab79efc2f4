"""`jaxdiff chat`: its options, and what they start."""

from __future__ import annotations

import argparse
import sys

from jaxdiff.command_options import add_answering, add_filling, add_model, agent_options


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of `jaxdiff chat`."""
    parser.add_argument("--tools", metavar="FILE", help="JSON list of function definitions, or a Python file of tools")
    parser.add_argument("--yes", action="store_true", help="run calls without asking")
    parser.add_argument("--system", metavar="TEXT", help="stands before the conversation")
    parser.add_argument("--top-p", type=float, default=1.0, help="nucleus of the tokens drawn from (default: 1, all)")
    parser.add_argument("--thinking-budget", type=int, metavar="TOKENS", help="after which a thought ends")
    add_answering(parser)
    add_filling(parser)
    add_model(parser)


def start(options: argparse.Namespace) -> int:
    """Loads an agent and chats until the user leaves; the exit status. Raises JaxdiffError where it cannot begin."""
    # Imported late: a misspelt option should not wait for JAX.
    from jaxdiff.agent.agent import Agent
    from jaxdiff.agent.conversation import Conversation
    from jaxdiff.agent.python_tools import collect_tools
    from jaxdiff.base.store import cache_dir
    from jaxdiff.chat.line_reader import PipeReader, TerminalReader
    from jaxdiff.chat.session import ChatSession
    from jaxdiff.runtime.compilation import keep_compiled_programs

    keep_compiled_programs()
    tools, functions = ((), {}) if options.tools is None else collect_tools(options.tools)
    agent = Agent.load(options.base, tools=tools or None, **agent_options(options))
    in_terminal = sys.stdin.isatty()
    session = ChatSession(
        Conversation(agent, options.system, mode=options.mode),
        TerminalReader(cache_dir() / "chat_history") if in_terminal else PipeReader(),
        tools=tools,
        functions=functions,
        assume_yes=options.yes,
    )
    if in_terminal:
        print(f"{agent.base.name}, {len(tools)} tools. /help lists the commands.")
    session.run()
    return 0
