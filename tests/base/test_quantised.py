"""Bases held as int8: what rounding keeps, what is held, and that everything that reads a base reads this one."""

import json
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxdiff.base.generate import greedy
from jaxdiff.base.module import SmolLM
from jaxdiff.base.restore import parameter_shapes
from jaxdiff.base.store import load_base, read_base
from jaxdiff.config import BaseConfig
from jaxdiff.errors import ConfigError, WeightsError
from jaxdiff.sharding import MeshShape, make_mesh
from jaxdiff_convert.cli import main
from jaxdiff_convert.convert import convert
from jaxdiff_convert.params import flattened, nested
from jaxdiff_convert.quantise import quantise_base, quantised
from jaxdiff_convert.staging import Staging
from tests.base.numpy_model import numpy_pass, random_params
from tests.convert.checkpoints import hf_tensors, smollm3_config, write_hf_folder

IDS = np.random.default_rng(0).integers(5, 90, (2, 9)).astype(np.int32)


@pytest.fixture(scope="module")
def int8_folder(tiny_folder, tmp_path_factory):
    return quantise_base(tiny_folder, tmp_path_factory.mktemp("int8") / "tiny")


def unrounded(leaves):
    """The floats that int8 leaves stand for, written out."""
    found = {}
    for name, value in leaves.items():
        if name.endswith("_scale"):
            continue
        if f"{name}_scale" in leaves:
            axis = 1 if name == "embed_tokens/embedding" else -2
            value = value.astype(np.float32) * np.expand_dims(leaves[f"{name}_scale"], axis)
        found[name] = value
    return found


def causal(length):
    return np.broadcast_to(np.tril(np.ones((length, length), bool)), (2, length, length))


@pytest.mark.parametrize("tied", [True, False])
def test_the_model_computes_with_what_the_int8_stand_for(tied, tmp_path):
    config = BaseConfig.tiny(tie_embeddings=tied)
    leaves = quantised(flattened(random_params(config)), Staging(tmp_path), lambda done, total: None)
    assert jax.tree.map(lambda x: (x.shape, x.dtype), nested(leaves)) == jax.tree.map(
        lambda x: (x.shape, x.dtype), parameter_shapes(config, "int8")
    )
    positions = np.broadcast_to(np.arange(9, dtype=np.int32), (2, 9))
    found = SmolLM(config, storage="int8").apply(
        {"params": jax.tree.map(jnp.asarray, nested(leaves))}, IDS, positions, causal(9), method="logits"
    )
    expected = numpy_pass(config, nested(unrounded(leaves)), IDS, positions, causal(9)).logits
    np.testing.assert_allclose(found, expected, atol=2e-4 * np.abs(expected).max())


@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from(["layers/mlp/up_proj/kernel", "embed_tokens/embedding", "lm_head/kernel"]),
    st.sampled_from([np.float32, np.float16]),
)
def test_rounding_is_within_half_a_step(tmp_path_factory, seed, leaf, dtype):
    rng = np.random.default_rng(seed)
    shape = (3, 5, 7) if leaf.startswith("layers") else (5, 7)
    value = (rng.normal(size=shape) * 10.0 ** rng.integers(-3, 3, size=(*shape[:-2], 1, shape[-1]))).astype(dtype)
    # The outputs run along the last axis of a kernel, along the rows of the embedding.
    axis = 1 if leaf.startswith("embed") else -2
    value[..., 0] = 0 if axis == -2 else value[..., 0]
    value = np.clip(value, -100, 100)
    leaves = quantised({leaf: value}, Staging(tmp_path_factory.mktemp("staging")), lambda done, total: None)
    rounded, scale = leaves[leaf], leaves[f"{leaf}_scale"]
    assert rounded.dtype == np.int8 and scale.dtype == np.float32
    wide = np.expand_dims(scale, axis)
    assert (np.abs(rounded * wide - value.astype(np.float32)) <= 0.5001 * wide).all()
    largest = np.abs(value.astype(np.float32)).max(axis)
    np.testing.assert_array_equal(np.abs(rounded).max(axis), np.where(largest > 0, 127, 0))
    assert (rounded >= -127).all()


def test_both_ways_to_an_int8_base_give_the_same(tiny_checkpoint, tiny_folder, int8_folder, tmp_path):
    direct = convert(tiny_checkpoint, tmp_path / "direct", int8=True)
    cards = [json.loads((folder / "base.json").read_text()) for folder in (direct, int8_folder, tiny_folder)]
    assert cards[0]["fingerprint"] == cards[1]["fingerprint"] != cards[2]["fingerprint"]
    assert cards[0]["quantised_from"] == cards[1]["quantised_from"] == cards[2]["fingerprint"]
    assert cards[0]["storage"] == "int8" and "storage" not in cards[2]
    assert not (direct / "staging").exists()
    base = read_base(int8_folder)
    assert base.serves(cards[1]["fingerprint"]) and base.serves(cards[2]["fingerprint"]) and not base.serves("")
    assert not read_base(tiny_folder).serves(cards[1]["fingerprint"])


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_matrices_stay_int8_whatever_the_base_computes_in(dtype, tiny_folder, int8_folder):
    base, plain = load_base(int8_folder, dtype=dtype), load_base(tiny_folder, dtype=dtype)
    for name, leaf in flattened(base.params).items():
        matrix = name.endswith(("kernel", "embedding"))
        assert leaf.dtype == ("int8" if matrix else "float32" if name.endswith("_scale") else dtype), name
    # The scales weigh more in a matrix of 32 inputs than in a real one.
    assert sum(leaf.nbytes for leaf in jax.tree.leaves(base.params)) < 0.65 * sum(
        leaf.nbytes for leaf in jax.tree.leaves(plain.params)
    )
    assert base.embedding.dtype == dtype
    np.testing.assert_allclose(
        base.embedding.astype(np.float32), plain.embedding.astype(np.float32), atol=0.02 * np.abs(plain.embedding).max()
    )


def test_generation_and_a_mesh_read_an_int8_base(int8_folder):
    base = read_base(int8_folder)
    mesh = make_mesh(MeshShape.parse("fsdp=2,tensor=2"), jax.devices()[:4])
    divided = read_base(int8_folder, mesh=mesh)
    logits = np.asarray(base.logits(IDS))
    np.testing.assert_allclose(divided.logits(IDS), logits, atol=1e-5 * np.abs(logits).max())
    down = divided.params["layers"]["mlp"]["down_proj"]
    assert down["kernel"].addressable_shards[0].data.nbytes == down["kernel"].nbytes // 4
    assert down["kernel_scale"].addressable_shards[0].data.nbytes == down["kernel_scale"].nbytes // 2
    written = np.asarray(greedy(base, IDS, IDS > 0, 3, stop_ids=()))
    text = IDS
    for step in range(3):
        following = np.asarray(base.logits(text))[:, -1].argmax(-1)
        np.testing.assert_array_equal(written[:, step], following)
        text = np.concatenate([text, following[:, None].astype(np.int32)], axis=1)


def test_the_command_line_rounds_checkpoints_and_bases(tmp_path, capsys):
    source = write_hf_folder(tmp_path / "hf", smollm3_config(tie_word_embeddings=False), hf_tensors(tied=False))
    assert main([str(source), str(tmp_path / "base")]) == 0
    assert main([str(tmp_path / "base"), str(tmp_path / "rounded"), "--int8", "--name", "small"]) == 0
    assert main([str(source), str(tmp_path / "direct"), "--int8"]) == 0
    rounded, direct = read_base(tmp_path / "rounded"), read_base(tmp_path / "direct")
    assert (rounded.name, rounded.fingerprint) == ("small", direct.fingerprint)
    assert rounded.params["lm_head"]["kernel"].dtype == jnp.int8
    capsys.readouterr()
    for arguments, message in (
        ([str(tmp_path / "base"), str(tmp_path / "no")], "is a converted base already; --int8 rounds its matrices"),
        (
            [str(tmp_path / "base"), str(tmp_path / "no"), "--int8", "--dtype", "float16"],
            "--dtype needs the checkpoint",
        ),
        ([str(tmp_path / "rounded"), str(tmp_path / "no"), "--int8"], "is held as int8 already"),
        ([str(tmp_path / "base"), str(tmp_path / "rounded"), "--int8"], "exists already"),
        (["compare", str(source), str(tmp_path / "rounded")], "compare the base that it was rounded from"),
        (["export", str(tmp_path / "rounded"), str(tmp_path / "no")], "can be exported"),
    ):
        assert main(arguments) == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1, error
    assert not (tmp_path / "no").exists()


def test_an_int8_base_without_its_scales_or_of_an_unknown_storage_is_refused(int8_folder, tmp_path):
    for name, change, message in (
        ("float", {"storage": "float"}, "parameters do not fit the configuration"),
        ("int4", {"storage": "int4"}, "of another format"),
    ):
        folder = shutil.copytree(int8_folder, tmp_path / name)
        card = json.loads((folder / "base.json").read_text())
        (folder / "base.json").write_text(json.dumps(card | change))
        with pytest.raises(WeightsError, match=message):
            read_base(folder)
    with pytest.raises(ConfigError, match="held as int8 already"):
        quantise_base(int8_folder, tmp_path / "again")
