"""Reading tool lists: function definitions as OpenAI, MCP and Anthropic write them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jaxdiff.errors import InputError, SchemaError
from jaxdiff.schema.fields import Field
from jaxdiff.schema.json_files import read_json
from jaxdiff.schema.leaves import fields_of
from jaxdiff.schema.normal.dialects import as_json_schema, dialect_of

# What the JSON Schema of the arguments is called: by OpenAI, by the Model Context Protocol, by Anthropic.
_PARAMETER_KEYS = ("parameters", "inputSchema", "input_schema")


@dataclass(frozen=True)
class Tool:
    """One function that can be called.

    parameters: its JSON Schema ({} where none is given); other dialects are rewritten as such.
    fields: the properties in schema order.
    """

    name: str
    description: str
    parameters: dict[str, Any] = field(hash=False)
    fields: tuple[Field, ...]


def parse_tools(data: Any, where: str = "tools") -> tuple[Tool, ...]:
    """Tools from parsed JSON: a list of {"type": "function", "function": {...}} or of the bare inner objects.

    The arguments' schema is `parameters`, or `inputSchema` as in a list of the Model Context Protocol, or
    `input_schema`.

    Raises InputError for a wrong layout, SchemaError and UnsupportedSchema for parameters that cannot be used.
    """
    if not isinstance(data, list):
        raise InputError(f"{where} must be a JSON list of function definitions, not {type(data).__name__}")
    if not data:
        raise InputError(f"{where} is an empty list; at least one tool is needed")
    tools: list[Tool] = []
    index_of: dict[str, int] = {}
    for index, entry in enumerate(data):
        tool = _parse_tool(entry, f"{where}[{index}]")
        if tool.name in index_of:
            raise InputError(f"{where}[{index}] and {where}[{index_of[tool.name]}] have the same name {tool.name!r}")
        index_of[tool.name] = index
        tools.append(tool)
    return tuple(tools)


def load_tools(path: str | Path) -> tuple[Tool, ...]:
    """Tools from a JSON file. Raises InputError for a file that cannot be read, and what `parse_tools` raises."""
    return parse_tools(read_json(path, "tool file"), str(path))


def _parse_tool(entry: Any, where: str) -> Tool:
    if not isinstance(entry, dict):
        raise InputError(f"{where} must be an object, not {type(entry).__name__}")
    kind = entry.get("type", "function")
    if "function" in entry:
        if kind != "function":
            raise InputError(f"{where} has type {kind!r}; only 'function' is known")
        entry = entry["function"]
        if not isinstance(entry, dict):
            raise InputError(f"{where}.function must be an object, not {type(entry).__name__}")
    name = entry.get("name")
    if not isinstance(name, str) or not name.strip():
        raise InputError(f"{where} has no name")
    description = entry.get("description")
    if not isinstance(description, str | None):
        raise InputError(f"{where} {name!r}: description must be a string, not {type(description).__name__}")
    given = [key for key in _PARAMETER_KEYS if key in entry]
    if len(given) > 1:
        raise InputError(f"{where} {name!r} has both {given[0]} and {given[1]}")
    parameters = entry[given[0]] if given else None
    named = f"parameters of {where} {name!r}"
    try:
        parameters, _ = as_json_schema(parameters, dialect_of(parameters))
    except RecursionError as error:
        raise SchemaError(f"{named} is nested too deeply to be read") from error
    fields = fields_of(parameters, named)
    return Tool(name, description or "", parameters or {}, fields)
