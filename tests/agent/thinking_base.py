"""A tiny random base that talks and thinks, with a chat template that uses all that SmolLM3's uses."""

from functools import cache

import jax
import numpy as np
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from jaxdiff.base.frozen import FrozenBase
from jaxdiff.base.restore import parameter_shapes
from jaxdiff.config import BaseConfig

SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<think>", "</think>", "<tool_call>")
MERGES = [("Ġ", "t"), ("h", "e"), ("Ġt", "he"), ("Ċ", "Ċ"), ("Ã", "¤")]

TEMPLATE = r"""
{#- Mode: the caller's wish, unless the system's message holds a flag. -#}
{%- if enable_thinking is not defined -%}{%- set enable_thinking = true -%}{%- endif -%}
{%- set mode = "/think" if enable_thinking else "/no_think" -%}
{%- set rules = "" -%}
{%- if messages[0].role == "system" -%}
  {%- set rules = messages[0].content -%}
  {%- if "/no_think" in rules -%}
    {%- set mode = "/no_think" -%}
  {%- elif "/think" in rules -%}
    {%- set mode = "/think" -%}
  {%- endif -%}
  {%- set rules = rules.replace("/no_think", "").replace("/think", "").rstrip() -%}
{%- endif -%}
{{- "<|im_start|>system\nDate: " ~ strftime_now("%%") ~ "\nMode: " + mode + "\n" -}}
{%- if rules -%}
  {{- rules + "\n" -}}
{%- elif mode == "/think" -%}
  {{- "Write <think> your thought </think> and then the answer.\n" -}}
{%- endif -%}
{%- if xml_tools -%}
  {%- set box = namespace(text="<tools>\n") -%}
  {%- for tool in xml_tools[:] -%}
    {%- set box.text = box.text ~ (tool | string) ~ "\n" ~ (tool | tojson(indent=1)) ~ "\n" -%}
  {%- endfor -%}
  {{- box.text + "</tools>\n" -}}
{%- endif -%}
{{- "<|im_end|>\n" -}}
{%- for message in messages -%}
  {%- if message.role == "system" -%}{%- continue -%}{%- endif -%}
  {%- set content = message.content if message.content is string else "" -%}
  {%- if message.role == "user" -%}
    {{ "<|im_start|>user\n" + content + "<|im_end|>\n" }}
  {%- elif message.role == "assistant" -%}
    {% generation %}
    {%- if mode == "/think" -%}
      {{ "<|im_start|>assistant\n" + content.lstrip("\n") + "<|im_end|>\n" }}
    {%- else -%}
      {{ "<|im_start|>assistant\n<think>\n\n</think>\n" + content.lstrip("\n") + "<|im_end|>\n" }}
    {%- endif -%}
    {% endgeneration %}
  {%- else -%}
    {{ "<|im_start|>user\n" + content + "<|im_end|>\n" }}
  {%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}
  {{- "<|im_start|>assistant\n" + ("" if mode == "/think" else "<think>\n\n</think>\n") -}}
{%- endif -%}
"""


def tiny_tokenizer() -> Tokenizer:
    """Bytes and a few merges: random tokens make broken characters and whole ones."""
    known = [*SPECIAL, *sorted(pre_tokenizers.ByteLevel.alphabet()), *(left + right for left, right in MERGES)]
    tokenizer = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(known)}, merges=MERGES))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, normalized=False) for token in SPECIAL])
    tokenizer.encode_special_tokens = True
    return tokenizer


@cache
def thinking_base(template: str | None = TEMPLATE, seed: int = 0, max_positions: int = 2048) -> FrozenBase:
    """Three more rows than the tokenizer has ids, as in padded vocabularies."""
    tokenizer = tiny_tokenizer()
    config = BaseConfig.tiny(vocab_size=tokenizer.get_vocab_size() + 3, max_positions=max_positions)
    rng = np.random.default_rng(seed)
    params = jax.tree.map(lambda leaf: rng.normal(0, 0.3, leaf.shape).astype(np.float32), parameter_shapes(config))
    return FrozenBase(config, params, tokenizer, "tiny", f"{seed}", chat_template=template)
