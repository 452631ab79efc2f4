"""What an agent answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from jaxdiff.agent.filled import FillTrace


@dataclass(frozen=True)
class FieldResult:
    """How one value came about.

    confidence: in [0, 1]. source: [start, end) in code points of the query where the value stands, or None.
    by: "copy", "candidate", "compose", "ar" or "parallel". sources: of a list whose items stand apart, each place;
    `source` is None then. cut: the value fills the largest slot that there is, and may go on behind it.
    """

    confidence: float
    source: tuple[int, int] | None
    by: str
    sources: tuple[tuple[int, int], ...] = ()
    cut: bool = False


@dataclass(frozen=True)
class ToolCall:
    """One call.

    arguments: valid for the tool's schema. confidence: probability that all of it is right, in [0, 1].
    fields: JSON pointer of each value -> how it came about. dropped: optional values that were read but are not valid.
    repaired: JSON pointer -> why the value there is not what was read; the call's confidence is 0 then.
    """

    name: str
    arguments: dict[str, Any]
    confidence: float
    fields: dict[str, FieldResult]
    dropped: dict[str, str] = field(default_factory=dict)
    repaired: dict[str, str] = field(default_factory=dict)
    trace: FillTrace | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values, all but the name."""
        return {
            "arguments": self.arguments,
            "confidence": round(self.confidence, 4),
            "fields": {
                pointer: {
                    "confidence": round(found.confidence, 4),
                    "source": None if found.source is None else list(found.source),
                    "by": found.by,
                    **({"sources": [list(place) for place in found.sources]} if found.sources else {}),
                    **({"cut": True} if found.cut else {}),
                }
                for pointer, found in self.fields.items()
            },
            **({"repaired": self.repaired} if self.repaired else {}),
        }


@dataclass(frozen=True)
class Result:
    """The answer to one query.

    mode: "chat", "think" or "tool". text: None beside calls. timing_ms: wall-clock milliseconds by stage. thinking: the
    thought before the text, None where there was none. modes: calibrated probability of each mode that was possible,
    None where the mode was given.
    """

    mode: str
    text: str | None
    calls: tuple[ToolCall, ...]
    timing_ms: dict[str, float]
    thinking: str | None = None
    modes: dict[str, float] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        calls = [{"name": call.name, **call.to_dict()} for call in self.calls]
        timing = {stage: round(value, 1) for stage, value in self.timing_ms.items()}
        modes = None if self.modes is None else {mode: round(value, 4) for mode, value in self.modes.items()}
        return {
            "mode": self.mode,
            "text": self.text,
            "calls": calls,
            "timing_ms": timing,
            "thinking": self.thinking,
            "modes": modes,
        }
