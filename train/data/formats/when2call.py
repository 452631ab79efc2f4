"""`nvidia/When2Call`: whether to call, to ask or to refuse. For evaluation only.

Its questions overlap with those of BFCL, so that a head trained on it could no longer be measured there: it is refused
as a source of training rows. Tools are a list of JSON strings. Test records have a question, the kind of the right
answer and an answer of each kind; training records have messages. A call is `<TOOLCALL>[{"name", "arguments"}]
</TOOLCALL>`.
"""

from __future__ import annotations

from .conversations import tagged_calls, up_to_first_call
from .records import Native, Record, UnreadableRecord, message, native, read_structure

_TAG = "TOOLCALL"


def convert(record: Record, name: str, source: str) -> Native:
    """The native record. Raises UnreadableRecord."""
    if "question" not in record:
        turns = [*record["messages"], *([record["chosen_response"]] if "chosen_response" in record else [])]
        messages, calls = up_to_first_call(turns, lambda text: tagged_calls(text, _TAG))
        return native(source, name, record["tools"], messages, calls)
    calls = []
    if record["correct_answer"] == "tool_call":
        calls = tagged_calls(read_structure(record["answers"])["tool_call"], _TAG)
        if not calls:
            raise UnreadableRecord("the right answer is a call, and there is none")
    return native(source, name, record["tools"], [message("user", record["question"])], calls)
