"""`Salesforce/APIGen-MT-5k`: long dialogues of shop and airline agents.

Turns come from human, gpt, function_call and observation; `tools` is JSON Schema as JSON in a string; `system` is the
agent's policy. Most calls need what was said turns before, so that few of its records are rows of a single query.
"""

from __future__ import annotations

from .conversations import up_to_first_call
from .records import Native, Record, message, native, read_structure


def convert(record: Record, name: str, source: str) -> Native:
    """The native record. Raises UnreadableRecord."""
    messages, calls = up_to_first_call(record["conversations"], lambda text: [])
    system = message("system", record["system"])
    return native(source, name, read_structure(record["tools"]), [system, *messages], calls)
