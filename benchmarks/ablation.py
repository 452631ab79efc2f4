"""What each part of the reader brings: trained without it, same rows, steps and seed, measured on the validation packs.

Rows of the training packs are read through the base once, then each variant trains from there. The figures are those
of a head's card: what it finds (start, span, presence of optionals, choice among candidates) and whole calls. The last
lines fill with the whole reader, spans assigned field by field instead of together. Differences of a few points are
noise of one seed. Rows that do not fit `SIZE` are left out of training, so that each variant compiles one program.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import jax
import jax.numpy as jnp

from benchmarks import report
from jaxdiff.agent import presence
from jaxdiff.agent.assignment import NOT_A_VALUE_COST, PairCost, Span, overlap_cost
from jaxdiff.base.store import cache_dir
from jaxdiff.runtime.compilation import keep_compiled_programs
from jaxdiff_train.evaluation.evaluate import evaluate
from jaxdiff_train.evaluation.validate import validation_rows
from jaxdiff_train.heads.recipes import RECIPES
from jaxdiff_train.heads.source import prepare
from jaxdiff_train.heads.training import Show
from jaxdiff_train.reading import batches
from jaxdiff_train.settings import Source, TrainSettings

# Tokens of the query and fields of the rows that are trained on.
SIZE = (48, 8)

# Name shown, and what `--head-config` of `python -m train` says.
VARIANTS = {
    "whole": "",
    "without attention": "without=attention+name_attention+definition_attention+neighbours+competition",
    "without attention of the names": "without=name_attention",
    "without attention to the definitions": "without=definition_attention",
    "without names and definitions": "without=name_attention+definition_attention",
    "without neighbouring attention": "without=neighbours",
    "without competition": "without=competition",
    "without facts of words": "without=word_facts",
    "without states of tokens": "without=token_states",
    "without states of keys": "without=key_states",
    "without convolution": "without=convolution",
    "without mixing over fields": "without=mixing",
    "without contest for starts": "without=contest",
    "without rivalry in the loss": "rivalry=0",
    "without contest, without rivalry": "without=contest,rivalry=0",
    "with bidirectional context": "context_layers=1",
    "two members, averaged": "members=2",
    "without copying on the canvas": "without=copying",
    "without time conditioning": "time_conditioning=false",
    "canvas weighted to the NELBO": "canvas_loss=nelbo",
    "half of the canvases on-policy": "on_policy=0.5",
}
FOUND = ("start", "span", "presence", "choice", "choice_boolean")
CALLS = ("whole_call", "field", "present")


def main(argv: list[str] | None = None) -> None:
    """Trains, measures and prints."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ablation", description=__doc__)
    parser.add_argument("--data", nargs="+", default=["packs:2"], help="as of `python -m train` (default: packs:2)")
    parser.add_argument("--steps", type=int, default=400, help="updates of each variant (default: 400)")
    parser.add_argument("--learning-rate", type=float, default=2e-3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--variants", nargs="+", choices=list(VARIANTS), default=list(VARIANTS), metavar="NAME")
    options = parser.parse_args(argv)
    keep_compiled_programs()
    rows = validation_rows()
    shown = report.table(f"The reader, {options.steps} steps of 32", "variant", *FOUND, *CALLS)
    figures: dict[str, Any] = {}
    for name in options.variants:
        head = _trained(options, VARIANTS[name])
        found = RECIPES["reader"].found
        assert found is not None
        figures[name] = found(head, rows, _features()) | _filled(head, rows)
        print(name, json.dumps(figures[name]), flush=True)
        if name == "whole":
            with patch.object(presence, "assign", assign_greedily):
                figures["spans field by field"] = _filled(head, rows)
            print("spans field by field", json.dumps(figures["spans field by field"]), flush=True)
        # Each variant has programs of its own, and a process may map only so many pieces of memory.
        jax.clear_caches()
    for name, values in figures.items():
        shown.add_row(name, *(f"{values[key]:.1f}" if key in values else "" for key in (*FOUND, *CALLS)))
    asked = {"data": options.data, "steps": options.steps, "learning_rate": options.learning_rate, "seed": options.seed}
    report.publish("ablation", shown, asked | {"percent_right": figures}, ("optax",))


def assign_greedily(spans: Sequence[Sequence[Span]], cost: PairCost = overlap_cost) -> list[Span | None]:
    """One span for each field, the surest field first, none reconsidered."""
    chosen: dict[int, Span] = {}
    for i in sorted(range(len(spans)), key=lambda i: -max((span.score for span in spans[i]), default=0.0)):
        if spans[i]:
            chosen[i] = max(spans[i], key=partial(_worth, place=i, others=chosen, cost=cost))
    return [chosen.get(i) for i in range(len(spans))]


def _worth(span: Span, place: int, others: Mapping[int, Span], cost: PairCost) -> float:
    paid = sum(cost(place, span, j, other) for j, other in others.items())
    return span.score - paid - NOT_A_VALUE_COST * (not span.understood)


def _features() -> Path:
    return cache_dir() / "features"


def _trained(options: argparse.Namespace, head_config: str) -> Any:
    with tempfile.TemporaryDirectory(prefix="jaxdiff-ablation-") as folder:
        settings = TrainSettings(
            Path(folder), data=tuple(map(Source.parse, options.data)), steps=options.steps, seed=options.seed,
            learning_rate=options.learning_rate, weight_decay=0.05, checkpoint_every=options.steps,
            head_config=head_config, ema_decay=0.99,
        )  # fmt: skip
        with patch.object(batches, "SIZES", (SIZE,)):
            prepared = prepare(settings, _features(), print)
        trained = RECIPES["reader"].train(settings, prepared.base.config, prepared.batches, Show(print))
    return RECIPES["reader"].head(prepared.base, trained.config, jax.tree.map(jnp.asarray, trained.params))


def _filled(head: Any, rows: Any) -> dict[str, float]:
    percent = evaluate(rows, RECIPES["reader"].fill(head, rows, _features(), None)).figures()
    return {name: percent[name] for name in CALLS}


if __name__ == "__main__":
    raise SystemExit(report.run(main))
