"""Records in the files that people have: JSON Lines, a JSON list, parquet, or a folder of such."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jaxdiff.errors import InputError

from .records import Record

_SUFFIXES = (".jsonl", ".json", ".parquet")


def read_json_lines(path: str | Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Pairs of "file:line" and the object on that line; blank lines are skipped. Raises InputError naming both."""
    for place, record in _json_lines(Path(path)):
        if isinstance(record, InputError):
            raise record
        yield place, record


def read_records(path: str | Path) -> Iterator[tuple[str, Record | InputError]]:
    """Where each record of a file stands, and the record, or why that line or entry is none.

    A folder stands for its data files in the order of their names. Raises InputError for what cannot be read at all.
    """
    path = Path(path)
    if path.is_dir():
        files = sorted(entry for entry in path.iterdir() if entry.suffix in _SUFFIXES)
        if not files:
            raise InputError(f"{path}: a folder without files in {', '.join(_SUFFIXES)}")
        for file in files:
            yield from read_records(file)
    elif path.suffix == ".parquet":
        yield from _parquet(path)
    elif _begins_with_bracket(path):
        yield from _json_list(path)
    else:
        yield from _json_lines(path)


def _json_lines(path: Path) -> Iterator[tuple[str, Any]]:
    try:
        with open(path, encoding="utf-8") as lines:
            for number, line in enumerate(lines, 1):
                if not line.strip():
                    continue
                place = f"{path}:{number}"
                try:
                    yield place, _checked(json.loads(line), place)
                except json.JSONDecodeError as error:
                    yield place, InputError(f"{place}: not JSON: {error.msg} (column {error.colno})")
                except ValueError as error:  # an integer of more digits than Python reads
                    yield place, InputError(f"{place}: {error}")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read {path}: {error}") from error


def _json_list(path: Path) -> Iterator[tuple[str, Any]]:
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise InputError(f"cannot read {path}: {error}") from error
    except json.JSONDecodeError as error:
        raise InputError(f"{path}:{error.lineno}: not JSON: {error.msg} (column {error.colno})") from error
    except ValueError as error:
        raise InputError(f"{path}: {error}") from error
    for number, entry in enumerate(entries):
        yield f"{path}[{number}]", _checked(entry, f"{path}[{number}]")


def _parquet(path: Path) -> Iterator[tuple[str, Any]]:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError as error:
        raise InputError(f"{path}: reading parquet needs pyarrow: pip install pyarrow") from error
    number = 0
    try:
        with parquet.ParquetFile(path) as rows:
            for batch in rows.iter_batches(batch_size=1000):
                for record in batch.to_pylist():
                    yield f"{path}[{number}]", record
                    number += 1
    except (OSError, ArrowException) as error:
        raise InputError(f"cannot read {path}: {error}") from error


def _checked(value: Any, place: str) -> Any:
    if isinstance(value, dict):
        return value
    return InputError(f"{place}: expected a JSON object, not {type(value).__name__}")


def _begins_with_bracket(path: Path) -> bool:
    """Whether it is a list over several lines: a line that is a list itself belongs to JSON Lines."""
    try:
        with open(path, encoding="utf-8") as lines:
            first = next((line.strip() for line in lines if line.strip()), "")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read {path}: {error}") from error
    if not first.startswith("["):
        return False
    try:
        return all(isinstance(entry, dict) for entry in json.loads(first))
    except ValueError:
        return True
