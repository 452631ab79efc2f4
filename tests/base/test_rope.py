"""Rotary embedding against numbers that `transformers` computed (tests/parity/make_golden.py), and its laws."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxdiff.base.rope import inverse_frequencies, rotate, rotation
from jaxdiff.config import RopeConfig
from jaxdiff.errors import ConfigError
from jaxdiff_convert.hf_config import base_config_from_hf

GOLDEN = json.loads((Path(__file__).parent / "golden" / "rope.json").read_text())


@pytest.mark.parametrize("name", GOLDEN)
def test_frequencies_equal_those_of_transformers(name):
    golden = GOLDEN[name]
    config = base_config_from_hf(golden["config"], name)
    frequencies, scale = inverse_frequencies(config.rope, config.head_dim, config.max_positions)
    assert frequencies.dtype == np.float32
    np.testing.assert_allclose(frequencies, golden["inverse_frequencies"], rtol=1e-6)
    assert scale == pytest.approx(golden["attention_factor"], rel=1e-9)


def test_golden_kinds_differ():
    assert {golden["config"]["rope_parameters"]["rope_type"] for golden in GOLDEN.values()} >= {
        "default",
        "linear",
        "dynamic",
        "yarn",
        "llama3",
    }
    assert len({tuple(golden["inverse_frequencies"]) for golden in GOLDEN.values()}) >= 6


def test_llama3_needs_the_original_length():
    with pytest.raises(ConfigError, match="original_max_positions"):
        inverse_frequencies(RopeConfig(kind="llama3", factor=8.0), 8, 64)


def test_yarn_original_length_is_the_models_by_default():
    rope = RopeConfig(kind="yarn", factor=4.0)
    given_length = RopeConfig(kind="yarn", factor=4.0, original_max_positions=64)
    np.testing.assert_array_equal(inverse_frequencies(rope, 16, 64)[0], inverse_frequencies(given_length, 16, 8192)[0])


def test_rotation_scales_by_the_attention_factor():
    cos, sin = rotation(RopeConfig(kind="yarn", factor=4.0, attention_factor=3.0), 8, 64, np.arange(5)[None])
    np.testing.assert_allclose(np.hypot(cos, sin), 3.0, rtol=1e-6)


@given(st.integers(0, 200), st.integers(0, 200), st.integers(0, 1000))
def test_scores_depend_on_the_distance_alone(query_at, key_at, shift):
    rng = np.random.default_rng(0)
    query, key = rng.normal(size=(2, 1, 1, 1, 16)).astype(np.float32)

    def score(offset: int) -> float:
        rotated = [
            rotate(x, *rotation(RopeConfig(), 16, 4096, np.array([[at + offset]], np.int32)))
            for x, at in ((query, query_at), (key, key_at))
        ]
        return float(np.sum(np.asarray(rotated[0]) * np.asarray(rotated[1])))

    assert score(0) == pytest.approx(score(shift), abs=5e-3)
