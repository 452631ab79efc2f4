"""An agent on a base held as int8: routing of a call, reading, and all ways to fill."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff.agent.agent import Agent, Options
from jaxdiff.agent.heads import find_head
from jaxdiff.diffusion.head_files import save_head
from jaxdiff.errors import HeadMismatch
from jaxdiff.schema.tools import parse_tools
from jaxdiff_convert.params import flattened, nested
from jaxdiff_convert.quantise import quantised
from jaxdiff_convert.staging import Staging
from jaxdiff_train.reading.online import TokenBatches, TokenRows, read_online
from tests.agent.frozen_fills import tiny_base
from tests.agent.tiny import few_buckets, reader_head
from tests.train.reader_rows import ROWS

TOOL = {
    "name": "paint",
    "parameters": {
        "type": "object",
        "properties": {"title": {"type": "string"}, "colour": {"enum": ["red", "blue"]}, "doors": {"type": "integer"}},
        "required": ["title", "colour"],
    },
}


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    plain = tiny_base(0)
    leaves = flattened(jax.tree.map(np.asarray, plain.params))
    rounded = quantised(leaves, Staging(tmp_path_factory.mktemp("int8")), lambda done, total: None)
    params = jax.tree.map(jnp.asarray, nested(rounded))
    held = dataclasses.replace(
        plain, params=params, fingerprint="int8", storage="int8", quantised_from=plain.fingerprint
    )
    return plain, held


@pytest.mark.parametrize("fill", ["diffusion", "parallel"])
def test_an_agent_answers(fill, bases):
    _, base = bases
    with few_buckets():
        agent = Agent(base, reader_head(base), parse_tools([TOOL]), Options(fill))
        (call,) = agent("Paint 12 doors red please").calls
    assert call.name == "paint"
    assert isinstance(call.arguments["title"], str) and call.arguments["colour"] in ("red", "blue")


def test_heads_of_the_unrounded_base_are_taken(bases, tmp_path):
    plain, base = bases
    head = reader_head(plain)
    card = {"base_name": "tiny", "base_fingerprint": plain.fingerprint, "data": [], "validation": {}}
    params = jax.tree.map(np.asarray, head.params)
    save_head(tmp_path / "plain", "reader", head.config.to_dict(), params, card)
    save_head(tmp_path / "int8", "reader", head.config.to_dict(), params, card | {"base_fingerprint": "int8"})
    assert find_head(base, tmp_path / "plain") is not None
    assert find_head(base, tmp_path / "int8") is not None
    with pytest.raises(HeadMismatch):
        find_head(plain, tmp_path / "int8")


def test_a_head_that_trains_on_it_sees_the_embedding_in_its_scale(bases):
    _, base = bases
    batch = TokenBatches(base, [TokenRows(base, ROWS, "rows")], [1.0], 2, seed=0).batch(0)
    seen = jax.jit(read_online(base.module))(base.params, batch).features.embedding
    np.testing.assert_allclose(seen, base.embedding, rtol=1e-6)
