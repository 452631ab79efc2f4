"""Calls that are made: values, errors, threads and event loops, and what the model reads of them."""

import asyncio
import datetime
import enum
import json
import threading
import time
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from jaxdiff.agent.execution import aexecute, aexecute_all, arun, execute, execute_all, json_text, run
from jaxdiff.agent.messages import parse_messages
from jaxdiff.agent.python_tools import collect_tools
from jaxdiff.agent.result import Result, ToolCall
from jaxdiff.errors import FillError, InputError


class Seating(enum.Enum):
    INSIDE = "inside"
    TERRACE = "terrace"


class Booking(BaseModel):
    """Book a table."""

    restaurant: str
    people: int = Field(ge=1)


class TooLate(Exception):
    pass


received: list[Any] = []


def book(day: datetime.date, seating: Seating = Seating.INSIDE) -> dict[str, Any]:
    received.append((day, seating))
    return {"day": day, "seat": seating, "free": 2}


async def wait(seconds: float) -> str:
    await asyncio.sleep(seconds)
    return f"waited in {threading.current_thread().name}"


def sleep(seconds: float) -> str:
    time.sleep(seconds)
    return threading.current_thread().name


def fail(kind: str) -> None:
    errors: dict[str, BaseException] = {
        "late": TooLate("at 22:00"),
        "empty": ValueError(),
        "input": InputError("inner"),
        "half": ValueError("\ud800"),
        "stop": StopIteration(1),
        "quit": SystemExit(3),
        "interrupt": KeyboardInterrupt(),
    }
    raise errors[kind]


async def fail_later(kind: str) -> None:
    await asyncio.sleep(0)
    fail(kind)


def hand_back(kind: str) -> Any:
    circle: list[Any] = []
    circle.append(circle)
    return {"circle": circle, "half": "\ud800", "object": NotJson(), "none": None, "bytes": b"\xff"}[kind]


def later(x: int) -> Any:
    async def answer() -> int:
        return x

    return answer()


class NotJson:
    def __str__(self) -> str:
        return "not JSON"


TOOLS, FUNCTIONS = collect_tools([book, wait, sleep, fail, fail_later, hand_back, later, Booking, {"name": "bare"}])


def call(name: str, **arguments: Any) -> ToolCall:
    return ToolCall(name, arguments, 1.0, {})


def synchronous(made: ToolCall, **options: Any):
    return execute(made, FUNCTIONS, **options)


def asynchronous(made: ToolCall, **options: Any):
    return asyncio.run(aexecute(made, FUNCTIONS, **options))


both = pytest.mark.parametrize("execution", [synchronous, asynchronous])


@both
def test_arguments_arrive_typed_and_values_come_back(execution):
    received.clear()
    made = execution(call("book", day="2024-05-03", seating="terrace"), call_id="call_7")
    day = datetime.date(2024, 5, 3)
    assert received == [(day, Seating.TERRACE)]
    assert made.value == {"day": day, "seat": Seating.TERRACE, "free": 2} and made.error is None
    assert (made.name, made.arguments) == ("book", {"day": "2024-05-03", "seating": "terrace"})
    message = made.to_message()
    assert json.loads(message.pop("content")) == {"day": "2024-05-03", "seat": "terrace", "free": 2}
    assert message == {"role": "tool", "tool_call_id": "call_7", "name": "book"}


@both
def test_a_model_class_becomes_an_instance(execution):
    made = execution(call("Booking", restaurant="Nonna", people=2))
    assert made.value == Booking(restaurant="Nonna", people=2)
    assert json.loads(made.content) == {"restaurant": "Nonna", "people": 2}


@both
def test_async_functions_run(execution):
    assert execution(call("wait", seconds=0)).value == "waited in MainThread"
    assert execution(call("later", x=5)).value == 5


@both
@pytest.mark.parametrize("name", ["fail", "fail_later"])
@pytest.mark.parametrize(
    ("kind", "type_name", "message"),
    [("late", "TooLate", "at 22:00"), ("empty", "ValueError", ""), ("input", "InputError", "inner")],
)
def test_what_a_tool_raises_is_a_result(execution, name, kind, type_name, message):
    made = execution(call(name, kind=kind))
    assert made.value is None
    assert (made.error.type, made.error.message) == (type_name, message)
    assert type(made.error.exception).__name__ == type_name and made.error.exception.__traceback__ is not None
    assert str(made.error) == (f"{type_name}: {message}" if message else type_name)
    assert json.loads(made.content) == {"error": {"type": type_name, "message": message}}


@both
def test_a_stop_iteration_is_no_end(execution):
    assert execution(call("fail", kind="stop")).error.type == "StopIteration"


@both
@pytest.mark.parametrize(("kind", "raised"), [("quit", SystemExit), ("interrupt", KeyboardInterrupt)])
def test_leaving_the_program_passes(execution, kind, raised):
    with pytest.raises(raised):
        execution(call("fail", kind=kind))


@both
def test_arguments_that_do_not_fit_are_a_result_and_nothing_is_called(execution):
    received.clear()
    made = execution(call("book", day="yesterday", seating="roof"))
    assert received == [] and made.error.type == "ValidationError"
    assert "day: " in made.error.message and "; seating: " in made.error.message and "\n" not in made.error.message


@both
@pytest.mark.parametrize(
    ("kind", "content"), [("object", '"not JSON"'), ("none", "null"), ("bytes", '"_w=="')]
)  # fmt: skip
def test_values_that_json_lacks(execution, kind, content):
    assert execution(call("hand_back", kind=kind)).content == content


@both
@pytest.mark.parametrize("kind", ["circle", "half"])
def test_a_value_that_cannot_be_written_is_kept_beside_the_error(execution, kind):
    made = execution(call("hand_back", kind=kind))
    assert made.value is not None and "cannot be written as JSON" in made.error.message
    assert json.loads(made.content)["error"]["type"] == made.error.type


def test_an_error_message_that_is_no_text():
    made = execute(call("fail", kind="half"), FUNCTIONS)
    assert made.error.message == "\ud800" and json.loads(made.content)["error"]["message"] == "?"


@both
def test_a_tool_without_a_function(execution):
    with pytest.raises(InputError, match=r"'bare' has no Python function.*book, fail"):
        execution(call("bare"))


def test_an_async_function_in_a_running_loop():
    async def inside() -> None:
        received.clear()
        with pytest.raises(InputError, match="'wait' is async"):
            execute_all([call("book", day="2024-05-03"), call("wait", seconds=0)], FUNCTIONS)
        assert received == [] and execute(call("book", day="2024-05-03"), FUNCTIONS).error is None

    asyncio.run(inside())


def test_all_calls_in_their_order():
    calls = [call("sleep", seconds=0), call("fail", kind="late"), call("bare"), call("wait", seconds=0)]
    for made in (execute_all(calls, FUNCTIONS), asyncio.run(aexecute_all(calls, FUNCTIONS))):
        assert [result.name for result in made] == ["sleep", "fail", "bare", "wait"]
        assert [result.call_id for result in made] == ["call_0", "call_1", "call_2", "call_3"]
        assert [result.error and result.error.type for result in made] == [None, "TooLate", "InputError", None]
    assert [result.call_id for result in execute_all(calls[:2], FUNCTIONS, ["a", "b"])] == ["a", "b"]


def test_calls_are_made_at_the_same_time():
    """Each waits until all are there; one after another they never would be."""
    meeting = threading.Barrier(3, timeout=20)

    def meet(x: int) -> int:
        meeting.wait()
        return x

    async def meet_later(x: int) -> int:
        await asyncio.to_thread(meeting.wait)
        return x

    _, functions = collect_tools([meet, meet_later])
    calls = [call("meet", x=1), call("meet_later", x=2), call("meet", x=3)]
    made = asyncio.run(aexecute_all(calls, functions))
    assert [result.value for result in made] == [1, 2, 3]


class FakeAgent:
    """Answers as it was told."""

    def __init__(self, *calls: ToolCall, error: Exception | None = None):
        self.calls, self.error, self.asked = calls, error, []

    def __call__(self, query: Any, **options: Any) -> Result:
        self.asked.append((query, options))
        if self.error:
            raise self.error
        return Result("tool" if self.calls else "chat", None if self.calls else "Hello", self.calls, {})


def run_in_loop(*arguments: Any, **options: Any):
    return asyncio.run(arun(*arguments, **options))


@pytest.mark.parametrize("running", [run, run_in_loop])
def test_an_answer_is_carried_out(running):
    agent = FakeAgent(call("book", day="2024-05-03"), call("bare"), call("wait", seconds=0))
    made = running(agent, "a table", FUNCTIONS, steps=2)
    assert agent.asked == [("a table", {"steps": 2})]
    assert made.answer.calls == agent.calls
    assert [result.error and result.error.type for result in made.results] == [None, "InputError", None]
    assert running(FakeAgent(), "hello", FUNCTIONS).results == ()
    with pytest.raises(FillError):
        running(FakeAgent(error=FillError("day", "", "missing")), "a table", FUNCTIONS)


TEXT = st.text(st.characters(codec="utf-8"))
NUMBERS = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


@given(JSON)
def test_json_values_are_written_as_they_are(value):
    assert json.loads(json_text(value)) == value


OTHERS = st.floats() | st.dates() | st.binary() | st.sampled_from(Seating)


@given(st.recursive(OTHERS, st.lists, max_leaves=5))
@example([float("nan"), -float("inf")])
def test_other_values_are_still_json(value):
    constants: list[str] = []
    json.loads(json_text(value), parse_constant=constants.append)
    assert constants == []


def test_messages_of_results_can_be_read_back():
    made = execute_all([call("book", day="2024-05-03"), call("fail", kind="late")], FUNCTIONS)
    calls = [
        {"id": result.call_id, "function": {"name": result.name, "arguments": result.arguments}} for result in made
    ]
    history = [{"role": "user", "content": "a table"}, {"role": "assistant", "tool_calls": calls}]
    read = parse_messages(history + [result.to_message() for result in made])
    assert [message.tool_call_id for message in read[2:]] == ["call_0", "call_1"]
