"""The program that measures coverage counts what is there."""

import json

from benchmarks.schema_coverage import measure, percent
from benchmarks.schema_sets import read_cases


def write_lines(path, *entries):
    path.write_text("".join(json.dumps(entry) + "\n" for entry in entries))


def test_counts(tmp_path):
    write_lines(
        tmp_path / "few.jsonl",
        {"id": "a", "schema": {"type": "string", "maxLength": 3}},
        {"id": "b", "schema": {"type": "string", "pattern": r"^(x)\1$"}},
        {"id": "c", "schema": {"type": "array", "items": {"type": "null"}}},
    )
    write_lines(
        tmp_path / "few.instances.jsonl",
        {"id": "a", "valid": ["ab"], "invalid": ["abcd", 1]},
        {"id": "c", "valid": [[None] * 100, []], "invalid": [None]},
    )
    found = measure(read_cases(tmp_path, "few"), str.encode, 5, 0)
    assert (found.schemas, found.covered, found.fills, found.valid) == (3, 2, 10, 10)
    assert (found.given, found.produced, found.beyond, found.wrong, found.refused) == (3, 2, 1, 3, 3)
    assert found.reasons == {"pattern": 1} and len(found.seconds) == 3


def test_tests_of_the_suite_are_read(tmp_path):
    (tmp_path / "suite").mkdir()
    tests = [{"data": 1, "valid": True, "description": ""}, {"data": "a", "valid": False, "description": ""}]
    text = json.dumps([{"description": "integers", "schema": {"type": "integer"}, "tests": tests}])
    (tmp_path / "suite" / "type.json").write_text(text)
    (case,) = read_cases(tmp_path, "suite")
    assert (case.name, case.valid, case.invalid) == ("type: integers", (1,), ("a",))


def test_a_share_is_never_rounded_up_to_all():
    assert percent(999_999, 1_000_000) == "99.9" and percent(3, 3) == "100.0" and percent(0, 0) == "-"
