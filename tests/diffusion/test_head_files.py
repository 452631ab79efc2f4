"""Heads on disk: what is written is read, and what is damaged is named."""

import json
import os

import jax
import numpy as np
import pytest

from jaxdiff.diffusion import head_files, residual
from jaxdiff.diffusion.head_files import check_base, load_head, save_head
from jaxdiff.diffusion.residual_config import ResidualConfig
from jaxdiff.errors import ConfigError, HeadMismatch, WeightsError

CARD = {
    "base_name": "tiny",
    "base_fingerprint": "0123abcd",
    "data": [{"name": "packs", "licence": "Apache-2.0"}],
    "validation": {"whole_call": 0.5},
}
CONFIG = ResidualConfig.tiny()


def tiny_params(dtype=np.float32):
    return jax.tree.map(lambda x: np.asarray(x, dtype), residual.init(jax.random.key(0), CONFIG))


@pytest.fixture
def folder(tmp_path):
    save_head(tmp_path / "head", "residual", CONFIG.to_dict(), tiny_params(), CARD)
    return tmp_path / "head"


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_what_is_saved_is_loaded(tmp_path, dtype):
    params = tiny_params(dtype)
    save_head(tmp_path / "new" / "head", "residual", CONFIG.to_dict(), params, CARD)
    head = load_head(tmp_path / "new" / "head")
    assert head.kind == "residual"
    assert ResidualConfig.from_dict(head.config) == CONFIG
    assert {name: head.card[name] for name in CARD} == CARD
    assert jax.tree.structure(head.params) == jax.tree.structure(params)
    for read, given in zip(jax.tree.leaves(head.params), jax.tree.leaves(params), strict=True):
        assert read.dtype == np.float32
        np.testing.assert_array_equal(read, given.astype(np.float32))
    size = (tmp_path / "new" / "head" / "head.safetensors").stat().st_size
    count = sum(leaf.size for leaf in jax.tree.leaves(params))
    assert size == pytest.approx(count * np.dtype(dtype).itemsize, abs=2500)


def test_transposed_views_keep_their_values(tmp_path):
    view = np.arange(6, dtype=np.float32).reshape(2, 3).T
    save_head(tmp_path, "reader", {}, {"a": {"b": view}}, CARD)
    np.testing.assert_array_equal(load_head(tmp_path).params["a"]["b"], view)


def test_saving_again_replaces(folder):
    save_head(folder, "reader", {"hidden": 3}, {"a": np.ones(2, np.float32)}, CARD)
    head = load_head(folder)
    assert (head.kind, head.config, list(head.params)) == ("reader", {"hidden": 3}, ["a"])
    assert sorted(os.listdir(folder)) == ["card.json", "head.safetensors"]


@pytest.mark.parametrize("failing", ["head.safetensors", "card.json"])
def test_an_interrupted_write_leaves_no_head_that_passes_for_whole(folder, monkeypatch, failing):
    before = load_head(folder)
    replace = os.replace

    def fail(source, target):
        if str(target).endswith(failing):
            raise OSError("disk full")
        replace(source, target)

    monkeypatch.setattr(head_files.os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        save_head(folder, "residual", CONFIG.to_dict(), {"a": np.ones(2, np.float32)}, CARD)
    assert sorted(os.listdir(folder)) == ["card.json", "head.safetensors"]
    if failing == "head.safetensors":
        assert load_head(folder).card == before.card
    else:
        with pytest.raises(WeightsError, match="checksum"):
            load_head(folder)


@pytest.mark.parametrize("name", ["head.safetensors", "card.json"])
def test_missing_files_are_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(WeightsError, match=name.replace(".", r"\.")):
        load_head(folder)


def test_missing_folder_is_named(tmp_path):
    with pytest.raises(WeightsError, match=r"no head in .*nowhere"):
        load_head(tmp_path / "nowhere")


def test_half_and_flipped_weights_are_damaged(folder):
    path = folder / "head.safetensors"
    whole = path.read_bytes()
    for damaged in (whole[: len(whole) // 2], b"", whole[:-1] + bytes([whole[-1] ^ 1])):
        path.write_bytes(damaged)
        with pytest.raises(WeightsError, match="damaged head weights") as caught:
            load_head(folder)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text, message",
    [
        ("{", "damaged head card"), ("[]", "not a JSON object"), ("\xff", "damaged head card"),
        ("{}", "format version None"), ('{"format_version": 99}', "format version 99"),
        ('{"format_version": 1, "kind": "residual"}', "without config"),
    ],
)  # fmt: skip
def test_damaged_cards_are_named(folder, text, message):
    (folder / "card.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(WeightsError, match=message) as caught:
        load_head(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("changes, message", [({"kind": "oracle"}, "oracle"), ({"config": 3}, "config")])
def test_unusable_cards_are_named(folder, changes, message):
    card = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps(card | changes))
    with pytest.raises(WeightsError, match=message):
        load_head(folder)


def test_what_cannot_be_saved_is_refused_before_anything_is_written(tmp_path):
    params = {"a": np.ones(2, np.float32)}
    lacking = {name: value for name, value in CARD.items() if name != "data"}
    for kind, given, card, message in (
        ("oracle", params, CARD, "oracle"),
        ("reader", params, lacking, "data"),
        ("reader", params, CARD | {"kind": "reader"}, "kind"),
        ("reader", {"a": np.ones(2, np.int32)}, CARD, r"a \(int32\)"),
        ("reader", {"a": {"b/c": np.ones(2, np.float32)}}, CARD, "b/c"),
    ):
        with pytest.raises(ConfigError, match=message):
            save_head(tmp_path / "head", kind, {}, given, card)
    assert not (tmp_path / "head").exists()


def test_a_head_of_another_base_is_refused_naming_both():
    check_base(CARD, "0123abcd")
    with pytest.raises(HeadMismatch, match=r"tiny with fingerprint 0123abcd.*ffff"):
        check_base(CARD, "ffff")
