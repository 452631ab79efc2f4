"""Samplers as options of an agent: what reaches the denoising loop, and what is refused in one line."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff.agent.asked import Asked
from jaxdiff.agent.fill_diffusion import ReaderHead
from jaxdiff.agent.fill_residual import ResidualHead
from jaxdiff.agent.options import Options
from jaxdiff.agent.prefix import PrefixReader
from jaxdiff.agent.reading import reader_config
from jaxdiff.cli import main
from jaxdiff.diffusion.denoise import DenoiseConfig
from jaxdiff.diffusion.denoise_config import SAMPLERS
from jaxdiff.diffusion.residual_config import ResidualConfig
from jaxdiff.errors import ConfigError
from tests.agent.frozen_fills import tiny_base, tool_of
from tests.agent.tiny import few_buckets
from tests.diffusion.reader_rows import random_params

TOOL = tool_of()
QUERY = "Paint 12 doors red wine please, note x"


def test_options_reach_the_loop():
    options = Options("diffusion", steps=3, sampler="ancestral", guidance=1.5, temperature=0.5)
    assert options.denoising() == DenoiseConfig(steps=3, sampler="ancestral", guidance=1.5, temperature=0.5)
    assert Options("diffusion", credit=0.7).denoising() == DenoiseConfig(credit=0.7)
    assert Options("diffusion", blocks="in_order").denoising() == DenoiseConfig(blocks="in_order")


@pytest.mark.parametrize(
    "changes, named",
    [
        ({"sampler": "gibbs"}, "'gibbs' is unknown"),
        ({"guidance": -1.0}, "guidance=-1.0"),
        ({"sampler": "ancestral", "credit": 0.7}, "credit=0.7 has no meaning"),
        ({"sampler": "ancestral", "blocks": "in_order"}, "blocks='in_order' has no meaning"),
        ({"blocks": "backwards"}, "'backwards' is unknown; known: together, in_order"),
    ],
)
def test_bad_options_are_named(changes, named):
    with pytest.raises(ConfigError, match=named):
        Options("diffusion", **changes)


@pytest.mark.parametrize("kind", [ReaderHead, ResidualHead])
@pytest.mark.parametrize(
    "config, named", [({"guidance": 1.0}, "guidance=1.0"), ({"sampler": SAMPLERS[2]}, SAMPLERS[2])]
)
def test_what_a_head_cannot_serve_is_refused(kind, config, named):
    base = tiny_base(0)
    made = reader_config(base.config) if kind is ReaderHead else ResidualConfig.for_base(base.config)
    head = kind(base, made, {})
    reading = PrefixReading()
    with pytest.raises(ConfigError, match=named):
        head.fill([reading], DenoiseConfig(**config))


class PrefixReading:
    """What is refused is refused before anything is read of it."""

    @property
    def tool(self):
        pytest.fail("read")


def test_a_reader_composes_with_guidance_and_with_every_sampler():
    base = tiny_base(0)
    config = reader_config(
        base.config, hidden=16, canvas_heads=2, canvas_layers=1, prompt_dropout=0.1, time_conditioning=False
    )
    head = ReaderHead(base, config, jax.tree.map(jnp.asarray, random_params(config, 7)))
    with few_buckets():
        readings = head.read([Asked(TOOL, PrefixReader(base).tool(TOOL), QUERY)])
        plain = DenoiseConfig(steps=3)
        found = {}
        changed = (
            {},
            {"guidance": 3.0},
            {"sampler": "ancestral"},
            {"sampler": "ancestral_cached"},
            {"blocks": "in_order"},
        )
        for changes in changed:
            (filling,) = head.fill(readings, dataclasses.replace(plain, **changes))
            assert filling.trace is not None and "·" not in filling.trace.texts[-1]
            found[str(changes)] = filling.trace
    usual, guided, ancestral, cached, in_order = found.values()
    # A slot that one of them filled up may have grown.
    sure, surer = usual.confidence[-1], guided.confidence[-1]
    assert sure.shape != surer.shape or np.abs(sure - surer).max() > 1e-3
    assert not np.array_equal(usual.revealed, ancestral.revealed)
    assert cached.texts == ancestral.texts
    steps: dict[str, list[int]] = {}
    for name, revealed in zip(in_order.fields, in_order.revealed.T, strict=True):
        if revealed.any():
            steps.setdefault(name, []).append(int(revealed.argmax()))
    assert len(steps) > 1
    for before, after in itertools.pairwise(steps.values()):
        assert max(before) <= min(after)


def test_the_command_line_knows_the_samplers(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["call", "Hi", "--sampler", "gibbs"])
    said = capsys.readouterr().err
    assert stopped.value.code == 2 and said.count("\n") == 1 and all(name in said for name in SAMPLERS)
    assert main(["call", "Hi", "--guidance", "-1"]) == 2
    assert capsys.readouterr().err == "error: self.guidance=-1.0 must be >= 0 and finite\n"
    with pytest.raises(SystemExit):
        main(["call", "--help"])
    told = capsys.readouterr().out
    assert all(option in told for option in ("--sampler", "--guidance", "--credit"))
