"""`python -m train data`: counts that agree with a plain count, and a row decoded from what training takes."""

import json
from collections import Counter
from pathlib import Path

import pytest

from jaxdiff_train import cli, data_cli
from jaxdiff_train.data.inspection import inspect_row
from jaxdiff_train.data.rows import read_rows
from jaxdiff_train.data.statistics import AS_WRITTEN, LISTED, NO_SPAN, OTHERWISE, source_statistics
from jaxdiff_train.reading.batches import SIZES, Batches, label_store, lay_canvas
from tests.train.reader_rows import LONG, ROWS, row

SAMPLES = Path(__file__).parent / "data" / "formats" / "samples"


@pytest.fixture
def run(tiny, monkeypatch, capsys):
    monkeypatch.setattr(data_cli, "load_base", lambda name: tiny)

    def run(*words):
        status = cli.main(["data", *map(str, words)])
        return status, capsys.readouterr()

    return run


def test_statistics_agree_with_a_plain_count(tiny):
    found = source_statistics(tiny, [*ROWS, LONG], {"no call": 2})
    assert (found.rows, found.tools, found.too_large, found.dropped) == (6, 2, 1, {"no call": 2})
    # Of the paint tool count, note and gift are optional, of the other parts.
    assert (found.optional, found.present) == (4 * 3 + 2, 1 + 2 + 1 + 1)
    assert found.kinds == {"string": 4 * 2 + 2, "integer": 4, "enum": 4, "boolean": 4, "array": 2}
    # The rows' spans: what is not in the query has none; "two" gives 2.
    assert found.said == {AS_WRITTEN: 4 + 4, LISTED: 4 + 1, NO_SPAN: 2}
    assert found.lengths == Counter(len(tiny.encode(given.query)) // 8 * 8 for given in (*ROWS, LONG))


def test_a_value_that_is_said_but_not_as_written_is_counted_apart(tiny):
    said = row("the usual doors, red", {"what": "doors of oak", "colour": "red"}, {"what": "usual doors"})
    assert source_statistics(tiny, [said], {}).said == {OTHERWISE: 1, LISTED: 1}


def test_the_packing_report_agrees_with_the_batches_that_are_drawn(tiny, store):
    found = source_statistics(tiny, store.rows, {})
    assert sum(size.rows for size in found.packed) == Batches(tiny, [store], [1.0], 2, seed=0).rows()
    labels = label_store(tiny, store)
    for size in found.packed:
        smaller = [s for s in SIZES if SIZES.index(s) < SIZES.index(size.size)]
        held = [
            i
            for i in range(len(store))
            if store.sizes["T"][i] <= size.size[0]
            and store.sizes["F"][i] <= size.size[1]
            and not any(store.sizes["T"][i] <= s[0] and store.sizes["F"][i] <= s[1] for s in smaller)
        ]
        assert size.rows == len(held)
        if held:
            assert size.token_padding == pytest.approx(1 - store.sizes["T"][held].mean() / size.size[0])
            assert size.field_padding == pytest.approx(1 - store.sizes["F"][held].mean() / size.size[1])
            orders = [list(range(len(labels[i].slots))) for i in held]
            canvas, _ = lay_canvas([labels[i] for i in held], orders, tiny.config.null_id)
            assert size.canvas_padding == pytest.approx(1 - canvas.exists.mean())


def test_a_row_is_decoded_from_its_labels_to_the_call(tiny):
    for given in ROWS:
        found = inspect_row(tiny, given)
        assert found.arguments == given.arguments and not found.problem
        assert found.prompt["query"].startswith(given.query)
        assert given.tool["name"] in found.prompt["tool"] and "reserve_court" in found.prompt["example"]
        assert [field.key for field in found.fields] == [f"{name}:" for name in given.tool["parameters"]["properties"]]
        for field in found.fields:
            assert field.present == (field.name in given.arguments)
            if field.name in given.spans:
                assert given.query[slice(*given.spans[field.name])] in field.words
            if field.slot is not None:
                value = given.arguments[field.name]
                assert field.slot == " " + (value if isinstance(value, str) else json.dumps(value))


def test_labels_that_give_no_call_are_said(tiny):
    found = inspect_row(tiny, row("blue it", {"what": "x " * 40, "colour": "Blue"}))
    assert found.arguments is None and "'what'" in found.problem


def test_stats_are_printed(run):
    status, printed = run("stats", SAMPLES / "hermes.jsonl", f"when2call={SAMPLES / 'when2call.jsonl'}")
    assert status == 0 and not printed.err
    assert "3 rows of 2 tools, 2 of them calls beside others of the same query" in printed.out
    assert "argument that is not declared" in printed.out and "too large for any" in printed.out
    assert "\x1b" not in printed.out


def test_inspect_shows_the_row_that_is_named(run):
    path = SAMPLES / "toolace.json"
    _, by_id = run("inspect", path, "--id", "toolace-1/1")
    _, by_number = run("inspect", path, "--row", "2")
    assert by_id.out == by_number.out
    assert "fares_single" in by_id.out and '{"zone": 3}' in by_id.out
    assert "<|im_start|>user" in by_id.out


def test_packs_are_a_source(run):
    status, printed = run("inspect", "packs:1", "--row", "0")
    assert status == 0 and "prompt: tool" in printed.out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("inspect", SAMPLES / "xlam.json", "--row", "3"), "no row 3; it has 3, counted from 0"),
        (("inspect", SAMPLES / "xlam.json", "--row", "-1"), "no row -1"),
        (("inspect", SAMPLES / "xlam.json", "--id", "a"), "none of its 3 rows has the id 'a'"),
        (("stats", "absent.json"), "cannot read absent.json"),
        (("stats", f"other={SAMPLES / 'xlam.json'}"), "no layout 'other'"),
    ],
)
def test_what_cannot_be_shown_is_said_in_one_line(run, words, message):
    status, printed = run(*words)
    assert status == 2
    assert printed.err.startswith("error: ") and printed.err.count("\n") == 1 and message in printed.err


def test_rows_of_published_sets_have_labels_that_give_their_calls(tiny):
    for path in sorted(SAMPLES.iterdir()):
        for given in read_rows(path, training=False)[0]:
            if all(name in given.spans for name in given.arguments):
                assert inspect_row(tiny, given).arguments == given.arguments, given.id
