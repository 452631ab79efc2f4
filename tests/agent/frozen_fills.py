"""A tiny base with a tokenizer of its own, and both fills as plain Python that reads everything anew for each token."""

import math
import re
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

from jaxdiff.agent.prompting import (
    EXAMPLE_ANSWER,
    EXAMPLE_QUERY,
    EXAMPLE_TOOL,
    candidate_text,
    example_ids,
    key_ids,
    query_prompt,
    tool_prompt,
)
from jaxdiff.base.frozen import FrozenBase
from jaxdiff.base.restore import parameter_shapes
from jaxdiff.config import BaseConfig
from jaxdiff.schema.budget import slot_tokens
from jaxdiff.schema.fields import Field, Kind
from jaxdiff.schema.merge import check_value
from jaxdiff.schema.tools import Tool, parse_tools
from jaxdiff.schema.values import ValueNotUnderstood, parse_value

CORPUS = [EXAMPLE_TOOL, EXAMPLE_QUERY, EXAMPLE_ANSWER, "Paint it red, red wine or blue: 12 1 2 3.\n", "none none\n\n"]
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
READ_LENGTH = 512
SAID = {
    Kind.INTEGER: re.compile(r" *-?[0-9]+(,[0-9]{3})*%?"),
    Kind.NUMBER: re.compile(r" *-?[0-9]+(,[0-9]{3})*(\.[0-9]+)?%?"),
}
PROPERTIES = {
    "title": {"type": "string", "maxLength": 3},
    "count": {"type": "integer"},
    "colour": {"type": "string", "enum": ["red", "red wine", "blue", "bl"]},
    "note": {"type": "string", "maxLength": 2},
    "share": {"type": "number"},
    "gift": {"type": "boolean"},
    "level": {"type": "integer", "enum": [1, 12, 3]},
    "parts": {"type": "array", "items": {"type": "string"}},
}


def tool_of(properties: dict = PROPERTIES, required: tuple[str, ...] = ("title", "colour", "count")) -> Tool:
    parameters = {"type": "object", "properties": properties, "required": list(required)}
    return parse_tools([{"name": "paint", "description": "Paints.", "parameters": parameters}])[0]


def tiny_base(seed: int) -> FrozenBase:
    """Byte-level BPE with a few merges; weights large enough that the base prefers something."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=600, special_tokens=[AddedToken(token, special=True) for token in SPECIAL],
        initial_alphabet=alphabet, show_progress=False,
    )  # fmt: skip
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.encode_special_tokens = True
    # More rows than the tokenizer has ids, as in padded vocabularies.
    config = BaseConfig.tiny(vocab_size=tokenizer.get_vocab_size() + 5, max_positions=2048, eos_token_ids=(0,))
    rng = np.random.default_rng(seed)

    def random(shape: jax.ShapeDtypeStruct) -> jax.Array:
        return jnp.asarray(rng.normal(0, 0.5, shape.shape), jnp.float32)

    return FrozenBase(config, jax.tree.map(random, parameter_shapes(config)), tokenizer, "tiny", f"{seed}")


@cache
def next_logprob(base: FrozenBase, ids: tuple[int, ...]) -> np.ndarray:
    """Log-probabilities [V] of the token after `ids`, which are read whole. Kept, since tests ask the same again."""
    block = np.zeros((1, READ_LENGTH), np.int32)
    block[0, : len(ids)] = ids
    logits = base.logits(block, np.arange(READ_LENGTH)[None] < len(ids))
    return np.asarray(jax.nn.log_softmax(logits[0, len(ids) - 1]), np.float64)


class PlainFill:
    """The rules of a fill, without caches, buckets, batches or an automaton."""

    def __init__(self, base: FrozenBase, none_margin: float = 0.0, present: frozenset[str] | None = None):
        self.base, self.none_margin, self.present = base, none_margin, present
        self.none = base.encode(" none")
        known = base.tokenizer.get_vocab_size()
        self.texts = [base.decode([i]) if i < known else "" for i in range(base.config.vocab_size)]
        special = [base.tokenizer.token_to_id(token) for token in SPECIAL]
        blank = [i for i, text in enumerate(self.texts) if not text.strip() and re.search(r"[\r\n]", text)]
        self.ends = [*blank, 0, special[2]]
        self.usual = [i for i, text in enumerate(self.texts) if text and i not in special and i not in self.ends]

    def after(self, ids: list[int]) -> np.ndarray:
        return next_logprob(self.base, tuple(ids))

    def end_logprob(self, logprob: np.ndarray) -> float:
        return float(np.logaddexp.reduce(logprob[self.ends]))

    def score(self, ids: list[int], value: list[int]) -> float:
        total = sum(self.after(ids + value[:i])[token] for i, token in enumerate(value))
        return total + self.end_logprob(self.after(ids + value))

    def may_follow(self, kind: Kind, text: str) -> bool:
        if kind not in SAID:
            return True
        return any(SAID[kind].fullmatch(text + more) for more in ("", "0", "00", "000"))

    def may_end(self, kind: Kind, text: str) -> bool:
        return bool(SAID[kind].fullmatch(text)) if kind in SAID else bool(text.strip())

    def decode(self, ids: list[int], field: Field, floor: float, refused: int) -> tuple[list[int], float]:
        value: list[int] = []
        total = 0.0
        while total >= floor:
            logprob = self.after(ids + value)
            text = self.base.decode(value)
            allowed = [
                i for i in self.usual
                if self.may_follow(field.kind, text + self.texts[i]) and [*value, i] != self.none
                and not (i == refused and not value)
            ]  # fmt: skip
            best = max(allowed, key=lambda i: logprob[i])
            ending = self.end_logprob(logprob)
            spent = len(value) == slot_tokens(field, self.base.encode)
            if spent or (self.may_end(field.kind, text) and ending >= logprob[best]):
                return value, total + ending
            value.append(best)
            total += logprob[best]
        return value, total

    def usable(self, text: str, field: Field) -> bool:
        try:
            return text.lower() != "none" and check_value(parse_value(text, field), field) is None
        except ValueNotUnderstood:
            return False

    def field(self, ids: list[int], field: Field) -> tuple[list[int], object, float] | None:
        """Value tokens, value, confidence; None where the field is left out."""
        optional = self.present is None and not field.required
        none = self.score(ids, self.none) if optional else -math.inf
        if field.candidates:
            values = [self.base.encode(f" {candidate_text(value)}") for value in field.candidates]
            scores = [self.score(ids, value) for value in values]
            best = int(np.argmax(scores))
            if none - scores[best] > self.none_margin:
                return None
            return values[best], field.candidates[best], 1 / sum(math.exp(score - scores[best]) for score in scores)
        value, total = self.decode(ids, field, none - self.none_margin, refused=-1)
        text = self.base.decode(value).strip()
        if optional and (none - total > self.none_margin or text.lower() == "none"):
            return None
        if not optional and not self.usable(text, field):
            again, again_total = self.decode(ids, field, -math.inf, refused=value[0])
            if self.usable(self.base.decode(again).strip(), field):
                value, total, text = again, again_total, self.base.decode(again).strip()
        return value, text, math.exp(total)

    def prompt(self, tool: Tool, query: str) -> list[int]:
        asked = query_prompt(self.base, query)
        return example_ids(self.base) + tool_prompt(self.base, tool).ids + asked.ids + asked.ending

    def fill(self, tool: Tool, query: str, autoregressive: bool) -> dict[str, tuple[object, float]]:
        ids, found = self.prompt(tool, query), {}
        for field in tool.fields:
            if self.present is not None and field.name not in self.present:
                continue
            key = ids + key_ids(self.base, field)
            written = self.field(key, field)
            if written is not None:
                found[field.name] = written[1:]
            if autoregressive:
                value = self.none if written is None else written[0]
                ids = key + value + self.base.encode("\n")
        return found
