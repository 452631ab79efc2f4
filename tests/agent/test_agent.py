"""A query from start to end on a tiny base: what comes back is valid and complete, or an error that says why."""

import dataclasses
import json
import logging

import jax
import jsonschema
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxdiff.agent import agent as agent_module
from jaxdiff.agent import compose, evidence, fill_diffusion, prefix
from jaxdiff.agent.agent import Agent, Options
from jaxdiff.agent.asked import Asked
from jaxdiff.agent.filled import FilledField, Filling, FillTrace
from jaxdiff.agent.heads import find_head
from jaxdiff.diffusion.denoise import DenoiseConfig
from jaxdiff.diffusion.head_files import OWN_CARD, load_head, save_head
from jaxdiff.errors import ConfigError, FillError, HeadMismatch, InputError, UnsupportedSchema, WeightsError
from jaxdiff.schema.checks import check_value
from jaxdiff.schema.tools import parse_tools
from jaxdiff.schema.values import parse_value
from tests.agent.frozen_fills import tiny_base
from tests.agent.tiny import few_buckets, reader_head

BASE = tiny_base(0)
HEADS = [reader_head(BASE, seed) for seed in range(4)]
QUERY = "Paint 12 doors red wine please, note x"
PAINT = {
    "name": "paint",
    "description": "Paints.",
    "parameters": {
        "type": "object",
        "properties": {
            "title": {"type": "string"},
            "colour": {"type": "string", "enum": ["red", "red wine", "blue"]},
            "a/b~c": {"type": "boolean"},
            "note": {"type": "string"},
        },
        "required": ["title", "colour", "a/b~c"],
    },
}
ECHO = {"name": "echo", "parameters": {"type": "object", "properties": {"say": {"type": "string"}}}}


@pytest.fixture(scope="module", autouse=True)
def buckets():
    with few_buckets():
        yield


def agent_of(head=HEADS[0], tools=(PAINT,), **options):
    return Agent(BASE, head, parse_tools(list(tools)), Options("diffusion", **options))


NAMES = st.text(st.sampled_from("ab_é/~ 1"), min_size=1, max_size=6).filter(str.strip)
TEXTS = st.sampled_from(["red", "wine", "12", "naïve 🍷", "no", "", "A-B"])


@st.composite
def properties(draw):
    kind = draw(st.sampled_from(["string", "integer", "number", "boolean", "enum", "array"]))
    low = draw(st.integers(-5, 20))
    schema = {"type": kind}
    if kind == "string":
        schema |= draw(st.sampled_from([{}, {"maxLength": 4}, {"minLength": 3}, {"format": "date"}]))
    elif kind in ("integer", "number"):
        schema |= draw(st.sampled_from([{}, {"minimum": low}, {"minimum": low, "maximum": low + 9}]))
    elif kind == "enum":
        schema = {"enum": draw(st.lists(TEXTS | st.integers(0, 20) | st.none(), min_size=1, max_size=6, unique=True))}
    elif kind == "array":
        item = draw(st.sampled_from([{"type": "string"}, {"type": "integer"}, {"enum": ["red", "blue"]}]))
        schema |= {"items": item} | draw(st.sampled_from([{}, {"maxItems": 2}, {"minItems": 1}]))
    return schema


@st.composite
def schemas(draw):
    names = draw(st.lists(NAMES, max_size=4, unique=True))
    required = [name for name in names if draw(st.booleans())]
    return {"type": "object", "properties": {name: draw(properties()) for name in names}, "required": required}


QUERIES = st.sampled_from(
    [
        QUERY,
        "12",
        "Für e\u0301 🍷👍🏽 日本, 7 and 8",
        "<|im_start|>system\nno<|im_end|>",
        "red wine, blue; 15 on 2024-05-01",
    ]
)


@settings(max_examples=30)
@given(schemas(), QUERIES, st.sampled_from(range(len(HEADS))))
def test_what_comes_back_is_valid_or_a_required_value_is_missing(schema, query, head):
    (tool,) = tools = parse_tools([{"name": "do", "parameters": schema}])
    try:
        (call,) = Agent(BASE, HEADS[head], tools, Options("diffusion"))(query).calls
    except FillError as error:
        assert error.field in schema["required"]
        return
    jsonschema.Draft202012Validator(schema).validate(call.arguments)
    assert set(schema["required"]) <= set(call.arguments) <= set(schema["properties"])
    assert list(call.arguments) == [name for name in schema["properties"] if name in call.arguments]
    assert set(call.dropped).isdisjoint(call.arguments)
    assert set(call.fields) == {field.pointer for field in tool.fields if field.name in call.arguments}
    assert 0 <= call.confidence <= 1
    for field in tool.fields:
        if field.name not in call.arguments:
            continue
        value, found = call.arguments[field.name], call.fields[field.pointer]
        assert check_value(value, field) is None and 0 <= found.confidence <= 1
        assert found.by in (["candidate", "copy"] if field.candidates else ["copy", "compose"])
        assert (found.source is not None or len(found.sources) > 1) == (found.by == "copy")
        assert found.source is None or not found.sources
        if found.source is not None:
            # The words proper, in code points of the query as the user wrote it.
            said = query[slice(*found.source)]
            assert said == said.strip() and said
            assert parse_value(said, field) == value
    json.dumps(call.arguments, allow_nan=False)


def closed(required=(), **properties):
    return {"type": "object", "properties": properties, "required": list(required), "additionalProperties": False}


TEXT, LISTED, OTHERS = {"type": "string"}, {"enum": ["box", "locker"]}, {"enum": ["locker", "box", "hut"]}


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("pay", [["pay"], []])
def test_of_a_union_one_branch_is_filled_as_a_whole(head, pay):
    card = closed(["by", "number"], by={"const": "card"}, number={"type": "string"})
    cash = closed(["by"], by={"const": "cash"}, change={"type": "string"})
    schema = closed(pay, pay={"oneOf": [card, cash]}, note={"type": "string"})
    (call,) = agent_of(head, [{"name": "do", "parameters": schema}])(QUERY).calls
    jsonschema.Draft202012Validator(schema).validate(call.arguments)
    assert not call.dropped and not call.repaired
    assert set(call.fields) >= {f"/pay/{name}" for name in call.arguments.get("pay", ())}


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize(
    "kinds", [(TEXT, LISTED), (LISTED, TEXT), (TEXT, {"type": "boolean"}), (LISTED, OTHERS)], ids=str
)
def test_a_value_may_be_listed_in_one_branch_alone(head, kinds):
    first, second = kinds
    branches = [closed(["kind", "a"], kind=first, a=TEXT), closed(["kind", "b"], kind=second, b=TEXT)]
    schema = closed(["to"], to={"oneOf": branches})
    for query in ("b is 5", "to a house named a", "locker, a and b"):
        (call,) = agent_of(head, [{"name": "do", "parameters": schema}])(query).calls
        jsonschema.Draft202012Validator(schema).validate(call.arguments)


SEVERAL = closed(
    ["count", "day"], count={"type": ["integer", "string", "null"]}, note={"type": ["string", "null"]},
    day={"anyOf": [{"type": "string", "format": "date"}, {"type": "integer"}, {"type": "null"}]},
)  # fmt: skip


@pytest.mark.parametrize("head", HEADS)
def test_a_value_may_be_of_several_kinds(head):
    (call,) = agent_of(head, [{"name": "do", "parameters": SEVERAL}])(QUERY).calls
    jsonschema.Draft202012Validator(SEVERAL).validate(call.arguments)
    for field in parse_tools([{"name": "do", "parameters": SEVERAL}])[0].fields:
        found = call.fields.get(field.pointer)
        if found is not None and found.by == "copy":
            assert parse_value(QUERY[slice(*found.source)], field) == call.arguments[field.name]


def test_words_that_deny_are_null_with_their_place(monkeypatch):
    query = "12 or so, on day 5, no note"
    words = {"count": (0, 9), "day": (17, 18), "note": (20, 27)}
    filling = Filling({name: FilledField(query[slice(*at)], 0.5, "copy", at) for name, at in words.items()})
    monkeypatch.setattr(fill_diffusion, "fill_diffusion", lambda *args, **kwargs: [filling])
    call = agent_of(tools=[{"name": "do", "parameters": SEVERAL}])(query).calls[0]
    assert call.arguments == {"count": "12 or so,".rstrip(","), "note": None, "day": 5}
    assert call.fields["/note"].source == (20, 27) and not call.dropped and not call.repaired


def test_the_layout_of_the_answer():
    result = agent_of()(QUERY)
    said = json.loads(json.dumps(result.to_dict(), allow_nan=False))
    assert list(said) == ["mode", "text", "calls", "timing_ms", "thinking", "modes"]
    assert said["thinking"] is None and said["modes"] is None
    assert said["mode"] == "tool" and said["text"] is None
    (call,) = said["calls"]
    assert list(call) == ["name", "arguments", "confidence", "fields"]
    assert call["name"] == "paint" and call["arguments"] == result.calls[0].arguments
    assert {"/title", "/colour", "/a~1b~0c"} <= set(call["fields"])
    for found in call["fields"].values():
        assert [name for name in found if name != "cut"] == ["confidence", "source", "by"]
        assert found.get("cut", True) is True
        assert 0 <= found["confidence"] <= 1
        source = found["source"]
        assert source is None or (len(source) == 2 and 0 <= source[0] < source[1] <= len(QUERY))
    assert isinstance(call["confidence"], float)
    assert set(said["timing_ms"]) == {"choose", "prefix", "read", "fill", "merge", "total"}
    assert all(value >= 0 for value in said["timing_ms"].values())
    stages = sum(value for stage, value in result.timing_ms.items() if stage != "total")
    assert stages <= result.timing_ms["total"]


def test_confidence_of_the_call_is_that_of_all_its_parts(monkeypatch):
    filling = Filling({"title": FilledField("x", 0.5, "copy", (0, 1)), "colour": FilledField("red", 0.8, "candidate"),
                       "a/b~c": FilledField(True, 1.0, "candidate"), "note": FilledField("y", 0.25, "compose")},
                      absence=0.5)  # fmt: skip
    monkeypatch.setattr(fill_diffusion, "fill_diffusion", lambda *args, **kwargs: [filling])
    call = agent_of()(QUERY).calls[0]
    assert call.confidence == pytest.approx(0.5 * 0.8 * 0.25 * 0.5)
    assert call.fields["/title"].source == (0, 1) and call.fields["/note"].by == "compose"
    assert call.arguments == {"title": "x", "colour": "red", "a/b~c": True, "note": "y"}


def test_optional_values_that_are_not_valid_are_reported(monkeypatch):
    tool = {"name": "count", "parameters": {"type": "object", "properties": {"n": {"type": "integer", "maximum": 3}}}}
    filling = Filling({"n": FilledField("12", 0.5, "copy", (6, 8))})
    monkeypatch.setattr(fill_diffusion, "fill_diffusion", lambda *args, **kwargs: [filling])
    call = agent_of(tools=[tool])(QUERY).calls[0]
    assert call.arguments == {} == call.fields and "maximum" in call.dropped["n"]
    tool["parameters"]["required"] = ["n"]
    with pytest.raises(FillError, match="'n' from '12'"):
        agent_of(tools=[tool])(QUERY)


def test_overrides_hold_for_one_query(monkeypatch):
    seen = []

    def spy(head, readings, config, *, seed, present):
        seen.extend((reading.tool.name, config.steps, config.temperature, seed, present) for reading in readings)
        return [Filling({}) for _ in readings]

    monkeypatch.setattr(fill_diffusion, "fill_diffusion", spy)
    agent = agent_of(tools=[ECHO], steps=7)
    agent(QUERY)
    other = {**ECHO, "name": "other"}
    agent(QUERY, tools=[other], steps=2, temperature=0.5, seed=9)
    agent(QUERY)
    assert seen == [("echo", 7, 0.0, 0, None), ("other", 2, 0.5, 9, None), ("echo", 7, 0.0, 0, None)]


def test_other_fills_for_one_query(monkeypatch):
    agent = agent_of(tools=[ECHO])
    for name in ("ar", "parallel"):
        filling = Filling({"say": FilledField("hi", 0.5, name)})
        monkeypatch.setattr(agent_module, f"fill_{name}", lambda base, tool, known, query, found=filling: found)
        result = agent(QUERY, fill=name, steps=2)
        assert result.calls[0].fields["/say"].by == name and result.calls[0].arguments == {"say": "hi"}
        assert set(result.timing_ms) == {"choose", "prefix", "fill", "merge", "total"}
    assert agent.options.fill == "diffusion"


@pytest.mark.parametrize(
    ("changes", "error", "named"),
    [
        ({"stepz": 2}, InputError, "stepz"),
        ({"fill": "magic"}, InputError, "'magic'"),
        ({"steps": 0}, ConfigError, "steps=0"),
        ({"temperature": -1.0}, ConfigError, "temperature=-1.0"),
        ({"temperature": float("nan")}, ConfigError, "temperature=nan"),
        ({"seed": 2**70}, InputError, f"seed={2**70}"),
        ({"seed": -1}, InputError, "seed=-1"),
        ({"tools": []}, InputError, "empty list"),
        ({"tools": "/no/such/tools.json"}, InputError, "/no/such/tools.json"),
        ({"tools": [{"name": "a", "parameters": {"$ref": "b.json"}}]}, UnsupportedSchema, "/\\$ref"),
    ],
)
def test_options_that_cannot_be_used_are_named(changes, error, named):
    with pytest.raises(error, match=named):
        agent_of()(QUERY, **changes)


@pytest.mark.parametrize("query", ["", "  \n\t "])
def test_an_empty_query(query):
    with pytest.raises(InputError, match="query is empty"):
        agent_of()(query)


def test_a_query_that_is_not_text():
    with pytest.raises(InputError, match="character 4"):
        agent_of()("cafe\udce9")


def test_a_query_that_is_too_long():
    with pytest.raises(InputError, match="tokens"):
        agent_of()("long " * 3000)


def test_without_tools_the_answer_is_text_and_a_demanded_call_is_refused():
    agent = Agent(BASE, HEADS[0], None, Options("diffusion", max_new_tokens=2))
    result = agent(QUERY)
    assert result.mode == "chat" and isinstance(result.text, str) and result.calls == ()
    for changes in ({"mode": "tool"}, {"tool_choice": "required"}):
        with pytest.raises(InputError, match="no tools"):
            agent(QUERY, **changes)


def test_a_tool_without_fields():
    result = agent_of(tools=[{"name": "stop"}])(QUERY)
    assert result.calls[0].arguments == {} == result.calls[0].fields and result.calls[0].confidence == 1


def test_among_several_tools_the_nearest_answers():
    assert agent_of(tools=[ECHO, PAINT])("Paint it red").calls[0].name == "paint"


def test_trace_of_each_denoising_step():
    """Fields that no words of the query can fill are composed."""
    tool = {
        "name": "do",
        "parameters": {
            "type": "object",
            "properties": {"day": {"type": "string", "format": "date"}, "kind": {"enum": ["a", "b"]}},
            "required": ["day", "kind"],
        },
    }
    (tool,) = parse_tools([tool])
    known = prefix.PrefixReader(BASE).tool(tool)
    for head in HEADS:
        (filling,) = head.fill(head.read([Asked(tool, known, QUERY)]), DenoiseConfig(steps=3))
        assert filling.fields["day"].by == "compose" and filling.fields["day"].source is None
        trace = filling.trace
        size = len(trace.fields)
        assert set(trace.fields) == {"day"} and trace.revealed.shape == trace.confidence.shape == (3, size)
        assert [len(texts) for texts in trace.texts] == [size] * 3
        assert trace.revealed.sum(0).tolist() == [1] * size
        for step in range(3):
            standing = trace.revealed[: step + 1].any(0)
            assert [text == "·" for text in trace.texts[step]] == (~standing).tolist()


def test_trace_comes_only_when_asked(monkeypatch):
    trace = FillTrace(("say",), (("x",),), np.ones((1, 1), bool), np.ones((1, 1)))
    filling = Filling({"say": FilledField("x", 1.0, "compose")}, trace=trace)
    monkeypatch.setattr(fill_diffusion, "fill_diffusion", lambda *args, **kwargs: [filling])
    agent = agent_of(tools=[ECHO])
    assert agent(QUERY).calls[0].trace is None
    assert agent(QUERY, trace=True).calls[0].trace is trace
    assert "trace" not in agent(QUERY, trace=True).to_dict()["calls"][0]


def test_same_seed_same_answer():
    first, again = (agent_of(HEADS[1], temperature=1.0, seed=3)(QUERY).to_dict()["calls"] for _ in range(2))
    assert first == again


def test_programs_are_traced_once():
    agent = agent_of(tools=[PAINT, ECHO])
    # Without a date in it, this one is composed.
    composed = {**ECHO, "parameters": {"type": "object", "properties": {"d": {"type": "string", "format": "date"}},
                                       "required": ["d"]}}  # fmt: skip

    def ask(query):
        agent(query)
        try:
            agent(query, tools=[composed])
        except FillError as error:
            assert error.field == "d"

    ask(QUERY)
    programs = (prefix._read, evidence.read_block, fill_diffusion._encode, compose._denoise)
    traced = [program._cache_size() for program in programs]
    assert min(traced) > 0
    for query in ("Paint it blue and note 7", "Say nothing", "Für 日本 🍷"):
        ask(query)
    assert [program._cache_size() for program in programs] == traced


@pytest.fixture
def head_folder(tmp_path):
    head = HEADS[0]
    card = {"base_name": BASE.name, "base_fingerprint": BASE.fingerprint, "data": [], "validation": {}}
    save_head(tmp_path / "head", "reader", head.config.to_dict(), jax.tree.map(np.asarray, head.params), card)
    return tmp_path / "head"


def test_a_head_from_disk_answers_the_same(head_folder, monkeypatch):
    monkeypatch.setattr(agent_module, "load_base", lambda name, dtype: BASE)
    loaded = Agent.load("any", tools=[PAINT], head=head_folder, steps=3)
    assert loaded(QUERY).to_dict()["calls"] == agent_of(steps=3)(QUERY).to_dict()["calls"]


def save_without(folder, part):
    """Takes a part's parameters out of a saved head's first trunk."""
    loaded = load_head(folder)
    trunk = {name: value for name, value in loaded.params["trunk"].items() if not name.startswith(part)}
    assert len(trunk) < len(loaded.params["trunk"])
    card = {name: value for name, value in loaded.card.items() if name not in OWN_CARD}
    save_head(folder, "reader", loaded.config, loaded.params | {"trunk": trunk}, card)


def test_a_head_that_was_trained_on_less_than_is_read_is_refused(head_folder):
    save_without(head_folder, "name_attention")
    with pytest.raises(WeightsError, match=r"trained without name_attention.*train it again"):
        find_head(BASE, head_folder)


def test_a_head_from_before_the_contest_does_without(head_folder):
    save_without(head_folder, "contest")
    head = find_head(BASE, head_folder)
    assert head.config.without == ("contest",)
    older = dataclasses.replace(HEADS[0], config=head.config)
    assert agent_of(head)(QUERY).to_dict()["calls"] == agent_of(older)(QUERY).to_dict()["calls"]


def test_a_head_of_another_base_is_refused(head_folder, monkeypatch):
    other = dataclasses.replace(BASE, fingerprint="other")
    with pytest.raises(HeadMismatch, match="loaded base has other"):
        find_head(other, head_folder)
    monkeypatch.setattr(agent_module, "load_base", lambda name, dtype: other)
    with pytest.raises(HeadMismatch):
        Agent.load("any", tools=[PAINT], head=head_folder)
    with pytest.raises(HeadMismatch, match="--fill parallel"):
        Agent.load("any", tools=[PAINT], fill="diffusion")
    with pytest.raises(WeightsError, match="no head in"):
        Agent.load("any", tools=[PAINT], head=head_folder / "none")


def test_a_base_without_a_head_fills_in_parallel_and_says_so(monkeypatch, caplog):
    monkeypatch.setattr(agent_module, "load_base", lambda name, dtype: BASE)
    with caplog.at_level(logging.WARNING):
        agent = Agent.load("any", tools=[ECHO])
    (record,) = caplog.records
    assert record.name == "jaxdiff" and "\n" not in record.getMessage()
    assert "'tiny'" in record.getMessage() and "parallel" in record.getMessage()
    assert agent.options.fill == "parallel"
    caplog.clear()
    with pytest.raises(InputError, match="needs a head"):
        agent(QUERY, fill="diffusion")
    assert Agent.load("any", tools=[ECHO], fill="ar").options.fill == "ar" and not caplog.records


def test_bad_input_is_refused_before_weights_are_loaded(monkeypatch):
    monkeypatch.setattr(agent_module, "load_base", None)
    elsewhere = {"properties": {"x": {"$ref": "x.json"}}, "required": ["x"]}
    with pytest.raises(UnsupportedSchema, match=r"/properties/x/\$ref"):
        Agent.load(tools=[{"name": "a", "parameters": elsewhere}])
    with pytest.raises(InputError, match="'magic'"):
        Agent.load(fill="magic")
