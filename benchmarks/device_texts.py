"""Texts of slots that the denoising loop writes when logits mean ill: each slot with a language is held to it."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from jaxdiff.diffusion.automata import Constraint, constrain
from jaxdiff.diffusion.denoise import DenoiseConfig, DenoiseResult, denoise
from jaxdiff.errors import UnsupportedLanguage
from jaxdiff.schema.languages.token_table import TokenTable, token_table
from jaxdiff.schema.languages.vocabulary import Vocabulary
from jaxdiff.schema.scaffold.tree import TextSlot

PIECES = (
    *(f"{number:02}" for number in range(100)), "2024", "-0", "0.", ".5", "00", "000", "1e", "e-", "-1", "://", "http",
    ".com", "@a", "::", "ab", "abc", "foo", "bar", "x-", "key", " a", " 1", " -", "  ", '""', '"}', '":', "\\n",
    "null", "true", "é", "aé", "\U0001f600", "٣", "T1", "Z\n", "P1", "\u2028",
)  # fmt: skip
# Bytes C3, 61 F0 9F, 98 80 62, 80 80, ED A0 80 and FF FE, as byte-level tokenizers write them: parts of characters, and
# what is never part of one.
PARTS = ("Ã", "aðŁ", "ĺĢb", "ĢĢ", "íłĢ", "ÿþ")
SPECIAL = ("<|im_start|>", "<|im_end|>", "<|endoftext|>")
CONFIGS = (DenoiseConfig(), DenoiseConfig(steps=3, temperature=0.7, remask=2))
# A row of a canvas has slots that are held to a language, and one that is not.
ROWS, HELD, FREE = 16, 3, 1
# Slots are as far apart as the first of these that is enough.
STRIDES = (24, 96)


def byte_level_tokenizer() -> Tokenizer:
    """All bytes, `PIECES`, `PARTS` and `SPECIAL`."""
    split = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    pieces = [split.pre_tokenize_str(piece)[0][0] for piece in PIECES]
    known = dict.fromkeys([*sorted(pre_tokenizers.ByteLevel.alphabet()), *pieces, *PARTS])
    tokenizer = Tokenizer(models.BPE({text: i for i, text in enumerate(known)}, []))
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(SPECIAL))
    return tokenizer


TOKENIZER = byte_level_tokenizer()
VOCABULARY = Vocabulary.of_tokenizer(TOKENIZER)
TEXT_IDS = frozenset(VOCABULARY.ids.tolist())
NULL, MASK, SIZE = VOCABULARY.size, VOCABULARY.size + 1, VOCABULARY.size + 2


class Adversary:
    """Logits of one slot, [L, V] float32, by kind."""

    KINDS = (
        "random", "constant", "extreme", "infinite", "not a number", "forbidden", "null", "quote", "one token",
        "a token a position", "mask", "special", "parts of characters",
    )  # fmt: skip

    def __init__(self, seed: int):
        self._rng = np.random.default_rng(seed)
        self._quotes = [i for i in range(VOCABULARY.size) if '"' in TOKENIZER.decode([i])]
        self._parts = [i for i in range(VOCABULARY.size) if "\ufffd" in TOKENIZER.decode([i])]
        self._special = [i for i in range(VOCABULARY.size) if i not in TEXT_IDS]

    def logits(self, kind: str, length: int) -> np.ndarray:
        """Logits of one kind, whatever is revealed."""
        rng, shape = self._rng, (length, SIZE)
        if kind in ("constant", "not a number", "forbidden"):
            value = {"constant": 0.0, "not a number": np.nan, "forbidden": -np.inf}[kind]
            return np.full(shape, value, np.float32)
        if kind == "extreme":
            return np.where(rng.random(shape) < 0.5, np.float32(1e30), np.float32(-1e30))
        if kind == "infinite":
            values = np.array([0, 5, 3e38, -3e38, np.inf, -np.inf, np.nan], np.float32)
            return values[rng.integers(0, len(values), shape)]
        if kind == "a token a position":
            made = np.full(shape, -1e30, np.float32)
            made[np.arange(length), rng.integers(0, SIZE, length)] = 1e30
            return made
        made = rng.standard_normal(shape, np.float32) * 3
        if kind == "null":
            made[:, NULL] = 1e9
        elif kind == "quote":
            made[:, self._quotes] = 1e30
        elif kind == "one token":
            made[:, rng.integers(0, SIZE)] = np.inf
        elif kind == "mask":
            made[:, MASK] = np.inf
        elif kind == "special":
            made[:, self._special] = np.inf
        elif kind == "parts of characters":
            made[:, self._parts] += 100
        return made


@dataclass(frozen=True)
class _Place:
    """A slot that is to be written. number: which one of those asked for. table: None where nothing holds it."""

    number: int
    slot: TextSlot
    kind: str
    table: TokenTable | None


class DeviceTexts:
    """Writes texts of slots through the denoising loop. counts: what was met; wrong: what must never be met."""

    def __init__(self, seed: int):
        self.counts: Counter[str] = Counter()
        self.wrong: list[str] = []
        self._adversary = Adversary(seed)
        self._seeds = itertools.count(seed)

    def texts(self, slots: Sequence[tuple[TextSlot, str]]) -> list[str]:
        """The text of each slot, given with the kind of its adversary."""
        places = [_Place(number, slot, kind, self._table(slot)) for number, (slot, kind) in enumerate(slots)]
        places.sort(key=lambda place: (_stride(place.slot), 0 if place.table is None else place.table.transitions.size))
        found: dict[int, str] = {}
        for stride, group in itertools.groupby(places, lambda place: _stride(place.slot)):
            for canvas in _canvases(list(group)):
                found |= self._write(canvas, stride)
        return [found[number] for number in range(len(slots))]

    def _table(self, slot: TextSlot) -> TokenTable | None:
        if slot.language is None:
            return None
        try:
            return token_table(slot.language, VOCABULARY, slot.tokens, leading_space=True)
        except UnsupportedLanguage:
            self.counts["slots whose table cannot be held"] += 1
            return None

    def _write(self, places: Sequence[_Place], stride: int) -> dict[int, str]:
        """The texts of the slots of one canvas, by their numbers. They are dealt out to the rows in turn."""
        shape = (ROWS, (HELD + FREE) * stride)
        logits = np.zeros((ROWS * shape[1], SIZE), np.float32)
        tokens = np.full(ROWS * shape[1], NULL, np.int32)
        starts = [i % ROWS * shape[1] + i // ROWS * stride for i in range(len(places))]
        spans = [range(start, start + place.slot.tokens) for start, place in zip(starts, places, strict=True)]
        for place, span in zip(places, spans, strict=True):
            logits[span.start : span.stop] = self._adversary.logits(place.kind, len(span))
            tokens[span.start : span.stop] = MASK
        held = [
            (place.table, span) for place, span in zip(places, spans, strict=True) if place.table is not None
        ]  # fmt: skip
        seed = next(self._seeds)
        self.counts["canvases"] += 1
        result = jax.device_get(
            _denoise(
                CONFIGS[seed % len(CONFIGS)], logits.reshape(*shape, SIZE), tokens.reshape(shape),
                jax.random.key(seed), constrain(held, shape, SIZE, NULL) if held else None,
            )
        )  # fmt: skip
        if held and not result.accepted.all():
            self.wrong.append(f"canvas {seed}: the device does not accept what it wrote")
        written = np.asarray(result.tokens).reshape(-1).tolist()
        return {
            place.number: self._text(place, written[span.start : span.stop])
            for place, span in zip(places, spans, strict=True)
        }

    def _text(self, place: _Place, tokens: list[int]) -> str:
        """The text of a slot's tokens, read as those of calls are."""
        length = tokens.index(NULL) if NULL in tokens else len(tokens)
        text = TOKENIZER.decode([token for token in tokens[:length] if token < NULL], skip_special_tokens=False)
        where = f"{place.slot.path!r} by {place.kind!r}: {tokens}, read as {text!r},"
        self.counts[f"slots, {place.kind}"] += 1
        if MASK in tokens:
            self.wrong.append(f"{where} is not filled")
        if place.table is None:
            self.counts["slots without a language"] += 1
            self.counts["of these with what is no UTF-8, replaced"] += "\ufffd" in text
            return text.strip()
        self.counts["slots held to a language"] += 1
        text = text.removeprefix(" ")
        if not set(tokens[:length]) <= TEXT_IDS or set(tokens[length:]) - {NULL}:
            self.wrong.append(f"{where} has tokens that are no text")
        if place.slot.language is None or not place.slot.language.accepts(text):
            self.wrong.append(f"{where} is not of the language")
        return text


def _stride(slot: TextSlot) -> int:
    """Positions that a slot takes, those behind its end included."""
    return next((stride for stride in STRIDES if stride >= slot.tokens), -(-slot.tokens // STRIDES[-1]) * STRIDES[-1])


def _canvases(places: Sequence[_Place]) -> Iterator[list[_Place]]:
    """The slots of one canvas after another. places: those with small tables first.

    Few programs do for all: held slots are dealt out, so that canvases have much the same of small and large tables,
    and repeated to fill their places.
    """
    held = [place for place in places if place.table is not None]
    free = [place for place in places if place.table is None]
    count = -(-len(held) // (ROWS * HELD))
    for number in range(count):
        taken = itertools.islice(itertools.cycle(held[number::count]), ROWS * HELD)
        yield [*taken, *free[: ROWS * FREE]]
        free = free[ROWS * FREE :]
    for start in range(0, len(free), ROWS * (HELD + FREE)):
        yield free[start : start + ROWS * (HELD + FREE)]


@partial(jax.jit, static_argnums=0)
def _denoise(
    config: DenoiseConfig, logits: Array, tokens: Array, key: Array, constraint: Constraint | None
) -> DenoiseResult:
    def predict(tokens: Array, t: Array) -> Array:
        # What is revealed sways what comes next, so that what is masked again may change.
        sway = jnp.where(tokens == MASK, 0, tokens % 3).astype(jnp.float32)
        return logits + sway[..., None] * jnp.cos(jnp.arange(SIZE, dtype=jnp.float32))[None, None]

    return denoise(predict, tokens, tokens == MASK, key, mask_id=MASK, config=config, constraint=constraint)
