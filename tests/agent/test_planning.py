"""Modes, tools and requests of a plan, and the agent that carries it out on a tiny base."""

import asyncio

import numpy as np
import pytest

from jaxdiff.agent import agent as agent_module
from jaxdiff.agent import apart, listing, planning, prefix
from jaxdiff.agent import router as router_module
from jaxdiff.agent.agent import Agent
from jaxdiff.agent.directive import directive
from jaxdiff.agent.listing import list_ranking
from jaxdiff.agent.options import Options
from jaxdiff.agent.planning import Planner
from jaxdiff.agent.prefix import PrefixReader
from jaxdiff.agent.python_tools import collect_tools
from jaxdiff.agent.selection import choose_tool
from jaxdiff.agent.timing import Timer
from jaxdiff.errors import InputError
from jaxdiff.routing.head import Cut
from jaxdiff.schema.tools import parse_tools
from tests.agent.frozen_fills import tiny_base
from tests.agent.tiny import few_buckets, reader_head
from tests.routing.tiny_router import ToldRouter, calibration, random_router

BASE = tiny_base(0)
HEAD = reader_head(BASE)
# Takes words of the query wherever there are some.
COPYING = reader_head(BASE, 1)
COPYING.params["trunk"]["copied"]["bias"] += 5.0
# Shared, so that no tool is read twice.
PREFIXES = PrefixReader(BASE)
SONG = {"type": "object", "properties": {"song": {"type": "string"}}, "required": ["song"]}
TOOLS = parse_tools(
    [
        {"name": "play", "description": "Plays a song.", "parameters": SONG},
        {"name": "stop", "description": "Stops."},
        {"name": "wait", "description": "Waits."},
    ]
)
NAMES = [tool.name for tool in TOOLS]
QUERY = "play Red Wine, then stop and then play Blue"
MARKS = ("then stop", "then play")
CHOICES = [
    ("auto", "auto"), ("auto", "none"), ("auto", "required"), ("auto", "stop"), ("chat", "auto"), ("think", "auto"),
    ("tool", "auto"),
]  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def buckets():
    with few_buckets(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(prefix, "PROMPT_TOKENS", (128, 192, 640))
        patch.setattr(apart, "TOKENS", (96,))
        patch.setattr(apart, "ROWS", (8,))
        patch.setattr(listing, "TOKENS", (64, 384))
        patch.setattr(router_module, "_LISTED", (4,))
        yield


def plan(router, choice=("auto", "auto"), query=QUERY, tools=TOOLS, **how):
    allowed = directive(*choice, [tool.name for tool in tools])
    planner = Planner(BASE, router)
    planner._prefixes = PREFIXES
    return planner.plan(query, tools, allowed, Timer(), **how)


def summary(found):
    return [(call.asked.tool.name, call.asked.query, call.start) for call in found.calls]


@pytest.mark.parametrize("choice", CHOICES)
def test_only_allowed_modes_answer_and_their_probabilities_are_one(choice):
    allowed = directive(*choice, NAMES)
    for tool, think in ((0.1, 0.1), (0.1, 0.9), (0.9, 0.4)):
        found = plan(ToldRouter(BASE, MARKS, fit=tool, think=think), choice)
        assert found.mode in allowed.modes
        assert bool(found.calls) == (found.mode == "tool")
        if len(allowed.modes) == 1:
            assert found.modes is None
            continue
        assert set(found.modes) == set(allowed.modes) and sum(found.modes.values()) == pytest.approx(1)
        assert min(found.modes.values()) >= 0
        assert found.mode == max(found.modes, key=found.modes.__getitem__)
        if "tool" in allowed.modes:
            assert found.modes["tool"] == pytest.approx(tool)
        assert found.modes["think"] / (found.modes["chat"] + found.modes["think"]) == pytest.approx(think)


@pytest.mark.parametrize("seed", range(2))
def test_a_random_router_keeps_to_the_rules(seed):
    router = random_router(BASE, seed, calibration(boundary=0.7))
    for choice in CHOICES:
        found = plan(router, choice)
        assert found.mode in directive(*choice, NAMES).modes
        assert found.modes is None or sum(found.modes.values()) == pytest.approx(1)
        assert [call.start for call in found.calls] == sorted(call.start for call in found.calls)
        assert all(QUERY[call.start :].startswith(call.asked.query) for call in found.calls)


def test_thresholds_decide():
    for cut, mode in ((0.6, "chat"), (0.4, "tool")):
        cuts = {name: Cut(1.0, 0.0, cut) for name in ("fit", "decision")}
        assert plan(ToldRouter(BASE, fit=0.5).calibrated(tool=cuts)).mode == mode
    for cut, mode in ((0.6, "chat"), (0.4, "think")):
        router = ToldRouter(BASE, fit=0.0, think=0.5).calibrated(think=Cut(1.0, 0.0, cut))
        assert plan(router).mode == plan(router, ("auto", "none")).mode == mode


def test_several_requests_are_calls_in_the_order_of_the_query():
    router = ToldRouter(BASE, MARKS, fit=[0.7, 0.9, 0.6])
    found = plan(router)
    starts = [0, QUERY.index("then stop"), QUERY.index("then play")]
    assert [(query, start) for _, query, start in summary(found)] == [
        ("play Red Wine, ", starts[0]), ("then stop and ", starts[1]), ("then play Blue", starts[2])
    ]  # fmt: skip
    assert found.modes["tool"] == pytest.approx(0.9)
    for (name, query, _), call in zip(summary(found), found.calls, strict=True):
        assert name == router.ranking(TOOLS, query, router.read([query]))[0][0].name
        assert call.reading.tool is call.asked.tool and call.reading.query == query


def test_a_request_that_no_tool_serves_is_left_out():
    found = plan(ToldRouter(BASE, MARKS, fit=[0.7, 0.2, 0.6]))
    assert [start for *_, start in summary(found)] == [0, QUERY.index("then play")]
    # A call that must be made is the likeliest.
    found = plan(ToldRouter(BASE, MARKS, fit=[0.1, 0.4, 0.2]), ("auto", "required"))
    assert [start for *_, start in summary(found)] == [QUERY.index("then stop")] and found.modes is None
    assert plan(ToldRouter(BASE, MARKS, fit=[0.1, 0.4, 0.2])).calls == ()


def test_a_forced_name_is_chosen_for_every_request():
    found = plan(ToldRouter(BASE, MARKS, fit=[0.7, 0.2, 0.6]), ("auto", "wait"))
    assert [name for name, *_ in summary(found)] == ["wait", "wait"]
    assert [name for name, *_ in summary(plan(None, ("auto", "wait")))] == ["wait"]


def test_either_mechanism_decides():
    router = ToldRouter(BASE, fit=0.9, decision=0.1)
    assert [plan(router, decide_by=by).mode for by in (None, "fit", "decision")] == ["tool", "tool", "chat"]
    assert plan(router.calibrated(mechanism="decision")).mode == "chat"
    # Each by its own threshold.
    cuts = {"fit": Cut(1.0, 0.0, 0.95), "decision": Cut(1.0, 0.0, 0.05)}
    router.calibrated(mechanism="fit", tool=cuts)
    assert [plan(router, decide_by=by).mode for by in (None, "fit", "decision")] == ["chat", "chat", "tool"]


@pytest.mark.parametrize("router", [None, ToldRouter(BASE, MARKS, fit=0.9)])
def test_names_from_the_list_are_those_of_the_base(router, monkeypatch):
    parts = [QUERY] if router is None else ["play Red Wine, ", "then stop and ", "then play Blue"]
    want = [list_ranking(BASE, TOOLS, part)[0][0].name for part in parts]
    assert [name for name, *_ in summary(plan(router, names="list"))] == want
    # One tool is not listed.
    monkeypatch.setattr(planning, "list_ranking", None)
    assert {name for name, *_ in summary(plan(router, tools=TOOLS[:1], names="list"))} == {"play"}


def test_without_a_router_every_query_that_may_be_is_one_call():
    for choice in CHOICES:
        found, allowed = plan(None, choice), directive(*choice, NAMES)
        assert found.modes is None
        if "tool" in allowed.modes:
            (call,) = found.calls
            nearest = choose_tool(BASE, [tool for tool in TOOLS if allowed.name in (None, tool.name)], QUERY)
            assert call.asked.tool is nearest and (call.asked.query, call.start) == (QUERY, 0)
        else:
            assert found.mode == allowed.modes[0] and not found.calls


def agent_of(router, tools=TOOLS, head=HEAD, **options):
    agent = Agent(BASE, head, tools, Options("diffusion", max_new_tokens=4, **options), router)
    agent._planner._prefixes = PREFIXES
    return agent


def answer(result):
    found = result.to_dict()
    del found["timing_ms"]
    return found


def streamed(agent, query, **changes):
    stream, pieces = agent.stream(query, **changes), []
    while True:
        try:
            pieces.append(next(stream))
        except StopIteration as end:
            return pieces, end.value


@pytest.mark.parametrize(("told", "mode"), [({"fit": 0.9}, "tool"), ({"fit": 0.1}, "chat"),
                                            ({"fit": 0.1, "think": 0.9}, "chat")])  # fmt: skip
def test_an_agent_answers_in_the_planned_mode_streamed_or_not(told, mode):
    agent = agent_of(ToldRouter(BASE, MARKS, **told))
    result = agent(QUERY)
    # This base cannot think, and says so.
    assert result.mode == mode and sum(result.modes.values()) == pytest.approx(1)
    pieces, again = streamed(agent, QUERY)
    assert answer(again) == answer(result)
    assert "".join(piece.text for piece in pieces) == (result.text or "")
    assert len(result.calls) == (3 if mode == "tool" else 0) and (result.text is None) == (mode == "tool")
    assert set(result.timing_ms) >= {"choose", "prefix", "read", "total"}


def test_a_random_router_answers_in_every_mode():
    agent = agent_of(random_router(BASE, 1, calibration(boundary=0.9)))
    for mode in ("auto", "chat", "think", "tool"):
        found = agent(QUERY, mode=mode)
        assert found.mode in {"auto": ("chat", "tool"), "think": ("chat",)}.get(mode, (mode,))
    for choice, names in (("required", NAMES), ("wait", ["wait"]),
                          ({"type": "function", "function": {"name": "stop"}}, ["stop"])):  # fmt: skip
        calls = agent(QUERY, tool_choice=choice).calls
        assert calls and {call.name for call in calls} <= set(names)
    assert agent(QUERY, tool_choice="none").calls == ()


def test_sources_point_into_the_whole_query():
    calls = agent_of(ToldRouter(BASE, MARKS, fit=0.9), head=COPYING)(QUERY, tool_choice="play").calls
    assert len(calls) == 3
    found = [(call.arguments["song"], call.fields["/song"].source, call.fields["/song"].by) for call in calls]
    spans = [span for _, span, by in found if by == "copy"]
    assert spans
    for value, span, by in found:
        if by == "copy":
            assert QUERY[slice(*span)] == value
    # Those of the second call lie in its part.
    for (_, span, _), start, end in zip(found, (0, 15, 29), (15, 29, len(QUERY)), strict=True):
        assert span is None or start <= span[0] < span[1] <= end


def test_results_are_told_in_text():
    agent = agent_of(ToldRouter(BASE, fit=0.9))
    call = {"id": "1", "type": "function", "function": {"name": "stop", "arguments": "{}"}}
    messages = [
        {"role": "user", "content": "stop"},
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "1", "content": "stopped"},
    ]
    result = agent(messages)
    assert result.mode == "chat" and result.text is not None and set(result.modes) == {"chat", "think"}
    assert agent(messages, tool_choice="required").mode == "tool"
    assert agent(messages[:1]).mode == "tool"


def halt(song: str = "all") -> str:
    """Stops.

    Args:
        song: which
    """
    return f"stopped {len(song)}"


def test_calls_are_made():
    tools, functions = collect_tools([halt])
    agent = Agent(BASE, HEAD, tools, Options("diffusion"), ToldRouter(BASE, MARKS, fit=[0.9, 0.9, 0.1]), functions)
    for found in (agent.run(QUERY), asyncio.run(agent.arun(QUERY))):
        assert [call.name for call in found.answer.calls] == ["halt", "halt"]
        for call, done in zip(found.answer.calls, found.results, strict=True):
            assert done.value == f"stopped {len(call.arguments.get('song', 'all'))}"


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"tool_choice": "sing"}, "'sing'"),
        ({"tool_choice": "none", "mode": "tool"}, "contradict"),
        ({"mode": "dream"}, "'dream'"),
        ({"names": "guess"}, "'guess'"),
        ({"decide_by": "dice"}, "'dice'"),
    ],
)
def test_what_cannot_be_asked_for_is_said_before_anything_is_read(monkeypatch, changes, named):
    agent = agent_of(random_router(BASE))
    monkeypatch.setattr(agent_module.Planner, "plan", None)
    monkeypatch.setattr(prefix, "_read", None)
    with pytest.raises(InputError, match=named):
        agent(QUERY, **changes)


def test_a_query_that_is_too_long_for_the_router_is_said():
    with pytest.raises(InputError, match="tokens of the query"):
        agent_of(random_router(BASE))("7 " * 300)
    with pytest.raises(InputError, match="reads at most"):
        agent_of(random_router(BASE))("7 " * 3000)


def test_probabilities_are_plain_json():
    modes = agent_of(ToldRouter(BASE, fit=np.float64(0.123456), think=0.5))(QUERY).to_dict()["modes"]
    assert modes == {"chat": 0.4383, "think": 0.4383, "tool": 0.1235}
