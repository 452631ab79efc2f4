"""Tools from Python: typed, documented functions and pydantic model classes."""

from __future__ import annotations

import inspect
import json
import os
import sys
import traceback
import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, overload

from pydantic import TypeAdapter

from jaxdiff.agent.python_schema import check_signature, describe, first_line, is_model, label
from jaxdiff.errors import InputError
from jaxdiff.schema.tools import Tool, load_tools, parse_tools

Decorated = TypeVar("Decorated", bound=Callable[..., Any])
MARK = "__jaxdiff_tool__"


@dataclass(frozen=True)
class Naming:
    """What `tool` was told about a function; None is left to the function itself."""

    name: str | None = None
    description: str | None = None


@dataclass(frozen=True, eq=False)
class PythonTool:
    """A function, or pydantic model class, that can be called with JSON arguments.

    parameters: JSON Schema of the arguments. adapter: see `jaxdiff.agent.python_schema.Description`.
    """

    name: str
    description: str
    parameters: dict[str, Any]
    function: Callable[..., Any]
    adapter: TypeAdapter[Any]

    def bind(self, arguments: Mapping[str, Any]) -> Callable[[], Any]:
        """The call, ready to be made, its JSON arguments turned into the function's types.

        Raises pydantic's ValidationError.
        """
        validated = self.adapter.validate_json(json.dumps(dict(arguments)))
        if is_model(self.function):
            return lambda: validated
        return lambda: self.function(**validated)

    @property
    def is_async(self) -> bool:
        """Whether calling it gives a coroutine."""
        return inspect.iscoroutinefunction(self.function)


@overload
def tool(function: Decorated, /, *, name: str | None = None, description: str | None = None) -> Decorated: ...
@overload
def tool(*, name: str | None = None, description: str | None = None) -> Callable[[Decorated], Decorated]: ...
def tool(function: Any = None, /, *, name: str | None = None, description: str | None = None) -> Any:
    """Marks a typed function, or a pydantic model class, as a tool and returns it as it was.

    Its parameters are described by their types, by the docstring (Google, NumPy or Sphinx style) and by
    `Annotated[..., Field(description=...)]`. name and description stand instead of the function's own. Raises
    InputError for a parameter without a type, positional-only parameters, *args and **kwargs.
    """

    def mark(decorated: Any) -> Any:
        if not is_model(decorated):
            check_signature(decorated, unbound=True)
        try:
            setattr(decorated, MARK, Naming(name, description))
        except AttributeError as error:
            raise InputError(f"{label(decorated)} cannot be marked here; mark it where it is defined") from error
        return decorated

    return mark if function is None else mark(function)


def python_tool(function: Callable[..., Any]) -> PythonTool:
    """The tool that a function or a pydantic model class is, marked by `tool` or not.

    Raises InputError for what cannot be described (see `tool`).
    """
    is_function = callable(function) and not isinstance(function, type) and hasattr(function, "__name__")
    if not is_function and not is_model(function):
        raise InputError(f"{label(function)} is neither a function nor a pydantic model class")
    given = _naming(function) or Naming()
    found = describe(function)
    return PythonTool(
        name=function.__name__ if given.name is None else given.name,
        description=found.text if given.description is None else given.description,
        parameters=found.parameters,
        function=function,
        adapter=found.adapter,
    )


def collect_tools(tools: Any, where: str = "tools") -> tuple[tuple[Tool, ...], dict[str, PythonTool]]:
    """All tools in what a user gives, and by name those that Python can call.

    tools: the path of a JSON file, or of a Python file with functions marked by `tool`; or one tool, or an iterable of
    tools: OpenAI-style dicts, functions, pydantic model classes, `Tool` and `PythonTool`, in any mixture.
    Raises InputError, SchemaError and UnsupportedSchema: see `parse_tools` and `tool`.
    """
    if isinstance(tools, str | os.PathLike):
        path = Path(tools)
        if path.suffix != ".py":
            return load_tools(path), {}
        tools, where = load_functions(path), str(path)
    elif isinstance(tools, Mapping | Tool | PythonTool) or callable(tools):
        tools = [tools]
    elif not isinstance(tools, Iterable):
        raise InputError(f"{where} must be a path, a tool or a list of tools, not {type(tools).__name__}")
    definitions: list[Any] = []
    functions: dict[str, PythonTool] = {}
    for entry in tools:
        found = python_tool(entry) if callable(entry) else entry
        if isinstance(found, PythonTool):
            functions[found.name] = found
        if isinstance(found, PythonTool | Tool):
            found = {"name": found.name, "description": found.description, "parameters": found.parameters}
        definitions.append(found)
    return parse_tools(definitions, where), functions


def load_functions(path: Path) -> list[Callable[..., Any]]:
    """Runs a Python file and returns what `tool` marked in it, in order. What stands beside it can be imported.

    Raises InputError where it cannot be run or marks nothing.
    """
    try:
        source = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read tool file {str(path)!r}: {error.strerror or error}") from error
    module = types.ModuleType(f"{path.stem} (tools)")
    module.__file__ = str(path)
    # Dataclasses and pydantic look up a module by its name.
    sys.modules[module.__name__] = module
    if (folder := str(path.resolve().parent)) not in sys.path:
        sys.path.append(folder)
    try:
        exec(compile(source, str(path), "exec"), vars(module))
    except Exception as error:
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
        place = f" in line {lines[-1]}" if lines else ""
        message = f"{type(error).__name__}: {first_line(error)}"
        raise InputError(f"tool file {str(path)!r} fails{place}: {message}") from error
    found = {id(entry): entry for entry in vars(module).values() if callable(entry) and _naming(entry)}
    if not found:
        raise InputError(f"tool file {str(path)!r} marks no function by @jaxdiff.tool")
    return list(found.values())


def _naming(function: Any) -> Naming | None:
    # A class has its own mark, not its parent's; a bound method has its function's.
    found = vars(function).get(MARK) if isinstance(function, type) else getattr(function, MARK, None)
    return found if isinstance(found, Naming) else None
