"""What a fill gives: one value for each field that the call has, and how it came about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from jaxdiff.base.frozen import FrozenBase
from jaxdiff.diffusion.denoise import Trace
from jaxdiff.schema.branches import Branches
from jaxdiff.schema.merge import MergeResult, merge
from jaxdiff.schema.tools import Tool


@dataclass(frozen=True)
class FilledField:
    """What was read for a field.

    value: typed where it was chosen from candidates, else words that `merge` turns into the typed value.
    confidence: probability in [0, 1]. by: "copy", "candidate", "compose", "ar" or "parallel".
    source: (start, end), code points of the query that hold the value, or None. sources: of a list said in several
    places, each of them in the order of the query; `source` is None then. cut: the text fills the largest slot that
    there is, and may go on behind it.
    """

    value: Any
    confidence: float
    by: str
    source: tuple[int, int] | None = None
    sources: tuple[tuple[int, int], ...] = ()
    cut: bool = False


@dataclass(frozen=True)
class FillTrace:
    """What each denoising step did to a call's canvas of N positions (padding left out).

    fields: [N] name of the field that owns each position. texts: per step the N tokens as text ("·" is a mask).
    revealed: [S, N] bool, positions revealed in a step. confidence: [S, N] of the standing tokens.
    """

    fields: tuple[str, ...]
    texts: tuple[tuple[str, ...], ...]
    revealed: np.ndarray
    confidence: np.ndarray

    @classmethod
    def of(
        cls, base: FrozenBase, trace: Trace, row: int, fields: tuple[str, ...], names: Mapping[int, str]
    ) -> FillTrace:
        """A row of a trace in words. names: text of ids that the base cannot decode."""
        count = len(fields)
        tokens, revealed, confidence = (
            np.asarray(part)[:, row, :count] for part in (trace.tokens, trace.revealed, trace.confidence)
        )
        words = {int(i): names[int(i)] if int(i) in names else base.decode([int(i)]) for i in np.unique(tokens)}
        texts = tuple(tuple(words[int(i)] for i in step) for step in tokens)
        return cls(fields, texts, revealed, confidence)

    def beside(self, other: FillTrace) -> FillTrace:
        """The positions of this canvas, then those of another that was denoised in as many steps."""
        return FillTrace(
            fields=self.fields + other.fields,
            texts=tuple(mine + its for mine, its in zip(self.texts, other.texts, strict=True)),
            revealed=np.concatenate([self.revealed, other.revealed], axis=1),
            confidence=np.concatenate([self.confidence, other.confidence], axis=1),
        )


@dataclass(frozen=True)
class Filling:
    """The fields of one call, in schema order.

    absence: probability that what was left out is rightly left out. trace: the denoising, where something was composed.
    branches: those that the call takes of unions.
    """

    fields: dict[str, FilledField]
    absence: float = 1.0
    trace: FillTrace | None = None
    branches: Branches = field(default_factory=dict)

    def merge(self, tool: Tool) -> MergeResult:
        """The typed arguments of the call; raises as `jaxdiff.schema.merge.merge`."""
        return merge(tool, {name: found.value for name, found in self.fields.items()}, self.branches)
