"""Rows of the router: joined queries, where each request begins, and files that cannot be read."""

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxdiff.errors import InputError
from jaxdiff_train.routing.rows import (
    RoutingRow,
    declined_rows,
    joined_rows,
    read_shelf,
    single_rows,
    talk_rows,
)

TEXTS = [
    "Book a table for 2.", "I want jazz", "Stop it!", "What does ACME cost?", "\"Red Wine\", please", "7 doors in blue",
    "turn on 12 lamps", "Is it open at 7?",
]  # fmt: skip
SINGLES = [
    RoutingRow(text, "tool", ((f"tool_{i % 4}", {"n": i}),), suite=f"suite {i % 2}") for i, text in enumerate(TEXTS)
]


def plain(text: str) -> str:
    """What is left of a text whatever joins it: no ends, no capitals."""
    return text.rstrip(".?!").casefold()


@settings(max_examples=25)
@given(st.integers(0, 10**6))
def test_requests_of_joined_queries_begin_where_they_say(seed):
    by_arguments = {row.calls[0][1]["n"]: row for row in SINGLES}
    for joined in joined_rows(SINGLES, 20, seed):
        parts = [by_arguments[arguments["n"]] for _, arguments in joined.calls]
        assert joined.mode == "tool" and joined.suite == parts[0].suite
        assert len(parts) == len(joined.starts) in (2, 3) and len({part.query for part in parts}) == len(parts)
        assert joined.calls == tuple(part.calls[0] for part in parts)
        assert joined.starts[0] == 0 and list(joined.starts) == sorted(set(joined.starts))
        for number, (start, end) in enumerate(zip(joined.starts, [*joined.starts[1:], None], strict=True)):
            said = joined.query[start:end]
            assert plain(parts[number].query) in said.casefold()
            assert not any(plain(other.query) in said.casefold() for other in parts if other is not parts[number])
            if number:
                # At a word, which has a mark or a blank before it.
                assert re.match(r'[\w"]', joined.query[start]) and not joined.query[start - 1].isalnum()
        # Only the last keeps its end, and capitals stay where they mean something.
        assert joined.query.endswith(parts[-1].query[1:])
        assert all(("ACME" in part.query) <= ("ACME" in joined.query) for part in parts)
        assert all(("I want" in part.query) <= ("I want" in joined.query) for part in parts)
        assert "Two things" not in joined.query or len(parts) == 2


def test_joined_queries_are_drawn_by_the_seed():
    assert joined_rows(SINGLES, 30, 1) == joined_rows(SINGLES, 30, 1) != joined_rows(SINGLES, 30, 2)
    assert len(joined_rows(SINGLES, 30, 1)) == 30
    drawn = joined_rows(SINGLES, 300, 1)
    # Of one tool, of one suite and of two.
    names = [{name for name, _ in row.calls} for row in drawn]
    assert any(len(found) == 1 for found in names) and any(len(found) == 3 for found in names)
    assert {len(row.calls) for row in drawn} == {2, 3}


def test_long_queries_are_not_joined():
    long = RoutingRow("word " * 40, "tool", (("long", {"n": 99}),), suite="suite 0")
    assert all(name != "long" for row in joined_rows([*SINGLES, long], 100, 0) for name, _ in row.calls)


def lines(path, *values):
    path.write_text("\n".join(value if isinstance(value, str) else json.dumps(value) for value in values) + "\n")
    return path


def test_talk_is_read(tmp_path):
    path = lines(tmp_path / "talk.jsonl", {"mode": "chat", "query": "Hi"}, "", {"mode": "think", "query": "2 + 2 = ?"})
    assert talk_rows(path) == [RoutingRow("Hi", "chat"), RoutingRow("2 + 2 = ?", "think")]


@pytest.mark.parametrize(
    "bad", [{"mode": "tool", "query": "a"}, {"query": "a"}, {"mode": "chat"}, {"mode": "chat", "query": 3}, "{", "[1]"]
)
def test_talk_that_is_none_is_named_with_file_and_line(tmp_path, bad):
    path = lines(tmp_path / "talk.jsonl", {"mode": "chat", "query": "Hi"}, bad)
    with pytest.raises(InputError, match=re.escape(f"{path}:2")):
        talk_rows(path)
    with pytest.raises(InputError, match="absent"):
        talk_rows(tmp_path / "absent.jsonl")


def pack(name, suite, **changes):
    parameters = {"type": "object", "properties": {"n": {"type": "integer"}}}
    tool = {"name": name, "description": "", "parameters": parameters | changes}
    return {"suite": suite, "tool": tool, "values": {"n": [1, 2, 3]}, "templates": ["do {n}", f"{name} {{n}}"],
            "declines": [f"no {name}"]}  # fmt: skip


def test_packs_are_read_without_what_the_scaffold_cannot_hold(tmp_path):
    unsupported = pack("odd", "a", **{"$ref": "https://example.com/odd.json"})
    path = lines(tmp_path / "packs.jsonl", pack("one", "a"), unsupported, pack("two", "b"))
    shelf = read_shelf(path)
    assert list(shelf.tools) == ["one", "two"] and shelf.suites == {"one": "a", "two": "b"}
    assert shelf.of_suite("a") == ["one"] and shelf.of_suite(None) == []
    rows = single_rows(path, shelf, 2, 0)
    assert [row.calls[0][0] for row in rows] == ["one", "one", "two", "two"]
    for row in rows:
        assert row.mode == "tool" and str(row.calls[0][1]["n"]) in row.query and row.starts == (0,)
        assert row.suite == shelf.suites[row.calls[0][0]]
    assert [(row.query, row.mode, row.calls, row.suite) for row in declined_rows(path)] == [
        ("no one", "chat", (), "a"), ("no odd", "chat", (), "a"), ("no two", "chat", (), "b")
    ]  # fmt: skip


@pytest.mark.parametrize(
    "bad", [{"suite": "a"}, {"tool": 3, "suite": "a"}, pack("x", "a", properties={"n": {"type": 7}})]
)
def test_packs_that_are_none_are_named_with_file_and_line(tmp_path, bad):
    path = lines(tmp_path / "packs.jsonl", pack("one", "a"), bad)
    with pytest.raises(InputError, match=re.escape(f"{path}:2")):
        read_shelf(path)
