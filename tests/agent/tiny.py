"""A random reader for the tiny base, and buckets so few that each program is compiled once."""

from collections.abc import Iterator
from contextlib import contextmanager

import jax
import jax.numpy as jnp
import pytest

from jaxdiff.agent import compose, key_block, prefix
from jaxdiff.agent.asked import Asked
from jaxdiff.agent.fill_diffusion import ReaderHead
from jaxdiff.agent.prefix import ToolPrefix
from jaxdiff.agent.reading import Reading, read_calls, reader_config
from jaxdiff.base.frozen import FrozenBase
from jaxdiff.schema.tools import Tool
from tests.diffusion.reader_rows import random_params


def reader_head(base: FrozenBase, seed: int = 0) -> ReaderHead:
    config = reader_config(base.config, hidden=16, canvas_heads=2, canvas_layers=1)
    return ReaderHead(base, config, jax.tree.map(jnp.asarray, random_params(config, seed)))


def read_alone(base: FrozenBase, tool: Tool, known: ToolPrefix, query: str) -> Reading:
    (reading,) = read_calls(base, [Asked(tool, known, query)])
    return reading


@contextmanager
def few_buckets() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prefix, "PROMPT_TOKENS", (640,))
        patch.setattr(key_block, "PROMPT_TOKENS", (384,))
        patch.setattr(key_block, "TOKENS", (192,))
        patch.setattr(key_block, "FIELDS", (8,))
        patch.setattr(key_block, "CANDIDATES", (8,))
        patch.setattr(compose, "TOKENS", (256,))
        yield
