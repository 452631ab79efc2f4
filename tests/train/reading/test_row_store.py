"""Stores of rows: written on after an interruption, whatever is read into them."""

import resource

import numpy as np
import pytest

from jaxdiff.errors import InputError
from jaxdiff.schema.tools import parse_tools
from jaxdiff_train.reading import canvases, row_store, teacher
from jaxdiff_train.reading.batches import label_store
from jaxdiff_train.reading.canvases import extract_canvases
from jaxdiff_train.reading.features import extract
from jaxdiff_train.reading.row_store import Part, RowStore, new_store
from jaxdiff_train.reading.teacher import extract_teacher
from jaxdiff_train.routing import reading as routing
from jaxdiff_train.routing.reading import pair_store, query_store, tool_store
from tests.train.reader_rows import PAINT, ROWS, SEND, row

PARTS = {"x": Part("T", 1, np.int32), "y": Part("TF")}
# Of two tools, and more of one than a pass reads.
MANY = [row(f"Paint {'ab' * n} red", {"what": "ab" * n, "colour": "red"}) for n in range(1, 12)] + list(ROWS)


def values(number):
    rng = np.random.default_rng(number)
    sizes = {"T": number % 3, "F": 2}
    return sizes, {"x": rng.integers(0, 9, (number % 3, 1)), "y": rng.normal(size=(number % 3, 2, 4))}


def test_an_interrupted_store_is_written_on_behind_what_is_saved(tmp_path, monkeypatch):
    monkeypatch.setattr(row_store, "SAVED_EVERY", 4)
    order, told = [3, 1, 9, 0, 4, 2, 7, 5, 8, 6], []

    def write(folder, until):
        with new_store(folder, PARTS) as writer:
            saved = writer.saved
            for number in order:
                if number == until:
                    raise KeyboardInterrupt
                writer.add(number, *values(number))
                writer.tell(lambda *progress: told.append(progress), len(order))
        return saved

    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert write(whole, None) == frozenset()
    for until in (4, 6):
        with pytest.raises(KeyboardInterrupt):
            write(parts, until)
        assert not parts.exists()
    told.clear()
    assert write(parts, None) == {*order[:8]}
    assert told == [(0, 2)] * 8 + [(1, 2), (2, 2)]
    assert {file.name: file.read_bytes() for file in parts.iterdir() if file.suffix != ".npz"} == {
        file.name: file.read_bytes() for file in whole.iterdir() if file.suffix != ".npz"
    }
    store = RowStore(parts, PARTS, "abcdefghij")
    assert store.rows == list("abcdefghij")
    for number in order:
        _, given = values(number)
        np.testing.assert_array_equal(store.part("x", number), given["x"])
        np.testing.assert_array_equal(store.part("y", number), given["y"].astype(np.float16))


def test_a_disk_that_takes_no_more_is_said_and_what_is_saved_is_gone_on_with(tmp_path, monkeypatch):
    monkeypatch.setattr(row_store, "SAVED_EVERY", 2)
    parts = {"x": Part("T", 1000, np.int32)}
    row = {"T": 10}, {"x": np.arange(10_000).reshape(10, 1000)}

    def write(until):
        with new_store(tmp_path / "store", parts) as writer:
            saved = writer.saved
            for number in range(until):
                writer.add(number, *row)
        return saved

    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(InputError, match=r"cannot write what was read of the rows into .*store\.partial: File too"):
            write(5)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert write(5) == {0, 1}
    store = RowStore(tmp_path / "store", parts, "abcde")
    for number in range(5):
        np.testing.assert_array_equal(store.part("x", number), row[1]["x"])


@pytest.mark.parametrize("kind", ["canvases", "teacher", "queries", "tools", "pairs"])
def test_what_was_read_before_an_interruption_is_not_read_again(tiny, tmp_path, monkeypatch, kind):
    monkeypatch.setattr(row_store, "SAVED_EVERY", 1)
    # All the queries would go into one pass.
    monkeypatch.setattr(routing, "ROWS", (8,))
    pairs = [(parse_tools([found.tool])[0], found.query) for found in MANY]
    tools = [parse_tools([tool | {"name": f"{tool['name']}{n}"}])[0] for tool in (PAINT, SEND) for n in range(3)]
    if kind == "teacher":
        features = extract(tiny, MANY, tmp_path / "features", "rows")
        slots = [label.slots for label in label_store(tiny, features)]

    def read(root, progress=None):
        return {
            "canvases": lambda: extract_canvases(tiny, MANY, root, "rows", progress),
            "teacher": lambda: extract_teacher(tiny, features, slots, root, "rows", progress),
            "queries": lambda: query_store(tiny, [found.query for found in MANY], root, "rows", progress),
            "tools": lambda: tool_store(tiny, tools, root, "rows", progress),
            "pairs": lambda: pair_store(tiny, pairs, root, "rows", progress),
        }[kind]()

    def interrupt(done, total):
        if done == total - 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        read(tmp_path / "parts", interrupt)
    module, reading = {
        "canvases": (canvases, "read_canvas"), "teacher": (teacher, "_teach"), "queries": (routing, "read_queries"),
        "tools": (routing, "read_tools"), "pairs": (routing, "_openings"),
    }[kind]  # fmt: skip
    passes, by_base = [], getattr(module, reading)
    monkeypatch.setattr(module, reading, lambda *given, **named: passes.append(1) or by_base(*given, **named))
    told = []
    store = read(tmp_path / "parts", lambda *progress: told.append(progress))
    assert told[-1] == (1, 1) and len(passes) == 1
    whole = read(tmp_path / "whole")
    assert len(passes) > 2 and len(store) == len(whole)
    for name in store.widths:
        for number in range(len(store)):
            np.testing.assert_array_equal(store.part(name, number), whole.part(name, number))
