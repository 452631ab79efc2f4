"""The state dict of the PyTorch implementation's head, and the same values as parameters of the `residual` head."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from jaxdiff.diffusion.residual_config import ResidualConfig
from jaxdiff.errors import WeightsError

PREFIX = "diffusion_head."
POSITIONS = "position_embeddings"


@dataclass(frozen=True)
class Entry:
    """One tensor of the state dict: `name`, `shape`, and the "/"-joined path of its parameter.

    transposed: PyTorch's [out, in] there, [in, out] here. third: 0, 1, 2 for queries, keys, values that have a tensor
    each there and stand side by side here; None for a tensor that is a whole parameter.
    """

    name: str
    shape: tuple[int, ...]
    path: str
    transposed: bool = False
    third: int | None = None


@dataclass(frozen=True)
class HeadLayout:
    """What names and shapes of a state dict say. position_rows: of the buffer of positions, 0 where it is absent."""

    input_size: int
    hidden_size: int
    vocab_size: int
    steps: int
    num_blocks: int
    bidirectional: bool = False
    fused: bool = True
    prompt_attention: bool = False
    field_positions: int = 0
    position_rows: int = 0

    @classmethod
    def of_config(cls, config: ResidualConfig, fused: bool) -> HeadLayout:
        """The layout of a head with this configuration. fused: whether queries, keys and values are one tensor."""
        return cls(
            input_size=config.input_size,
            hidden_size=config.hidden_size,
            vocab_size=config.vocab_size,
            steps=config.steps,
            num_blocks=config.num_blocks,
            bidirectional=config.block == "bidirectional",
            fused=fused,
            prompt_attention=config.prompt_attention,
            field_positions=config.field_positions,
            position_rows=config.position_rows,
        )

    @classmethod
    def of(cls, shapes: Mapping[str, tuple[int, ...]], place: str) -> HeadLayout:
        """The layout of a head with tensors of these names and shapes. Raises WeightsError unless every one fits it."""
        tables = {name: shapes.get(f"{name}.weight") for name in ("input_proj", "token_emb", "time_embed")}
        absent = [f"{name}.weight" for name, shape in tables.items() if shape is None or len(shape) != 2]
        if absent:
            raise WeightsError(f"{place}: not a diffusion head: without a matrix {', '.join(absent)}")
        hidden, inputs = shapes["input_proj.weight"]
        blocks = [int(found[1]) for name in shapes if (found := re.match(r"denoise_blocks\.(\d+)\.", name))]
        layout = cls(
            input_size=inputs,
            hidden_size=hidden,
            vocab_size=shapes["token_emb.weight"][0],
            steps=shapes["time_embed.weight"][0] - 1,
            # No more than there can be: a number in a name may be any.
            num_blocks=len(set(blocks)),
            bidirectional=any(".norm1." in name for name in shapes),
            fused=not any(".q_proj." in name for name in shapes),
            prompt_attention=any(name.startswith("prompt_cross_attn.") for name in shapes),
            field_positions=(shapes.get("field_position_emb.weight") or (0,))[0],
            position_rows=(shapes.get(POSITIONS) or (0,))[0],
        )
        layout._require_fitting(shapes, place)
        return layout

    def _require_fitting(self, shapes: Mapping[str, tuple[int, ...]], place: str) -> None:
        expected = {entry.name: entry.shape for entry in self.entries()}
        kinds = {
            "missing": sorted(expected.keys() - shapes.keys()),
            "unknown": sorted(shapes.keys() - expected.keys()),
            "mis-shaped": [
                f"{name} {list(shapes[name])} instead of {list(shape)}"
                for name, shape in expected.items()
                if shapes.get(name, shape) != shape
            ],
        }
        if any(kinds.values()):
            parts = [f"{len(names)} {kind}: {', '.join(names[:8])}" for kind, names in kinds.items() if names]
            raise WeightsError(f"{place}: the tensors are not those of a diffusion head; {'; '.join(parts)}")

    def entries(self) -> list[Entry]:
        """Every tensor of the head."""
        h = self.hidden_size
        found = [
            *_linear("input_proj", "input", self.input_size, h),
            Entry("token_emb.weight", (self.vocab_size, h), "token/table"),
            Entry("time_embed.weight", (self.steps + 1, h), "time/table"),
            *_linear("output_proj", "output", h, self.vocab_size),
        ]
        if self.position_rows:
            found.append(Entry(POSITIONS, (self.position_rows, h), "position/table"))
        if self.field_positions:
            found.append(Entry("field_position_emb.weight", (self.field_positions, h), "field_position/table"))
        if self.prompt_attention:
            packed = "prompt_cross_attn.cross_attn.in_proj_"
            found += [
                Entry(f"{packed}weight", (3 * h, h), "prompt/qkv/kernel", transposed=True),
                Entry(f"{packed}bias", (3 * h,), "prompt/qkv/bias"),
                *_linear("prompt_cross_attn.cross_attn.out_proj", "prompt/out", h, h),
                *_norm("prompt_cross_attn.norm", "prompt/norm", h),
            ]
        for number in range(self.num_blocks):
            found += self._block(f"denoise_blocks.{number}", f"block_{number}")
        return found

    def _block(self, name: str, path: str) -> list[Entry]:
        h = self.hidden_size
        if not self.bidirectional:
            return [
                *_linear(f"{name}.0", f"{path}/inner", h, h),
                *_norm(f"{name}.2", f"{path}/norm", h),
                *_linear(f"{name}.3", f"{path}/outer", h, h),
            ]
        if self.fused:
            attention = _linear(f"{name}.qkv_proj", f"{path}/qkv", h, 3 * h)
        else:
            attention = [
                entry
                for third, part in enumerate("qkv")
                for entry in _linear(f"{name}.{part}_proj", f"{path}/qkv", h, h, third)
            ]
        return [
            *_norm(f"{name}.norm1", f"{path}/norm_attention", h),
            *attention,
            *_linear(f"{name}.out_proj", f"{path}/out", h, h),
            *_norm(f"{name}.norm2", f"{path}/norm_wide", h),
            *_linear(f"{name}.mlp.0", f"{path}/wide", h, 4 * h),
            *_linear(f"{name}.mlp.2", f"{path}/narrow", 4 * h, h),
        ]

    def to_params(self, state: Mapping[str, np.ndarray]) -> dict[str, Any]:
        """Parameters of the `residual` head, as a nested dict."""
        parts: dict[str, list[np.ndarray]] = {}
        for entry in self.entries():
            value = state[entry.name]
            parts.setdefault(entry.path, []).append(value.T if entry.transposed else value)
        return unflatten_dict({tuple(path.split("/")): np.concatenate(found, -1) for path, found in parts.items()})

    def to_state(self, params: Mapping[str, Any], place: str) -> dict[str, np.ndarray]:
        """Inverse of `to_params`. Raises WeightsError where the parameters are not those of this layout."""
        flat = flatten_dict(params, sep="/")
        if strange := sorted(flat.keys() ^ {entry.path for entry in self.entries()}):
            raise WeightsError(f"{place}: parameters do not fit the configuration, first {strange[0]}")
        state = {}
        for entry in self.entries():
            value, h = flat[entry.path], self.hidden_size
            if entry.third is not None:
                value = value[..., entry.third * h : (entry.third + 1) * h]
            value = np.ascontiguousarray(value.T if entry.transposed else value)
            if value.shape != entry.shape:
                raise WeightsError(f"{place}: {entry.path} does not have the shape that the configuration says")
            state[entry.name] = value
        return state


def _linear(name: str, path: str, inputs: int, outputs: int, third: int | None = None) -> list[Entry]:
    return [
        Entry(f"{name}.weight", (outputs, inputs), f"{path}/kernel", transposed=True, third=third),
        Entry(f"{name}.bias", (outputs,), f"{path}/bias", third=third),
    ]


def _norm(name: str, path: str, width: int) -> list[Entry]:
    return [Entry(f"{name}.weight", (width,), f"{path}/scale"), Entry(f"{name}.bias", (width,), f"{path}/bias")]
