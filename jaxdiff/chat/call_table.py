"""One call as a table for people."""

from __future__ import annotations

import json

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from jaxdiff.agent.result import ToolCall
from jaxdiff.schema.fields import unescape_pointer
from jaxdiff.schema.paths import value_at

HEADINGS = ("field", "value", "confidence", "by", "from the query")


def show_call(console: Console, call: ToolCall, query: str) -> None:
    """Prints each value of a call with how it came about, then the optional values that were left out."""
    table = Table(title=escape(f"{call.name}   confidence {call.confidence:.2f}"), title_justify="left")
    for heading in HEADINGS:
        table.add_column(heading)
    for pointer, found in call.fields.items():
        name = unescape_pointer(pointer[1:])
        places = found.sources if found.source is None else (found.source,)
        words = " … ".join(query[slice(*place)] for place in places)
        value = json.dumps(value_at(call.arguments, pointer), ensure_ascii=False)
        table.add_row(*map(escape, (name, value, f"{found.confidence:.2f}", found.by, words)))
    console.print(table)
    for pointer in (pointer for pointer, found in call.fields.items() if found.cut):
        console.print(escape(f"{pointer} fills its slot: the value may be cut"))
    for name, reason in call.dropped.items():
        console.print(escape(f"left out {name}: {reason}"))
    for pointer, reason in call.repaired.items():
        console.print(escape(f"put in at {pointer or '/'}: {reason}"))
