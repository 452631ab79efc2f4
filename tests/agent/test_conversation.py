"""Conversations: history, results fed back, and nothing lost where an answer fails."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxdiff.agent.conversation import Conversation
from jaxdiff.agent.execution import execute_all
from jaxdiff.agent.messages import Message, parse_messages
from jaxdiff.agent.python_tools import collect_tools
from jaxdiff.agent.result import Result, ToolCall
from jaxdiff.agent.text_pieces import Piece
from jaxdiff.errors import InputError


class FakeAgent:
    """Answers by a script: text, calls, or an error. Keeps what it was asked."""

    def __init__(self, *script: Any):
        self.script, self.asked, self.options, self.closed = list(script), [], [], 0

    def __call__(self, messages: Any, **options: Any) -> Result:
        self.asked.append(parse_messages(messages))
        self.options.append(options)
        said = self.script.pop(0)
        if isinstance(said, BaseException):
            raise said
        calls = tuple(ToolCall(name, arguments, 1.0, {}) for name, arguments in said) if isinstance(said, list) else ()
        return Result("tool" if calls else "chat", None if calls else said, calls, {})

    def stream(self, messages: Any, **options: Any):
        try:
            result = self(messages, **options)
            yield Piece("hm", thinking=True)
            for word in (result.text or "").split(" "):
                if word == "BREAK":
                    raise KeyboardInterrupt
                if word == "FAIL":
                    raise InputError("too long")
                yield Piece(word)
            return result
        finally:
            self.closed += 1


def whole(pieces: Any) -> Result:
    while True:
        try:
            next(pieces)
        except StopIteration as end:
            return end.value


def say(conversation: Conversation, text: str, **options: Any) -> Result:
    return conversation.say(text, **options)


def stream(conversation: Conversation, text: str, **options: Any) -> Result:
    return whole(conversation.stream(text, **options))


both = pytest.mark.parametrize("ask", [say, stream])
Ask = Callable[..., Result]


def roles(conversation: Conversation) -> list[str]:
    return [message.role for message in conversation.messages]


@both
def test_history_goes_along(ask):
    agent = FakeAgent("Hello", "Six")
    conversation = Conversation(agent, system="Be kind.", mode="chat")
    assert ask(conversation, "Hi").text == "Hello"
    assert ask(conversation, "2 times 3?", mode="think").text == "Six"
    assert [message.content for message in agent.asked[1]] == ["Be kind.", "Hi", "Hello", "2 times 3?"]
    assert agent.options == [{"mode": "chat"}, {"mode": "think"}]
    assert roles(conversation) == ["system", "user", "assistant", "user", "assistant"]
    assert conversation.to_list()[-1] == {"role": "assistant", "content": "Six"}


@both
def test_calls_and_their_results(ask):
    def add(a: int, b: int) -> int:
        return a + b

    _, functions = collect_tools(add)
    agent = FakeAgent([("add", {"a": 1, "b": 2}), ("add", {"a": 3, "b": 4})], "3 and 7", [("add", {"a": 1, "b": 1})])
    conversation = Conversation(agent)
    result = ask(conversation, "sums")
    waiting = conversation.waiting
    assert [(call.id, call.name) for call in waiting] == [("call_0", "add"), ("call_1", "add")]
    assert [call.arguments for call in waiting] == [call.arguments for call in result.calls]
    assert json.loads(conversation.to_list()[-1]["tool_calls"][1]["function"]["arguments"]) == {"a": 3, "b": 4}

    made = execute_all(waiting, functions, [call.id for call in waiting])
    conversation.add_results(made[1:])
    assert conversation.waiting == waiting[:1]
    conversation.add_results(made[:1])
    assert conversation.waiting == ()
    assert conversation.answer().text == "3 and 7"
    assert [(message.tool_call_id, message.content) for message in agent.asked[1][2:]] == [
        ("call_1", "7"), ("call_0", "3"),
    ]  # fmt: skip
    ask(conversation, "once more")
    assert [call.id for call in conversation.waiting] == ["call_2"]


@both
@pytest.mark.parametrize("error", [InputError("too long"), RuntimeError("a bug"), KeyboardInterrupt()])
def test_an_answer_that_fails_changes_nothing(ask, error):
    conversation = Conversation(FakeAgent("Hello", error, "Six"))
    ask(conversation, "Hi")
    before = conversation.messages
    with pytest.raises(type(error)):
        ask(conversation, "2 times 3?")
    assert conversation.messages == before
    assert ask(conversation, "2 times 3?").text == "Six"


def test_an_answer_to_results_that_fails_keeps_the_results():
    conversation = Conversation(FakeAgent([("f", {})], InputError("no"), "Done"))
    conversation.say("go")
    conversation.add_results([{"role": "tool", "tool_call_id": "call_0", "content": "1"}])
    before = conversation.messages
    for answer in (conversation.answer, lambda: whole(conversation.stream_answer())):
        conversation.agent.script[:0] = [InputError("no")]
        with pytest.raises(InputError):
            answer()
        assert conversation.messages == before
    conversation.agent.script.pop(0)
    assert whole(conversation.stream_answer()).text == "Done"


def test_pieces_arrive_as_they_are_written():
    conversation = Conversation(FakeAgent("one two"))
    assert list(conversation.stream("Hi")) == [Piece("hm", thinking=True), Piece("one"), Piece("two")]


def test_what_was_written_before_a_stop_stays():
    agent = FakeAgent("one two three", "one BREAK", "BREAK", "one FAIL")
    conversation = Conversation(agent)
    pieces = conversation.stream("Hi")
    assert [next(pieces).text for _ in range(3)] == ["hm", "one", "two"]
    pieces.close()
    assert conversation.messages == (Message("user", "Hi"), Message("assistant", "onetwo"))
    assert agent.closed == 1
    with pytest.raises(KeyboardInterrupt):
        stream(conversation, "Again")
    assert conversation.messages[2:] == (Message("user", "Again"), Message("assistant", "one"))
    before = conversation.messages
    with pytest.raises(KeyboardInterrupt):
        stream(conversation, "Nothing was written")
    with pytest.raises(InputError, match="too long"):
        stream(conversation, "An error")
    assert conversation.messages == before and agent.closed == 4


@both
@pytest.mark.parametrize("text", ["", " \n", "\ud800"])
def test_texts_that_cannot_be_said(ask, text):
    agent = FakeAgent("Hello")
    conversation = Conversation(agent)
    with pytest.raises(InputError, match=r"messages\[0\]"):
        ask(conversation, text)
    assert conversation.messages == () and agent.asked == []


RESULT = {"role": "tool", "tool_call_id": "call_0", "content": "1"}


@pytest.mark.parametrize(
    ("results", "message"),
    [
        ([RESULT | {"tool_call_id": "call_9"}], "'call_9'"),
        ([RESULT, RESULT], "'call_0'"),
        ([RESULT, {"role": "user", "content": "no result"}], "'user'"),
    ],
)
def test_results_that_are_refused(results, message):
    conversation = Conversation(FakeAgent([("f", {})]))
    conversation.say("go")
    before = conversation.messages
    with pytest.raises(InputError, match=message):
        conversation.add_results(results)
    assert conversation.messages == before and len(conversation.waiting) == 1


def test_nothing_to_answer():
    conversation = Conversation(FakeAgent("Hello"))
    for answer in (conversation.answer, conversation.stream_answer):
        with pytest.raises(InputError, match="empty list"):
            answer()
    conversation.say("Hi")
    with pytest.raises(InputError, match="'assistant'"):
        conversation.answer()


def test_reset_keeps_the_system_text():
    conversation = Conversation(FakeAgent("Hello", "Hello"), system="Be kind.")
    conversation.say("Hi")
    conversation.reset()
    assert conversation.messages == (Message("system", "Be kind."),) and conversation.waiting == ()


TURNS = st.lists(st.sampled_from(["text", "calls", "fail"]), max_size=8)


@given(TURNS, st.booleans())
def test_the_history_can_always_be_read_back(turns, system):
    """Whatever happens, what is saved is a valid conversation with a fresh id for each call."""
    scripts = {"text": "word", "calls": [("f", {"x": 1}), ("g", {})], "fail": InputError("no")}
    conversation = Conversation(FakeAgent(*(scripts[turn] for turn in turns)), system="Be kind." if system else None)
    for turn in turns:
        if turn == "fail":
            with pytest.raises(InputError):
                conversation.say("go")
        else:
            conversation.say("go")
            conversation.add_results([RESULT | {"tool_call_id": call.id} for call in conversation.waiting[:1]])
    saved = json.loads(json.dumps(conversation.to_list()))
    assert parse_messages([*saved, {"role": "user", "content": "go"}])[:-1] == conversation.messages
    assert sum(message.role == "user" for message in conversation.messages) == len(turns) - turns.count("fail")
