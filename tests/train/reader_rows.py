"""A few rows of two tools for the tiny base, with where each value is said."""

from jaxdiff_train.data.rows import Row

PAINT = {
    "name": "paint",
    "description": "Paints.",
    "parameters": {
        "type": "object",
        "properties": {
            "what": {"type": "string"},
            "count": {"type": "integer"},
            "colour": {"type": "string", "enum": ["red", "Blue", "red wine"]},
            "note": {"type": "string"},
            "gift": {"type": "boolean"},
        },
        "required": ["what", "colour"],
    },
}
SEND = {
    "name": "send",
    "description": "",
    "parameters": {
        "type": "object",
        "properties": {"to": {"type": "string"}, "parts": {"type": "array", "items": {"type": "string"}}},
        "required": ["to"],
    },
}


def row(query: str, arguments: dict, said: dict[str, str] | None = None, tool: dict = PAINT) -> Row:
    """said: property -> the words of the query that say it, at their first place."""
    words = (said or {}).items()
    spans = {name: (query.index(text), query.index(text) + len(text)) for name, text in words}
    return Row(query, "test", tool, query, arguments, spans)


ROWS = [
    row("Paint 12 doors red", {"what": "doors", "count": 12, "colour": "red"}, {"what": "doors", "count": "12"}),
    row("Ann: red, blue", {"to": "Ann", "parts": ["red", "blue"]}, {"to": "Ann", "parts": "red, blue"}, SEND),
    row(
        "two pots, hot",
        {"what": "pots", "count": 2, "colour": "Blue", "note": "warm"},
        {"what": "pots", "count": "two"},
    ),
    row("a wall as a gift", {"what": "wall", "colour": "red wine", "gift": True}, {"what": "wall", "gift": "gift"}),
    row("to Bo", {"to": "Bo"}, {"to": "Bo"}, SEND),
]
# Short enough to be read, too long to be trained on.
LONG = row("q7z " * 36, {"what": "q7z", "colour": "red"})
