"""`Salesforce/xlam-function-calling-60k` and `argilla/apigen-function-calling`: a query, tools and answers.

Tools and answers are JSON inside strings. Parameters are {name: {"type", "description", "default"}} with Python types
("str, optional"). In the second set an answer may be a sentence that refuses, which is a record without a call.
"""

from __future__ import annotations

from .records import Native, Record, UnreadableRecord, message, native, read_structure


def convert(record: Record, name: str, source: str) -> Native:
    """The native record. Raises UnreadableRecord."""
    answers = record["answers"]
    if isinstance(answers, str):
        answers = read_structure(answers) if answers.lstrip().startswith("[") else []
    if not isinstance(answers, list):
        raise UnreadableRecord(f"answers are {type(answers).__name__}, not a list")
    return native(source, name, read_structure(record["tools"]), [message("user", record["query"])], answers)
