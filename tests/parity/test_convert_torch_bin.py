"""`pytorch_model.bin` checkpoints give what safetensors of the same weights give, and run no code."""

import io
import json
import os
import pickle

import numpy as np
import pytest

from jaxdiff.errors import WeightsError
from jaxdiff_convert.compare import compare
from jaxdiff_convert.convert import convert
from tests.convert.checkpoints import BFLOAT16, hf_tensors, llama_config, smollm3_config, write_hf_folder

torch = pytest.importorskip("torch")


def to_torch(array):
    if array.dtype == BFLOAT16:
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)


def write_bin_folder(folder, tensors, *, shards=1, **options):
    """`tensors` as `torch.save` writes them: one file, or shards with an index."""
    write_hf_folder(folder, smollm3_config())
    state = {name: to_torch(array) for name, array in tensors.items()}
    if shards == 1:
        torch.save(state, folder / "pytorch_model.bin", **options)
        return folder
    weight_map = {}
    for shard in range(shards):
        file = f"pytorch_model-{shard + 1:05d}-of-{shards:05d}.bin"
        part = dict(list(state.items())[shard::shards])
        torch.save(part, folder / file, **options)
        weight_map |= dict.fromkeys(part, file)
    (folder / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": weight_map}))
    return folder


def card_of(folder):
    return json.loads((folder / "base.json").read_text())


@pytest.mark.parametrize("shards", [1, 3])
@pytest.mark.parametrize("dtype", [np.float32, np.float16, BFLOAT16])
def test_equals_safetensors(tmp_path, dtype, shards):
    tensors = hf_tensors(dtype)
    expected = card_of(convert(write_hf_folder(tmp_path / "st", smollm3_config(), tensors), tmp_path / "a"))
    source = write_bin_folder(tmp_path / "bin", tensors, shards=shards)
    found = card_of(convert(source, tmp_path / "b"))
    assert found["fingerprint"] == expected["fingerprint"]
    assert found["dtype"] == np.dtype(dtype).name
    assert compare(source, tmp_path / "b").passed


def test_files_from_before_zip(tmp_path):
    tensors = hf_tensors()
    source = write_bin_folder(tmp_path / "bin", tensors, _use_new_zipfile_serialization=False)
    expected = convert(write_hf_folder(tmp_path / "st", smollm3_config(), tensors), tmp_path / "a")
    assert card_of(convert(source, tmp_path / "b"))["fingerprint"] == card_of(expected)["fingerprint"]


def test_views_and_shared_storage(tmp_path):
    """A transposed view and the tied output matrix, which shares the embedding's storage."""
    tensors = hf_tensors()
    folder = write_hf_folder(tmp_path / "bin", llama_config())
    state = {name: to_torch(array) for name, array in tensors.items()}
    name = "model.layers.0.mlp.up_proj.weight"
    state[name] = state[name].T.contiguous().T
    state["lm_head.weight"] = state["model.embed_tokens.weight"]
    torch.save(state, folder / "pytorch_model.bin")
    expected = convert(write_hf_folder(tmp_path / "st", llama_config(), tensors), tmp_path / "a")
    assert card_of(convert(folder, tmp_path / "b"))["fingerprint"] == card_of(expected)["fingerprint"]


class Malicious:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("write", [torch.save, lambda state, file: file.write_bytes(pickle.dumps(state, protocol=2))])
def test_a_malicious_pickle_is_refused_and_not_run(tmp_path, write):
    state = {"model.norm.weight": Malicious(tmp_path / "pwned")}
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    torch.load(buffer, weights_only=False)  # the trap works
    (tmp_path / "pwned").rmdir()
    folder = write_hf_folder(tmp_path / "bin", smollm3_config())
    write(state, folder / "pytorch_model.bin")
    with pytest.raises(WeightsError, match=r"pytorch_model\.bin: refused, it holds more than tensors") as caught:
        convert(folder, tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "pwned").exists()
    assert not (tmp_path / "out").exists()


def test_what_is_no_tensor_is_refused(tmp_path):
    folder = write_hf_folder(tmp_path / "bin", smollm3_config())
    torch.save({"epoch": 3}, folder / "pytorch_model.bin")
    with pytest.raises(WeightsError, match=r"'epoch' is a int, not a tensor"):
        convert(folder, tmp_path / "out")
    torch.save([torch.ones(1)], folder / "pytorch_model.bin")
    with pytest.raises(WeightsError, match="holds a list instead of a dict"):
        convert(folder, tmp_path / "out")


@pytest.mark.parametrize("keep", [0, 10, 5000, -10])
def test_a_truncated_file_is_refused(tmp_path, keep):
    folder = write_bin_folder(tmp_path / "bin", hf_tensors())
    file = folder / "pytorch_model.bin"
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(WeightsError, match=r"pytorch_model\.bin: ") as caught:
        convert(folder, tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()
