"""Whether a value is one that a field's own schema allows."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

from jsonschema.exceptions import best_match
from jsonschema.protocols import Validator

from jaxdiff.schema.fields import Field, validator_class

TOO_LARGE = "the number is too large to be checked"


def check_value(value: Any, field: Field) -> str | None:
    """Why `value` breaks the field's own schema (type, listed values, bounds, lengths), or None where it does not."""
    if value is None and field.nullable:
        return None
    if not _finite(value):
        return f"{value!r} is not a JSON value"
    try:
        error = best_match(_field_validator(field).iter_errors(value))
    except OverflowError:
        return TOO_LARGE
    return None if error is None else error.message


def _finite(value: Any) -> bool:
    if isinstance(value, list):
        return all(map(_finite, value))
    return not isinstance(value, float) or math.isfinite(value)


@lru_cache(maxsize=16384)
def _field_validator(field: Field) -> Validator:
    return validator_class(field.dialect)(field.schema)
