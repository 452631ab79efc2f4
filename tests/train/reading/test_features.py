"""The store of features: what answering reads, to the precision of float16, however the rows are grouped."""

import dataclasses
import threading

import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff.agent.prefix import PrefixReader
from jaxdiff.agent.prompting import ToolPrompt
from jaxdiff.schema.tools import parse_tools
from jaxdiff_train.reading import features, row_store
from jaxdiff_train.reading.batches import pad_queries, to_float32
from jaxdiff_train.reading.features import PARTS, extract, store_key
from jaxdiff_train.reading.row_store import Part, RowStore, new_store
from tests.agent.frozen_fills import tiny_base
from tests.agent.tiny import read_alone
from tests.train.reader_rows import LONG, PAINT, ROWS, SEND, row

MANY = row(
    "level 7, dot",
    {"level": 7},
    tool={
        "name": "set",
        "description": "",
        "parameters": {"type": "object", "properties": {"level": {"enum": list(range(40))}, "dot": {"type": "string"}}},
    },
)
# More rows of one tool than a pass reads.
SAME_TOOL = [row(f"Paint {'ab' * n} red", {"what": "ab" * n, "colour": "red"}) for n in range(1, 15)]


@pytest.fixture(scope="module")
def base():
    return tiny_base(0)


@pytest.fixture(scope="module")
def reads(base):
    """What answering reads of each query: query -> features of one row."""
    prefixes = PrefixReader(base)
    found = {}
    for wanted in (*ROWS, MANY, SAME_TOOL[0], SAME_TOOL[-1]):
        tool = parse_tools([wanted.tool])[0]
        found[wanted.query] = read_alone(base, tool, prefixes.tool(tool), wanted.query).features
    return found


@pytest.fixture
def passes(monkeypatch):
    """Counts passes of the base over a block."""
    count = []
    read_block = features.read_block
    monkeypatch.setattr(features, "read_block", lambda *given: count.append(1) or read_block(*given))
    return count


@pytest.mark.parametrize(
    "rows", [[*ROWS, MANY], [ROWS[2]], [MANY, *ROWS[::-1]], [*SAME_TOOL, ROWS[0]]], ids=["all", "one", "back", "many"]
)
def test_stored_features_are_those_that_answering_reads(base, reads, tmp_path, rows):
    store = extract(base, rows, tmp_path, "rows")
    assert sorted(kept.query for kept in store.rows) == sorted(given.query for given in rows)
    for place, kept in enumerate(store.rows):
        if kept.query not in reads:
            continue
        wanted = reads[kept.query]
        ids, offsets = base.encode_with_offsets(kept.query)
        assert list(store.words(place).ids) == ids
        assert list(store.words(place).offsets) == offsets
        sizes = {axis: int(store.sizes[axis][place]) for axis in "FTC"}
        tool = parse_tools([kept.tool])[0]
        listed = max((len(field.candidates) for field in tool.fields), default=0)
        assert sizes == {"F": len(tool.fields), "T": len(ids), "C": min(listed, 32)}
        for part, axes in PARTS.items():
            found, real = store.part(part, place), tuple(slice(sizes[axis]) for axis in axes)
            if part == "candidate_logprob":
                mask = wanted.candidate_mask[0][real]
                expected, found = wanted.candidate_facts[0][real][mask][:, 0], found[mask][:, 0]
            else:
                expected = np.asarray(getattr(wanted, part), np.float32)[0]
                expected = (expected[..., None] if part == "token_logprob" else expected)[real]
            np.testing.assert_allclose(found, expected, rtol=2e-3, atol=2e-3, err_msg=part)


def test_a_padded_row_is_what_the_head_reads_when_answering(base, reads, tmp_path):
    store = extract(base, [*ROWS, MANY], tmp_path, "rows")
    for place, kept in enumerate(store.rows):
        wanted = reads[kept.query]
        fields, tokens = wanted.token_logprob.shape[1:]
        padded = to_float32(pad_queries([(store, place)], fields, tokens, wanted.candidate_mask.shape[2]))
        for field in dataclasses.fields(padded):
            ours, theirs = getattr(padded, field.name), np.asarray(getattr(wanted, field.name))
            assert ours.shape == theirs.shape and ours.dtype == theirs.dtype, field.name
        for name in ("token_ids", "token_mask", "field_mask", "candidate_mask"):
            np.testing.assert_array_equal(getattr(padded, name), getattr(wanted, name), err_msg=name)
        for name in ("token_shape", "token_matches", "field_facts", "field_kind"):
            np.testing.assert_array_equal(getattr(padded, name), getattr(wanted, name), err_msg=name)
        real = padded.candidate_mask
        np.testing.assert_allclose(padded.candidate_facts[real], wanted.candidate_facts[real], rtol=2e-3, atol=2e-2)


def test_the_same_rows_are_read_once(base, tmp_path, passes):
    first = extract(base, ROWS, tmp_path, "rows")
    assert len(passes) == 2
    # What is asked of a row is not read through the base.
    relabelled = [dataclasses.replace(given, arguments={}, spans={}) for given in ROWS]
    again = extract(base, relabelled, tmp_path, "rows")
    assert (len(passes), again.folder) == (2, first.folder)
    assert all(kept.arguments == {} for kept in again.rows)
    extract(base, ROWS[:1], tmp_path, "rows")
    assert len(passes) == 3


def test_the_key_tells_apart_what_the_features_depend_on(base):
    other_tool = row(ROWS[0].query, {}, tool=PAINT | {"description": "Draws."})
    keys = [
        store_key(base, ROWS),
        store_key(dataclasses.replace(base, fingerprint="another"), ROWS),
        store_key(base, ROWS[:-1]),
        store_key(base, ROWS[::-1]),
        store_key(base, [other_tool, *ROWS[1:]]),
    ]
    assert len(set(keys)) == len(keys)
    assert store_key(base, [dataclasses.replace(given, id="x") for given in ROWS]) == keys[0]


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("token_taps", lambda config: (1,)),
        ("key_taps", lambda config: (1,)),
        ("key_ids", lambda base, field: base.encode(f"{field.name} =")),
        ("tool_prompt", lambda base, tool: ToolPrompt(base.encode(tool.name), {}, {})),
    ],
)
def test_the_key_is_another_where_rows_are_read_in_another_way(base, monkeypatch, name, other):
    before = store_key(base, ROWS)
    monkeypatch.setattr(features, name, other)
    assert store_key(base, ROWS) != before


def test_an_interrupted_extraction_leaves_nothing_that_passes_for_whole(base, tmp_path):
    def interrupt(done: int, total: int) -> None:
        assert total == len(ROWS)
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extract(base, ROWS, tmp_path, "rows", interrupt)
    folder = tmp_path / f"rows-{store_key(base, ROWS)}"
    assert not folder.exists()
    calls = []
    store = extract(base, ROWS, tmp_path, "rows", lambda *progress: calls.append(progress))
    assert calls == [(done, len(ROWS)) for done in range(1, len(ROWS) + 1)]
    assert store.folder == folder and len(store) == len(ROWS)
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]
    other = extract(base, ROWS, tmp_path / "elsewhere", "rows")
    for part in PARTS:
        same = [np.array_equal(store.part(part, i), other.part(part, i)) for i in range(len(store))]
        assert all(same), part


def test_a_query_too_long_for_a_pass_is_left_out(base, tmp_path):
    too_long = row("q7z " * 90, {"what": "q7z", "colour": "red"})
    store = extract(base, [too_long, LONG, ROWS[0]], tmp_path, "rows")
    assert {kept.query for kept in store.rows} == {LONG.query, ROWS[0].query}


def test_rows_stand_in_the_order_given_whatever_order_they_were_read_in(base, tmp_path):
    """Rows of two tools by turns are read tool by tool."""
    rows = [row(f"Ann: {'red ' * n}", {"to": "Ann"}, tool=SEND) if n % 2 else SAME_TOOL[n] for n in range(4)]
    store = extract(base, rows, tmp_path, "rows")
    assert [kept.query for kept in store.rows] == [kept.query for kept in rows]
    for i, kept in enumerate(rows):
        alone = extract(base, [kept], tmp_path, f"row{i}")
        assert store.words(i).offsets == alone.words(0).offsets
        for part in PARTS:
            assert store.part(part, i).shape == alone.part(part, 0).shape
            np.testing.assert_allclose(
                store.part(part, i).astype(np.float32), alone.part(part, 0), rtol=1e-2, atol=1e-2, err_msg=part
            )


def test_another_type_of_computation_is_another_store(base):
    other = dataclasses.replace(base, dtype=jnp.bfloat16)
    assert store_key(base, ROWS) != store_key(other, ROWS)


def test_who_comes_second_waits_and_finds_the_store(tmp_path):
    folder, parts, found = tmp_path / "store", {"x": Part("T", 1, np.int32)}, []

    def second() -> None:
        with new_store(folder, parts) as writer:
            found.append(writer)

    with new_store(folder, parts) as writer:
        waiting = threading.Thread(target=second)
        waiting.start()
        waiting.join(0.3)
        assert waiting.is_alive() and not found
        writer.add(0, {"T": 2}, {"x": np.array([[3], [4]], np.int32)})
    waiting.join(10)
    assert found == [None]
    assert RowStore(folder, parts, ["a row"]).part("x", 0).tolist() == [[3], [4]]


def test_an_interrupted_extraction_is_gone_on_with(base, tmp_path, monkeypatch, passes):
    rows = [*SAME_TOOL, *ROWS]
    whole = extract(base, rows, tmp_path / "whole", "rows")
    asked = len(passes)
    monkeypatch.setattr(row_store, "SAVED_EVERY", 5)

    def interrupt(done: int, total: int) -> None:
        if done == 11:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extract(base, rows, tmp_path / "parts", "rows", interrupt)
    before = len(passes)
    left = []
    store = extract(base, rows, tmp_path / "parts", "rows", lambda done, total: left.append(total))
    # Eleven rows were read, ten of them were safe: those of the first pass.
    assert {*left} == {len(rows) - 10} and len(passes) - before == asked - 1
    assert [kept.query for kept in store.rows] == [kept.query for kept in whole.rows]
    for part in PARTS:
        same = [np.array_equal(store.part(part, i), whole.part(part, i)) for i in range(len(rows))]
        assert all(same), part
