"""All of the base's tests compute in full float32; a tiny base stands converted on disk."""

from collections.abc import Iterator
from pathlib import Path

import jax
import pytest

from jaxdiff_convert.convert import convert
from tests.convert.checkpoints import hf_tensors, smollm3_config, write_hf_folder


@pytest.fixture(autouse=True)
def highest_precision() -> Iterator[None]:
    """On other devices than CPUs the default is less, and a program is compiled for the precision asked for."""
    with jax.default_matmul_precision("highest"):
        yield


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Hugging Face folder of a random SmolLM3."""
    return write_hf_folder(tmp_path_factory.mktemp("checkpoint") / "tiny", smollm3_config(), hf_tensors())


@pytest.fixture(scope="session")
def tiny_folder(tiny_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, converted; not to be changed."""
    return convert(tiny_checkpoint, tmp_path_factory.mktemp("converted") / "tiny")
