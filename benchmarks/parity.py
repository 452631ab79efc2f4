"""Parity with `transformers` on the default weights, float32: logits of a passage, and greedy tokens of ten prompts."""

from __future__ import annotations

import jax
import numpy as np

from benchmarks import report
from benchmarks.reference import LIBRARIES, Reference
from benchmarks.texts import PASSAGE, PROMPTS
from jaxdiff.base.frozen import FrozenBase
from jaxdiff.base.generate import greedy
from jaxdiff.base.store import load_base

NEW_TOKENS = 40


def main() -> None:
    """Measures and prints."""
    reference = Reference()
    base = load_base("default", dtype="float32")
    ids = base.encode(PASSAGE)
    with jax.default_matmul_precision("highest"):
        ours = np.asarray(base.logits([ids])[0])
        written = write_greedily(base, [base.encode(prompt) for prompt in PROMPTS])
    theirs = reference.logits(ids)
    expected = [reference.greedy(base.encode(prompt), NEW_TOKENS) for prompt in PROMPTS]

    error = np.abs(ours - theirs)
    equal = [leading_equal(a, b) for a, b in zip(written, expected, strict=True)]
    figures = {
        "tokens": len(ids),
        "logits_max_abs_difference": float(error.max()),
        "logits_mean_abs_difference": float(error.mean()),
        "logits_max_abs": float(np.abs(theirs).max()),
        "same_most_probable_token": int((ours.argmax(-1) == theirs.argmax(-1)).sum()),
        "equal_greedy_tokens": sum(equal),
        "greedy_tokens": NEW_TOKENS * len(PROMPTS),
    }
    shown = report.table("Parity with transformers, float32", "figure", "value")
    shown.add_row(f"largest difference of logits ({len(ids)} tokens)", f"{figures['logits_max_abs_difference']:.2e}")
    shown.add_row("mean difference of logits", f"{figures['logits_mean_abs_difference']:.2e}")
    shown.add_row("largest logit", f"{figures['logits_max_abs']:.1f}")
    shown.add_row("same most probable token", f"{figures['same_most_probable_token']} of {len(ids)}")
    shown.add_row("greedy tokens equal up to the first difference", f"{sum(equal)} of {figures['greedy_tokens']}")
    report.publish("parity", shown, figures, LIBRARIES)


def write_greedily(base: FrozenBase, prompts: list[list[int]]) -> list[list[int]]:
    """`NEW_TOKENS` tokens after each prompt, all prompts in one padded batch."""
    ids = np.zeros((len(prompts), max(map(len, prompts))), np.int32)
    valid = np.zeros(ids.shape, bool)
    for row, prompt in enumerate(prompts):
        ids[row, : len(prompt)], valid[row, : len(prompt)] = prompt, True
    return np.asarray(greedy(base, ids, valid, NEW_TOKENS, stop_ids=())).tolist()


def leading_equal(a: list[int], b: list[int]) -> int:
    """Number of tokens before the first difference: what follows it continues another text."""
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=True)) if x != y), len(a))


if __name__ == "__main__":
    raise SystemExit(report.run(main))
