"""JSON Schemas with instances, read from a folder: as lines, or as the tests of the JSON Schema suite."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jaxdiff.errors import InputError

SUBSETS = ("Glaiveai2K", "Github_trivial", "Github_easy", "Github_medium", "draft2020-12")


@dataclass(frozen=True)
class Case:
    """A schema, instances that are valid and instances that are not."""

    name: str
    schema: Any
    valid: tuple[Any, ...]
    invalid: tuple[Any, ...]


def read_cases(folder: Path, subset: str) -> list[Case]:
    """The cases of `SUBSET.jsonl` with `SUBSET.instances.jsonl`, or of a folder of test files. Raises InputError."""
    lines, tests = folder / f"{subset}.jsonl", folder / subset
    if lines.is_file():
        instances = {entry["id"]: entry for entry in _lines(folder / f"{subset}.instances.jsonl")}
        return [_case(entry, instances.get(entry["id"], {})) for entry in _lines(lines)]
    if tests.is_dir():
        return [case for path in sorted(tests.glob("*.json")) for case in _suite(path)]
    raise InputError(f"{folder} has no {subset}.jsonl and no folder {subset}")


def _case(entry: dict[str, Any], instances: dict[str, Any]) -> Case:
    return Case(entry["id"], entry["schema"], tuple(instances.get("valid", ())), tuple(instances.get("invalid", ())))


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        yield from map(json.loads, file)


def _suite(path: Path) -> Iterator[Case]:
    for entry in json.loads(path.read_text(encoding="utf-8")):
        valid = tuple(test["data"] for test in entry["tests"] if test["valid"])
        invalid = tuple(test["data"] for test in entry["tests"] if not test["valid"])
        yield Case(f"{path.stem}: {entry['description']}", entry["schema"], valid, invalid)
