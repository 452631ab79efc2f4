"""The default base held as float32, bfloat16 and int8: perplexity, bytes in memory and on disk, tokens a second.

Perplexity is that of two fixed texts, read apart. The speeds are taken turn by turn in one run, so that what else the
machine does strikes all; decoding is what a long answer takes more than one of a single token, per token.
"""

from __future__ import annotations

import argparse
import gc
import math
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np

from benchmarks import report
from benchmarks.conversion import size_on_disk
from benchmarks.texts import NOVEL, PASSAGE
from benchmarks.throughput import DECODED_TOKENS, DECODING_PROMPT, PREFILL_TOKENS
from jaxdiff.base.frozen import FrozenBase
from jaxdiff.base.generate import greedy
from jaxdiff.base.store import cache_dir, load_base
from jaxdiff_convert.convert import convert
from jaxdiff_convert.fetch import fetch_default_weights

# How the matrices are held, and the type that the base computes in.
FORMS = (("float32", "float32"), ("bfloat16", "bfloat16"), ("int8", "float32"), ("int8", "bfloat16"))


def main(argv: list[str] | None = None) -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quantised", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5, help="counted rounds (default: 5)")
    options = parser.parse_args(argv)
    source = fetch_default_weights(cache_dir())
    with tempfile.TemporaryDirectory(prefix="jaxdiff-quantised-") as made:
        folders = {
            "float32": convert(source, Path(made) / "float32"),
            "bfloat16": convert(source, Path(made) / "bfloat16", dtype="bfloat16"),
            "int8": convert(source, Path(made) / "int8", int8=True),
        }
        disk = {storage: size_on_disk(folder / "params") for storage, folder in folders.items()}
        bases = {form: load_base(folders[form[0]], dtype=form[1]) for form in FORMS}
    figures = {form: {"disk_bytes": disk[form[0]], "memory_bytes": held(base)} for form, base in bases.items()}
    for form, base in bases.items():
        figures[form]["perplexity"] = round(perplexity(base), 3)
    for form, (prefill, decoding) in speeds(bases, options.rounds).items():
        figures[form] |= {"prefill_tokens_a_second": round(prefill, 1), "decoded_tokens_a_second": round(decoding, 2)}

    shown = report.table(
        "Default base", "held as, computing in", "perplexity", "memory MB", "disk MB", "prefill", "decoding",
        "prefill ratio", "decoding ratio",
    )  # fmt: skip
    first = figures[FORMS[0]]
    for form, found in figures.items():
        for name in ("prefill_tokens_a_second", "decoded_tokens_a_second"):
            found[name.split("_")[0] + "_ratio"] = round(found[name] / first[name], 3)
        shown.add_row(
            ", ".join(form),
            f"{found['perplexity']:.3f}",
            *(f"{found[name] / 1e6:.0f}" for name in ("memory_bytes", "disk_bytes")),
            *(f"{found[name]:.1f}" for name in ("prefill_tokens_a_second", "decoded_tokens_a_second")),
            *(f"{found[name]:.2f}" for name in ("prefill_ratio", "decoded_ratio")),
        )
    rows = [{"storage": form[0], "dtype": form[1]} | found for form, found in figures.items()]
    report.publish("quantised", shown, {"rounds": options.rounds, "forms": rows})


def held(base: FrozenBase) -> int:
    """Bytes of the parameters on the device."""
    return sum(leaf.nbytes for leaf in jax.tree.leaves(base.params))


def perplexity(base: FrozenBase) -> float:
    """exp of the mean cross-entropy of all tokens but the first of each text."""
    total, count = 0.0, 0
    for text in (PASSAGE, NOVEL):
        ids = base.encode(text)
        logprob = np.asarray(jax.nn.log_softmax(base.logits([ids])[0]), np.float64)
        total -= logprob[np.arange(len(ids) - 1), ids[1:]].sum()
        count += len(ids) - 1
    return math.exp(total / count)


def speeds(bases: dict[Any, FrozenBase], rounds: int) -> dict[Any, tuple[float, float]]:
    """Tokens a second of prefill and of decoding, medians; the first round compiles and is not counted."""
    taken: dict[Any, list[tuple[float, float]]] = {form: [] for form in bases}
    for number in range(rounds + 1):
        for form, base in bases.items():
            ids = base.encode(NOVEL)[:PREFILL_TOKENS]
            prompt = ids[:DECODING_PROMPT]
            prefill = seconds(lambda base=base, ids=ids: write(base, ids, 1))
            decoding = seconds(lambda base=base, ids=prompt: write(base, ids, DECODED_TOKENS + 1))
            decoding -= seconds(lambda base=base, ids=prompt: write(base, ids, 1))
            if number:
                taken[form].append((prefill, decoding))
        gc.collect()
    return {
        form: (
            PREFILL_TOKENS / statistics.median(prefill for prefill, _ in pairs),
            DECODED_TOKENS / statistics.median(decoding for _, decoding in pairs),
        )
        for form, pairs in taken.items()
    }


def write(base: FrozenBase, ids: list[int], new_tokens: int) -> Any:
    """Reads ids and writes so many tokens."""
    block = np.array([ids], np.int32)
    return jax.block_until_ready(greedy(base, block, np.ones(block.shape, bool), new_tokens, stop_ids=()))


def seconds(run: Callable[[], Any]) -> float:
    """Wall-clock seconds of one call."""
    started = time.perf_counter()
    run()
    return time.perf_counter() - started


if __name__ == "__main__":
    raise SystemExit(report.run(main))
