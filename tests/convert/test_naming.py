"""Names, shapes and row order: every problem is reported, and reordering undoes llama.cpp's."""

import dataclasses
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from jaxdiff.base.card import read_card
from jaxdiff.config import BaseConfig
from jaxdiff.errors import WeightsError
from jaxdiff_convert.convert import convert
from jaxdiff_convert.naming import GGUF_LLAMA, HUGGING_FACE, Placement, leaf_shapes, place
from jaxdiff_convert.params import flattened, nested

from .checkpoints import gguf_tensors, hf_tensors, llama_config, to_llama_cpp_rows, write_hf_folder


@dataclasses.dataclass(frozen=True)
class Shape:
    name: str
    shape: tuple[int, ...]


CONFIG = BaseConfig(
    vocab_size=288, hidden_size=32, intermediate_size=64, num_layers=3, num_heads=4, num_kv_heads=2, head_dim=8,
    rope_layers=(True,) * 3,
)  # fmt: skip
HF_SHAPES = tuple(Shape(name, weight.shape) for name, weight in hf_tensors().items())
GGUF_SHAPES = tuple(Shape(name, weight.shape) for name, weight in gguf_tensors(hf_tensors()).items())


@pytest.mark.parametrize(("shapes", "table"), [(HF_SHAPES, HUGGING_FACE), (GGUF_SHAPES, GGUF_LLAMA)])
def test_every_slot_is_filled_once(shapes, table):
    placements = place(shapes, CONFIG, table, "here")
    slots = {(placement.leaf, placement.layer) for placement in placements}
    assert len(slots) == len(placements) == len(shapes) == 3 * 9 + 2
    assert {leaf for leaf, _ in slots} == set(leaf_shapes(CONFIG))


@pytest.mark.parametrize(("shapes", "table"), [(HF_SHAPES, HUGGING_FACE), (GGUF_SHAPES, GGUF_LLAMA)])
@given(data=st.data())
def test_all_problems_are_named_together(shapes, table, data):
    """Whatever is dropped, added, doubled and reshaped: the one message names exactly these tensors."""
    fate = data.draw(st.lists(st.sampled_from(["keep"] * 12 + ["drop", "double", "reshape"]), min_size=len(shapes)))
    extra = data.draw(st.lists(st.sampled_from(["bias", "model.layers.x.norm", "rope_freqs.weight"]), unique=True))
    tensors, wrong = [Shape(name, (1,)) for name in extra], {"unknown": set(extra)}
    for shape, what in zip(shapes, fate, strict=False):
        wrong.setdefault(what, set()).add(shape.name)
        if what != "drop":
            tensors.append(Shape(shape.name, (*shape.shape, 1)) if what == "reshape" else shape)
        if what == "double":
            tensors.append(shape)
    if not any(names for what, names in wrong.items() if what != "keep"):
        place(tensors, CONFIG, table, "here")
        return
    with pytest.raises(WeightsError, match=r"^here: ") as caught:
        place(tensors, CONFIG, table, "here")
    message = str(caught.value)
    assert "\n" not in message
    for what, kind in (("unknown", "unknown"), ("drop", "missing"), ("double", "duplicate"), ("reshape", "mis-shaped")):
        names = wrong.get(what, set())
        section = re.search(rf"(\d+) {kind}: ([^;]*)", message)
        assert (int(section[1]) if section else 0) == len(names), kind
        listed = (
            {re.sub(r" [\[(].*| and \d+ more", "", name) for name in re.split(r", (?![\d ])", section[2])}
            if section
            else set()
        )
        assert listed <= names
        assert len(listed) == min(len(names), 12)


def test_prefixed_and_bare_name_of_one_tensor_are_duplicates():
    tensors = [*HF_SHAPES, Shape("norm.weight", (32,))]
    with pytest.raises(WeightsError, match=r"1 duplicate: norm\.weight \(also model\.norm\.weight\)$"):
        place(tensors, CONFIG, HUGGING_FACE, "here")


@pytest.mark.parametrize(
    "wrap",
    [
        lambda name: f"module.{name}",
        lambda name: f"_orig_mod.{name}",
        lambda name: f"module._orig_mod.{name}",
        lambda name: f"_orig_mod.module.{name}",
        lambda name: name.replace("model.layers.", "model.layers._orig_mod."),
        lambda name: name.replace(".mlp.", "._orig_mod.mlp."),
        lambda name: f"module.{name.removeprefix('model.')}",
    ],
)
@pytest.mark.parametrize("tied", [True, False])
def test_names_of_wrapped_models(tmp_path, wrap, tied):
    tensors = hf_tensors(tied=tied)
    plain = convert(write_hf_folder(tmp_path / "a", llama_config(tie_word_embeddings=tied), tensors), tmp_path / "b")
    wrapped = {wrap(name): weight for name, weight in tensors.items()}
    if tied:
        wrapped[wrap("lm_head.weight")] = tensors["model.embed_tokens.weight"]
    source = write_hf_folder(tmp_path / "c", llama_config(tie_word_embeddings=tied), wrapped)
    assert read_card(convert(source, tmp_path / "d"))["fingerprint"] == read_card(plain)["fingerprint"]


def test_a_layer_too_many_is_unknown():
    tensors = [*HF_SHAPES, Shape("model.layers.3.mlp.up_proj.weight", (64, 32))]
    with pytest.raises(
        WeightsError, match=r"1 unknown: model\.layers\.3\.mlp\.up_proj\.weight \(the configuration has 3"
    ):
        place(tensors, CONFIG, HUGGING_FACE, "here")


def test_biases_are_unknown_tensors(tmp_path):
    tensors = hf_tensors() | {"model.layers.0.self_attn.q_proj.bias": np.zeros(32, np.float32)}
    source = write_hf_folder(tmp_path / "source", llama_config(), tensors)
    with pytest.raises(WeightsError, match=r"1 unknown: model\.layers\.0\.self_attn\.q_proj\.bias$"):
        convert(source, tmp_path / "out")


def test_one_name_in_two_shards_is_a_duplicate(tmp_path):
    tensors = hf_tensors()
    source = write_hf_folder(tmp_path / "source", llama_config(), tensors, shards=2)
    shards = sorted(source.glob("model-*.safetensors"))
    save_file(load_file(shards[1]) | {"model.embed_tokens.weight": tensors["model.embed_tokens.weight"]}, shards[1])
    with pytest.raises(WeightsError, match=r"1 duplicate: model\.embed_tokens\.weight$"):
        convert(source, tmp_path / "out")


def test_tied_output_must_equal_the_embedding(tmp_path):
    tensors = hf_tensors()
    equal = tensors | {"lm_head.weight": tensors["model.embed_tokens.weight"].copy()}
    convert(write_hf_folder(tmp_path / "equal", llama_config(), equal), tmp_path / "out")
    different = tensors | {"lm_head.weight": tensors["model.embed_tokens.weight"] + 1}
    source = write_hf_folder(tmp_path / "different", llama_config(), different)
    with pytest.raises(WeightsError, match=r"lm_head\.weight differs from the embedding although the two are tied"):
        convert(source, tmp_path / "other")


def test_own_output_matrix_must_be_there():
    untied = dataclasses.replace(CONFIG, tie_embeddings=False)
    with pytest.raises(WeightsError, match=r"1 missing: lm_head\.weight$"):
        place(HF_SHAPES, untied, HUGGING_FACE, "here")


@given(heads=st.integers(1, 6), half=st.integers(1, 8), columns=st.integers(1, 5))
def test_reordering_undoes_llama_cpp(heads, half, columns):
    weight = np.arange(heads * 2 * half * columns).reshape(-1, columns)
    placed = Placement(0, "layers/self_attn/q_proj/kernel", 0, heads).to_parameter(to_llama_cpp_rows(weight, heads))
    np.testing.assert_array_equal(placed, weight.T)


KEYS = st.text("abc", min_size=1, max_size=2)
TREES = st.recursive(
    st.integers().map(np.asarray), lambda below: st.dictionaries(KEYS, below, min_size=1, max_size=3), max_leaves=8
).filter(lambda tree: isinstance(tree, dict))


@given(TREES)
def test_nesting_undoes_flattening(tree):
    assert nested(flattened(tree)) == tree
