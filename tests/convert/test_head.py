"""Heads of the PyTorch implementation: converted, computed with, and written back."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from jaxdiff.diffusion import residual
from jaxdiff.diffusion.features import Canvas, Features
from jaxdiff.diffusion.head_files import check_base, load_head, save_head
from jaxdiff.diffusion.residual_config import ResidualConfig
from jaxdiff.errors import ConfigError, HeadMismatch, WeightsError
from jaxdiff_convert.cli import main
from jaxdiff_convert.convert import convert
from jaxdiff_convert.head import convert_head_file
from jaxdiff_convert.head_export import export_head
from tests.convert.checkpoints import hf_tensors, smollm3_config, write_hf_folder

GOLDEN = Path(__file__).parents[1] / "diffusion" / "data"
NAMES = ("residual", "bidirectional", "bidirectional_fused", "cross_field")
TIMES = (0.0, 0.3, 0.75, 0.999, 1.0)


def state_of(name):
    return load_file(GOLDEN / f"{name}.safetensors")


def canvas_of(scaffold, exists):
    """Slots are the runs of scaffold positions, counted one position after the other."""
    field, offset = np.full(scaffold.shape, -1, np.int32), np.zeros(scaffold.shape, np.int32)
    for row, flags in enumerate(scaffold):
        number = -1
        for position, inside in enumerate(flags):
            if inside:
                begins = position == 0 or not flags[position - 1]
                number += begins
                field[row, position] = number
                offset[row, position] = 0 if begins else offset[row, position - 1] + 1
    return Canvas(field=field, offset=offset, exists=exists)


@pytest.mark.parametrize("name", NAMES)
def test_a_converted_head_computes_what_the_original_does(name, tmp_path, capsys):
    out = tmp_path / "head"
    assert main(["head", str(GOLDEN / f"{name}.safetensors"), str(out), "--heads", "4"]) == 0
    assert capsys.readouterr().out.strip() == str(out)
    head = load_head(out)
    config = ResidualConfig.from_dict(head.config)
    assert (config.input_size, config.hidden_size, config.vocab_size) == (48, 32, 97)
    assert (config.num_blocks, config.steps) == (2, 4)
    assert config.prompt_attention == (name == "cross_field") and config.field_positions == 6 * config.prompt_attention
    with np.load(GOLDEN / f"{name}.npz") as golden:
        exists = golden["attention_mask"] if name != "residual" else np.ones((3, 17), bool)
        features = Features(
            canvas=canvas_of(golden["scaffold_mask"], exists),
            canvas_states=golden["hidden_states"],
            prompt_states=golden["prompt_hidden_states"],
            prompt_mask=golden["prompt_mask"],
        )
        tokens = jnp.asarray(golden["current_tokens"].astype(np.int32))
        params = jax.tree.map(jnp.asarray, head.params)
        predict = jax.jit(lambda t: residual.predict(params, config, features, tokens, t).logits)
        for time in TIMES:
            want = golden[f"logits_t{time}"]
            assert np.abs(predict(jnp.full(3, time)) - want).max() <= 1e-4 * np.abs(want).max(), time


@pytest.mark.parametrize("dtype", [np.float32, np.float16, ml_dtypes.bfloat16])
@pytest.mark.parametrize("name", NAMES)
def test_there_and_back_is_bit_exact(name, dtype, tmp_path):
    state = {key: value.astype(dtype) for key, value in state_of(name).items()}
    save_file(state, tmp_path / "state.safetensors")
    convert_head_file(tmp_path / "state.safetensors", tmp_path / "head", num_heads=4)
    assert main(["export", str(tmp_path / "head"), str(tmp_path / "back"), "--format", "safetensors"]) == 0
    back = load_file(tmp_path / "back" / "diffusion_head.safetensors")
    assert back.keys() == state.keys()
    for key, value in state.items():
        assert back[key].dtype == value.dtype and back[key].tobytes() == value.tobytes(), key
    # The file says how many heads there are, so that nobody has to.
    again = convert_head_file(tmp_path / "back" / "diffusion_head.safetensors", tmp_path / "again")
    assert again.config.num_heads == 4 and not again.heads_assumed


@pytest.mark.parametrize(
    "wrapped", ["diffusion_head.{}", "module.diffusion_head._orig_mod.{}", "_orig_mod.module.{}", "{}"]
)
def test_names_with_wrappers_are_read(wrapped, tmp_path):
    state = {
        wrapped.format(name.removeprefix("diffusion_head.")): value for name, value in state_of("residual").items()
    }
    others = {"base_llm.model.norm.weight": np.ones(3, np.float32)} if "diffusion_head" in wrapped else {}
    save_file(state | others, tmp_path / "state.safetensors")
    done = convert_head_file(tmp_path / "state.safetensors", tmp_path / "head")
    assert done.ignored == len(others)
    plain = convert_head_file(GOLDEN / "residual.safetensors", tmp_path / "plain")
    jax.tree.map(np.testing.assert_array_equal, load_head(done.folder).params, load_head(plain.folder).params)


def test_the_number_of_heads_is_assumed_aloud(tmp_path, capsys):
    done = convert_head_file(GOLDEN / "bidirectional.safetensors", tmp_path / "a")
    assert done.config.num_heads == 8 and done.heads_assumed
    assert not convert_head_file(GOLDEN / "residual.safetensors", tmp_path / "b").heads_assumed
    assert main(["head", str(GOLDEN / "cross_field.safetensors"), str(tmp_path / "c")]) == 0
    assert "8 attention heads assumed" in capsys.readouterr().err
    for heads in (5, 0):
        with pytest.raises(ConfigError, match=f"does not divide into {heads} heads; see --heads"):
            convert_head_file(GOLDEN / "bidirectional.safetensors", tmp_path / "d", num_heads=heads)


def changed(**changes):
    def change(state):
        for name, value in changes.items():
            name = "diffusion_head." + name.replace("__", ".")
            if value is None:
                del state[name]
            else:
                state[name] = value(state[name]) if callable(value) else value
        return state

    return change


def with_nan(value):
    value = value.copy()
    value[0] = np.nan
    return value


BAD = {
    "no input": (changed(input_proj__weight=None), "not a diffusion head: without a matrix input_proj.weight"),
    "no bias": (changed(output_proj__bias=None), "1 missing: output_proj.bias"),
    "a stranger": (changed(adapter__weight=np.ones((2, 2), np.float32)), "1 unknown: adapter.weight"),
    "another shape": (
        changed(denoise_blocks__1__3__weight=lambda w: w[:, :5].copy()),
        "1 mis-shaped: denoise_blocks.1.3.weight [32, 5] instead of [32, 32]",
    ),
    "another rank": (changed(time_embed__weight=lambda w: w[0].copy()), "without a matrix time_embed.weight"),
    "not a number": (changed(output_proj__weight=with_nan), "not finite in output_proj.weight"),
    "integers": (changed(output_proj__bias=lambda w: w.astype(np.int32)), "unsupported types: output_proj.bias"),
    "learned positions": (changed(position_embeddings=lambda p: p[::-1].copy()), "position_embeddings are not sinus"),
    "a block is missing": (
        lambda state: {name.replace("denoise_blocks.1", "denoise_blocks.7"): value for name, value in state.items()},
        "6 missing: denoise_blocks.1.0.bias",
    ),
}  # fmt: skip


@pytest.mark.parametrize("bad", BAD)
def test_a_checkpoint_that_does_not_fit_is_refused_in_one_line(bad, tmp_path, capsys):
    change, message = BAD[bad]
    save_file(change(state_of("residual")), tmp_path / "state.safetensors")
    assert main(["head", str(tmp_path / "state.safetensors"), str(tmp_path / "head")]) == 2
    captured = capsys.readouterr()
    assert message in captured.err and captured.err.count("\n") == 1 and captured.out == ""
    assert [path.name for path in tmp_path.iterdir()] == ["state.safetensors"]


def test_files_that_are_no_checkpoint_are_refused(tmp_path):
    (tmp_path / "cut.safetensors").write_bytes((GOLDEN / "residual.safetensors").read_bytes()[:5000])
    (tmp_path / "text.md").write_text("head")
    for name, message in {
        "cut.safetensors": "damaged or incomplete",
        "text.md": "known endings",
        "nothing.pt": "no such file",
        "": "is a folder",
    }.items():
        with pytest.raises(WeightsError, match=message):
            convert_head_file(tmp_path / name, tmp_path / "head")


def test_what_exists_stays_unless_it_is_a_head_to_be_replaced(tmp_path):
    source, out = GOLDEN / "residual.safetensors", tmp_path / "head"
    convert_head_file(source, out, mask_id=95, null_id=3)
    with pytest.raises(WeightsError, match="exists already"):
        convert_head_file(source, out)
    assert load_head(out).config["null_id"] == 3
    convert_head_file(source, out, overwrite=True)
    assert (load_head(out).config["mask_id"], load_head(out).config["null_id"]) == (95, 96)
    other = tmp_path / "other"
    other.mkdir()
    (other / "model.safetensors").write_text("weights")
    for write in (
        lambda: convert_head_file(source, other, overwrite=True),
        lambda: export_head(out, other, overwrite=True),
    ):
        with pytest.raises(WeightsError, match="therefore not overwritten"):
            write()
    assert (other / "model.safetensors").read_text() == "weights"


def test_a_head_is_tied_to_a_base_that_it_fits(tmp_path, monkeypatch):
    base = convert(write_hf_folder(tmp_path / "hf", smollm3_config(), hf_tensors()), tmp_path / "base")
    card = json.loads((base / "base.json").read_text())
    fitting = ResidualConfig(
        input_size=32,
        vocab_size=288,
        mask_id=4,
        null_id=3,
        hidden_size=16,
        num_heads=2,
        vocabulary="own",
        position_rows=9,
    )
    save_head(
        tmp_path / "made", "residual", fitting.to_dict(), residual.init(jax.random.key(0), fitting),
        {"base_name": "", "base_fingerprint": "", "data": [], "validation": {}},
    )  # fmt: skip
    state = export_head(tmp_path / "made", tmp_path / "state") / "diffusion_head.safetensors"
    done = convert_head_file(state, tmp_path / "head", base=str(base))
    loaded = load_head(done.folder)
    assert (loaded.card["base_name"], loaded.card["base_fingerprint"]) == (card["name"], card["fingerprint"])
    assert (done.config.mask_id, done.config.null_id) == (4, 3)
    check_base(loaded.card, card["fingerprint"])
    with pytest.raises(HeadMismatch, match="names no base; convert its checkpoint again with --base"):
        check_base(load_head(tmp_path / "made").card, card["fingerprint"])
    with pytest.raises(WeightsError, match=r"reads states of width 48; base .* needs 32"):
        convert_head_file(GOLDEN / "residual.safetensors", tmp_path / "no", base=str(base))
    narrow = load_file(state)
    for name in ("token_emb.weight", "output_proj.weight", "output_proj.bias"):
        narrow[f"diffusion_head.{name}"] = narrow[f"diffusion_head.{name}"][:200].copy()
    save_file(narrow, tmp_path / "narrow.safetensors")
    with pytest.raises(WeightsError, match=r"writes a vocabulary of 200; base .* needs 288"):
        convert_head_file(tmp_path / "narrow.safetensors", tmp_path / "no", base=str(base))
    with pytest.raises(ConfigError, match="give either them or --base"):
        convert_head_file(state, tmp_path / "no", base=str(base), mask_id=1)
    assert not (tmp_path / "no").exists()


def test_a_head_whose_parameters_are_not_those_of_its_card_is_not_written(tmp_path):
    config = ResidualConfig.tiny(vocabulary="own")
    params = residual.init(jax.random.key(0), config)
    card = {"base_name": "tiny", "base_fingerprint": "00", "data": [], "validation": {}}
    for name, values in (("more", config.to_dict() | {"num_blocks": 3}), ("wide", config.to_dict() | {"steps": 5})):
        save_head(tmp_path / name, "residual", values, params, card)
        with pytest.raises(WeightsError, match="configuration"):
            export_head(tmp_path / name, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_other_heads_are_written_under_their_paths(tmp_path):
    params = {
        "trunk": {"dense": {"kernel": np.arange(6, dtype=np.float16).reshape(2, 3)}},
        "scale": np.ones(2, np.float32),
    }
    card = {"base_name": "tiny", "base_fingerprint": "00", "data": [], "validation": {}}
    save_head(tmp_path / "head", "reader", {}, params, card)
    written = load_file(export_head(tmp_path / "head", tmp_path / "out") / "diffusion_head.safetensors")
    assert written.keys() == {"trunk.dense.kernel", "scale"}
    np.testing.assert_array_equal(written["trunk.dense.kernel"], params["trunk"]["dense"]["kernel"])
    assert written["trunk.dense.kernel"].dtype == np.float16 and written["scale"].dtype == np.float32
