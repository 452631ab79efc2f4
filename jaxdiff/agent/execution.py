"""Running the calls that an agent answers with, and what they returned, for Python and for the model."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from pydantic import ConfigDict, TypeAdapter, ValidationError

from jaxdiff.agent.python_tools import PythonTool
from jaxdiff.agent.result import Result
from jaxdiff.errors import InputError

ANYTHING: TypeAdapter[Any] = TypeAdapter(Any, config=ConfigDict(ser_json_bytes="base64", ser_json_inf_nan="strings"))


class Call(Protocol):
    """A tool's name and its arguments in JSON values, as `ToolCall` has them."""

    @property
    def name(self) -> str: ...
    @property
    def arguments(self) -> dict[str, Any]: ...


class Answering(Protocol):
    """What an agent does with a query or with messages."""

    def __call__(self, query: Any, /, **options: Any) -> Result: ...


@dataclass(frozen=True)
class ToolError:
    """Why a call returned nothing: the exception's type by name, its message, and the exception itself."""

    type: str
    message: str
    exception: Exception = field(repr=False, compare=False)

    def __str__(self) -> str:
        return f"{self.type}: {self.message}" if self.message else self.type


@dataclass(frozen=True)
class ToolResult:
    """What one call came to.

    arguments: JSON values as they were called. value: what the function returned, None beside an error. content: the
    value, or the error, as JSON text. call_id: joins it to its call in messages.
    """

    name: str
    arguments: dict[str, Any]
    value: Any
    error: ToolError | None
    content: str
    call_id: str = "call_0"

    def to_message(self) -> dict[str, Any]:
        """The OpenAI-style message that feeds it back."""
        return {"role": "tool", "tool_call_id": self.call_id, "name": self.name, "content": self.content}


@dataclass(frozen=True)
class RunResult:
    """An agent's answer, and the result of each of its calls in their order."""

    answer: Result
    results: tuple[ToolResult, ...]


def execute(call: Call, tools: Mapping[str, PythonTool], *, call_id: str = "call_0") -> ToolResult:
    """Makes one call. An `async` function runs to its end in an event loop of its own.

    What the function raises, and what pydantic says of its arguments, is the result's `error`. Raises InputError for a
    tool without a function, and for an `async` function where an event loop is running already.
    """
    if call.name not in tools:
        raise _no_function(call, tools)
    _check_can_wait([call], tools)
    return _blocking(call, tools[call.name], call_id)


async def aexecute(call: Call, tools: Mapping[str, PythonTool], *, call_id: str = "call_0") -> ToolResult:
    """Makes one call as `execute` does, in the running event loop; a function that is not `async` in a thread."""
    if call.name not in tools:
        raise _no_function(call, tools)
    tool = tools[call.name]
    if not tool.is_async:
        return await asyncio.to_thread(_blocking, call, tool, call_id)
    try:
        value = await tool.bind(call.arguments)()
    except Exception as error:
        return _failed(call, error, call_id)
    return _returned(call, value, call_id)


def execute_all(
    calls: Sequence[Call], tools: Mapping[str, PythonTool], call_ids: Sequence[str] | None = None
) -> tuple[ToolResult, ...]:
    """Makes calls in their order. A call of a tool without a function has its InputError for a result.

    call_ids: by default call_0, call_1, … Raises InputError, before any call, for an `async` function where an event
    loop is running.
    """
    _check_can_wait(calls, tools)
    return tuple(
        execute(call, tools, call_id=call_id)
        if call.name in tools
        else _failed(call, _no_function(call, tools), call_id)
        for call, call_id in _numbered(calls, call_ids)
    )


async def aexecute_all(
    calls: Sequence[Call], tools: Mapping[str, PythonTool], call_ids: Sequence[str] | None = None
) -> tuple[ToolResult, ...]:
    """Makes calls at the same time; the results are in the calls' order. See `execute_all`."""

    async def result(call: Call, call_id: str) -> ToolResult:
        if call.name not in tools:
            return _failed(call, _no_function(call, tools), call_id)
        return await aexecute(call, tools, call_id=call_id)

    return tuple(await asyncio.gather(*(result(call, call_id) for call, call_id in _numbered(calls, call_ids))))


def run(agent: Answering, query: Any, functions: Mapping[str, PythonTool], /, **options: Any) -> RunResult:
    """Answers a query and makes the calls of the answer. options: the agent's. Raises what the agent raises."""
    answer = agent(query, **options)
    return RunResult(answer, execute_all(answer.calls, functions))


async def arun(agent: Answering, query: Any, functions: Mapping[str, PythonTool], /, **options: Any) -> RunResult:
    """As `run`; the agent answers in a thread, and the calls are made at the same time."""
    answer = await asyncio.to_thread(agent, query, **options)
    return RunResult(answer, await aexecute_all(answer.calls, functions))


def json_text(value: Any) -> str:
    """A value as JSON text by pydantic's serializer; what pydantic does not know is written as its str().

    Bytes are base64, and numbers that JSON lacks are strings. Raises ValueError for what cannot be written.
    """
    return ANYTHING.dump_json(value, fallback=str).decode()


def _no_function(call: Call, tools: Mapping[str, PythonTool]) -> InputError:
    known = ", ".join(sorted(tools)) or "none"
    return InputError(f"tool {call.name!r} has no Python function to run (tools that have one: {known})")


def _check_can_wait(calls: Sequence[Call], tools: Mapping[str, PythonTool]) -> None:
    """No `async` function can be waited for where an event loop is running."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    for call in calls:
        if call.name in tools and tools[call.name].is_async:
            raise InputError(f"tool {call.name!r} is async and an event loop is running: await arun or aexecute")


def _blocking(call: Call, tool: PythonTool, call_id: str) -> ToolResult:
    try:
        value = tool.bind(call.arguments)()
        if inspect.isawaitable(value):
            value = asyncio.run(_awaited(value))
    except Exception as error:
        return _failed(call, error, call_id)
    return _returned(call, value, call_id)


async def _awaited(value: Awaitable[Any]) -> Any:
    return await value


def _returned(call: Call, value: Any, call_id: str) -> ToolResult:
    try:
        content = json_text(value)
    except Exception as error:
        return _failed(call, error, call_id, f"the returned value cannot be written as JSON: {error}", value)
    return ToolResult(call.name, call.arguments, value, None, content, call_id)


def _failed(call: Call, error: Exception, call_id: str, message: str | None = None, value: Any = None) -> ToolResult:
    if message is None:
        message = _validation_message(error) if isinstance(error, ValidationError) else str(error)
    found = ToolError(type(error).__name__, message, error)
    # Half a surrogate pair, which UTF-8 cannot hold, becomes a question mark.
    content = json_text({"error": {"type": found.type, "message": message.encode(errors="replace").decode()}})
    return ToolResult(call.name, call.arguments, value, found, content, call_id)


def _validation_message(error: ValidationError) -> str:
    """One line for all that is wrong, each with its place."""
    parts = ((".".join(map(str, problem["loc"])), problem["msg"]) for problem in error.errors(include_url=False))
    return "; ".join(f"{place}: {message}" if place else message for place, message in parts)


def _numbered(calls: Sequence[Call], call_ids: Sequence[str] | None) -> list[tuple[Call, str]]:
    ids = [f"call_{number}" for number in range(len(calls))] if call_ids is None else call_ids
    return list(zip(calls, ids, strict=True))
