"""Head folder -> safetensors: of a residual head, the state dict of the PyTorch implementation."""

from __future__ import annotations

from pathlib import Path

from flax.traverse_util import unflatten_dict
from safetensors.numpy import load_file, save_file

from jaxdiff.diffusion.head_files import CARD_FILE, WEIGHTS_FILE, load_head
from jaxdiff.diffusion.residual_config import ResidualConfig

from .head_layout import PREFIX, HeadLayout
from .head_source import HEADS_KEY
from .replacing import replacing
from .sources import FLOAT_DTYPES

EXPORTED_FILE = "diffusion_head.safetensors"


def is_head(path: Path) -> bool:
    """True for a head folder."""
    return (path / WEIGHTS_FILE).is_file() and (path / CARD_FILE).is_file()


def export_head(path: str | Path, out: str | Path, *, overwrite: bool = False) -> Path:
    """Writes the head in folder `path` as `diffusion_head.safetensors` in the folder `out`, and returns that.

    A `residual` head with a vocabulary of its own becomes a state dict of the PyTorch implementation, a converted one
    bit for bit the one that it was; of any other head, which PyTorch has no counterpart for, the parameters are written
    under their paths. The stored type is kept. Raises WeightsError, ConfigError. Whatever ends it early, `out` is whole
    or as it was.
    """
    path, out = Path(path), Path(out).absolute()
    head = load_head(path)
    # `load_head` has checked the file, and returns all in float32.
    tensors = load_file(path / WEIGHTS_FILE)
    metadata = {"format": "pt"}
    if head.kind == "residual" and head.config.get("vocabulary") == "own":
        config = ResidualConfig.from_dict(head.config)
        source = head.card.get("source", {})
        layout = HeadLayout.of_config(config, source.get("fused_attention", True))
        params = unflatten_dict({tuple(name.split("/")): value for name, value in tensors.items()})
        tensors = {PREFIX + name: value for name, value in layout.to_state(params, str(path)).items()}
        if source.get("dtype") == "bfloat16":
            tensors = {name: value.astype(FLOAT_DTYPES["bfloat16"]) for name, value in tensors.items()}
        metadata[HEADS_KEY] = str(config.num_heads)
    else:
        tensors = {name.replace("/", "."): value for name, value in tensors.items()}
    with replacing(out, overwrite=overwrite, marker=EXPORTED_FILE, kind="exported head") as folder:
        folder.mkdir()
        save_file(tensors, folder / EXPORTED_FILE, metadata)
    return out
