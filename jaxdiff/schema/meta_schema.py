"""Whether something is a JSON Schema at all, by the meta-schema of its dialect."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

from jsonschema.exceptions import best_match

from jaxdiff.errors import SchemaError
from jaxdiff.schema.fields import escape_pointer, validator_class


def check_valid(parameters: dict[str, Any], dialect: str, where: str) -> None:
    """Raises SchemaError for what is no JSON and no valid schema, UnsupportedSchema for an unknown dialect.

    where: what the messages call the schema.
    """
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


@lru_cache(maxsize=16384)
def _meta_problem(text: str, dialect: str) -> tuple[str, str] | None:
    """Why the schema breaks its meta-schema, and where. Cached: training reads the same tools many times."""
    checker = validator_class(dialect)
    error = best_match(checker(checker.META_SCHEMA).iter_errors(json.loads(text)))
    if error is None:
        return None
    return error.message, "".join(f"/{escape_pointer(str(part))}" for part in error.absolute_path)
