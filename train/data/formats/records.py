"""The native record that every published layout is turned into, and the parts that several layouts share."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from jaxdiff.schema.loose_types import parameters_schema
from jaxdiff.schema.loose_values import fit_arguments

Record = Mapping[str, Any]
Native = dict[str, Any]

_JSON_NAMES = {"true": True, "false": False, "null": None}
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9_.-]+")


class UnreadableRecord(ValueError):
    """A published record that is not what its layout promises."""


def native(
    source: str, name: Any, specs: Any, messages: Sequence[Mapping[str, str]], calls: Iterable[Record]
) -> Native:
    """The native record of one published one.

    name: what tells it from others of its source. specs: function definitions, wrapped in {"type", "function"} or bare,
    with loose types or JSON Schema. calls: {"name", "arguments"}; a value is written in its property's type where that
    loses nothing. Function names are reduced to letters, digits, "_", "." and "-". Raises UnreadableRecord.
    """
    if not isinstance(specs, list):
        raise UnreadableRecord(f"tools are {type(specs).__name__}, not a list")
    functions = [_function(entry) for entry in specs]
    parameters = {function["name"]: function["parameters"] for function in functions}
    if len(parameters) < len(functions):
        raise UnreadableRecord("two tools have one name")
    return {
        "id": f"{source}-{name}",
        "source": source,
        "tools": [{"type": "function", "function": function} for function in functions],
        "messages": list(messages),
        "calls": [_call(call, parameters) for call in calls],
    }


def read_literal(text: str) -> Any:
    """The value of JSON, of a Python literal, or of a mixture ({'on': true}). Raises UnreadableRecord."""
    try:
        return json.loads(text, strict=False)
    except ValueError:
        pass
    try:
        return _value(ast.parse(text.strip(), mode="eval").body)
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        raise UnreadableRecord(f"neither JSON nor a Python literal: {text[:60]!r}") from error


def read_structure(value: Any) -> Any:
    """What JSON inside a string holds; anything but a string as it is."""
    return read_literal(value) if isinstance(value, str) else value


def clean_name(name: Any) -> str:
    """A function's name without what names cannot hold. Raises UnreadableRecord where nothing is left."""
    cleaned = _NOT_IN_NAMES.sub("_", str(name)).strip("_") if isinstance(name, str) else ""
    if not cleaned:
        raise UnreadableRecord(f"a function is called {name!r}")
    return cleaned


def message(role: str, content: Any) -> dict[str, str]:
    """One message. Raises UnreadableRecord for content that is no text."""
    if not isinstance(content, str):
        raise UnreadableRecord(f"a message of {role} is {type(content).__name__}, not text")
    return {"role": role, "content": content}


def _function(entry: Any) -> dict[str, Any]:
    spec = read_structure(entry)
    if isinstance(spec, Mapping) and isinstance(spec.get("function"), Mapping):
        spec = spec["function"]
    if not isinstance(spec, Mapping):
        raise UnreadableRecord(f"a tool is {type(spec).__name__}, not an object")
    description = spec.get("description")
    return {
        "name": clean_name(spec.get("name")),
        "description": description if isinstance(description, str) else "",
        "parameters": parameters_schema(spec.get("parameters")),
    }


def _call(call: Any, parameters: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    if not isinstance(call, Mapping):
        raise UnreadableRecord(f"a call is {type(call).__name__}, not an object")
    name, arguments = clean_name(call.get("name")), read_structure(call.get("arguments") or {})
    if not isinstance(arguments, Mapping):
        raise UnreadableRecord(f"the arguments of {name} are {type(arguments).__name__}, not an object")
    return {"name": name, "arguments": fit_arguments(arguments, parameters.get(name, {}))}


def _value(node: ast.expr) -> Any:
    match node:
        case ast.Name(id=name) if name in _JSON_NAMES:
            return _JSON_NAMES[name]
        case ast.List(elts=items) | ast.Tuple(elts=items) | ast.Set(elts=items):
            return [_value(item) for item in items]
        case ast.Dict(keys=keys, values=values):
            return {_key(key): _value(value) for key, value in zip(keys, values, strict=True)}
        case ast.Constant(value=None | bool() | int() | float() | str() as value):
            return value
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as number)):
            return -number
    raise ValueError("not a literal")


def _key(node: ast.expr | None) -> str:
    key = None if node is None else _value(node)
    if not isinstance(key, str):
        raise ValueError("a key is no text")
    return key
