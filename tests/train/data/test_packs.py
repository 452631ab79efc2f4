"""Expanding tool packs: laws that every expanded row keeps, and which packs it depends on."""

import json
import re
from collections import Counter

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxdiff.errors import InputError
from jaxdiff.schema.fields import Kind
from jaxdiff.schema.tools import parse_tools
from jaxdiff_train.data.packs import (
    PAIR_PACKS,
    ROLE_PACKS,
    TEST_PACKS,
    TRAIN_PACKS,
    VALIDATION_PACKS,
    expand_packs,
)
from jaxdiff_train.data.rows import read_json_lines

PATHS = (TRAIN_PACKS, PAIR_PACKS, ROLE_PACKS, VALIDATION_PACKS, TEST_PACKS)
PACKS = {path: {pack["tool"]["name"]: pack for _, pack in read_json_lines(path)} for path in PATHS}


def said_values(pack, name, words):
    """All values that the pack's entries for `name` give to these words."""
    pairs = []
    for entry in pack["values"][name]:
        rich = isinstance(entry, dict) and set(entry) == {"say", "value"}
        pairs.append((entry["say"], entry["value"]) if rich else (str(entry), entry))
    return [value for say, value in pairs if say == words]


def check(row, pack):
    jsonschema.Draft202012Validator(row.tool["parameters"]).validate(row.arguments)
    assert set(row.spans) == set(row.arguments)
    rest = row.query
    for name, (start, end) in sorted(row.spans.items(), key=lambda item: -item[1][0]):
        assert row.arguments[name] in said_values(pack, name, row.query[start:end])
        rest = rest[:start] + "{" + name + "}" + rest[end:]
    assert rest in pack["templates"]


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 10_000), path=st.sampled_from(PATHS))
def test_every_expanded_row_is_right(seed, path):
    rows = expand_packs(path, 3, seed)
    packs = PACKS[path]
    assert len(rows) == 3 * len(packs)
    assert len({row.id for row in rows}) == len({(row.tool["name"], row.query) for row in rows}) == len(rows)
    for row in rows:
        pack = packs[row.tool["name"]]
        assert row.suite == pack["suite"]
        check(row, pack)


def test_no_tool_stands_twice_under_any_spelling():
    """What is measured on are other tools than those that are trained on."""
    names = [re.sub(r"[^a-z0-9]", "", name.lower()) for path in PATHS for name in PACKS[path]]
    assert [name for name, count in Counter(names).items() if count > 1] == []


def test_tools_of_pairs_have_fields_of_one_kind():
    """A listed value that is said in words counts as a string: "long wool coats"."""
    for name, pack in (PACKS[PAIR_PACKS] | PACKS[ROLE_PACKS]).items():
        (tool,) = parse_tools([pack["tool"]])
        kinds = Counter(Kind.STRING if field.kind is Kind.ENUM else field.kind for field in tool.fields)
        assert max(kinds.values()) > 1, name


def test_a_tools_rows_depend_on_the_seed_and_its_own_pack_alone(tmp_path):
    name = "frustum_volume"
    (tmp_path / "one.jsonl").write_text(json.dumps(PACKS[TRAIN_PACKS][name]))
    alone = expand_packs(tmp_path / "one.jsonl", 5, 7)
    assert alone == [row for row in expand_packs(TRAIN_PACKS, 5, 7) if row.tool["name"] == name]
    assert alone[:3] == expand_packs(tmp_path / "one.jsonl", 3, 7)
    assert [row.query for row in alone] != [row.query for row in expand_packs(tmp_path / "one.jsonl", 5, 8)]


def small_pack(templates, values):
    properties = {name: {"type": "integer", "description": name} for name in values}
    tool = {"name": "count", "description": "Count.", "parameters": {"type": "object", "properties": properties}}
    return {"suite": "demo", "tool": tool, "values": values, "templates": templates, "declines": []}


def test_templates_and_values_are_covered_evenly(tmp_path):
    pack = small_pack(
        [f"{word} {{a}} and {{b}}" for word in ("one", "two", "three")], {"a": list(range(6)), "b": [0, 1]}
    )
    (tmp_path / "pack.jsonl").write_text(json.dumps(pack))
    rows = expand_packs(tmp_path / "pack.jsonl", 6, 0)
    assert set(Counter(row.query.split()[0] for row in rows).values()) == {2}
    assert set(Counter(row.arguments["a"] for row in rows).values()) == {1}
    assert set(Counter(row.arguments["b"] for row in rows).values()) == {3}


def test_a_pack_with_few_queries_gives_each_once(tmp_path):
    pack = small_pack(["count to {a}", "nothing"], {"a": [1, {"say": "two", "value": 2}]})
    (tmp_path / "pack.jsonl").write_text(json.dumps(pack))
    rows = expand_packs(tmp_path / "pack.jsonl", 50, 0)
    assert sorted((row.query, row.arguments.get("a")) for row in rows) == [
        ("count to 1", 1),
        ("count to two", 2),
        ("nothing", None),
    ]


def test_bad_packs_and_counts_are_named(tmp_path):
    path = tmp_path / "pack.jsonl"
    path.write_text(json.dumps(small_pack(["{a} {c}"], {"a": [1]})))
    with pytest.raises(InputError, match=r"pack\.jsonl:1: not a tool pack.*'c'"):
        expand_packs(path, 1, 0)
    for pack in (small_pack([], {}), small_pack(["{a}"], {"a": []})):
        path.write_text(json.dumps(pack))
        with pytest.raises(InputError, match=r"pack\.jsonl:1: not a tool pack: IndexError: an empty list"):
            expand_packs(path, 1, 0)
    with pytest.raises(InputError, match="per_tool=0"):
        expand_packs(path, 0, 0)
