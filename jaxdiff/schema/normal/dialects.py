"""Dialects that are no JSON Schema by themselves, rewritten as such: what tools are described in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from jaxdiff.errors import SchemaError
from jaxdiff.schema.loose_types import LOOSE_WORDS, json_schema

OPENAPI = "openapi"
LOOSE = "loose"

_TYPES = frozenset("string integer number boolean array object null".split())

# Keywords whose values are schemas, lists of schemas, and objects of schemas.
_ONE = frozenset(
    "items additionalItems additionalProperties not if then else contains propertyNames unevaluatedItems "
    "unevaluatedProperties".split()
)
_LISTED = frozenset("allOf anyOf oneOf prefixItems items".split())
_NAMED = frozenset("properties patternProperties definitions $defs dependentSchemas".split())


def as_json_schema(schema: Any, dialect: str) -> tuple[Any, str]:
    """The schema as JSON Schema, and the `$schema` URI for it where it names none itself (empty: draft 2020-12).

    dialect: `openapi` (`nullable`, and `exclusiveMinimum` as a flag, as OpenAPI 3.0 and OpenAI's tools have them),
    `loose` (Python's names of types, as BFCL and public tool lists have them), or a URI, which changes nothing.
    Raises SchemaError for what cannot be read as a schema.
    """
    if dialect == OPENAPI:
        return _without_nullable(schema), ""
    if dialect == LOOSE:
        try:
            return json_schema(schema)[0], ""
        except ValueError as error:
            raise SchemaError(str(error)) from error
    return schema, dialect


def dialect_of(schema: Any) -> str:
    """The dialect that a tool's schema is written in, by its words: `loose`, `openapi`, or an empty string."""
    if isinstance(schema, Mapping) and "$schema" in schema:
        return ""
    found = list(_subschemas(schema))
    types = {inner["type"].lower() for inner in found if isinstance(inner.get("type"), str)}
    if (foreign := types - _TYPES) and foreign <= LOOSE_WORDS:
        return LOOSE
    if any(isinstance(inner.get("nullable"), bool) for inner in found):
        return OPENAPI
    return ""


def _subschemas(schema: Any) -> Iterator[Mapping[str, Any]]:
    if not isinstance(schema, Mapping):
        return
    yield schema
    for keyword, value in schema.items():
        if keyword in _NAMED and isinstance(value, Mapping):
            inside: Iterable[Any] = value.values()
        elif keyword in _LISTED and isinstance(value, list):
            inside = value
        else:
            inside = [value] if keyword in _ONE else []
        for inner in inside:
            yield from _subschemas(inner)


def _without_nullable(schema: Any) -> Any:
    if not isinstance(schema, Mapping):
        return schema
    plain = {keyword: _inside(keyword, value) for keyword, value in schema.items() if keyword != "nullable"}
    for flag, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if isinstance(plain.get(flag), bool):
            excluded = plain.pop(flag)
            if excluded and bound in plain:
                plain[flag] = plain.pop(bound)
    if schema.get("nullable") is not True:
        return plain
    if "type" in plain:
        types = plain["type"] if isinstance(plain["type"], list) else [plain["type"]]
        return plain | {"type": list(dict.fromkeys([*types, "null"]))}
    return {"anyOf": [plain, {"type": "null"}]}


def _inside(keyword: str, value: Any) -> Any:
    if keyword in _NAMED and isinstance(value, Mapping):
        return {name: _without_nullable(inner) for name, inner in value.items()}
    if keyword in _LISTED and isinstance(value, list):
        return [_without_nullable(inner) for inner in value]
    if keyword in _ONE:
        return _without_nullable(value)
    return value
