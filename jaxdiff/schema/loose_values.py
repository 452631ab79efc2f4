"""Values of public data in the types that their schema asks for, where nothing is lost by it."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError as InvalidSchema

Schema = dict[str, Any]

_NUMBER = re.compile(r"[+-]?(?:\d+(?:\.\d+)?|\.\d+)(?:[eE][+-]?\d+)?")


def fit_value(value: Any, schema: Schema) -> Any:
    """`value` in the type that the schema asks for where that loses nothing, else as it is.

    "40.7" and 40.7, "true" and True, 90210 and "90210", "[1, 2]" and [1, 2], (1, 2) and [1, 2].
    """
    kind = schema.get("type")
    if isinstance(value, tuple | set):
        value = list(value)
    if isinstance(value, str) and kind in ("integer", "number") and _NUMBER.fullmatch(value.strip()):
        number = float(value)
        if re.fullmatch(r"[+-]?\d+", value.strip()):
            value = int(value)
        elif math.isfinite(number):
            value = number
    if kind == "integer" and isinstance(value, float) and value.is_integer():
        return int(value)
    if kind == "boolean" and isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    if kind == "string" and isinstance(value, int | float) and not isinstance(value, bool):
        return json.dumps(value)
    if kind in ("array", "object") and isinstance(value, str):
        value = _structure(value, list if kind == "array" else dict)
    if isinstance(value, list) and isinstance(schema.get("items"), dict):
        return [fit_value(item, schema["items"]) for item in value]
    if isinstance(value, dict) and isinstance(schema.get("properties"), dict):
        return fit_arguments(value, schema)
    return value


def fit_arguments(arguments: Mapping[str, Any], parameters: Schema) -> dict[str, Any]:
    """Arguments in the types of their properties; null for a property that has no null is an argument left out."""
    properties, required = parameters.get("properties", {}), parameters.get("required", [])
    fitted = {}
    for name, value in arguments.items():
        schema = properties.get(name, {})
        if value is None and name not in required and schema and not is_valid(None, schema):
            continue
        fitted[name] = fit_value(value, schema)
    return fitted


def is_valid(value: Any, schema: Schema) -> bool:
    """Whether a value fits a schema (draft 2020-12); nothing fits one that is invalid or refers elsewhere."""
    if "$ref" in json.dumps(schema):
        return False
    try:
        Draft202012Validator.check_schema(schema)
        return Draft202012Validator(schema).is_valid(value)
    except InvalidSchema:
        return False


def _structure(text: str, kind: type) -> Any:
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, kind) else text
