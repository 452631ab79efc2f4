"""Whether something is a JSON Schema of an object at all, by the meta-schema of its dialect."""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import Any

from jsonschema.exceptions import best_match

from jaxdiff.errors import SchemaError
from jaxdiff.schema.fields import escape_pointer, validator_class
from jaxdiff.schema.languages.parsing import compiled


def checked_dialect(parameters: Any, where: str) -> str:
    """The `$schema` of a valid JSON Schema of an object; empty where it names none.

    where: what the messages call the schema. Raises SchemaError for what is none, UnsupportedSchema for an unknown
    dialect.
    """
    if not isinstance(parameters, dict):
        raise SchemaError(f"{where} must be a JSON Schema object, not {_json_type(parameters)}")
    dialect = parameters.get("$schema", "")
    if not isinstance(dialect, str):
        raise SchemaError(f"{where}: $schema must be a string", "/$schema")
    _check_valid(parameters, dialect, where)
    declared = parameters.get("type", "object")
    if declared != "object" and not (isinstance(declared, list) and "object" in declared):
        raise SchemaError(f"{where} must describe an object, not {declared!r}", "/type")
    for index, name in enumerate(parameters.get("required", [])):
        if not _may_have(parameters, name):
            raise SchemaError(f"{where} requires {name!r}, which it does not allow", f"/required/{index}")
    return dialect


def _check_valid(parameters: dict[str, Any], dialect: str, where: str) -> None:
    try:
        text = json.dumps(parameters, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise SchemaError(f"{where} is not JSON: {error}") from error
    try:
        problem = _meta_problem(text, dialect)
    except RecursionError as error:
        raise SchemaError(f"{where} is nested too deeply to be checked") from error
    if problem:
        message, pointer = problem
        raise SchemaError(f"{where} is not a valid JSON Schema: {message}", pointer)


def _may_have(parameters: dict[str, Any], name: str) -> bool:
    """Whether properties of that name are allowed; what stands beside `$ref` counts in some dialects only."""
    return (
        name in parameters.get("properties", {})
        or parameters.get("additionalProperties") is not False
        or "$ref" in parameters
        or any(_may_match(pattern, name) for pattern in parameters.get("patternProperties", {}))
    )


def _may_match(pattern: str, name: str) -> bool:
    try:
        return compiled(pattern).search(name) is not None
    except (re.error, OverflowError, RecursionError):
        # Who reads the patterns will say so.
        return True


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
