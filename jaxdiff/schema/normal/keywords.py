"""Reads one subschema under its dialect: its facts, the subschemas that hold as well, and the choices it leaves."""

from __future__ import annotations

import re

from jaxdiff.errors import SchemaError, UnsupportedSchema
from jaxdiff.schema.fields import escape_pointer
from jaxdiff.schema.normal.applicators import APPLICATORS
from jaxdiff.schema.normal.assertions import ASSERTIONS
from jaxdiff.schema.normal.locations import Location
from jaxdiff.schema.normal.statements import Statement

_READERS = ASSERTIONS | APPLICATORS


def read(location: Location) -> Statement:
    """What the subschema, an object, says. Raises SchemaError with the place of a keyword that is malformed."""
    statement = Statement()
    for keyword, value in location.keywords.items():
        reader = _READERS.get(keyword)
        place = f"{location.pointer}/{escape_pointer(keyword)}"
        try:
            if reader is not None:
                reader(statement, location, value)
        except re.error as error:
            # It may be one of ECMA-262; the validator knows Python's alone.
            raise UnsupportedSchema(keyword, place, f"{error} in the pattern") from error
        except (TypeError, ValueError, AttributeError, KeyError, OverflowError) as error:
            if isinstance(error, SchemaError):
                raise
            raise SchemaError(f"{keyword} cannot be {value!r:.60}: {error}", place) from error
    if statement.facts:
        statement.facts["whole_floats"] = location.whole_floats
    return statement
