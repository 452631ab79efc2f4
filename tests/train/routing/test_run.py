"""A router from packs to a folder that routes, on a tiny base; and what it learns from, row by row."""

import json
import random

import jax
import numpy as np
import pytest

from jaxdiff.agent import apart, prefix
from jaxdiff.agent.heads import find_router
from jaxdiff.agent.prompting import example_ids, query_prompt, tool_prompt
from jaxdiff.base import masks
from jaxdiff.diffusion.head_files import load_head, save_head
from jaxdiff.schema.tools import parse_tools
from jaxdiff_train import cli
from jaxdiff_train.routing import cli as routing_cli
from jaxdiff_train.routing import data as routing_data
from jaxdiff_train.routing import reading as routing_reading
from jaxdiff_train.routing.data import batches, begin_tokens, read_data

ROWS = ["red", "wine", "doors", "lamps"]
SUITES = 8


def pack(number: int) -> dict:
    """Two packs a suite, which say the same of what they decline."""
    name = f"{ROWS[number % 4]}_{number}"
    parameters = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    return {
        "suite": f"suite {number % SUITES}",
        "tool": {"name": name, "description": "Paints.", "parameters": parameters},
        "values": {"n": [112, 33, 77, 40]},
        "templates": [f"Paint {{n}} {name}", f"{name}: {{n}}", f"Is it {{n}} {name}?"],
        "declines": [f"no {number % SUITES} {word}" for word in ("aa", "bb", "cc")],
    }


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    place = tmp_path_factory.mktemp("packs")
    talk = [{"mode": ("chat", "think")[i // 2 % 2], "query": f"talk {i} of it"} for i in range(48)]
    (place / "train.jsonl").write_text("\n".join(json.dumps(pack(i)) for i in range(2 * SUITES)))
    (place / "talk.jsonl").write_text("\n".join(map(json.dumps, talk)))
    return place


@pytest.fixture(scope="module")
def given(files):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(routing_data, "TRAIN_PACKS", files / "train.jsonl")
        patch.setattr(routing_data, "TALK_TRAIN", files / "talk.jsonl")
        patch.setattr(routing_data, "JOINED", 48)
        patch.setattr(routing_data, "_BATCH", {"pairs": 8, "talk": 8, "boundaries": 8})
        patch.setattr(prefix, "PROMPT_TOKENS", (128, 640))
        patch.setattr(apart, "TOKENS", (128, 192))
        patch.setattr(apart, "ROWS", (1, 16))
        patch.setattr(routing_reading, "_PAIR_SLOTS", (384,))
        yield patch


@pytest.fixture(scope="module")
def data(tiny, given, files):
    return read_data(tiny, files, 1)


def test_states_of_pairs_are_those_of_their_tool_and_query(tiny, data):
    """Rows that are there twice, as queries that several packs decline, do not shift the others."""
    assert len(data.pairs) == len(data.pair_states) == len(data.vocabulary)
    assert len({(pair.tool.name, pair.query) for pair in data.pairs}) < len(data.pairs)
    read = jax.jit(tiny.module.apply)
    for number in range(0, len(data.pairs), 7):
        pair = data.pairs[number]
        row = data.rows[pair.query]
        assert data.queries.rows[pair.query] == row.query
        assert pair.served == (bool(row.calls) and row.calls[0][0] == pair.tool.name)
        prompt = query_prompt(tiny, row.query)
        ids = example_ids(tiny) + tool_prompt(tiny, pair.tool).ids + prompt.ids + prompt.ending
        block = np.zeros((1, 384), np.int32)
        block[0, : len(ids)] = ids
        valid = np.arange(384)[None] < len(ids)
        hidden = read({"params": tiny.params}, block, masks.positions(valid), masks.causal(valid)).hidden
        found = data.pair_states.part("hidden", number)[0].astype(np.float32)
        np.testing.assert_allclose(found, hidden[0, len(ids) - 1], atol=0.02)
        logits = np.asarray(tiny.logits(block, valid), np.float64)[0, len(ids) - 1]
        assert data.vocabulary[number] == pytest.approx(np.log(np.exp(logits).sum()), abs=0.02)


def test_held_out_suites_are_not_trained_on(data):
    assert len(data.held_suites) == 1
    named = batches(data)["names"].args[0]
    assert {data.rows[i].suite for i in named.numbers}.isdisjoint(data.held_suites)
    assert set(named.suite_of.values()).isdisjoint(data.held_suites)
    for i, gold in zip(named.numbers, named.gold, strict=True):
        assert data.tools.rows[gold].name == data.rows[i].calls[0][0]


def test_batches_hold_what_they_say(data):
    drawn = batches(data)
    fit = drawn["fit"](random.Random(0))
    assert fit["served"].tolist() == [1] * 4 + [0] * 4 and fit["pairs"].hidden.shape[0] == 8
    talk = drawn["talk"](random.Random(0))
    assert talk["think"].tolist() == [0] * 4 + [1] * 4
    names = drawn["names"](random.Random(0))
    assert names["lexical"].shape == (len(names["gold"]), names["tools"].mask.shape[0], 4)
    # The words of a query are nearest to those of the tool that it was made of.
    assert (names["lexical"][..., 0].argmax(1) == names["gold"]).all()
    boundaries = drawn["boundaries"](random.Random(0))
    count = boundaries["begins"].sum(1)
    assert ((count[:4] == 1) | (count[:4] == 2)).all() and not count[4:].any()
    assert (boundaries["begins"] <= boundaries["queries"].mask).all()


def test_requests_begin_at_the_token_that_holds_their_first_letter(tiny, data):
    for number, row in enumerate(data.joins):
        offsets = data.join_states.part("offsets", number)
        found = begin_tokens(offsets, row.starts)
        want = [next(i for i, (_, end) in enumerate(offsets) if end > start) for start in row.starts[1:]]
        assert found == want and 0 not in found
        assert [offsets[i][0] <= start < offsets[i][1] for i, start in zip(found, row.starts[1:], strict=True)]
    assert begin_tokens(np.array([[0, 2], [2, 4]]), (0, 3, 9)) == [1]


def test_the_same_seed_reads_the_same_again_from_disk(tiny, given, files, data, monkeypatch):
    for name in ("read_queries", "read_tools", "_read_pairs"):
        monkeypatch.setattr(routing_reading, name, None)
    again = read_data(tiny, files, 1)
    assert again.pairs == data.pairs and again.joins == data.joins and again.held_suites == data.held_suites


@pytest.fixture
def head(tiny, given, files, data, monkeypatch, tmp_path):
    """A head's folder; what is read has been read by `data`, and stands where the program looks for it."""
    monkeypatch.setenv("JAXDIFF_CACHE", str(tmp_path))
    (tmp_path / "features").symlink_to(files)
    monkeypatch.setattr(routing_cli, "load_base", lambda name: tiny)
    # This would outlast the test.
    monkeypatch.setattr(routing_cli, "keep_compiled_programs", lambda: None)
    card = {"base_name": tiny.name, "base_fingerprint": tiny.fingerprint, "data": [], "validation": {}}
    save_head(tmp_path / "head", "reader", {}, {"x": np.zeros(1, np.float32)}, card)
    return tmp_path / "head"


def test_a_router_is_trained_that_routes(tiny, head, capsys):
    assert find_router(tiny, head) is None
    assert cli.main(["router", str(head), "--scale", "0.1"]) == 0
    printed = capsys.readouterr().out
    for part in ("names", "fit", "decision", "talk", "boundaries"):
        assert f"{part}: step" in printed
    card = load_head(head / "router").card
    assert card["kind"] == "router" and card["base_fingerprint"] == tiny.fingerprint
    assert card["recipe"]["scale"] == 0.1 and str(head) not in json.dumps(card)
    assert set(card["validation"]["percent_right"]["tool_right"]) == {"fit", "decision"}

    router = find_router(tiny, head)
    assert router.calibration.to_dict() == card["calibration"]
    query = "Paint 12 red_0, then lamps_3: 7"
    with jax.numpy_dtype_promotion("strict"):
        tools = parse_tools([pack(i)["tool"] for i in range(4)])
        requests = router.requests(tools, query)
        assert requests[0].start == 0 and requests[-1].end == len(query)
        said = {pack(i)["tool"]["name"]: f"Paint 112 {pack(i)['tool']['name']}" for i in range(16)}
        tools = parse_tools([pack(i)["tool"] for i in range(16)])
        right = [router.ranking(tools, query, router.read([query]))[0][0].name == name for name, query in said.items()]
        # One suite of two tools is held out; by chance one of sixteen would be right.
        assert sum(right) >= 8


@pytest.mark.parametrize(
    ("arguments", "named"),
    [(["--scale", "0"], "scale=0"), (["--seed", "-1"], "seed=-1"), (["absent"], "no head in absent")],
)
def test_what_cannot_be_done_is_said_in_one_line(head, capsys, arguments, named):
    words = arguments if arguments == ["absent"] else [str(head), *arguments]
    assert cli.main(["router", *words]) == 2
    printed = capsys.readouterr().err
    assert printed.startswith("error: ") and printed.count("\n") == 1 and named in printed
    assert not (head / "router").exists()


def test_a_head_of_another_base_is_refused(head, capsys, monkeypatch, tiny):
    card = {"base_name": "other", "base_fingerprint": "other", "data": [], "validation": {}}
    save_head(head, "reader", {}, {"x": np.zeros(1, np.float32)}, card)
    assert cli.main(["router", str(head)]) == 2
    assert "trained on other" in capsys.readouterr().err
