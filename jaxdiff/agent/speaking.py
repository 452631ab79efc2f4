"""Answers in text: chat, and thinking before it where the base can."""

from __future__ import annotations

import logging
from collections.abc import Generator, Sequence
from dataclasses import dataclass

import numpy as np

from jaxdiff.agent.chat_template import encode_chat, takes_thinking
from jaxdiff.agent.messages import Message
from jaxdiff.agent.text_pieces import Piece, TextPieces, whole
from jaxdiff.base.frozen import FrozenBase
from jaxdiff.base.generate import SLOTS, DecodingState, Rules, advance, prefill
from jaxdiff.base.sampling import GREEDY, Sampling
from jaxdiff.errors import InputError
from jaxdiff.schema.tools import Tool

MAX_SEED = 2**31
TURN_END = "<|im_end|>"
# Slots for so many new tokens are there from the beginning; longer answers get more as they grow.
FIRST_ROOM = 256
logger = logging.getLogger("jaxdiff")


@dataclass(frozen=True)
class SpeakingOptions:
    """How an answer is written.

    max_new_tokens: of thought and answer together. stop: strings before which the answer ends. thinking: asks a base
    that can for a thought first; thinking_budget: tokens after which the thought is ended, None for any number.
    seed: of the randomness at a temperature above 0. Raises InputError for a value that is impossible.
    """

    max_new_tokens: int = 256
    sampling: Sampling = GREEDY
    stop: Sequence[str] = ()
    thinking: bool = False
    thinking_budget: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "stop", (self.stop,) if isinstance(self.stop, str) else tuple(self.stop))
        for name, least in (("max_new_tokens", 1), ("thinking_budget", 0), ("seed", 0)):
            value = getattr(self, name)
            if name == "thinking_budget" and value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int) or not least <= value < MAX_SEED:
                raise InputError(f"{name}={value!r} must be an integer in [{least}, {MAX_SEED})")
        for text in self.stop:
            if not isinstance(text, str) or not text:
                raise InputError(f"stop={self.stop!r}: a stop string must be text, and not empty")


@dataclass(frozen=True)
class Speech:
    """An answer. thinking: the thought before it, None where there was none. tokens: number of tokens of both.

    finish: "stop" where the base or a stop string ended the answer, "length" where tokens or room ran out.
    """

    text: str
    thinking: str | None
    tokens: int
    finish: str


class Speaker:
    """Writes answers by a base. What has been read of the latest conversation is kept, so that only news are read.

    chunk: number of tokens that are written between two looks at them.
    """

    def __init__(self, base: FrozenBase, chunk: int = 8):
        self.base, self._chunk = base, chunk
        self._known: DecodingState | None = None
        opening, closing = base.tokenizer.token_to_id("<think>"), base.tokenizer.token_to_id("</think>")
        self._think: tuple[int, int] | None = None
        if opening is not None and closing is not None and takes_thinking(base):
            self._think = opening, closing
        # The plain template that stands in for a missing one ends turns in its own way.
        turn_end = base.special(TURN_END) if base.chat_template is None else []
        ends = [*base.config.eos_token_ids, *(turn_end if len(turn_end) == 1 else ())]
        self._ends = tuple(dict.fromkeys(ends))
        self._stop = (TURN_END,) if len(turn_end) > 1 else ()

    @property
    def thinks(self) -> bool:
        """The base has a mode of thinking: its chat template asks for it, and its vocabulary has both tags."""
        return self._think is not None

    def speak(
        self, messages: Sequence[Message], options: SpeakingOptions, tools: Sequence[Tool] | None = None
    ) -> Speech:
        """Answers the last message; see `stream`."""
        return whole(self.stream(messages, options, tools))

    def stream(
        self, messages: Sequence[Message], options: SpeakingOptions, tools: Sequence[Tool] | None = None
    ) -> Generator[Piece, None, Speech]:
        """Answers the last message piece by piece; the generator's value is the whole. It may be closed at any time.

        tools: shown to the base, where its template has a place for them. Warns in one line where a base without
        thinking is asked to think. Raises InputError for a prompt that leaves no room for an answer, and what
        `encode_chat` raises.
        """
        if options.thinking and not self.thinks:
            logger.warning("base %r has no thinking mode: it answers without", self.base.name)
        ids = encode_chat(self.base, messages, tools=tools, enable_thinking=options.thinking and self.thinks)
        limit = min(self.base.config.max_positions, SLOTS[-1])
        if len(ids) >= limit:
            raise InputError(f"the prompt has {len(ids)} tokens; base {self.base.name!r} reads at most {limit - 1}")
        return self._write(ids, options, min(options.max_new_tokens, limit - len(ids)))

    def _write(self, ids: list[int], options: SpeakingOptions, room: int) -> Generator[Piece, None, Speech]:
        thinking = self._inside_thought(ids)
        pieces = TextPieces(self.base, (*options.stop, *self._stop), self._think, thinking)
        rules = Rules(options.sampling, self._ends, self._think)
        # Whoever writes owns the state, for decoding uses it up; an interrupted one is not missed.
        known, self._known = self._known, None
        state = prefill(
            self.base, [ids], room=min(room, FIRST_ROOM), seed=options.seed, thinking=thinking,
            thinking_budget=options.thinking_budget, known=known,
        )  # fmt: skip
        written: list[Piece] = []
        tokens, finish = 0, "length"
        try:
            while finish == "length" and tokens < room:
                state = advance(self.base, state, rules, min(self._chunk, room - tokens))
                first = len(ids) + tokens
                for token in np.asarray(state.ids)[0, first : int(state.end)].tolist():
                    tokens += 1
                    found = pieces.finish() if token in self._ends else pieces.push(token)
                    for piece in found:
                        written.append(piece)
                        yield piece
                    if token in self._ends or pieces.stopped:
                        finish = "stop"
                        break
            if finish == "length":
                for piece in pieces.finish():
                    written.append(piece)
                    yield piece
        finally:
            if not state.end.is_deleted():
                self._known = state
        thought = "".join(piece.text for piece in written if piece.thinking)
        text = "".join(piece.text for piece in written if not piece.thinking)
        return Speech(text, thought or None, tokens, finish)

    def _inside_thought(self, ids: list[int]) -> bool:
        if self._think is None:
            return False
        tags = [token for token in ids if token in self._think]
        return bool(tags) and tags[-1] == self._think[0]
