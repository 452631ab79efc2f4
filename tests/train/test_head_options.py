"""Sizes and switches of a head as words of the command line."""

import pytest

from jaxdiff.diffusion.reader.config import ReaderConfig
from jaxdiff.diffusion.residual_config import ResidualConfig
from jaxdiff.errors import ConfigError
from jaxdiff_train.heads.options import head_options


def test_values_have_the_types_of_the_configuration():
    said = "hidden=160,dropout=0.1,time_conditioning=false,without=mixing+competition,canvas_loss=nelbo"
    assert head_options(said, ReaderConfig) == {
        "hidden": 160,
        "dropout": 0.1,
        "time_conditioning": False,
        "without": ("mixing", "competition"),
        "canvas_loss": "nelbo",
    }
    assert head_options("canvas_attention=block_causal", ReaderConfig) == {"canvas_attention": "block_causal"}
    assert head_options("sampled_vocabulary=64,prompt_attention=true", ResidualConfig) == {
        "sampled_vocabulary": 64,
        "prompt_attention": True,
    }
    assert head_options("", ReaderConfig) == {}


@pytest.mark.parametrize(
    ("said", "named"),
    [
        ("hidden", "'hidden' is not NAME=VALUE"),
        ("hiden=3", "'hiden' is unknown; known: hidden, "),
        ("attention=3", "'attention' is unknown"),
        ("hidden=wide", "hidden='wide' must be an integer"),
        ("dropout=much", "dropout='much' must be a number"),
        ("time_conditioning=maybe", "time_conditioning='maybe' must be true or false"),
    ],
)
def test_what_cannot_be_is_named(said, named):
    with pytest.raises(ConfigError, match=named):
        head_options(said, ReaderConfig)
