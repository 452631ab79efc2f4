"""The base against numbers that `transformers` computed: whole models, each part, greedy tokens of the real weights.

The files are made by tests/parity/make_golden.py; a difference here means that the base, or the conversion, is wrong.
"""

import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

from jaxdiff.base import masks
from jaxdiff.base.frozen import FrozenBase
from jaxdiff.base.generate import greedy
from jaxdiff.base.module import MLP, Attention, RMSNorm
from jaxdiff.base.rope import rotation
from jaxdiff.config import BaseConfig
from jaxdiff_convert.hf_config import base_config_from_hf
from jaxdiff_convert.naming import HUGGING_FACE
from jaxdiff_convert.params import assemble, nested
from jaxdiff_convert.sources import Source
from jaxdiff_convert.sources.tensor import SourceTensor
from jaxdiff_convert.staging import Staging
from tests.base.numpy_model import read
from tests.convert.checkpoints import tiny_tokenizer

FOLDER = Path(__file__).parent / "golden"
MODELS = sorted(path.stem for path in FOLDER.glob("*.npz"))
LAYER = 1
"""The layer whose parts were recorded."""


@dataclass
class Golden:
    """A model of `transformers`, converted, and what it computed."""

    config: BaseConfig
    params: dict[str, Any]
    arrays: dict[str, np.ndarray]

    @property
    def layer(self) -> dict[str, Any]:
        """Parameters of the recorded layer."""
        return jax.tree.map(lambda leaf: leaf[LAYER], self.params["layers"])

    @property
    def valid(self) -> np.ndarray:
        """[B, T] bool; what `transformers` computes elsewhere is not defined."""
        return self.arrays["valid"]

    @property
    def positions(self) -> np.ndarray:
        """[B, T] int32."""
        return np.asarray(masks.positions(self.valid))


@pytest.fixture(scope="module", params=MODELS)
def golden(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Golden:
    with np.load(FOLDER / f"{request.param}.npz") as stored:
        arrays = dict(stored)
    tensors = tuple(
        SourceTensor(name.removeprefix("weights/"), weight.shape, weight.dtype.name, partial(np.asarray, weight))
        for name, weight in arrays.items()
        if name.startswith("weights/")
    )
    config = base_config_from_hf(json.loads(str(arrays["config"])), request.param)
    source = Source(FOLDER, config, tensors, HUGGING_FACE, tokenizer="", chat_template=None)
    leaves = assemble(source, "float32", Staging(tmp_path_factory.mktemp("staged")), lambda done, total: None)
    return Golden(config, nested(leaves), arrays)


def test_all_kinds_are_there():
    assert len(MODELS) == 6


def test_logits(golden):
    base = FrozenBase(golden.config, golden.params, tiny_tokenizer(), name="golden", fingerprint="0" * 64)
    found = np.asarray(base.logits(golden.arrays["ids"], golden.valid))[golden.valid]
    expected = golden.arrays["logits"][golden.valid]
    assert np.abs(expected).max() > 3
    assert np.abs(found - expected).max() <= 1e-4


def test_states_after_each_layer(golden):
    taps = tuple(range(1, golden.config.num_layers))
    output = read(
        golden.config, golden.params, golden.arrays["ids"], golden.positions, masks.causal(golden.valid), taps=taps
    )
    for slot, expected in enumerate(golden.arrays["states"]):
        np.testing.assert_allclose(output.taps[:, :, slot][golden.valid], expected[golden.valid], atol=5e-5)
    np.testing.assert_allclose(output.hidden[golden.valid], golden.arrays["final_norm_out"][golden.valid], atol=5e-5)


def test_rotary_tables(golden):
    cos, sin = rotation(golden.config.rope, golden.config.head_dim, golden.config.max_positions, golden.positions)
    for found, expected in ((cos, golden.arrays["cos"]), (sin, golden.arrays["sin"])):
        assert found.shape[-1] == golden.config.head_dim // 2
        np.testing.assert_allclose(np.concatenate([found, found], -1), expected, atol=2e-6)


@pytest.mark.parametrize("part", ["norm", "final_norm"])
def test_rms_norm(golden, part):
    params = golden.layer["input_layernorm"] if part == "norm" else golden.params["norm"]
    found = RMSNorm(golden.config.rms_norm_eps, np.float32).apply({"params": params}, golden.arrays[f"{part}_in"])
    np.testing.assert_allclose(found, golden.arrays[f"{part}_out"], rtol=1e-5, atol=1e-6)


def test_attention(golden):
    cos, sin = rotation(golden.config.rope, golden.config.head_dim, golden.config.max_positions, golden.positions)
    found, _, _, _ = Attention(golden.config, np.float32, "float").apply(
        {"params": golden.layer["self_attn"]},
        golden.arrays["attention_in"],
        cos,
        sin,
        np.bool_(golden.config.rope_layers[LAYER]),
        np.asarray(masks.causal(golden.valid)),
        None,
        None,
        0,
        None,
        None,
    )
    np.testing.assert_allclose(found[golden.valid], golden.arrays["attention_out"][golden.valid], atol=2e-5)


def test_mlp(golden):
    found = MLP(golden.config, np.float32, "float").apply({"params": golden.layer["mlp"]}, golden.arrays["mlp_in"])
    np.testing.assert_allclose(found, golden.arrays["mlp_out"], atol=2e-5)


def test_greedy_tokens_of_the_default_base(default_base):
    """All prompts in one batch, padded on the right, against one `generate` for each."""
    stored = json.loads((FOLDER / "greedy.json").read_text(encoding="utf-8"))
    texts, new_tokens, end = stored["texts"], stored["new_tokens"], default_base.config.eos_token_ids[0]
    lengths = np.array([len(text["ids"]) for text in texts])
    ids = np.array([text["ids"] + [0] * (lengths.max() - len(text["ids"])) for text in texts])
    found = greedy(default_base, ids, np.arange(ids.shape[1]) < lengths[:, None], new_tokens)
    expected = [text["new_ids"] + [end] * (new_tokens - len(text["new_ids"])) for text in texts]
    assert len(texts) == 10 and new_tokens == 40
    np.testing.assert_array_equal(found, expected)


def test_token_ids_of_the_default_base(default_base):
    stored = json.loads((FOLDER / "greedy.json").read_text(encoding="utf-8"))
    plain = [text for text in stored["texts"] if "<|im_start|>" not in text["prompt"]]
    assert len(plain) == 8
    for text in plain:
        assert default_base.encode(text["prompt"]) == text["ids"]
