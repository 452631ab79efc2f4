"""Branches by decisions of the frozen base: made by hand, and by a tiny base."""

import math

import jsonschema
import numpy as np
import pytest

from jaxdiff.agent.fill_ar import fill_ar
from jaxdiff.agent.fill_parallel import fill_parallel
from jaxdiff.agent.frozen_branches import settle
from jaxdiff.agent.frozen_values import Decision
from jaxdiff.agent.prefix import PrefixReader
from jaxdiff.schema.merge import merge
from jaxdiff.schema.tools import parse_tools
from tests.agent.frozen_fills import tiny_base
from tests.agent.test_fill_ar import QUERY

TEXT = {"type": "string", "maxLength": 2}


def closed(*required, **properties):
    return {"type": "object", "properties": properties, "required": [*required], "additionalProperties": False}


CARD = closed("by", "number", by={"const": "red"}, number=TEXT)
CASH = closed("by", by={"const": "blue"}, change={"type": "integer"})
TOOL = parse_tools([{"name": "pay", "parameters": closed("pay", pay={"oneOf": [CARD, CASH]}, note=TEXT)}])[0]


def decision(odds, value, listed=None):
    return Decision(None, odds >= 0, value, 0.5, odds, None if listed is None else np.log(listed))


def decisions(by, number, change, note, red=0.5):
    return {
        "pay.by": decision(by, "red" if red >= 0.5 else "blue", [red, 1 - red]),
        "pay.number": decision(number, "12"), "pay.change": decision(change, "3"), "note": decision(note, "x"),
    }  # fmt: skip


def test_what_the_better_branch_lacks_is_left_out():
    settled = settle(TOOL, decisions(5.0, 1.0, 3.0, -1.0), None)
    assert (
        settled.complete and settled.branches == {"/pay": {1}} and list(settled.decisions) == ["pay.by", "pay.change"]
    )
    assert settled.decisions["pay.by"].value == "blue"
    sure = settle(TOOL, decisions(5.0, 1.0, 3.0, 1.0, red=0.99), None)
    assert sure.branches == {"/pay": {0}} and list(sure.decisions) == ["pay.by", "pay.number", "note"]
    assert sure.decisions["pay.by"].value == "red"


def test_what_the_better_branch_requires_is_missing():
    settled = settle(TOOL, decisions(5.0, -0.5, -4.0, 1.0, red=0.95), None)
    assert not settled.complete and settled.names == {"pay.by", "pay.number", "note"}
    assert list(settled.decisions) == ["pay.by", "note"]


def test_what_is_told_stays():
    told = frozenset({"pay.by", "pay.change"})
    found = {name: one for name, one in decisions(math.inf, 0, math.inf, 0, red=0.9).items() if name in told}
    settled = settle(TOOL, found, told)
    assert settled.names == told and settled.decisions["pay.by"].value == "blue"
    filled = settled.filling("3 is blue", "ar")
    assert filled.branches == {"/pay": {1}} and filled.fields["pay.by"].source == (5, 9)


@pytest.mark.parametrize("fill", [fill_ar, fill_parallel])
@pytest.mark.parametrize("none_margin", [-6.0, 30.0])
def test_a_fill_has_one_branch_as_a_whole(fill, none_margin):
    base = tiny_base(1)
    found = fill(base, TOOL, PrefixReader(base).tool(TOOL), QUERY, none_margin=none_margin)
    assert len(found.branches["/pay"]) == 1
    made = merge(TOOL, {name: field.value for name, field in found.fields.items()}, found.branches)
    jsonschema.Draft202012Validator(TOOL.parameters).validate(made.arguments)
    kinds = {"pay.by", "pay.number"} if found.branches["/pay"] == {0} else {"pay.by", "pay.change"}
    assert {"pay.by"} <= set(found.fields) <= kinds | {"note"}
    assert (found.branches["/pay"] == {0}) == (found.fields["pay.by"].value == "red")
