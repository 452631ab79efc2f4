"""JSON Schema of a Python function's arguments or of a pydantic model, with the docstring's descriptions."""

from __future__ import annotations

import inspect
import json
import re
import typing
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import docstring_parser
from pydantic import BaseModel, PydanticUserError, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

from jaxdiff.errors import InputError

VARIADIC = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
NULL = {"type": "null"}


@dataclass(frozen=True, eq=False)
class Description:
    """What signature and docstring say.

    text: the docstring without its sections. parameters: JSON Schema of the arguments. adapter: validates their JSON
    into a dict of keyword arguments, defaults included, or for a model class into an instance.
    """

    text: str
    parameters: dict[str, Any]
    adapter: TypeAdapter[Any]


def describe(function: Any) -> Description:
    """Describes a function by its typed parameters, a pydantic model class by its fields.

    The schema is as pydantic writes it, only flatter where that loses nothing: without made-up titles; enumerations
    stand where they are referred to; decimals are numbers; an optional parameter that is None when it is left out has
    no null. Raises InputError for a signature that cannot be described.
    """
    adapter: TypeAdapter[Any] = TypeAdapter(function) if is_model(function) else _arguments_adapter(function)
    try:
        parameters = _simplified(adapter.json_schema(schema_generator=_FlatSchema))
    except PydanticUserError as error:
        raise InputError(f"{label(function)} cannot be described: {first_line(error)}") from error
    text, described = _documentation(function)
    for name, entry in parameters.get("properties", {}).items():
        if name in described:
            entry.setdefault("description", described[name])
    return Description(text, parameters, adapter)


def is_model(function: Any) -> bool:
    """Whether it is a pydantic model class."""
    return isinstance(function, type) and issubclass(function, BaseModel)


def label(function: Any) -> str:
    """How error messages name a function."""
    name = getattr(function, "__qualname__", None)
    return f"tool {repr(function) if name is None else repr(name.rpartition('<locals>.')[2])}"


def first_line(error: BaseException) -> str:
    """The first line of an error's message; empty where it has none."""
    return next(iter(str(error).splitlines()), "")


def check_signature(function: Callable[..., Any], *, unbound: bool = False) -> inspect.Signature:
    """The signature of a function whose parameters all have a name and a type.

    unbound: the first parameter of a function in a class body is not looked at. Raises InputError.
    """
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError) as error:
        raise InputError(f"{label(function)} has no signature that can be read") from error
    outer = getattr(function, "__qualname__", "").rpartition(".")[0]
    skipped = int(unbound and outer != "" and not outer.endswith("<locals>"))
    for name, parameter in list(signature.parameters.items())[skipped:]:
        if parameter.kind in VARIADIC:
            stars = VARIADIC[parameter.kind]
            raise InputError(f"{label(function)}: parameter {stars + name!r} stands for any number of arguments")
        if parameter.kind is inspect.Parameter.POSITIONAL_ONLY:
            raise InputError(f"{label(function)}: parameter {name!r} is positional-only; tools are called by names")
        if parameter.annotation is inspect.Parameter.empty:
            raise InputError(f"{label(function)}: parameter {name!r} has no type annotation")
    return signature


def _arguments_adapter(function: Callable[..., Any]) -> TypeAdapter[Any]:
    signature = check_signature(function)
    try:
        hints = typing.get_type_hints(function, include_extras=True)
    except (NameError, TypeError, SyntaxError, AttributeError) as error:
        raise InputError(f"{label(function)}: its type annotations cannot be read: {first_line(error)}") from error

    def collect(**arguments: Any) -> dict[str, Any]:
        return arguments

    # Pydantic validates the arguments of a function and then calls it; this one only hands them back.
    parameters = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=hints.get(name, parameter.annotation))
        for name, parameter in signature.parameters.items()
    ]
    collect.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    collect.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    try:
        return TypeAdapter(collect)  # type: ignore[arg-type]
    except PydanticUserError as error:
        guilty = next((parameter.name for parameter in parameters if not _is_known(parameter.annotation)), None)
        place = "" if guilty is None else f": parameter {guilty!r}"
        raise InputError(f"{label(function)}{place} has an unusable type: {first_line(error)}") from error


def _is_known(annotation: Any) -> bool:
    try:
        TypeAdapter(annotation)
    except PydanticUserError:
        return False
    return True


class _FlatSchema(GenerateJsonSchema):
    """JSON Schema without made-up titles, and with decimals as JSON numbers only."""

    # A default that JSON cannot hold is left out: the function itself applies it.
    ignored_warning_kinds = {"skipped-choice", "non-serializable-default"}  # noqa: RUF012

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def decimal_schema(self, schema: Any) -> JsonSchemaValue:
        number_or_text = super().decimal_schema(schema)
        return number_or_text["anyOf"][0]

    def encode_default(self, dft: Any) -> Any:
        return float(dft) if isinstance(dft, Decimal) else super().encode_default(dft)

    def default_schema(self, schema: Any) -> JsonSchemaValue:
        found = super().default_schema(schema)
        try:
            json.dumps(found.get("default"), allow_nan=False)
        except ValueError:
            del found["default"]
        return found


def _simplified(schema: dict[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = _inlined(schema, schema.get("$defs", {}))
    flat = {key: value for key, value in flat.items() if key not in ("title", "description")}
    if "properties" in flat:
        flat["properties"] = {name: _without_null(entry) for name, entry in flat["properties"].items()}
    if not _refers(flat.get("properties")):
        flat.pop("$defs", None)
    return flat


def _inlined(node: Any, definitions: dict[str, Any]) -> Any:
    """`node` with the definitions in it that hold neither an object nor a reference."""
    if isinstance(node, list):
        return [_inlined(entry, definitions) for entry in node]
    if not isinstance(node, dict):
        return node
    found = {key: _inlined(value, definitions) for key, value in node.items()}
    reference = node.get("$ref")
    if isinstance(reference, str):
        target = definitions.get(reference.removeprefix("#/$defs/"))
        if target is not None and target.get("type") != "object" and not _refers(target):
            own = {key: value for key, value in found.items() if key != "$ref"}
            return {key: value for key, value in target.items() if key != "title"} | own
    return found


def _without_null(entry: dict[str, Any]) -> dict[str, Any]:
    """An optional property without null, where leaving it out says null."""
    choices = entry.get("anyOf", [])
    if "default" not in entry or entry["default"] is not None or NULL not in choices:
        return entry
    others = [choice for choice in choices if choice != NULL]
    own = {key: value for key, value in entry.items() if key not in ("anyOf", "default")}
    return (others[0] if len(others) == 1 else {"anyOf": others}) | own


def _refers(node: Any) -> bool:
    if isinstance(node, dict):
        return isinstance(node.get("$ref"), str) or any(map(_refers, node.values()))
    return isinstance(node, list) and any(map(_refers, node))


def _documentation(function: Any) -> tuple[str, dict[str, str]]:
    """The docstring's text without sections, and its descriptions of the parameters. Wrapped lines are joined."""
    source = (function.__doc__ if is_model(function) else inspect.getdoc(function)) or ""
    try:
        parsed = docstring_parser.parse(source)
    except docstring_parser.ParseError:
        return _joined(source), {}
    parameters = {
        name.strip(): _joined(entry.description)
        for entry in parsed.params
        for name in entry.arg_name.split(",")
        if entry.description
    }
    return _joined(parsed.description or ""), parameters


def _joined(text: str) -> str:
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in re.split(r"\n\s*\n", text.strip()))
