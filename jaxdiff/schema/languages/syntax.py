"""What a regular expression is made of, once parsed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from jaxdiff.schema.languages.code_points import Ranges, differing, union


@dataclass(frozen=True)
class Chars:
    """One character. The two dialects (ECMA-262 and Python) read some sets differently.

    both: the characters that each of them takes. differing: letters of the escapes (`d`, `w`, `s`) and the dot, where
    one of them may take more than the other.
    """

    both: Ranges
    differing: frozenset[str] = frozenset()

    @property
    def either(self) -> Ranges:
        """No dialect takes a character beyond these."""
        return union(self.both, *map(differing, sorted(self.differing)))


@dataclass(frozen=True)
class Sequence:
    """One part after the other."""

    parts: tuple[Expression, ...]


@dataclass(frozen=True)
class Choice:
    """Any one of the options."""

    options: tuple[Expression, ...]


@dataclass(frozen=True)
class Repeat:
    """`least` to `most` times in a row; no upper limit where `most` is None."""

    body: Expression
    least: int
    most: int | None


@dataclass(frozen=True)
class Look:
    """Nothing is read; `body` must match (or must not, where `negative`) from here on, or up to here."""

    body: Expression
    ahead: bool
    negative: bool


@dataclass(frozen=True)
class Start:
    """Nothing is read; the text starts here."""


@dataclass(frozen=True)
class End:
    """Nothing is read; the text ends here."""


@dataclass(frozen=True)
class Boundary:
    """Nothing is read; a word starts or ends here."""


Expression: TypeAlias = Chars | Sequence | Choice | Repeat | Look | Start | End | Boundary
