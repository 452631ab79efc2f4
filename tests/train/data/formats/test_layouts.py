"""Each published layout, on samples with its quirks: the rows that come of it, and why others are left out."""

import json
import shutil
import sys
from pathlib import Path

import jsonschema
import pytest

from jaxdiff.errors import InputError
from jaxdiff_train.data.formats.layouts import LAYOUTS
from jaxdiff_train.data.rows import read_rows

SAMPLES = Path(__file__).parent / "samples"
FILES = {path.stem: path for path in sorted(SAMPLES.iterdir())}

# layout: rows as (id, function, arguments, required properties), and what is left out.
EXPECTED = {
    "xlam": (
        [
            ("0", "tide_table", {"harbour": "Whitby", "days": 5, "levels": [1.5, 4.2]}, ["harbour"]),
            ("1/0", "tide_table", {"harbour": "Hull"}, ["harbour"]),
            ("1/1", "sunset", {"place": "Leeds"}, ["place"]),
        ],
        {
            "one tool is called twice": 1,
            "arguments do not validate": 2,
            "unreadable record": 1,
        },
    ),
    "apigen": (
        [("h0", "roll.dice", {"sides": 20, "times": 4}, ["sides"])],
        {"no call": 1, "called tool is not listed": 1},
    ),
    "glaive": (
        [
            ("0", "check_stock", {"item": "wool socks", "shop": "Bath"}, ["item"]),
            ("1", "check_stock", {"item": "sailor's cap"}, ["item"]),
            ("2", "check_stock", {"item": "apron"}, ["item"]),
        ],
        {"several turns": 1, "no call": 1, "unreadable record": 1},
    ),
    "hermes": (
        [
            ("0", "set_lamp", {"lamp": "desk", "on": True, "level": 40}, ["lamp"]),
            ("1/0", "set_lamp", {"lamp": "hall", "on": False}, ["lamp"]),
            ("1/1", "play", {"song": "Yesterday"}, ["song"]),
        ],
        {"no call": 1, "argument that is not declared": 1},
    ),
    "apigen_mt": (
        [("0", "refund", {"order_id": "#W12", "reason": "damaged"}, ["order_id", "reason"])],
        {"several turns": 1, "value from the system message": 1},
    ),
    "toolace": (
        [
            (
                "0",
                "Bus_Times_Live_V2",
                {"stop": "Mill Road (north)", "line": 12, "night": True, "via": ["Kings", "Park", "St. Mary's"]},
                ["stop"],
            ),
            ("1/0", "Bus_Times_Live_V2", {"stop": "Quay Street"}, ["stop"]),
            ("1/1", "fares_single", {"zone": 3}, ["zone"]),
        ],
        {"no call": 1, "unreadable record": 1, "called tool is not listed": 1},
    ),
    "when2call": (
        [("a1", "feed_cat", {"cat": "Tom", "grams": 60}, ["cat"]), ("2", "feed_cat", {"cat": "Minka"}, ["cat"])],
        {"no call": 1},
    ),
    "nestful": (
        [
            ("s-0/0", "add", {"arg_0": 12, "arg_1": 30}, ["arg_0", "arg_1"]),
            ("s-2", "subtract", {"arg_0": 10, "arg_1": 4.5}, ["arg_0", "arg_1"]),
        ],
        {"refers to another call's result": 1, "one tool is called twice": 1},
    ),
}


def test_every_layout_has_a_sample():
    assert set(FILES) == set(EXPECTED) == set(LAYOUTS) - {"native"}


@pytest.mark.parametrize("layout", EXPECTED)
@pytest.mark.parametrize("forced", [False, True])
def test_a_sample_becomes_rows(layout, forced):
    expected, reasons = EXPECTED[layout]
    rows, dropped = read_rows(f"{layout}={FILES[layout]}" if forced else FILES[layout], training=False)
    found = [(row.id, row.tool["name"], row.arguments, row.tool["parameters"].get("required", [])) for row in rows]
    assert found == [(f"{layout}-{name}", *rest) for name, *rest in expected]
    assert [type(v) for _, _, a, _ in found for v in a.values()] == [type(v) for e in expected for v in e[2].values()]
    assert dropped == reasons
    for row in rows:
        jsonschema.Draft202012Validator.check_schema(row.tool["parameters"])
        jsonschema.validate(row.arguments, row.tool["parameters"])
        assert row.source == layout
        assert row.group == (row.id.rpartition("/")[0] or None)
        for name, span in row.spans.items():
            said = row.query[slice(*span)].casefold()
            assert said and name in row.arguments


def test_rows_of_one_query_are_a_group():
    rows, _ = read_rows(FILES["toolace"])
    together = [row for row in rows if row.group]
    assert len(together) == 2 and len({row.group for row in together}) == 1
    assert together[0].query == together[1].query


def test_records_of_published_sets_are_named_by_their_identity_so_that_samples_do_not_depend_on_order(tmp_path):
    records = json.loads(FILES["xlam"].read_text())
    (tmp_path / "backwards.json").write_text(json.dumps(records[::-1]))
    assert {r.id for r in read_rows(FILES["xlam"], 2, 5)[0]} == {
        r.id for r in read_rows(tmp_path / "backwards.json", 2, 5)[0]
    }


def test_a_limit_counts_rows_not_records():
    for limit in range(1, 4):
        assert len(read_rows(FILES["hermes"], limit, 2)[0]) == limit


def test_evaluation_sets_are_not_trained_on():
    for path in (FILES["when2call"], f"when2call={FILES['when2call']}"):
        with pytest.raises(InputError, match="nvidia/When2Call is for evaluation only") as caught:
            read_rows(path)
        assert "\n" not in str(caught.value)


def test_a_broken_line_of_a_published_set_is_counted(tmp_path):
    path = tmp_path / "glaive.jsonl"
    path.write_text(FILES["glaive"].read_text() + '{"system": "cut o\n[1, 2]\n', "utf-8")
    rows, dropped = read_rows(path)
    assert len(rows) == 3 and dropped["unreadable record"] == 3


@pytest.mark.parametrize("layout", EXPECTED)
@pytest.mark.parametrize("rubbish", [None, 7, [], "x", {"name": 1}])
def test_no_rubbish_in_a_published_record_is_an_error(tmp_path, layout, rubbish):
    text = FILES[layout].read_text()
    record = json.loads(text)[0] if text.startswith("[") else json.loads(text.splitlines()[0])
    lines = [record] + [record | {key: rubbish} for key in record]
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)), "utf-8")
    rows, dropped = read_rows(f"{layout}={path}", training=False)
    assert len(rows) >= 1 and dropped["unreadable record"] >= 1


def test_an_unknown_layout_is_one_clear_line(tmp_path):
    path = tmp_path / "odd.jsonl"
    path.write_text('{"prompt": "", "completion": ""}\n')
    with pytest.raises(InputError, match=r"odd\.jsonl:1: not a row: no known layout has the keys completion, prompt"):
        read_rows(path)
    with pytest.raises(InputError, match="no layout 'gorilla'; known are native, when2call, apigen, xlam"):
        read_rows(f"gorilla={path}")


def test_a_file_whose_name_holds_an_equals_sign_is_a_file(tmp_path):
    path = tmp_path / "seed=1.json"
    shutil.copy(FILES["xlam"], path)
    assert len(read_rows(path)[0]) == 3


def test_a_folder_stands_for_its_files_in_order(tmp_path):
    for number in (1, 0):
        shutil.copy(FILES["hermes"], tmp_path / f"train-{number}.jsonl")
    (tmp_path / "README.md").write_text("about the data")
    rows, dropped = read_rows(tmp_path)
    assert [row.id for row in rows] == [f"hermes-{name}" for name in ("0", "1/0", "1/1", "4", "5/0", "5/1")]
    assert dropped["no call"] == 2
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(InputError, match="without files"):
        read_rows(empty)


def test_parquet_gives_what_json_gives(tmp_path):
    parquet, arrow = pytest.importorskip("pyarrow.parquet"), pytest.importorskip("pyarrow")
    for layout in ("xlam", "hermes", "toolace"):
        text = FILES[layout].read_text()
        records = json.loads(text) if text.startswith("[") else [json.loads(line) for line in text.splitlines()]
        folder = tmp_path / layout
        folder.mkdir()
        for number, part in enumerate((records[:2], records[2:])):
            parquet.write_table(arrow.Table.from_pylist(part), folder / f"train-{number}.parquet")
        assert read_rows(folder) == read_rows(FILES[layout])
    (tmp_path / "cut.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(InputError, match=r"cannot read .*cut\.parquet"):
        read_rows(tmp_path / "cut.parquet")


def test_parquet_without_its_library_is_one_clear_line(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(InputError, match=r"a\.parquet: reading parquet needs pyarrow: pip install pyarrow"):
        read_rows(tmp_path / "a.parquet")


def test_a_broken_list_is_named(tmp_path):
    path = tmp_path / "broken.json"
    path.write_text('[\n {"query": "a"},\n {"query": \n')
    with pytest.raises(InputError, match=r"broken\.json:4: not JSON"):
        read_rows(path)


@pytest.mark.parametrize(("name", "text"), [("a.jsonl", '{"n": %s}'), ("a.json", '[\n{"n": %s}\n]')])
def test_an_integer_of_too_many_digits_is_named(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text % ("9" * 5000))
    with pytest.raises(InputError, match=rf"{name}.*4300 digits"):
        read_rows(path)
