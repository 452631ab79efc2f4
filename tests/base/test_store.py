"""Reading converted bases: what comes back, and one clear line where something is missing or damaged."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from tokenizers import AddedToken

from jaxdiff.base.store import load_base, read_base
from jaxdiff.errors import InputError, WeightsError
from jaxdiff_convert.hf_config import base_config_from_hf
from jaxdiff_convert.params import flattened
from tests.convert.checkpoints import SPECIAL, expected_parameters, hf_tensors, smollm3_config, tiny_tokenizer


def test_what_was_converted_comes_back(tiny_folder):
    base = read_base(tiny_folder)
    leaves = flattened(base.params)
    expected = expected_parameters(hf_tensors())
    assert leaves.keys() == expected.keys()
    for leaf, value in expected.items():
        assert leaves[leaf].dtype == jnp.float32
        np.testing.assert_array_equal(leaves[leaf], value, err_msg=leaf)
    assert base.name == "tiny"
    assert base.chat_template is None
    assert base.dtype == jnp.float32
    card = json.loads((tiny_folder / "base.json").read_text())
    assert base.fingerprint == card["fingerprint"] and len(base.fingerprint) == 64
    written = base_config_from_hf(smollm3_config(), "config.json")
    assert base.config.rope_layers == written.rope_layers == (True, True, False)
    assert base.config.mask_token_id == SPECIAL.index("<|reserved_special_token_0|>")


def test_bfloat16_is_held_and_computed(tiny_folder):
    base = read_base(tiny_folder, dtype="bfloat16")
    assert base.dtype == jnp.bfloat16
    assert {leaf.dtype for leaf in flattened(base.params).values()} == {jnp.dtype(jnp.bfloat16)}
    embedding = np.asarray(expected_parameters(hf_tensors())["embed_tokens/embedding"])
    np.testing.assert_allclose(base.embedding.astype(np.float32), embedding, rtol=2**-8)
    assert np.isfinite(base.logits([[1, 2, 3]])).all()


def test_the_chat_template_is_read(tiny_folder, tmp_path):
    folder = shutil.copytree(tiny_folder, tmp_path / "base")
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    assert read_base(folder).chat_template == "{{ messages }}"


def test_added_tokens_without_a_mark_are_text_too(tiny_folder, tmp_path):
    """SmolLM3's `<think>` is such a token."""
    folder = shutil.copytree(tiny_folder, tmp_path / "base")
    tokenizer = tiny_tokenizer()
    tokenizer.add_tokens([AddedToken("unused5", normalized=False)])
    tokenizer.save(str(folder / "tokenizer.json"))
    size = (folder / "tokenizer.json").stat().st_size
    edit_card(lambda card: card["files"].update({"tokenizer.json": size}))(folder)
    thinking = tokenizer.token_to_id("unused5")
    assert tokenizer.encode("a unused5").ids[-1] == thinking
    base = read_base(folder)
    ids = base.encode("a unused5")
    assert thinking not in ids
    assert base.decode(ids) == "a unused5"
    assert base.special("unused5") == [thinking]


def edit_card(change: Callable[[dict], None]) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        card = json.loads((folder / "base.json").read_text())
        change(card)
        (folder / "base.json").write_text(json.dumps(card))

    return edit


def truncate(name: str) -> Callable[[Path], None]:
    def cut(folder: Path) -> None:
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: len(content) // 2])

    return cut


def truncate_largest(folder: Path) -> None:
    largest = max((folder / "params").rglob("*"), key=lambda path: path.stat().st_size)
    truncate(str(largest.relative_to(folder)))(folder)


DAMAGES = {
    "no folder": (shutil.rmtree, "base.json"),
    "no card": (lambda folder: (folder / "base.json").unlink(), "base.json"),
    "no tokenizer": (lambda folder: (folder / "tokenizer.json").unlink(), "tokenizer.json is missing"),
    "no parameters": (lambda folder: shutil.rmtree(folder / "params"), "params"),
    "half a card": (truncate("base.json"), "base.json is missing or damaged"),
    "a list as card": (lambda folder: (folder / "base.json").write_text("[]"), ""),
    "no fingerprint": (edit_card(lambda card: card.pop("fingerprint")), "fingerprint"),
    "another format": (
        edit_card(lambda card: card.update(format=99)),
        "base.json is of another format; convert the checkpoint again",
    ),
    "unknown configuration key": (edit_card(lambda card: card["config"].update(experts=8)), "experts"),
    "impossible configuration": (edit_card(lambda card: card["config"].update(num_kv_heads=3)), "num_kv_heads"),
    "half a tokenizer": (truncate("tokenizer.json"), "tokenizer.json has"),
    "half the parameters": (truncate_largest, "params/"),
    "parameters of another size": (
        edit_card(lambda card: card["config"].update(intermediate_size=80)),
        "stored (3, 64, 32), expected (3, 80, 32)",
    ),
    "parameters of more layers": (
        edit_card(lambda card: card["config"].update(num_layers=4, rope_layers=[True] * 4)),
        "(9 in all)",
    ),
    "an output matrix that is not there": (
        edit_card(lambda card: card["config"].update(tie_embeddings=False)),
        "lm_head/kernel: stored None",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_base_is_refused_in_one_line(damage, tiny_folder, tmp_path, capfd):
    folder = shutil.copytree(tiny_folder, tmp_path / "base")
    spoil, telling = DAMAGES[damage]
    spoil(folder)
    with pytest.raises(WeightsError) as raised:
        read_base(folder)
    message = str(raised.value)
    assert message.startswith(str(folder)) and "\n" not in message and len(message) < 500
    assert telling in message
    assert "Traceback" not in capfd.readouterr().err


def test_load_base_takes_a_converted_folder(tiny_folder):
    assert load_base(tiny_folder).name == load_base(str(tiny_folder)).name == "tiny"


def test_load_base_converts_a_checkpoint_once(tiny_checkpoint, tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("JAXDIFF_CACHE", str(tmp_path / "cache"))
    first = load_base(tiny_checkpoint)
    assert "first use" in capfd.readouterr().err
    second = load_base(tiny_checkpoint, dtype="bfloat16")
    assert capfd.readouterr().err == ""
    assert first.fingerprint == second.fingerprint
    assert second.dtype == jnp.bfloat16


def test_load_base_refuses_an_unknown_dtype(tiny_folder):
    with pytest.raises(InputError, match="'int8' is not known; choose from float32, bfloat16"):
        load_base(tiny_folder, dtype="int8")


def test_load_base_refuses_an_unknown_name(tmp_path, monkeypatch):
    monkeypatch.setenv("JAXDIFF_CACHE", str(tmp_path))
    with pytest.raises(WeightsError, match="no base 'nowhere'"):
        load_base("nowhere")
