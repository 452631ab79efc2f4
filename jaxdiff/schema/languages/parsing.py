"""Reads a JSON Schema `pattern`: the expressions that ECMA-262 (Unicode mode) and Python's `re` both know.

What one of the two refuses, or reads as something else altogether, raises UnsupportedLanguage.
"""

from __future__ import annotations

import re
import warnings
from functools import lru_cache

from jaxdiff.errors import UnsupportedLanguage
from jaxdiff.schema.languages import code_points as cp
from jaxdiff.schema.languages.syntax import (
    Boundary,
    Chars,
    Choice,
    End,
    Expression,
    Look,
    Repeat,
    Sequence,
    Start,
)

_COUNT = re.compile(r"\{([0-9]+)(?:(,)([0-9]*))?\}")
_HEX = re.compile(r"[0-9a-fA-F]+")
_CONTROLS = {"n": "\n", "r": "\r", "t": "\t", "f": "\f", "v": "\v"}
_LOOKS = {"(?=": (True, False), "(?!": (True, True), "(?<=": (False, False), "(?<!": (False, True)}


_SETS = {"d": cp.ASCII_DIGITS, "w": cp.ASCII_WORD, "s": cp.SPACE}


def _negated(chars: Chars) -> Chars:
    return Chars(cp.complement(chars.either), chars.differing)


@lru_cache(maxsize=4096)
def compiled(pattern: str) -> re.Pattern[str]:
    """The pattern as Python has it, without its warning of `[[`, which it reads as ECMA-262 does. Raises re.error."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return re.compile(pattern)


def parse(pattern: str) -> Expression:
    """The expression of a pattern. Raises UnsupportedLanguage naming the pattern."""
    try:
        compiled(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        raise UnsupportedLanguage(pattern, f"Python cannot read it: {error}") from None
    return _Parser(pattern).parse()


class _Parser:
    def __init__(self, pattern: str):
        self.pattern, self.at = pattern, 0

    def refuse(self, reason: str) -> UnsupportedLanguage:
        return UnsupportedLanguage(self.pattern, f"{reason} (at character {self.at})")

    def parse(self) -> Expression:
        try:
            found = self.choice()
        except RecursionError:
            raise UnsupportedLanguage(self.pattern, "nested too deep") from None
        if self.at < len(self.pattern):
            raise self.refuse("unbalanced ')'")
        return found

    def taken(self, text: str) -> bool:
        """Whether `text` stands here; it is then behind."""
        if self.pattern.startswith(text, self.at):
            self.at += len(text)
            return True
        return False

    def next(self) -> str:
        if self.at >= len(self.pattern):
            raise self.refuse("it ends too early")
        self.at += 1
        return self.pattern[self.at - 1]

    def choice(self) -> Expression:
        options = [self.sequence()]
        while self.taken("|"):
            options.append(self.sequence())
        return options[0] if len(options) == 1 else Choice(tuple(options))

    def sequence(self) -> Expression:
        parts: list[Expression] = []
        while self.at < len(self.pattern) and self.pattern[self.at] not in "|)":
            parts.append(self.repeated(self.atom()))
        return parts[0] if len(parts) == 1 else Sequence(tuple(parts))

    def repeated(self, body: Expression) -> Expression:
        count = _COUNT.match(self.pattern, self.at)
        if count:
            self.at = count.end()
            least = int(count[1])
            most = (int(count[3]) if count[3] else None) if count[2] else least
            if most is not None and most < least:
                raise self.refuse("a count runs backwards")
        elif self.pattern.startswith("{,", self.at):
            raise self.refuse("'{,n}' is a count to one dialect and text to the other")
        elif self.taken("*"):
            least, most = 0, None
        elif self.taken("+"):
            least, most = 1, None
        elif self.taken("?"):
            least, most = 0, 1
        else:
            return body
        if self.taken("+"):
            raise self.refuse("possessive quantifiers are not of ECMA-262")
        self.taken("?")  # Lazy or greedy, the same texts match.
        return Repeat(body, least, most)

    def atom(self) -> Expression:
        char = self.next()
        if char == "^":
            return Start()
        if char == "$":
            return End()
        if char == ".":
            return Chars(cp.complement(cp.LINE_ENDS), frozenset("."))
        if char == "(":
            return self.group()
        if char == "[":
            return self.character_class()
        if char == "\\":
            if self.taken("b"):
                return Boundary()
            if self.taken("B"):
                raise self.refuse("'\\B' holds in an empty text in one dialect alone")
            return self.escape()
        return Chars(cp.of(char))

    def group(self) -> Expression:
        self.at -= 1
        look = next((kind for text, kind in _LOOKS.items() if self.taken(text)), None)
        if look is None and not self.taken("(?:"):
            if self.pattern.startswith("(?", self.at):
                raise self.refuse("this kind of group is not of both dialects")
            self.at += 1
        body = self.choice()
        if not self.taken(")"):
            raise self.refuse("missing ')'")
        return body if look is None else Look(body, *look)

    def escape(self) -> Chars:
        """What stands behind a backslash, in a class or outside."""
        char = self.next()
        if char in "dDwWsS":
            found = Chars(_SETS[char.lower()], frozenset(char.lower()))
            return found if char.islower() else _negated(found)
        if char in _CONTROLS:
            return Chars(cp.of(_CONTROLS[char]))
        if char in "xu":
            digits = self.pattern[self.at : self.at + (2 if char == "x" else 4)]
            self.at += len(digits)
            if not _HEX.fullmatch(digits) or len(digits) != (2 if char == "x" else 4):
                raise self.refuse(f"an unfinished escape '\\{char}{digits}'")
            return Chars(cp.of(chr(int(digits, 16))))
        if char == "0" and not self.pattern[self.at : self.at + 1].isdigit():
            return Chars(cp.of("\0"))
        if char.isalnum():
            what = "a reference to a group" if char.isdigit() else "an escape that the dialects do not share"
            raise self.refuse(f"{what} '\\{char}'")
        return Chars(cp.of(char))

    def character_class(self) -> Chars:
        negative = self.taken("^")
        if self.pattern.startswith("]", self.at):
            raise self.refuse("a class that starts with ']' is empty to one dialect and not to the other")
        members: list[Chars] = []
        while not self.taken("]"):
            low, low_set = self.member()
            ranged = self.pattern.startswith("-", self.at) and not self.pattern.startswith("-]", self.at)
            if not ranged:
                members.append(low_set)
                continue
            self.at += 1
            high, _ = self.member()
            if low is None or high is None:
                raise self.refuse("a range between sets")
            if high < low:
                raise self.refuse("a range runs backwards")
            members.append(Chars(((low, high),)))
        found = Chars(cp.union(*(m.both for m in members)), frozenset[str]().union(*(m.differing for m in members)))
        return _negated(found) if negative else found

    def member(self) -> tuple[int | None, Chars]:
        """(code point of a single character or None for a set, its set)."""
        char = self.next()
        if char != "\\":
            return ord(char), Chars(cp.of(char))
        if self.taken("b"):
            return 8, Chars(cp.of("\b"))
        found = self.escape()
        single = not found.differing and len(found.both) == 1 and found.both[0][0] == found.both[0][1]
        return (found.both[0][0] if single else None), found
