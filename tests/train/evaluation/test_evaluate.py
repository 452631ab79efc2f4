"""Counts of right and wrong on hand-made answers, and validation from stored features against reading anew."""

import jax
import pytest

from jaxdiff.agent.fill_diffusion import ReaderHead
from jaxdiff.agent.filled import FilledField, Filling
from jaxdiff.agent.reading import reader_config
from jaxdiff.diffusion.denoise import DenoiseConfig
from jaxdiff.diffusion.reader import head as reader
from jaxdiff.schema.tools import parse_tools
from jaxdiff_train.data.packs import VALIDATION_PACKS, expand_packs
from jaxdiff_train.data.rows import supported
from jaxdiff_train.evaluation.evaluate import evaluate, fill_by
from jaxdiff_train.evaluation.validate import PER_TOOL, figures, stored_fill, validation_rows
from tests.train.reader_rows import PAINT, ROWS, SEND, row

GOLD = {"what": "doors", "count": 12, "colour": "red", "note": "hot"}
DOORS = row("doors, a dozen, hot", GOLD, {"what": "doors", "count": "a dozen", "note": "hot"})


def with_tool(*rows):
    return [(given, parse_tools([given.tool])[0]) for given in rows]


def filling(values):
    return Filling({name: FilledField(value, 1.0, "ar") for name, value in values.items()})


def answered(answer, rows=None, **options):
    return evaluate(with_tool(DOORS) if rows is None else rows, lambda *_: filling(answer), **options)


@pytest.mark.parametrize(
    ("answer", "right", "fields"),
    [
        (GOLD, True, 4),
        ({"what": " DOORS ", "count": "12", "colour": "red", "note": "Hot"}, True, 4),
        ({"what": "doors", "count": 12.0, "colour": "red", "note": "hot"}, True, 4),
        (GOLD | {"count": 13}, False, 3),
        (GOLD | {"what": "door"}, False, 3),
        (GOLD | {"gift": True}, False, 4),
        ({"what": "doors", "count": 12, "colour": "red"}, False, 3),
        # A required value that is missing or not listed: there is no call, so none of its values is right.
        ({"what": "doors", "count": 12, "note": "hot"}, False, 0),
        (GOLD | {"colour": "green"}, False, 0),
    ],
)
def test_a_call_is_right_where_all_keys_and_values_are(answer, right, fields):
    report = answered(answer)
    assert (report.right["whole_call"], report.all["whole_call"]) == (int(right), 1)
    assert (report.right["field"], report.all["field"]) == (fields, 4)
    assert len(report.wrong) == (0 if right else 1)


def test_optional_fields_count_where_they_are_rightly_in_or_out():
    report = answered({"what": "doors", "colour": "red", "note": "hot", "gift": True})
    # count is missing, note rightly there, gift wrongly there.
    assert (report.right["present"], report.all["present"]) == (1, 3)


def test_fields_are_counted_by_kind_and_by_how_they_are_said():
    report = answered(GOLD | {"count": 3})
    assert report.figures() == {
        "whole_call": 0.0, "present": 100.0, "field": 75.0,
        "string=": 100.0, "integer~": 0.0, "enum~": 100.0,
    }  # fmt: skip
    assert report.all["string="] == 2


def test_an_unsupported_schema_counts_as_a_wrong_call():
    rows = [*with_tool(DOORS), (ROWS[1], None), (ROWS[4], None)]
    report = answered(GOLD, rows)
    assert (report.right["whole_call"], report.all["whole_call"]) == (1, 3)
    assert [entry for entry, _ in report.wrong] == [ROWS[1], ROWS[4]]
    assert answered(GOLD, []).share("whole_call") == 0


def test_a_fill_is_told_the_gold_fields_only_when_asked():
    asked = []
    for told in (False, True):
        evaluate(with_tool(DOORS, ROWS[4]), lambda *given: asked.append(given) or filling({}), told_presence=told)
    numbers, rows, tools, present = zip(*asked, strict=True)
    assert numbers == (0, 1, 0, 1) and rows == (DOORS, ROWS[4]) * 2
    assert [tool.name for tool in tools] == ["paint", "send", "paint", "send"]
    assert present == (None, None, frozenset(GOLD), frozenset({"to"}))


def test_validation_rows_are_five_a_tool_and_those_without_a_scaffold_are_kept():
    rows = validation_rows()
    names = [given.tool["name"] for given, _ in rows]
    assert max(map(names.count, set(names))) == PER_TOOL
    assert [given for given, _ in rows] == expand_packs(VALIDATION_PACKS, 5, 2)
    assert all((tool is not None) == supported(given.tool) for given, tool in rows)


def test_stored_features_fill_as_reading_anew_does(tiny, tmp_path):
    config = reader_config(tiny.config, hidden=16)
    head = ReaderHead(tiny, config, reader.init(jax.random.key(5), config))
    rows = [*with_tool(*ROWS), (row("x", {}, tool=PAINT | {"name": "odd"}), None)]
    with jax.numpy_dtype_promotion("strict"):
        stored, anew = stored_fill(head, rows, tmp_path), fill_by(head, tiny, DenoiseConfig())
        for number, (given, tool) in enumerate(rows[:-1]):
            for present in (None, frozenset(given.arguments)):
                found, again = (fill(number, given, tool, present).fields for fill in (stored, anew))
                assert {name: one.value for name, one in found.items()} == {
                    name: one.value for name, one in again.items()
                }
        measured = figures(rows, stored)
    assert measured["rows"].startswith("6 rows")
    assert measured["percent_right"]["whole_call"] == evaluate(rows, anew).figures()["whole_call"]
    told = evaluate(rows, anew, told_presence=True).figures()
    assert measured["percent_right_told_presence"] == told


def test_a_query_that_is_too_long_to_be_read_is_not_filled(tiny, tmp_path):
    config = reader_config(tiny.config, hidden=16)
    head = ReaderHead(tiny, config, reader.init(jax.random.key(5), config))
    long = row("q7z " * 90, {"to": "q7z"}, tool=SEND)
    rows = with_tool(long, ROWS[4])
    report = evaluate(rows, stored_fill(head, rows, tmp_path))
    assert (report.all["whole_call"], next(entry for entry, _ in report.wrong)) == (2, long)
