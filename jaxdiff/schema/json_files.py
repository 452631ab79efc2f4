"""Reading a JSON file that a user names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from jaxdiff.errors import InputError


def read_json(path: str | Path, what: str) -> Any:
    """The JSON in a file. Raises InputError naming the file, and the place where it is no JSON.

    what: what the file is called in messages ("tool file").
    """
    named = f"{what} {str(path)!r}"
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"cannot read {named}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{named} is not UTF-8: byte {error.start} cannot be decoded") from error
    except ValueError as error:
        # Of a path with a null byte.
        raise InputError(f"cannot read {named}: {error}") from error
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise InputError(f"{named} is not valid JSON: {error.msg} at {place}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{named} is not valid JSON: {error}") from error


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON value")
