"""Heads in files of `torch.save`: read weights-only, alone or in a training checkpoint."""

from pathlib import Path

import jax
import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from jaxdiff.diffusion.head_files import load_head
from jaxdiff.errors import WeightsError
from jaxdiff_convert.head import convert_head_file

GOLDEN = Path(__file__).parents[1] / "diffusion" / "data"


@pytest.mark.parametrize("name", ["residual", "cross_field"])
@pytest.mark.parametrize(
    "whole",
    [
        lambda state: state,
        lambda state: {"model_state_dict": state, "optimizer_state_dict": {"state": {}}, "epoch": 3, "loss": 0.5},
        lambda state: {"state_dict": {f"module.{name}": value for name, value in state.items()}},
        lambda state: {"diffusion_head": {k.removeprefix("diffusion_head."): v for k, v in state.items()}},
        lambda state: state | {"base_llm.model.norm.weight": torch.ones(4)},
    ],
    ids=["alone", "training", "wrapped", "bare", "beside the base"],
)
def test_a_torch_file_gives_the_same_head(name, whole, tmp_path):
    file = tmp_path / "head.pt"
    torch.save(whole(load_file(GOLDEN / f"{name}.safetensors")), file)
    done = convert_head_file(file, tmp_path / "head", num_heads=4)
    expected = convert_head_file(GOLDEN / f"{name}.safetensors", tmp_path / "expected", num_heads=4)
    assert done.config == expected.config
    jax.tree.map(np.testing.assert_array_equal, load_head(done.folder).params, load_head(expected.folder).params)


class Runs:
    """Unpickled carelessly, it would make a file."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return (open, (self.path, "w"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (lambda path: {"diffusion_head.input_proj.weight": Runs(path)}, "refused, it holds more than tensors"),
        (lambda path: [1, 2], "holds a list instead of a dict"),
        (lambda path: {"epoch": 3}, "'epoch' is a int, not a tensor"),
        (lambda path: {"state_dict": {"weight": torch.ones(2)}}, "not a diffusion head"),
    ],
)
def test_a_torch_file_of_something_else_is_refused(content, message, tmp_path):
    ran = tmp_path / "ran"
    torch.save(content(ran), tmp_path / "head.pt")
    with pytest.raises(WeightsError, match=message):
        convert_head_file(tmp_path / "head.pt", tmp_path / "head")
    assert not ran.exists() and not (tmp_path / "head").exists()


def test_a_torch_file_that_was_cut_off_is_refused(tmp_path):
    torch.save(load_file(GOLDEN / "residual.safetensors"), tmp_path / "whole.pt")
    content = (tmp_path / "whole.pt").read_bytes()
    (tmp_path / "cut.pt").write_bytes(content[: len(content) // 2])
    with pytest.raises(WeightsError, match=r"damaged or incomplete|refused"):
        convert_head_file(tmp_path / "cut.pt", tmp_path / "head")
