"""What the base reads when a query is routed: worked examples and the query; and each tool's text, apart.

The examples show what may answer: a function by name and purpose, `chat`, or `think`. After the query stands the
opening of the answer, and beside it one stream that goes on with `function`, where the base is about to name one.
"""

from __future__ import annotations

from jaxdiff.agent.prompting import TURN_END, TURN_START, candidate_text
from jaxdiff.base.frozen import FrozenBase
from jaxdiff.schema.tools import Tool

INSTRUCTION = "Each request is served by a function, by chat, or by thinking it through."
EXAMPLES = (
    (
        "Can you get Dana Ruiz onto court 7 for squash on a wooden floor?",
        "function reserve_court: Reserve a court at a sports club.",
    ),
    ("Why does a squash ball have to be warm?", "chat"),
    ("Four courts are free for two hours each and a match takes 35 minutes. How many matches fit?", "think"),
    (
        "bedroom heater down by two degrees",
        "function change_temperature: Raise or lower the temperature of a room.",
    ),
    ("Thanks, that was all!", "chat"),
    (
        "Which invoices of Brandt Ltd are still open?",
        "function find_invoices: List invoices by customer and state.",
    ),
)
NAMING = "function"

MAX_DESCRIPTION = 120
MAX_CANDIDATES = 12


def routing_ids(base: FrozenBase) -> list[int]:
    """Tokens of instruction and examples, and the opening of the user's turn."""
    turns = [("system", INSTRUCTION)]
    for query, answer in EXAMPLES:
        turns += [("user", query), ("assistant", answer)]
    ids: list[int] = []
    for role, text in turns:
        ids += base.special(TURN_START) + base.encode(f"{role}\n{text}") + base.special(TURN_END) + base.encode("\n")
    return ids + base.special(TURN_START) + base.encode("user\n")


def tool_text(tool: Tool) -> str:
    """A tool as the examples write one, and its parameters."""
    text = f"{NAMING} {tool.name}: {tool.description}"
    for field in tool.fields:
        text += f"\n- {field.name}: {field.description[:MAX_DESCRIPTION]}"
        if field.candidates:
            text += f" ({', '.join(candidate_text(value) for value in field.candidates[:MAX_CANDIDATES])})"
    return text
