"""Which values the sampler benchmark counts, and when one counts as right."""

import numpy as np

from benchmarks.samplers import Case, composed_fields, right_fields
from jaxdiff.agent.filled import FilledField, Filling, FillTrace
from jaxdiff.schema.tools import parse_tools
from tests.train.reader_rows import row

MEET = {
    "name": "meet",
    "parameters": {
        "type": "object",
        "properties": {"who": {"type": "string"}, "people": {"type": "integer"}, "note": {"type": "string"}},
        "required": ["people"],
    },
}
(TOOL,) = parse_tools([MEET])


def test_fields_are_composed_where_a_step_revealed_something():
    revealed = np.array([[False, True, False, False], [False, False, False, True]])
    trace = FillTrace(("who", "who", "people", "note"), (("",) * 4,) * 2, revealed, np.ones((2, 4)))
    assert composed_fields(trace) == {"who", "note"}
    assert composed_fields(None) == frozenset()


def filling(**values):
    return Filling({name: FilledField(value, 1.0, "compose") for name, value in values.items()})


def test_values_are_compared_after_the_merge_and_a_call_that_cannot_be_made_is_wrong():
    known = row("", {"who": "Ann", "people": 12, "note": "x"}, tool=MEET)
    case = Case(known, TOOL, None, frozenset({"people", "note"}), frozenset())
    assert right_fields(case, filling(who="Bob", people="12", note="x")) == {"people", "note"}
    assert right_fields(case, filling(who="Ann", people="a dozen", note="y")) == {"people"}
    assert right_fields(case, filling(who="Ann", people="nobody", note="x")) == frozenset()
