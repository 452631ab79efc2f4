"""Where each tensor of a checkpoint belongs in the parameter dict, and what has to be done to it on the way."""

from __future__ import annotations

import functools
import re
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from jaxdiff.config import BaseConfig
from jaxdiff.errors import WeightsError

Leaf = str
"""Path of a leaf of the parameter dict, joined by slashes."""

# What DistributedDataParallel puts before every name, and torch.compile before the names of what it compiled.
_WRAPPERS = re.compile(r"^module\.|(?:^|(?<=\.))_orig_mod\.")


def unwrapped(name: str) -> str:
    """The tensor's name without what `torch.compile` and data parallel wrappers have put into it."""
    while (shorter := _WRAPPERS.sub("", name)) != name:
        name = shorter
    return name


class NamedTensor(Protocol):
    """What `place` needs to know about a tensor."""

    @property
    def name(self) -> str: ...
    @property
    def shape(self) -> tuple[int, ...]: ...


def printable(name: str) -> str:
    """A name from a file, fit for a message: in quotes and escaped where it holds line ends or control characters."""
    return name if name.isprintable() else ascii(name)


@dataclass(frozen=True)
class Rule:
    """Tensors called `name` ({layer} stands for the layer's number) become `leaf`; None: known and not needed.

    interleaved_heads: rows of each head come as (pair, half) and go back to Hugging Face's (half, pair).
    """

    name: str
    leaf: Leaf | None
    interleaved_heads: bool = False


@dataclass(frozen=True)
class NameTable:
    """All names that a kind of checkpoint may hold.

    output: the output matrix, a copy of the embedding where that is tied. prefix: may be absent from every name, as in
    a checkpoint of the decoder alone.
    """

    rules: tuple[Rule, ...]
    output: str
    prefix: str = ""

    def match(self, name: str) -> tuple[Rule, int | None] | None:
        """The rule for `name` and the layer's number, None where the rule has no layers; None for an unknown name."""
        name = unwrapped(name)
        for rule, pattern in zip(self.rules, self._patterns, strict=True):
            if found := pattern.fullmatch(name):
                return rule, int(found["layer"]) if "layer" in found.groupdict() else None
        return None

    def is_output(self, name: str) -> bool:
        """True for the output matrix."""
        return unwrapped(name) == self.output

    @functools.cached_property
    def _patterns(self) -> tuple[re.Pattern[str], ...]:
        patterns = []
        for rule in self.rules:
            optional = rf"(?:{re.escape(self.prefix)})?" if self.prefix and rule.name.startswith(self.prefix) else ""
            rest = re.escape(rule.name.removeprefix(self.prefix)).replace(r"\{layer\}", r"(?P<layer>\d+)")
            patterns.append(re.compile(optional + rest))
        return tuple(patterns)


HUGGING_FACE = NameTable(
    output="lm_head.weight",
    prefix="model.",
    rules=(
        Rule("model.embed_tokens.weight", "embed_tokens/embedding"),
        Rule("model.layers.{layer}.input_layernorm.weight", "layers/input_layernorm/scale"),
        Rule("model.layers.{layer}.self_attn.q_proj.weight", "layers/self_attn/q_proj/kernel"),
        Rule("model.layers.{layer}.self_attn.k_proj.weight", "layers/self_attn/k_proj/kernel"),
        Rule("model.layers.{layer}.self_attn.v_proj.weight", "layers/self_attn/v_proj/kernel"),
        Rule("model.layers.{layer}.self_attn.o_proj.weight", "layers/self_attn/o_proj/kernel"),
        Rule("model.layers.{layer}.self_attn.rotary_emb.inv_freq", None),
        Rule("model.layers.{layer}.post_attention_layernorm.weight", "layers/post_attention_layernorm/scale"),
        Rule("model.layers.{layer}.mlp.gate_proj.weight", "layers/mlp/gate_proj/kernel"),
        Rule("model.layers.{layer}.mlp.up_proj.weight", "layers/mlp/up_proj/kernel"),
        Rule("model.layers.{layer}.mlp.down_proj.weight", "layers/mlp/down_proj/kernel"),
        Rule("model.rotary_emb.inv_freq", None),
        Rule("model.norm.weight", "norm/scale"),
        Rule("lm_head.weight", "lm_head/kernel"),
    ),
)
GGUF_LLAMA = NameTable(
    output="output.weight",
    rules=(
        Rule("token_embd.weight", "embed_tokens/embedding"),
        Rule("blk.{layer}.attn_norm.weight", "layers/input_layernorm/scale"),
        Rule("blk.{layer}.attn_q.weight", "layers/self_attn/q_proj/kernel", interleaved_heads=True),
        Rule("blk.{layer}.attn_k.weight", "layers/self_attn/k_proj/kernel", interleaved_heads=True),
        Rule("blk.{layer}.attn_v.weight", "layers/self_attn/v_proj/kernel"),
        Rule("blk.{layer}.attn_output.weight", "layers/self_attn/o_proj/kernel"),
        Rule("blk.{layer}.ffn_norm.weight", "layers/post_attention_layernorm/scale"),
        Rule("blk.{layer}.ffn_gate.weight", "layers/mlp/gate_proj/kernel"),
        Rule("blk.{layer}.ffn_up.weight", "layers/mlp/up_proj/kernel"),
        Rule("blk.{layer}.ffn_down.weight", "layers/mlp/down_proj/kernel"),
        Rule("output_norm.weight", "norm/scale"),
        Rule("output.weight", "lm_head/kernel"),
    ),
)


@dataclass(frozen=True)
class Placement:
    """One tensor's way into the parameter dict: `leaf`, at index `layer` of its first axis where that is not None.

    index: position of the tensor in the sequence given to `place`. heads: number of heads whose rows are
    interleaved, 0 where they are not.
    """

    index: int
    leaf: Leaf
    layer: int | None
    heads: int

    def to_parameter(self, weight: np.ndarray) -> np.ndarray:
        """The tensor as it stands in the parameter dict: kernels [in, out], rotary halves apart. A view if possible."""
        if self.heads:
            # llama.cpp stores row 2 * i + h of a head for what Hugging Face calls row h * head_dim / 2 + i.
            pairs = weight.reshape(self.heads, -1, 2, weight.shape[-1])
            weight = pairs.swapaxes(1, 2).reshape(weight.shape)
        return weight.T if self.leaf.endswith("/kernel") else weight


def leaf_shapes(config: BaseConfig) -> dict[Leaf, tuple[int, ...]]:
    """Shape of every leaf of the parameter dict; leaves under `layers/` carry the layer axis first."""
    layers, hidden, inner = config.num_layers, config.hidden_size, config.intermediate_size
    q_size, kv_size = config.num_heads * config.head_dim, config.num_kv_heads * config.head_dim
    shapes: dict[Leaf, tuple[int, ...]] = {
        "embed_tokens/embedding": (config.vocab_size, hidden),
        "layers/input_layernorm/scale": (layers, hidden),
        "layers/self_attn/q_proj/kernel": (layers, hidden, q_size),
        "layers/self_attn/k_proj/kernel": (layers, hidden, kv_size),
        "layers/self_attn/v_proj/kernel": (layers, hidden, kv_size),
        "layers/self_attn/o_proj/kernel": (layers, q_size, hidden),
        "layers/post_attention_layernorm/scale": (layers, hidden),
        "layers/mlp/gate_proj/kernel": (layers, hidden, inner),
        "layers/mlp/up_proj/kernel": (layers, hidden, inner),
        "layers/mlp/down_proj/kernel": (layers, inner, hidden),
        "norm/scale": (hidden,),
    }
    if not config.tie_embeddings:
        shapes["lm_head/kernel"] = (hidden, config.vocab_size)
    return shapes


def place(tensors: Sequence[NamedTensor], config: BaseConfig, table: NameTable, source: str) -> list[Placement]:
    """A placement for each tensor that is needed, in the order given.

    Raises one WeightsError for all unknown, missing, duplicate and mis-shaped tensors of `source`: it counts each kind
    and names the first dozen.
    """
    shapes = leaf_shapes(config)
    seen: dict[tuple[Leaf, int | None], str] = {}
    placements: list[Placement] = []
    unknown, duplicate, misshaped = [], [], []
    for index, tensor in enumerate(tensors):
        match = table.match(tensor.name)
        if match is None:
            unknown.append(printable(tensor.name))
            continue
        rule, layer = match
        if rule.leaf is None or (config.tie_embeddings and table.is_output(tensor.name)):
            continue
        if layer is not None and layer >= config.num_layers:
            unknown.append(f"{tensor.name} (the configuration has {config.num_layers} layers)")
            continue
        if (rule.leaf, layer) in seen:
            first = seen[rule.leaf, layer]
            duplicate.append(tensor.name if first == tensor.name else f"{tensor.name} (also {first})")
            continue
        seen[rule.leaf, layer] = tensor.name
        expected = shapes[rule.leaf][0 if layer is None else 1 :]
        expected = expected[::-1] if rule.leaf.endswith("/kernel") else expected
        if tuple(tensor.shape) != expected:
            misshaped.append(f"{tensor.name} {list(tensor.shape)} instead of {list(expected)}")
        heads = config.num_heads if rule.leaf.endswith("q_proj/kernel") else config.num_kv_heads
        placements.append(Placement(index, rule.leaf, layer, heads if rule.interleaved_heads else 0))
    missing = _missing(seen, shapes, config.num_layers, table)
    kinds = {"unknown": unknown, "missing": missing, "duplicate": duplicate, "mis-shaped": misshaped}
    if any(kinds.values()):
        parts = [f"{len(names)} {kind}: {_listed(names)}" for kind, names in kinds.items() if names]
        raise WeightsError(f"{source}: the tensors do not fit the configuration; {'; '.join(parts)}")
    return placements


def _missing(
    seen: Container[tuple[Leaf, int | None]], shapes: Mapping[Leaf, tuple[int, ...]], layers: int, table: NameTable
) -> list[str]:
    missing = []
    for rule in table.rules:
        if rule.leaf in shapes:
            numbers: Iterable[int | None] = range(layers) if "{layer}" in rule.name else (None,)
            missing += [rule.name.format(layer=number) for number in numbers if (rule.leaf, number) not in seen]
    return missing


def _listed(names: list[str], limit: int = 12) -> str:
    rest = len(names) - limit
    return ", ".join(names[:limit]) + (f" and {rest} more" if rest > 0 else "")
