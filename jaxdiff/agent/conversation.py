"""A conversation with an agent: its messages, with calls and their results fed back."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping, Sequence
from typing import Any, Protocol

from jaxdiff.agent.execution import ToolResult
from jaxdiff.agent.messages import Message, RequestedCall, parse_messages
from jaxdiff.agent.result import Result
from jaxdiff.agent.text_pieces import Piece
from jaxdiff.errors import InputError


class Speaking(Protocol):
    """What a conversation needs of an agent."""

    def __call__(self, messages: Any, /, **options: Any) -> Result: ...

    def stream(self, messages: Any, /, **options: Any) -> Generator[Piece, None, Result]:
        """Answers piece by piece; the generator's value is the whole answer. Calls come as a whole: no pieces."""
        ...


class Conversation:
    """Messages to and from an agent. An answer that fails leaves them as they were.

    system: text that stands before all. options: the agent's, for every answer; each method takes others for its own.
    """

    def __init__(self, agent: Speaking, system: str | None = None, **options: Any):
        self.agent, self.options = agent, options
        self._system = () if system is None else (Message("system", system),)
        self._messages: tuple[Message, ...] = self._system

    @property
    def messages(self) -> tuple[Message, ...]:
        """All messages so far."""
        return self._messages

    @property
    def waiting(self) -> tuple[RequestedCall, ...]:
        """Calls of the latest answer that have no result yet."""
        answered = {message.tool_call_id for message in self._messages if message.role == "tool"}
        spoken = [message for message in self._messages if message.role != "tool"]
        latest = spoken[-1].tool_calls if spoken else ()
        return tuple(call for call in latest if call.id not in answered)

    def say(self, text: str, **options: Any) -> Result:
        """Adds what the user says and the agent's answer. Raises what the agent raises, and InputError for no text."""
        return self._answer(self._with([Message("user", text)]), options)

    def stream(self, text: str, **options: Any) -> Generator[Piece, None, Result]:
        """As `say`, piece by piece; the generator's value is the answer.

        Where the generator is closed early, or interrupted, the text that it has written stays as the answer.
        """
        return self._stream(self._with([Message("user", text)]), options)

    def add_results(self, results: Iterable[ToolResult | Message | Mapping[str, Any]]) -> None:
        """Adds results of calls, as they come from `execute` or as messages of a tool; `answer` goes on from them.

        Raises InputError, adding none, for a result that no call waits for.
        """
        found = [result.to_message() if isinstance(result, ToolResult) else result for result in results]
        if not found:
            return
        messages = self._with(found)
        for index, message in enumerate(messages[len(self._messages) :], len(self._messages)):
            if message.role != "tool":
                raise InputError(f"messages[{index}]: a result of a call is from 'tool', not {message.role!r}")
        self._messages = messages

    def answer(self, **options: Any) -> Result:
        """Adds the agent's answer to the messages that are there. Raises InputError where none of them needs one."""
        return self._answer(self._with([]), options)

    def stream_answer(self, **options: Any) -> Generator[Piece, None, Result]:
        """As `answer`, piece by piece; see `stream`."""
        return self._stream(self._with([]), options)

    def reset(self) -> None:
        """Forgets all messages but the system's."""
        self._messages = self._system

    def to_list(self) -> list[dict[str, Any]]:
        """The messages as plain JSON in the layout of the OpenAI chat API."""
        return [message.to_dict() for message in self._messages]

    def _with(self, more: Sequence[Message | Mapping[str, Any]]) -> tuple[Message, ...]:
        return parse_messages([*self._messages, *more])

    def _answer(self, asked: tuple[Message, ...], options: dict[str, Any]) -> Result:
        result = self.agent(asked, **self.options | options)
        self._messages = (*asked, self._message(result))
        return result

    def _stream(self, asked: tuple[Message, ...], options: dict[str, Any]) -> Generator[Piece, None, Result]:
        written = ""
        pieces = self.agent.stream(asked, **self.options | options)
        try:
            while True:
                try:
                    piece = next(pieces)
                except StopIteration as end:
                    self._messages = (*asked, self._message(end.value))
                    return end.value
                written += "" if piece.thinking else piece.text
                yield piece
        except (GeneratorExit, KeyboardInterrupt):
            if written:
                self._messages = (*asked, Message("assistant", written))
            raise
        finally:
            pieces.close()

    def _message(self, result: Result) -> Message:
        """The answer as a message; its calls get ids that no call before had."""
        first = sum(len(message.tool_calls) for message in self._messages)
        calls = tuple(
            RequestedCall(f"call_{first + number}", call.name, call.arguments)
            for number, call in enumerate(result.calls)
        )
        return Message("assistant", result.text if calls else result.text or "", calls)
