"""Varied packs: valid calls whose spans say their values, booleans whose meaning follows from two negations."""

import json
import random
import re

import jsonschema
import pytest

from jaxdiff.errors import InputError
from jaxdiff.schema.equality import same_value
from jaxdiff.schema.fields import Kind
from jaxdiff.schema.leaves import fields_of
from jaxdiff.schema.values import ValueNotUnderstood, parse_value
from jaxdiff_train.data.flags import FLAGS, make_flag
from jaxdiff_train.data.packs import TRAIN_PACKS, expand_packs, spoken
from jaxdiff_train.data.rows import MAX_PROPERTIES, read_json_lines, supported
from jaxdiff_train.data.variations import vary_packs

ROWS = vary_packs(TRAIN_PACKS, 3, 7)
ORIGINAL = {row.tool["name"]: row.tool for row in expand_packs(TRAIN_PACKS, 1, 7)}
RULES_OUT = re.compile(
    r"\b(?:without|no|not|never|skip|hide|exclude|excluding|leave|left|drop|suppress|avoid|refrain|ignoring|minus|"
    r"don't|didn't|do not look|forget|spare)\b",
    re.IGNORECASE,
)


def test_calls_are_valid_and_spans_lie_in_the_query():
    assert len(ROWS) > 3 * 0.9 * len(ORIGINAL)
    for row in ROWS:
        parameters = row.tool["parameters"]
        assert jsonschema.Draft202012Validator(parameters).is_valid(row.arguments), row.id
        assert set(row.spans) == set(row.arguments)
        assert all(0 <= start < end <= len(row.query) for start, end in row.spans.values())
        own = ORIGINAL[row.tool["name"]]["parameters"]["properties"]
        assert len(parameters["properties"]) <= max(MAX_PROPERTIES, len(own))
        assert list(row.arguments) == [name for name in parameters["properties"] if name in row.arguments]


def test_what_stands_in_a_span_says_its_value():
    """By the code that answers: of numbers and of strings said as they are."""
    said, right = 0, 0
    for row in ROWS:
        if not supported(row.tool):
            continue
        for field in fields_of(row.tool["parameters"]):
            if field.name not in row.arguments or field.kind not in (Kind.INTEGER, Kind.NUMBER, Kind.STRING):
                continue
            start, end = row.spans[field.name]
            said += 1
            try:
                value = parse_value(row.query[start:end], field)
            except ValueNotUnderstood:
                continue
            right += same_value(value, row.arguments[field.name])
    assert said > 2000 and right / said > 0.9


def test_a_value_is_said_as_its_pack_says_it_marks_included():
    packs = {pack["tool"]["name"]: pack["values"] for _, pack in read_json_lines(TRAIN_PACKS)}

    def plain(name):
        return re.sub(r"[^a-z0-9]", "", name.lower())

    marked = 0
    for row in ROWS:
        said = {plain(name): [spoken(entry)[0] for entry in given] for name, given in packs[row.tool["name"]].items()}
        for name, span in row.spans.items():
            if plain(name) in said:
                words = row.query[slice(*span)]
                assert words in said[plain(name)], row.query
                marked += words.endswith((".", "!", "?"))
    assert marked > 10


def test_tools_differ_from_the_packs_in_names_properties_and_what_is_required():
    renamed, added, optional, reordered = 0, 0, 0, 0
    for tool in {json.dumps(row.tool): row.tool for row in ROWS}.values():
        own, now = ORIGINAL[tool["name"]]["parameters"], tool["parameters"]
        more = set(now["properties"]) - set(own["properties"])
        added += len(now["properties"]) > len(own["properties"])
        renamed += len(more) > len(now["properties"]) - len(own["properties"])
        optional += len(now["required"]) < len(own.get("required", []))
        kept = [name for name in now["properties"] if name in own["properties"]]
        reordered += kept != [name for name in own["properties"] if name in kept]
    count = len(ORIGINAL)
    for changed in (renamed, added, optional, reordered):
        assert 0.3 * count < changed < count


def test_the_same_seed_gives_the_same_rows_and_another_gives_others():
    assert vary_packs(TRAIN_PACKS, 1, 3) == vary_packs(TRAIN_PACKS, 1, 3)
    assert vary_packs(TRAIN_PACKS, 1, 3) != vary_packs(TRAIN_PACKS, 1, 4)


def test_some_of_what_was_added_is_said_and_some_is_not():
    said = [
        name in row.arguments
        for row in ROWS
        for name in row.tool["parameters"]["properties"]
        if name not in ORIGINAL[row.tool["name"]]["parameters"]["properties"]
        and row.tool["parameters"]["properties"][name].get("type") == "boolean"
    ]
    assert len(said) > 500 and 0.35 < sum(said) / len(said) < 0.55


def test_a_flag_is_true_where_the_words_want_what_the_description_asks_for():
    """A description that rules out turns the meaning round, and so does each negation in the words."""
    checked = 0
    things = {
        re.sub(r"^(?:an?|the) ", "", concept["thing"]) for _, concept in read_json_lines(FLAGS) if "thing" in concept
    }
    states = [concept["description"].lower() for _, concept in read_json_lines(FLAGS) if "state" in concept]
    for seed in range(400):
        flag = make_flag(random.Random(seed))
        bare = re.sub(r"(?<!^)([A-Z])", r" \1", flag.name)
        text = flag.schema["description"]
        if bare.lower().endswith("only") or bare.lower().startswith("only"):
            continue
        if not any(re.search(rf"\b{re.escape(bare_thing)}\b", text, re.IGNORECASE) for bare_thing in things):
            continue
        if any(state in text.lower() for state in states):
            continue
        if "(true) or not (false)" in text:
            text = text.partition("(true)")[0]
        asked = len(RULES_OUT.findall(text.replace("do not look at", "avoid"))) % 2 == 0
        for value, says in flag.says.items():
            for say in says:
                wanted = len(RULES_OUT.findall(say.replace("no need", "skip"))) % 2 == 0
                wanted &= not re.search(r"never mind|bother", say)
                assert (wanted == asked) == value, (text, say)
                checked += 1
    assert checked > 2000


@pytest.mark.parametrize("line", ["{}", '{"tool": {"name": "x", "parameters": {"properties": {}}}}'])
def test_what_is_no_pack_is_named_with_its_place(tmp_path, line):
    path = tmp_path / "packs.jsonl"
    path.write_text(line + "\n")
    with pytest.raises(InputError, match=r"packs\.jsonl"):
        vary_packs(path, 1, 0)


def test_at_least_one_row_a_tool():
    with pytest.raises(InputError, match="per_tool=0"):
        vary_packs(TRAIN_PACKS, 0, 0)
