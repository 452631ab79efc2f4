"""`jaxdiff extract`: what a text says, by a JSON Schema."""

from __future__ import annotations

import argparse
import json
import sys

from jaxdiff.command_options import add_filling, add_model, agent_options
from jaxdiff.schema.json_files import read_json


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of the command."""
    parser.add_argument("text", metavar="TEXT", help="the text, or - to read it from standard input")
    parser.add_argument("--schema", required=True, metavar="FILE", help="JSON Schema of an object")
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    add_filling(parser)
    add_model(parser)


def start(options: argparse.Namespace) -> int:
    """Fills the schema and prints what was found. Raises JaxdiffError."""
    schema = read_json(options.schema, "schema file")
    # Imported late: a schema that cannot be used should not wait for JAX.
    from jaxdiff.agent.agent import Agent, check_query
    from jaxdiff.agent.extraction import schema_tool
    from jaxdiff.runtime.compilation import keep_compiled_programs

    schema_tool(schema)
    text = sys.stdin.read() if options.text == "-" else options.text
    check_query(text, "text")
    keep_compiled_programs()
    agent = Agent.load(options.base, **agent_options(options))
    extraction = agent.extract(schema, text)
    if options.json:
        print(json.dumps(extraction.to_dict(), ensure_ascii=False))
        return 0
    from rich.console import Console

    from jaxdiff.chat.call_table import show_call

    show_call(Console(), extraction.found, text)
    print(json.dumps(extraction.value, ensure_ascii=False))
    return 0
