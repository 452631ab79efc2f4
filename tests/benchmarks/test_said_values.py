"""Counting of said values by type and outcome, on packs written here."""

import json

import pytest

from benchmarks.said_values import COPIED, UNREAD, count, entries, read
from jaxdiff.errors import InputError

PACK = {
    "tool": {
        "name": "book",
        "parameters": {
            "type": "object",
            "properties": {
                "guests": {"type": "integer", "maximum": 20},
                "day": {"type": "string", "description": "YYYY-MM-DD"},
                "note": {"type": "string"},
                "table": {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}}},
            },
        },
    },
    "values": {
        "guests": [
            3, {"say": "a dozen", "value": 12}, {"say": "two", "value": 3}, {"say": "some", "value": 4},
            {"say": "five dozen", "value": 20},
        ],
        "day": [{"say": "1 May 2026", "value": "2026-05-01"}],
        "note": [{"say": "in a corner", "value": "corner"}, "quiet"],
        "table": [{"say": "x by y", "value": {"a": "x", "b": "y"}}],
    },
}  # fmt: skip


def test_entries_are_counted_by_type_and_outcome(tmp_path):
    path = tmp_path / "packs.jsonl"
    path.write_text(json.dumps(PACK) + "\n", "utf-8")
    counts = count([read(entry) for entry in entries(path)])
    none = {"right": 0, "wrong": 0, "handed on": 0, UNREAD: 0}
    assert counts == {
        # What the schema does not allow is handed on, whatever the words say.
        "integer": none | {"right": 1, "wrong": 1, "handed on": 2},
        "object": none | {UNREAD: 1},
        "string, date or time": none | {"right": 1},
        COPIED: none | {"wrong": 1},
        "all but as said": none | {"right": 2, "wrong": 1, "handed on": 2},
    }


@pytest.mark.parametrize("text", ["not json", '{"tool": {}}', None])
def test_a_file_without_packs_is_refused(tmp_path, text):
    path = tmp_path / "packs.jsonl"
    if text is not None:
        path.write_text(text, "utf-8")
    with pytest.raises(InputError, match="not a file of packs"):
        list(entries(path))
