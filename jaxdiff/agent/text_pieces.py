"""Tokens to pieces of text while they arrive: whole characters, stop strings cut off, thoughts set apart."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from tokenizers.decoders import DecodeStream

from jaxdiff.base.frozen import FrozenBase

Whole = TypeVar("Whole")


@dataclass(frozen=True)
class Piece:
    """A piece of text, never empty. thinking: it stood between `<think>` and `</think>`."""

    text: str
    thinking: bool = False


def whole(pieces: Generator[Piece, None, Whole]) -> Whole:
    """Runs a stream of pieces to its end and gives its value."""
    while True:
        try:
            next(pieces)
        except StopIteration as end:
            return end.value


class TextPieces:
    """Turns tokens into pieces of text. All pieces together depend on the tokens only, not on when they arrive.

    stop: strings before which the answer ends; they are not looked for in thoughts. think: ids of `<think>` and
    `</think>`, or None. thinking: the prompt has opened a thought already. White space around thoughts is left out.
    """

    def __init__(
        self, base: FrozenBase, stop: Sequence[str] = (), think: tuple[int, int] | None = None, thinking: bool = False
    ):
        self._base, self._stop, self._think = base, stop, think
        self._begin(thinking, trim=thinking)
        self.stopped = False

    def push(self, token: int) -> Iterator[Piece]:
        """Takes a token and gives the text that is certain now; after a stop string (`stopped`) nothing comes."""
        if self.stopped:
            return
        if self._think is not None and token == self._think[self._thinking]:
            yield from self.finish()
            self._begin(not self._thinking, trim=True)
        else:
            yield from self._add(self._decoder.push(token), last=False)

    def finish(self) -> Iterator[Piece]:
        """No more tokens come: gives what was held back."""
        if not self.stopped:
            yield from self._add(self._decoder.rest(), last=True)

    def _begin(self, thinking: bool, trim: bool) -> None:
        self._thinking, self._trim = thinking, trim
        self._decoder = _Decoder(self._base)
        self._held = ""

    def _add(self, text: str, last: bool) -> Iterator[Piece]:
        text = self._held + text
        if self._trim:
            text = text.lstrip()
            self._trim = not text
        if self._thinking:
            sure = len(text.rstrip())
            self._held = "" if last else text[sure:]
        else:
            end = self._end_of_answer(text)
            self.stopped = end is not None
            certain = len(text) if last else len(text) - _beginning_of_any(self._stop, text)
            sure = certain if end is None else end
            self._held = text[sure:]
        if sure:
            yield Piece(text[:sure], self._thinking)

    def _end_of_answer(self, text: str) -> int | None:
        """Where the stop string begins that is complete first."""
        found = [(text.index(stop) + len(stop), text.index(stop)) for stop in self._stop if stop in text]
        return min(found)[1] if found else None


class _Decoder:
    """Tokens to text, whole characters at a time."""

    def __init__(self, base: FrozenBase):
        self._base = base
        self._stream = DecodeStream(skip_special_tokens=False)
        self._ids: list[int] = []
        self._given = 0

    def push(self, token: int) -> str:
        self._ids.append(token)
        text = self._stream.step(self._base.tokenizer, token) or ""
        self._given += len(text)
        return text

    def rest(self) -> str:
        """Bytes that make no character, as the tokenizer shows them."""
        return self._base.decode(self._ids)[self._given :]


def _beginning_of_any(stop: Sequence[str], text: str) -> int:
    """Length of the longest end of `text` with which a stop string may begin."""
    longest = max(map(len, stop), default=1) - 1
    sizes = range(min(longest, len(text)), 0, -1)
    return next((size for size in sizes if any(s.startswith(text[-size:]) for s in stop)), 0)
