"""`interstellarninja/hermes_reasoning_tool_use`: turns from system, human, gpt and tool, and tools as JSON in a string.

An answer thinks in <think> and calls in <tool_call>, one object each, in JSON or as a Python literal. The system text
holds the tools once more, between <tools> and </tools>; they are cut out of it.
"""

from __future__ import annotations

import re

from .conversations import tagged_calls, up_to_first_call
from .records import Native, Record, native, read_structure

_LISTED = re.compile(r"<tools>.*?</tools>", re.DOTALL)


def convert(record: Record, name: str, source: str) -> Native:
    """The native record. Raises UnreadableRecord."""
    messages, calls = up_to_first_call(record["conversations"], lambda text: tagged_calls(text, "tool_call"))
    shorter = [
        said | {"content": _LISTED.sub("", said["content"])} if said["role"] == "system" else said for said in messages
    ]
    return native(source, name, read_structure(record["tools"]), shorter, calls)
