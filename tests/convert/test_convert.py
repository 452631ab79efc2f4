"""Whole conversions of Hugging Face folders: values, dtypes, files, fingerprint."""

import errno
import hashlib
import json
import os

import numpy as np
import pytest

from jaxdiff.config import BaseConfig, RopeConfig
from jaxdiff.errors import ConfigError, WeightsError
from jaxdiff_convert.convert import convert
from jaxdiff_convert.params import fingerprint, restore, save
from jaxdiff_convert.stored import open_stored

from .checkpoints import (
    BFLOAT16,
    TEMPLATE,
    expected_parameters,
    hf_tensors,
    llama_config,
    smollm3_config,
    write_hf_folder,
)


def read_card(folder):
    return json.loads((folder / "base.json").read_text())


def assert_same(leaves, expected):
    assert sorted(leaves) == sorted(expected)
    for name, value in expected.items():
        assert leaves[name].dtype == value.dtype, name
        np.testing.assert_array_equal(leaves[name], value, err_msg=name)


@pytest.mark.parametrize("shards", [0, 3])
@pytest.mark.parametrize("dtype", [np.float32, np.float16, BFLOAT16])
def test_values_shapes_and_dtypes(tmp_path, dtype, shards):
    tensors = hf_tensors(dtype)
    source = write_hf_folder(tmp_path / "source", smollm3_config(), tensors, shards=shards)
    out = convert(source, tmp_path / "out")
    assert_same(restore(out / "params"), expected_parameters(tensors))
    assert read_card(out)["dtype"] == np.dtype(dtype).name


def test_own_output_matrix(tmp_path):
    tensors = hf_tensors(tied=False)
    source = write_hf_folder(tmp_path / "source", llama_config(tie_word_embeddings=False), tensors)
    assert_same(restore(convert(source, tmp_path / "out") / "params"), expected_parameters(tensors))


def test_decoder_alone_and_rotary_frequencies(tmp_path):
    """A checkpoint of the decoder alone lacks the prefix `model.`; old ones carry frequencies, in float32."""
    tensors = hf_tensors(np.float16)
    bare = {name.removeprefix("model."): weight for name, weight in tensors.items()}
    bare["layers.0.self_attn.rotary_emb.inv_freq"] = np.ones(4, np.float32)
    source = write_hf_folder(tmp_path / "source", llama_config(), bare)
    assert_same(restore(convert(source, tmp_path / "out") / "params"), expected_parameters(tensors))


def test_card_tokenizer_and_template(tmp_path):
    source = write_hf_folder(tmp_path / "some.model-3B", smollm3_config(), hf_tensors())
    (source / "tokenizer_config.json").write_text(json.dumps({"chat_template": TEMPLATE}))
    (source / "generation_config.json").write_text(json.dumps({"eos_token_id": [1, 2]}))
    out = convert(source, tmp_path / "out")
    card = read_card(out)
    assert {key: card[key] for key in ("format", "name", "dtype", "source")} == {
        "format": 1,
        "name": "some.model-3B",
        "dtype": "float32",
        "source": str(source),
    }
    assert BaseConfig.from_dict(card["config"]) == BaseConfig(
        vocab_size=288,
        hidden_size=32,
        intermediate_size=64,
        num_layers=3,
        num_heads=4,
        num_kv_heads=2,
        head_dim=8,
        rope_layers=(True, True, False),
        rope=RopeConfig(theta=100000.0),
        rms_norm_eps=1e-5,
        max_positions=512,
        tie_embeddings=True,
        eos_token_ids=(2, 1),
        mask_token_id=4,  # <|reserved_special_token_0|> stands behind _1|> in this vocabulary
        null_token_id=3,
    )
    assert (out / "tokenizer.json").read_text() == (source / "tokenizer.json").read_text()
    assert (out / "chat_template.jinja").read_text() == TEMPLATE
    assert sorted(path.name for path in out.iterdir()) == [
        "base.json",
        "chat_template.jinja",
        "params",
        "tokenizer.json",
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "some.model-3B"]


def test_no_reserved_tokens(tmp_path):
    source = write_hf_folder(tmp_path / "source", llama_config(), hf_tensors())
    tokenizer = json.loads((source / "tokenizer.json").read_text())
    tokenizer["added_tokens"] = [token for token in tokenizer["added_tokens"] if token["id"] != 4]
    (source / "tokenizer.json").write_text(json.dumps(tokenizer))
    out = convert(source, tmp_path / "out")
    assert read_card(out)["config"]["mask_token_id"] is read_card(out)["config"]["null_token_id"] is None
    assert not (out / "chat_template.jinja").exists()


def test_templates_by_name_and_in_a_file(tmp_path):
    source = write_hf_folder(tmp_path / "source", llama_config(), hf_tensors())
    named = [{"name": "tool_use", "template": "no"}, {"name": "default", "template": "by name"}]
    (source / "tokenizer_config.json").write_text(json.dumps({"chat_template": named}))
    assert (convert(source, tmp_path / "a") / "chat_template.jinja").read_text() == "by name"
    (source / "chat_template.jinja").write_text("in a file")
    assert (convert(source, tmp_path / "b") / "chat_template.jinja").read_text() == "in a file"


def test_dtype_is_overridden(tmp_path):
    tensors = hf_tensors(np.float32)
    source = write_hf_folder(tmp_path / "source", llama_config(), tensors)
    out = convert(source, tmp_path / "out", dtype="bfloat16", name="small")
    assert_same(restore(out / "params"), {k: v.astype(BFLOAT16) for k, v in expected_parameters(tensors).items()})
    assert (read_card(out)["dtype"], read_card(out)["name"]) == ("bfloat16", "small")


def test_mixed_dtypes_become_float32(tmp_path):
    tensors = hf_tensors(BFLOAT16)
    tensors["model.norm.weight"] = tensors["model.norm.weight"].astype(np.float32)
    source = write_hf_folder(tmp_path / "source", llama_config(), tensors)
    out = convert(source, tmp_path / "out")
    assert_same(restore(out / "params"), {k: v.astype(np.float32) for k, v in expected_parameters(tensors).items()})


def test_fingerprint_is_the_documented_hash(tmp_path):
    tensors = hf_tensors(BFLOAT16)
    out = convert(write_hf_folder(tmp_path / "source", llama_config(), tensors), tmp_path / "out")
    digest = hashlib.sha256()
    for name, value in sorted(expected_parameters(tensors).items()):
        digest.update(f"{name}\n{','.join(str(size) for size in value.shape)}\nbfloat16\n".encode())
        digest.update(np.ascontiguousarray(value).view(np.uint16).astype("<u2").tobytes())
    assert read_card(out)["fingerprint"] == digest.hexdigest()


def test_fingerprint_depends_on_values_names_and_dtype_only(tmp_path):
    tensors = hf_tensors()
    one = convert(write_hf_folder(tmp_path / "one", llama_config(), tensors), tmp_path / "a")
    two = convert(write_hf_folder(tmp_path / "two", llama_config(), tensors, shards=2), tmp_path / "b", name="other")
    half = convert(tmp_path / "one", tmp_path / "c", dtype="bfloat16")
    assert read_card(one)["fingerprint"] == read_card(two)["fingerprint"] != read_card(half)["fingerprint"]
    leaves = expected_parameters(tensors)
    assert fingerprint(leaves) == read_card(one)["fingerprint"]
    leaves["norm/scale"] = np.nextafter(leaves["norm/scale"], np.float32(np.inf))
    assert fingerprint(leaves) != read_card(one)["fingerprint"]


def test_existing_folder_is_refused_and_overwritten_on_request(tmp_path):
    source = write_hf_folder(tmp_path / "source", llama_config(), hf_tensors())
    out = convert(source, tmp_path / "out", name="first")
    with pytest.raises(WeightsError, match=r"out exists already"):
        convert(source, out, name="second")
    assert read_card(out)["name"] == "first"
    assert read_card(convert(source, out, name="second", overwrite=True))["name"] == "second"


def test_only_a_converted_base_is_overwritten(tmp_path):
    source = write_hf_folder(tmp_path / "source", llama_config(), hf_tensors())
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "letter.txt").write_text("dear")
    with pytest.raises(WeightsError, match="not a converted base"):
        convert(source, tmp_path / "home", overwrite=True)
    assert (tmp_path / "home" / "letter.txt").read_text() == "dear"


def test_a_failing_overwrite_keeps_the_old_base(tmp_path):
    source = write_hf_folder(tmp_path / "source", llama_config(), hf_tensors())
    out = convert(source, tmp_path / "out", name="first")
    tensors = hf_tensors()
    tensors["model.norm.weight"][3] = np.nan
    damaged = write_hf_folder(tmp_path / "damaged", llama_config(), tensors)
    with pytest.raises(WeightsError, match=r"model\.norm\.weight holds values that are not finite"):
        convert(damaged, out, overwrite=True)
    assert read_card(out)["name"] == "first"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["damaged", "out", "source"]


def test_unknown_dtype_and_overflow_are_refused(tmp_path):
    tensors = hf_tensors()
    tensors["model.layers.1.mlp.up_proj.weight"][0, 0] = 1e6
    source = write_hf_folder(tmp_path / "source", llama_config(), tensors)
    with pytest.raises(ConfigError, match="dtype='int8'"):
        convert(source, tmp_path / "out", dtype="int8")
    with pytest.raises(WeightsError, match=r"layers\.1\.mlp\.up_proj\.weight has values beyond the range of float16"):
        convert(source, tmp_path / "out", dtype="float16")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source"]


def test_a_full_disk_is_found_out_beforehand(tmp_path, monkeypatch):
    source = write_hf_folder(tmp_path / "source", llama_config(), hf_tensors())
    monkeypatch.setattr("shutil.disk_usage", lambda folder: type("Usage", (), {"free": 1000}))
    with pytest.raises(WeightsError, match=r"has 0 MB free; converting needs \d+ MB"):
        convert(source, tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["source"]


def test_a_disk_that_fills_up_meanwhile(tmp_path, monkeypatch):
    source = write_hf_folder(tmp_path / "source", llama_config(), hf_tensors())
    out = convert(source, tmp_path / "out", name="first")

    def no_space(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("os.posix_fallocate", no_space)
    with pytest.raises(WeightsError, match=r"cannot write .*out: No space left on device$"):
        convert(source, out, name="second", overwrite=True)
    assert read_card(out)["name"] == "first"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out", "source"]


def test_large_arrays_are_written_in_slabs(tmp_path, monkeypatch):
    """Each slab is a file of orbax's storage; what is read piece by piece is what was written."""
    leaves = expected_parameters(hf_tensors())
    save(tmp_path / "whole", leaves)
    monkeypatch.setattr("jaxdiff_convert.staging.SLAB_BYTES", 2048)
    save(tmp_path / "slabs", leaves)
    files = [sum(path.is_file() for path in (tmp_path / name).rglob("d/*")) for name in ("whole", "slabs")]
    assert files[1] > files[0]
    stored = open_stored(tmp_path / "slabs")
    assert fingerprint(stored) == fingerprint(leaves)
    for name, value in leaves.items():
        assert (stored[name].shape, stored[name].dtype, stored[name].nbytes) == (value.shape, value.dtype, value.nbytes)
        np.testing.assert_array_equal(stored[name][1:3], value[1:3])


def test_progress_counts_every_tensor_once(tmp_path):
    tensors = hf_tensors()
    seen = []
    source = write_hf_folder(tmp_path / "source", llama_config(), tensors)
    convert(source, tmp_path / "out", report=lambda done, total: seen.append((done, total)))
    assert seen == [(done, len(tensors)) for done in range(1, len(tensors) + 1)]
