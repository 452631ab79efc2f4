"""A tiny base with a tokenizer of its own, and both fills as plain Python that reads everything anew for each token."""

import math
import re
from functools import cache
from itertools import product

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
from jaxdiff.schema.checks import check_value
from jaxdiff.schema.fields import Field, Kind
from jaxdiff.schema.tools import Tool, parse_tools
from jaxdiff.schema.values import ValueNotUnderstood, parse_value

CORPUS = [EXAMPLE_TOOL, EXAMPLE_QUERY, EXAMPLE_ANSWER, "Paint it red, red wine or blue: 12 1 2 3.\n", "none none\n\n"]
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
READ_LENGTH = 512
SAID = {
    Kind.INTEGER: re.compile(r" *-?[0-9]+(,[0-9]{3})*%?"),
    Kind.NUMBER: re.compile(r" *-?[0-9]+(,[0-9]{3})*(\.[0-9]+)?%?"),
}
# What completes any character of which the first bytes are there.
REST_OF_CHARACTERS = [bytes(rest) for count in (1, 2, 3) for rest in product((0x80, 0x90, 0xA0, 0xBF), repeat=count)]
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
BOUNDED = {
    "floor": {"type": "integer", "minimum": -3, "maximum": 120},
    "price": {"type": "number", "exclusiveMinimum": 0, "multipleOf": 0.25, "maximum": 50},
    "day": {"type": "string", "format": "date"},
    "badge": {"type": "string", "pattern": "^[A-Z]{2}-[0-9]{3,5}$"},
    "key": {"type": "string", "format": "uuid"},
    "nick": {"type": "string", "minLength": 4, "maxLength": 6, "pattern": "^[a-z]"},
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
def byte_of() -> dict[str, int]:
    """The byte that each character of a byte-level token stands for; bytes that are in no UTF-8 are left out."""
    code_points = [*range(0x800), *range(0x800, 0xD800, 0x400), *range(0xE000, 0x110000, 0x1000)]
    split = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    pairs = ((split.pre_tokenize_str(chr(code))[0][0], chr(code).encode()) for code in code_points)
    return {char: byte for written, text in pairs for char, byte in zip(written, text, strict=True)}


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
        # The bytes of each token before a line end, and whether there is one.
        self.lines = [self.line(i) for i in range(len(self.texts))]
        runs = {len(text) for text in self.texts if re.fullmatch("[0-9]+", text)}
        # Fewest tokens of so many digits.
        self.fewest = [0]
        for digits in range(1, 4):
            self.fewest.append(min(self.fewest[digits - run] + 1 for run in runs if run <= digits))
        self.usual = [i for i, text in enumerate(self.texts) if text and i not in special and i not in self.ends]

    def line(self, token: int) -> tuple[bytes, bool]:
        written = self.texts[token].encode()
        if "\ufffd" in self.texts[token]:
            written = bytes(byte_of().get(char, 0xFF) for char in self.base.tokenizer.id_to_token(token))
        line, *rest = re.split(rb"[\r\n]", written, maxsplit=1)
        return line, bool(rest)

    def after(self, ids: list[int]) -> np.ndarray:
        return next_logprob(self.base, tuple(ids))

    def end_logprob(self, logprob: np.ndarray) -> float:
        return float(np.logaddexp.reduce(logprob[self.ends]))

    def score(self, ids: list[int], value: list[int]) -> float:
        total = sum(self.after(ids + value[:i])[token] for i, token in enumerate(value))
        return total + self.end_logprob(self.after(ids + value))

    def may_end(self, field: Field, written: bytes) -> bool:
        try:
            text = written.decode()
        except UnicodeDecodeError:
            return False
        if field.kind in SAID:
            return bool(SAID[field.kind].fullmatch(text))
        if "maxLength" in field.schema:
            text = text.removeprefix(" ")
            return bool(re.fullmatch(r"\S(.*\S)?", text)) and len(text) <= field.schema["maxLength"]
        return bool(text.strip())

    def may_follow(self, field: Field, written: bytes, token: int, left: int) -> bool:
        """Whether the token may stand behind what is written, where `left` more may follow it."""
        added, closed = self.lines[token]
        if closed:
            return self.may_end(field, written + added)
        if field.kind in SAID:
            rest = [(b"0" * digits, self.fewest[digits]) for digits in range(4)]
        else:
            rest = [(b"", 0), (b"x", 1), *((more, len(more)) for more in REST_OF_CHARACTERS)]
        return any(tokens <= left and self.may_end(field, written + added + more) for more, tokens in rest)

    def decode(self, ids: list[int], field: Field, floor: float, refused: int) -> tuple[list[int], float]:
        value: list[int] = []
        total = 0.0
        while total >= floor:
            logprob = self.after(ids + value)
            written = b"".join(self.lines[i][0] for i in value)
            left = slot_tokens(field, self.base.encode) - len(value) - 1
            allowed = [
                i for i in self.usual
                if left >= 0 and self.may_follow(field, written, i, left) and [*value, i] != self.none
                and not (i == refused and not value)
            ]  # fmt: skip
            best = max(allowed, key=lambda i: logprob[i], default=None)
            ending = self.end_logprob(logprob)
            if best is None or (self.may_end(field, written) and ending >= logprob[best]):
                return value, total + ending
            value.append(best)
            total += logprob[best]
            if self.lines[best][1]:
                return value, total
        return value, total

    def text(self, value: list[int]) -> str:
        return re.split(r"[\r\n]", self.base.decode(value))[0].strip()

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
        text = self.text(value)
        if optional and (none - total > self.none_margin or text.lower() == "none"):
            return None
        if not optional and not self.usable(text, field):
            again, again_total = self.decode(ids, field, -math.inf, refused=value[0])
            if self.usable(self.text(again), field):
                value, total, text = again, again_total, self.text(again)
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
