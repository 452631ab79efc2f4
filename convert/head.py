"""Checkpoint of the PyTorch implementation's head -> head folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jaxdiff.base.card import read_card
from jaxdiff.base.store import cache_dir
from jaxdiff.config import BaseConfig
from jaxdiff.diffusion.head_files import CARD_FILE, save_head
from jaxdiff.diffusion.residual_blocks import sinusoidal_positions
from jaxdiff.diffusion.residual_config import ResidualConfig
from jaxdiff.errors import ConfigError, WeightsError

from .head_layout import POSITIONS, HeadLayout
from .head_source import read_head_state
from .registry import ensure_base
from .replacing import replacing

DEFAULT_HEADS = 8
# In float32, sine and cosine of large angles differ between libraries; half precision rounds them.
_POSITION_TOLERANCE = {"float32": 1e-3, "float16": 1e-2, "bfloat16": 1e-2}


@dataclass(frozen=True)
class Converted:
    """heads_assumed: nothing said how many heads the attention has. ignored: number of tensors of other modules."""

    folder: Path
    config: ResidualConfig
    heads_assumed: bool
    ignored: int


def convert_head_file(
    src: str | Path,
    out: str | Path,
    *,
    base: str | None = None,
    num_heads: int | None = None,
    mask_id: int | None = None,
    null_id: int | None = None,
    overwrite: bool = False,
) -> Converted:
    """Converts the state dict in `src` to the head folder `out`; sizes and steps are read from its shapes.

    base: name or path of the base that the head is for; without one, no base takes the head before it is tied to one.
    num_heads: of attention, by default what the file says, else `DEFAULT_HEADS`. mask_id, null_id: ids of <MASK> and
    <NULL>, by default the base's, without a base the last two. Raises WeightsError, ConfigError. Whatever ends it
    early, `out` is whole or as it was.
    """
    src, out = Path(src), Path(out).absolute()
    state = read_head_state(src)
    layout = HeadLayout.of({name: array.shape for name, array in state.tensors.items()}, str(src))
    _require_sinusoidal(state.tensors.get(POSITIONS), state.dtype, src)
    tied, (mask, null) = _tie(layout, base, mask_id, null_id, src)
    attends = layout.bidirectional or layout.prompt_attention
    told = state.num_heads if num_heads is None else num_heads
    config = ResidualConfig(
        input_size=layout.input_size,
        vocab_size=layout.vocab_size,
        mask_id=mask,
        null_id=null,
        hidden_size=layout.hidden_size,
        num_blocks=layout.num_blocks,
        num_heads=_heads(layout, (DEFAULT_HEADS if attends else 1) if told is None else told, src),
        block="bidirectional" if layout.bidirectional else "residual",
        prompt_attention=layout.prompt_attention,
        field_positions=layout.field_positions,
        position_rows=layout.position_rows,
        vocabulary="own",
        steps=layout.steps,
    )
    # A head on disk is float16 or float32; bfloat16 fits into the latter and comes back bit for bit.
    stored = np.float16 if state.dtype == "float16" else np.float32
    params = layout.to_params({name: array.astype(stored) for name, array in state.tensors.items()})
    source = {"file": src.name, "dtype": state.dtype, "fused_attention": layout.fused}
    card: dict[str, Any] = {**tied, "data": [], "validation": {}, "source": source}
    with replacing(out, overwrite=overwrite, marker=CARD_FILE, kind="head") as folder:
        save_head(folder, "residual", config.to_dict(), params, card)
    return Converted(out, config, heads_assumed=attends and told is None, ignored=state.ignored)


def _heads(layout: HeadLayout, heads: int, src: Path) -> int:
    if heads < 1 or layout.hidden_size % heads:
        raise ConfigError(
            f"{src}: a hidden size of {layout.hidden_size} does not divide into {heads} heads; see --heads"
        )
    return heads


def _require_sinusoidal(positions: np.ndarray | None, dtype: str, src: Path) -> None:
    if positions is None:
        return
    expected = np.asarray(sinusoidal_positions(*positions.shape))
    if np.abs(positions.astype(np.float32) - expected).max() > _POSITION_TOLERANCE[dtype]:
        raise WeightsError(f"{src}: {POSITIONS} are not sinusoidal; longer canvases could not be read")


def _tie(
    layout: HeadLayout, base: str | None, mask_id: int | None, null_id: int | None, src: Path
) -> tuple[dict[str, str], tuple[int, int]]:
    """What the card says of the base, and the ids of <MASK> and <NULL>."""
    if base is None:
        last = layout.vocab_size - 1
        ids = (last - 1 if mask_id is None else mask_id, last if null_id is None else null_id)
        return {"base_name": "", "base_fingerprint": ""}, ids
    if (mask_id, null_id) != (None, None):
        raise ConfigError("the ids of <MASK> and <NULL> are those of the base; give either them or --base")
    folder = ensure_base(base, cache_dir())
    card = read_card(folder)
    config = BaseConfig.from_dict(card["config"])
    for what, found, expected in (
        ("reads states of width", layout.input_size, config.hidden_size),
        ("writes a vocabulary of", layout.vocab_size, config.canvas_vocab_size),
    ):
        if found != expected:
            raise WeightsError(f"{src}: the head {what} {found}; base {card['name']} needs {expected}")
    tied = {"base_name": card["name"], "base_fingerprint": card["fingerprint"]}
    return tied, (config.mask_id, config.null_id)
