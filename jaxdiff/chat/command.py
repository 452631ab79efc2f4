"""`jaxdiff chat`: its options, and what they start."""

from __future__ import annotations

import argparse
import sys

from jaxdiff.agent.directive import MODES

MODE_CHOICES = ("auto", *MODES)


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of `jaxdiff chat`."""
    parser.add_argument("--tools", metavar="FILE", help="JSON list of function definitions, or a Python file of tools")
    parser.add_argument("--yes", action="store_true", help="run calls without asking")
    parser.add_argument("--system", metavar="TEXT", help="stands before the conversation")
    parser.add_argument("--mode", choices=MODE_CHOICES, default="auto", help="how to answer (default: auto)")
    parser.add_argument("--base", default="default", metavar="NAME|PATH", help="a name, folder, .gguf file or org/repo")
    parser.add_argument("--head", default="default", metavar="NAME|PATH", help="a folder (default: the shipped head)")
    parser.add_argument("--fill", choices=("diffusion", "ar", "parallel"), help="default: diffusion")
    parser.add_argument(
        "--dtype", choices=("float32", "bfloat16"), help="type the base computes in (default: as stored)"
    )
    parser.add_argument("--max-new-tokens", type=int, default=256, help="of an answer in text (default: 256)")
    parser.add_argument("--temperature", type=float, default=0.0, help="0 (default) takes the most probable token")
    parser.add_argument("--top-p", type=float, default=1.0, help="nucleus of the tokens drawn from (default: 1, all)")
    parser.add_argument("--thinking-budget", type=int, metavar="TOKENS", help="after which a thought ends")
    parser.add_argument("--seed", type=int, default=0, help="of the randomness at a temperature above 0")


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
    agent = Agent.load(
        options.base,
        tools=tools or None,
        head=options.head,
        fill=options.fill,
        dtype=options.dtype,
        max_new_tokens=options.max_new_tokens,
        temperature=options.temperature,
        top_p=options.top_p,
        thinking_budget=options.thinking_budget,
        seed=options.seed,
    )
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
