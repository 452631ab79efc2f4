"""Prefill and cached greedy decoding against `transformers`: the same weights, the same cores, turn by turn in one run.

Each round times both sides, so that what else the machine does strikes both. Decoding is what a long answer takes more
than one of a single token, per token; compilation is excluded by a round that is not counted.
"""

from __future__ import annotations

import argparse
import gc
import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks import report
from benchmarks.reference import LIBRARIES, Reference
from benchmarks.texts import PASSAGE

DTYPES = ("float32", "bfloat16")
PREFILL_TOKENS = 512
DECODING_PROMPT, DECODED_TOKENS = 64, 128
SIDES = ("jaxdiff", "transformers")


@dataclass(frozen=True)
class Side:
    """One of the two implementations. prefill: reads ids. write: greedily writes so many tokens after ids."""

    prefill: Callable[[Sequence[int]], Any]
    write: Callable[[Sequence[int], int], Any]


def main(argv: list[str] | None = None) -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.throughput", description=__doc__)
    parser.add_argument("--threads", type=int, help="cores and threads of both sides (default: all of this process)")
    parser.add_argument("--rounds", type=int, default=5, help="counted rounds (default: 5)")
    options = parser.parse_args(argv)
    cores = sorted(os.sched_getaffinity(0))[: options.threads]
    # XLA takes as many threads as there are cores for the process, counted when JAX is loaded.
    os.sched_setaffinity(0, cores)

    shown = report.table(
        f"Tokens a second on {len(cores)} cores (median of {options.rounds} rounds)", "", *SIDES, "ratio"
    )
    figures: dict[str, Any] = {"threads": len(cores), "rounds": options.rounds}
    for dtype in DTYPES:
        figures[dtype] = _compare(dtype, len(cores), options.rounds)
        for name, found in figures[dtype].items():
            shown.add_row(f"{dtype} {name}", *(f"{found[side]:.1f}" for side in SIDES), f"{found['ratio']:.2f}")
        gc.collect()
    report.publish("throughput", shown, figures, LIBRARIES)


def _compare(dtype: str, threads: int, rounds: int) -> dict[str, dict[str, float]]:
    ours, ids = _jaxdiff(dtype)
    sides = {"jaxdiff": ours, "transformers": _transformers(dtype, threads)}
    passage = (ids * (PREFILL_TOKENS // len(ids) + 1))[:PREFILL_TOKENS]
    prompt = ids[:DECODING_PROMPT]
    seconds: dict[str, dict[str, list[float]]] = {
        name: {side: [] for side in SIDES} for name in ("prefill", "decoding")
    }
    for number in range(rounds + 1):
        for name, side in sides.items():
            prefill = _seconds(side.prefill, passage)
            decoding = _seconds(side.write, prompt, DECODED_TOKENS + 1) - _seconds(side.write, prompt, 1)
            if number:
                seconds["prefill"][name].append(prefill)
                seconds["decoding"][name].append(decoding)
    tokens = {"prefill": PREFILL_TOKENS, "decoding": DECODED_TOKENS}
    found = {
        name: {side: tokens[name] / statistics.median(taken) for side, taken in by_side.items()}
        for name, by_side in seconds.items()
    }
    return {name: pace | {"ratio": pace["jaxdiff"] / pace["transformers"]} for name, pace in found.items()}


def _jaxdiff(dtype: str) -> tuple[Side, list[int]]:
    # Imported when the cores are set.
    import jax
    import numpy as np

    from jaxdiff.base.generate import greedy
    from jaxdiff.base.store import load_base

    base = load_base("default", dtype=dtype)

    def write(ids: Sequence[int], new_tokens: int) -> Any:
        block = np.array([ids], np.int32)
        return jax.block_until_ready(greedy(base, block, np.ones(block.shape, bool), new_tokens, stop_ids=()))

    return Side(lambda ids: write(ids, 1), write), base.encode(PASSAGE)


def _transformers(dtype: str, threads: int) -> Side:
    reference = Reference(dtype, threads)
    return Side(reference.prefill, reference.greedy)


def _seconds(run: Callable[..., Any], *given: Any) -> float:
    started = time.perf_counter()
    run(*given)
    return time.perf_counter() - started


if __name__ == "__main__":
    raise SystemExit(report.run(main))
