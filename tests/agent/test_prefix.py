import jax
import numpy as np
import pytest

from jaxdiff.agent import prefix
from jaxdiff.agent.prefix import PrefixReader, read, stack
from jaxdiff.agent.prompting import example_ids, tool_prompt
from jaxdiff.base import masks
from jaxdiff.errors import InputError
from tests.agent.frozen_fills import tiny_base, tool_of
from tests.agent.tiny import few_buckets


@pytest.fixture(scope="module", autouse=True)
def buckets():
    with few_buckets():
        yield


@pytest.fixture(scope="module")
def base():
    return tiny_base(0)


def test_example_then_tool_equal_one_text(base):
    tool = tool_of()
    known = PrefixReader(base).tool(tool)
    ids = example_ids(base) + tool_prompt(base, tool).ids
    assert known.prefix.length == len(ids) == known.prefix.valid.sum()
    assert known.offset == 640 and known.prefix.cache.slots == 1280
    valid = np.ones((1, len(ids)), bool)
    whole = jax.jit(base.module.apply)(
        {"params": base.params}, np.array([ids]), masks.positions(valid), masks.causal(valid)
    )
    for name in ("keys", "values"):
        got = np.asarray(getattr(known.prefix.cache, name))[:, :, known.prefix.valid[0]]
        np.testing.assert_allclose(got, getattr(whole.cache, name), atol=2e-3, rtol=2e-3)


def test_tools_are_read_once_and_the_oldest_are_forgotten(base, monkeypatch):
    texts = []
    monkeypatch.setattr(prefix, "read", lambda base, ids, *rest: texts.append(ids) or read(base, ids, *rest))
    reader = PrefixReader(base, keep=2)
    tools = [tool_of({f"size{i}": {"type": "integer"}}, ()) for i in range(3)]
    for i in (0, 1, 0, 0, 2, 0, 1):
        reader.tool(tools[i])
    example, *read_tools = texts
    assert example == example_ids(base)
    order = [[tool_prompt(base, tool).ids for tool in tools].index(ids) for ids in read_tools]
    # Tool 1 was used longest ago when 2 came.
    assert order == [0, 1, 2, 1]
    assert reader.tool(tools[1]) is reader.tool(tools[1])


def test_a_tool_that_is_too_long_is_named(base):
    tool = tool_of({f"field{i}": {"type": "string", "description": "words " * 20} for i in range(40)}, ())
    with pytest.raises(InputError, match="reads at most 2048"):
        PrefixReader(base).tool(tool)


def test_prefixes_stand_side_by_side_and_the_same_is_kept_once(base, monkeypatch):
    monkeypatch.setattr(prefix, "PROMPT_TOKENS", (128, 640))
    reader = PrefixReader(base)
    short, long = (reader.tool(tool).prefix for tool in (tool_of({}, ()), tool_of()))
    assert short.cache.slots < long.cache.slots
    cache, valid = stack([short, long, short], rows=4)
    assert cache.slots == long.cache.slots and valid.shape == (4, cache.slots)
    for row, one in enumerate([short, long, short, short]):
        assert valid[row, : one.cache.slots].tolist() == one.valid[0].tolist()
        assert valid[row].sum() == one.length
        for name in ("keys", "values"):
            got = getattr(cache, name)[:, row, : one.cache.slots]
            np.testing.assert_array_equal(got, getattr(one.cache, name)[:, 0])
    same, valid = stack([long, long, long], rows=4)
    assert same is long.cache and valid is long.valid
