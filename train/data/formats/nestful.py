"""`ibm-research/nestful`: sequences of calls in which one call's arguments are another's results.

`tools` and `output` are JSON inside strings, parameters as in xlam ("int or float"). A value such as "$var_1.result$"
stands for the result of the call with the label "$var_1"; such calls are converted as they are, and dropped and counted
with the rows. Only what does not wait for another call can be learned from.
"""

from __future__ import annotations

from .records import Native, Record, message, native, read_structure


def convert(record: Record, name: str, source: str) -> Native:
    """The native record. Raises UnreadableRecord."""
    tools, calls = read_structure(record["tools"]), read_structure(record["output"])
    return native(source, name, tools, [message("user", record["input"])], calls)
