"""The fields of a tool: which JSON Schema keywords the scaffold supports, and what each property asks for.

Whether a schema is supported depends on the schema alone. Keywords that JSON Schema does not know are annotations.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match
from jsonschema.protocols import Validator
from jsonschema.validators import validator_for

from jaxdiff.errors import SchemaError, UnsupportedSchema

# Validation and reference keywords of draft 4 to draft 2020-12 that no slot can guarantee yet.
UNSUPPORTED_KEYWORDS = frozenset(
    {
        "$ref", "$dynamicRef", "$recursiveRef", "allOf", "anyOf", "oneOf", "not", "if", "then", "else", "pattern",
        "patternProperties", "propertyNames", "minProperties", "maxProperties", "dependencies", "dependentRequired",
        "dependentSchemas", "prefixItems", "additionalItems", "contains", "minContains", "maxContains",
        "unevaluatedItems", "unevaluatedProperties",
    }
)  # fmt: skip


class _UnknownDialect:
    """Stands for the validator that there is none of."""


class Kind(StrEnum):
    """What a slot holds."""

    STRING = "string"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    ENUM = "enum"
    ARRAY = "array"


@dataclass(frozen=True)
class Field:
    """One property of a tool's parameters.

    pointer: JSON pointer (RFC 6901) of its value in the arguments.
    item_kind: kind of the items of an array, else None.
    candidates: the JSON values allowed by `enum` or `const`, (True, False) for a boolean, else ().
    item_candidates: the same for the items of an array.
    schema: the property's own JSON Schema.
    dialect: `$schema` of the whole, which the property's schema is read under; empty for draft 2020-12.
    """

    name: str
    pointer: str
    kind: Kind
    required: bool
    description: str
    schema: dict[str, Any] = field(hash=False)
    item_kind: Kind | None = None
    candidates: tuple[Any, ...] = ()
    item_candidates: tuple[Any, ...] = ()
    has_default: bool = False
    dialect: str = ""

    @property
    def format(self) -> str:
        """The `format` annotation, or an empty string."""
        found = self.schema.get("format", "")
        return found if isinstance(found, str) else ""


def escape_pointer(name: str) -> str:
    """One reference token of a JSON pointer (RFC 6901, section 3)."""
    return name.replace("~", "~0").replace("/", "~1")


def validator_class(dialect: str) -> type[Validator]:
    """The `jsonschema` validator of a `$schema` URI; draft 2020-12 for an empty one. Raises UnsupportedSchema."""
    if not dialect:
        return Draft202012Validator
    # The default stands for a dialect that the library does not know.
    found = validator_for({"$schema": dialect}, default=_UnknownDialect)  # type: ignore[arg-type]
    if found is _UnknownDialect:
        raise UnsupportedSchema("$schema", "/$schema", f"unknown dialect {dialect!r}")
    return found


def fields_of(parameters: Any, where: str = "parameters") -> tuple[Field, ...]:
    """The fields of a tool's `parameters`, in schema order; no fields for None or an empty schema.

    where: what the error messages call the schema. Pointers in errors are relative to `parameters`.
    Raises SchemaError where it is not a valid JSON Schema of an object, UnsupportedSchema for keywords beyond flat
    objects of scalars and arrays of scalars.
    """
    if parameters is None:
        return ()
    if not isinstance(parameters, dict):
        raise SchemaError(f"{where} must be a JSON Schema object, not {_json_type(parameters)}")
    dialect = parameters.get("$schema", "")
    if not isinstance(dialect, str):
        raise SchemaError(f"{where}: $schema must be a string", "/$schema")
    _check_valid(parameters, dialect, where)
    _refuse_unsupported(parameters, "", where)
    declared_type = parameters.get("type", "object")
    if isinstance(declared_type, list):
        raise UnsupportedSchema("type", "/type", f"a list of types in {where}")
    if declared_type != "object":
        raise SchemaError(f"{where} must describe an object, not {declared_type!r}", "/type")
    for keyword in ("enum", "const"):
        if keyword in parameters:
            raise UnsupportedSchema(keyword, f"/{keyword}", f"on the whole object in {where}")
    if not isinstance(parameters.get("additionalProperties", True), bool):
        raise UnsupportedSchema("additionalProperties", "/additionalProperties", f"a schema in {where}")

    properties = parameters.get("properties", {})
    required = parameters.get("required", [])
    for index, name in enumerate(required):
        if name not in properties:
            raise SchemaError(f"{where} requires {name!r}, which it does not declare", f"/required/{index}")
    return tuple(_field(name, schema, name in required, dialect, where) for name, schema in properties.items())


def _field(name: str, schema: Any, required: bool, dialect: str, where: str) -> Field:
    token = escape_pointer(name)
    pointer = f"/properties/{token}"
    kind, candidates = _kind(schema, pointer, dialect, where)
    item_kind, item_candidates = None, ()
    if kind is Kind.ARRAY:
        items = schema.get("items")
        if "items" not in schema:
            raise UnsupportedSchema("type", f"{pointer}/type", f"an array without items in {where}")
        if isinstance(items, list):
            raise UnsupportedSchema("items", f"{pointer}/items", f"a list of schemas in {where}")
        item_kind, item_candidates = _kind(items, f"{pointer}/items", dialect, where)
        if item_kind is Kind.ARRAY:
            raise UnsupportedSchema("type", f"{pointer}/items/type", f"an array of arrays in {where}")
    description = schema.get("description") or schema.get("title") or ""
    return Field(
        name=name, pointer=f"/{token}", kind=kind, required=required, description=description, schema=schema,
        item_kind=item_kind, candidates=candidates, item_candidates=item_candidates, has_default="default" in schema,
        dialect=dialect,
    )  # fmt: skip


def _kind(schema: Any, pointer: str, dialect: str, where: str) -> tuple[Kind, tuple[Any, ...]]:
    """Kind and candidates of a scalar or array schema."""
    if isinstance(schema, bool):
        raise UnsupportedSchema(str(schema).lower(), pointer, f"a boolean schema in {where}")
    _refuse_unsupported(schema, pointer, where)
    declared = schema.get("type")
    if isinstance(declared, list):
        raise UnsupportedSchema("type", f"{pointer}/type", f"a list of types in {where}")
    for keyword in ("const", "enum"):
        if keyword in schema:
            return Kind.ENUM, _allowed(schema, keyword, pointer, dialect, where)
    if declared is None:
        raise UnsupportedSchema("type", pointer, f"missing in {where}")
    if declared in ("object", "null"):
        raise UnsupportedSchema("type", f"{pointer}/type", f"{declared!r} as a value in {where}")
    kind = Kind(declared)
    return kind, (True, False) if kind is Kind.BOOLEAN else ()


def _allowed(schema: dict[str, Any], keyword: str, pointer: str, dialect: str, where: str) -> tuple[Any, ...]:
    """The listed values that the rest of the schema allows."""
    listed = [schema["const"]] if keyword == "const" else schema["enum"]
    for value in listed:
        if isinstance(value, (list, dict)):
            raise UnsupportedSchema(keyword, f"{pointer}/{keyword}", f"a value that is no scalar in {where}")
    validator = validator_class(dialect)(schema)
    allowed = tuple(value for value in listed if validator.is_valid(value))
    if not allowed:
        raise SchemaError(f"{where} allows no value at all", f"{pointer}/{keyword}")
    return allowed


def _refuse_unsupported(schema: dict[str, Any], pointer: str, where: str) -> None:
    for keyword in schema:
        if keyword in UNSUPPORTED_KEYWORDS:
            raise UnsupportedSchema(keyword, f"{pointer}/{escape_pointer(keyword)}", f"in {where}")


def _check_valid(parameters: dict[str, Any], dialect: str, where: str) -> None:
    try:
        text = json.dumps(parameters, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise SchemaError(f"{where} is not JSON: {error}") from error
    if problem := _meta_problem(text, dialect):
        message, pointer = problem
        raise SchemaError(f"{where} is not a valid JSON Schema: {message}", pointer)


@lru_cache(maxsize=16384)
def _meta_problem(text: str, dialect: str) -> tuple[str, str] | None:
    """Why the schema breaks its meta-schema, and where. Cached: training reads the same tools many times."""
    checker = validator_class(dialect)
    error = best_match(checker(checker.META_SCHEMA).iter_errors(json.loads(text)))
    if error is None:
        return None
    return error.message, "".join(f"/{escape_pointer(str(part))}" for part in error.absolute_path)


def _json_type(value: Any) -> str:
    names = {type(None): "null", bool: "a boolean", int: "a number", float: "a number", str: "a string", list: "a list"}
    return names.get(type(value), type(value).__name__)
