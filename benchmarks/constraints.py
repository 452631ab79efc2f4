"""Values held to a language: what the dynamic program costs a denoise, and how long tables take to prepare.

The denoise predicts as the reader does: a random state a position times a random embedding, at a vocabulary of 128256.
With and without constraints it runs turn by turn in the same process. Token texts are those of the base's tokenizer,
filled up to the size asked for by joining two of them.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from rich.markup import escape

from benchmarks import report
from jaxdiff.base.store import load_base
from jaxdiff.diffusion.automata import Constraint, constrain
from jaxdiff.diffusion.denoise import DenoiseConfig, DenoiseResult, denoise
from jaxdiff.errors import InputError
from jaxdiff.schema.languages import formats, numbers, patterns, texts, token_table
from jaxdiff.schema.languages.dfa import Dfa
from jaxdiff.schema.languages.vocabulary import Vocabulary

LANGUAGES: dict[str, Callable[[], Dfa | None]] = {
    "integer": numbers.integer_language,
    "integer, 1 to 65535": partial(numbers.integer_language, 1, 65535),
    "number, 0 to 1": partial(numbers.number_language, 0, 1),
    "number, multiple of 0.01": partial(numbers.number_language, multiples_of=(0.01,)),
    "date": partial(formats.format_language, "date"),
    "date-time": partial(formats.format_language, "date-time"),
    "uuid": partial(formats.format_language, "uuid"),
    "ipv6": partial(formats.format_language, "ipv6"),
    "email": partial(formats.format_language, "email"),
    "uri": partial(formats.format_language, "uri"),
    "uri, at most 2048 characters": partial(texts.text_language, 0, 2048, (), ("uri",)),
    "1 to 100 characters": partial(texts.text_language, 1, 100),
    "^[a-z0-9-]{1,63}$": partial(patterns.pattern_language, "^[a-z0-9-]{1,63}$"),
    r"^(?=.*\d)(?=.*[a-z]).{8,64}$": partial(patterns.pattern_language, r"^(?=.*\d)(?=.*[a-z]).{8,64}$"),
}
CONSTRAINED = ("integer, 1 to 65535", "date", "email", "uri")
CACHES = (
    numbers._language, formats.format_language, patterns.pattern_language, texts._language, token_table.token_table,
    token_table._walk,
)  # fmt: skip


def main(argv: list[str] | None = None) -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.constraints", description=__doc__)
    parser.add_argument(
        "--base", default="default", help="whose tokenizer: name or converted folder (default: default)"
    )
    parser.add_argument("--vocabulary", type=int, default=128256, help="tokens (default: 128256)")
    parser.add_argument("--hidden", type=int, default=2048, help="size of a state (default: 2048)")
    parser.add_argument("--slots", type=int, default=4, help="constrained slots of a call (default: 4)")
    parser.add_argument("--length", type=int, default=24, help="tokens a slot (default: 24)")
    parser.add_argument("--steps", type=int, default=4, help="denoising steps (default: 4)")
    parser.add_argument("--repeats", type=int, default=5, help="of each side (default: 5)")
    options = parser.parse_args(argv)
    for name in ("hidden", "slots", "length", "steps", "repeats"):
        if getattr(options, name) < 1:
            raise InputError(f"{name}={getattr(options, name)} must be >= 1")
    tokenizer = load_base(options.base).tokenizer
    vocabularies = {
        size: enlarged(tokenizer.decode_batch([[i] for i in range(tokenizer.get_vocab_size())]), size)
        for size in {tokenizer.get_vocab_size(), options.vocabulary}
    }
    prepared = {
        name: {str(size): preparation(make, vocabulary, options) for size, vocabulary in vocabularies.items()}
        for name, make in LANGUAGES.items()
    }
    cost = denoising(vocabularies[options.vocabulary], options)
    shown = report.table("Constraints", "what", *(f"ms at {size} tokens" for size in vocabularies), "states", "classes")
    for name, by_size in prepared.items():
        largest = by_size[str(options.vocabulary)]
        shown.add_row(
            f"prepare {escape(name)}",
            *(f"{found['milliseconds']['median']:.1f}" for found in by_size.values()),
            str(largest["states"]),
            str(largest["classes"]),
        )
    for side in ("unconstrained", "constrained"):
        shown.add_row(f"denoise, {side}", *[""] * (len(vocabularies) - 1), f"{cost[side]['median']:.1f}")
    shown.add_row("denoise, ratio", *[""] * (len(vocabularies) - 1), f"{cost['ratio']:.3f}")
    report.publish("constraints", shown, {**vars(options), "preparation": prepared, "denoise": cost}, ("numpy",))


def enlarged(known: list[str], size: int) -> Vocabulary:
    """The first `size` texts, with pairs of them behind where there are fewer."""
    draw = random.Random(0)
    found = known[:size]
    while len(found) < size:
        found.append(draw.choice(known) + draw.choice(known).strip())
    return Vocabulary.of(found)


def preparation(make: Callable[[], Dfa | None], vocabulary: Vocabulary, options: argparse.Namespace) -> dict[str, Any]:
    """Milliseconds from what a schema says to the table, nothing cached, and the table's size."""
    taken = []
    for _ in range(options.repeats):
        for cache in CACHES:
            cache.cache_clear()
        started = time.perf_counter()
        language = make()
        assert language is not None
        table = token_table.token_table(language, vocabulary, options.length, leading_space=True)
        taken.append(1000 * (time.perf_counter() - started))
    states, classes = table.transitions.shape
    return {"milliseconds": report.summary(taken, 2), "states": states, "classes": classes}


def denoising(vocabulary: Vocabulary, options: argparse.Namespace) -> dict[str, Any]:
    """Milliseconds of a denoise without and with constraints, and the second by the first."""
    null_id, mask_id = vocabulary.size, vocabulary.size + 1
    size, width = vocabulary.size + 2, options.slots * options.length
    slots = []
    for i in range(options.slots):
        language = LANGUAGES[CONSTRAINED[i % len(CONSTRAINED)]]()
        assert language is not None
        table = token_table.token_table(language, vocabulary, options.length, leading_space=True)
        slots.append((table, range(i * options.length, (i + 1) * options.length)))
    constraint = constrain(slots, (1, width), size, null_id)
    embedding = jax.random.normal(jax.random.key(0), (size, options.hidden), jnp.float32)
    states = jax.random.normal(jax.random.key(1), (1, width, options.hidden), jnp.float32)
    config = DenoiseConfig(steps=options.steps)

    @jax.jit
    def fill(states: Array, embedding: Array, constraint: Constraint | None) -> DenoiseResult:
        def predict(tokens: Array, t: Array) -> Array:
            seen = states + 0.1 * embedding[tokens]
            return jnp.einsum("BND,VD->BNV", seen, embedding) / options.hidden**0.5

        masks = jnp.full((1, width), mask_id, jnp.int32)
        return denoise(
            predict, masks, masks == mask_id, jax.random.key(0), mask_id=mask_id, config=config, constraint=constraint
        )

    sides: dict[str, Constraint | None] = {"unconstrained": None, "constrained": constraint}
    taken: dict[str, list[float]] = {side: [] for side in sides}
    for turn in range(options.repeats + 1):
        for side, given in sides.items():
            started = time.perf_counter()
            result = jax.block_until_ready(fill(states, embedding, given))
            if turn:  # The first compiles.
                taken[side].append(1000 * (time.perf_counter() - started))
            elif given is not None and not result.accepted[: options.slots].all():
                raise AssertionError("a constrained slot is not accepted")
    found: dict[str, Any] = {side: report.summary(times, 2) for side, times in taken.items()}
    return found | {"ratio": round(found["constrained"]["median"] / found["unconstrained"]["median"], 4)}


if __name__ == "__main__":
    raise SystemExit(report.run(main))
