"""Options that several commands share: which model answers, and how it fills and writes."""

from __future__ import annotations

import argparse
from typing import Any

from jaxdiff.agent.directive import MODES

MODE_CHOICES = ("auto", *MODES)
_AGENT = (
    "head dtype fill steps sampler guidance credit blocks temperature seed trace tool_choice max_new_tokens top_p "
    "thinking_budget"
).split()


def add_model(parser: argparse.ArgumentParser) -> None:
    """Which base and which head."""
    parser.add_argument("--base", default="default", metavar="NAME|PATH", help="a name, folder, .gguf file or org/repo")
    parser.add_argument("--head", default="default", metavar="NAME|PATH", help="a folder (default: the shipped head)")
    parser.add_argument(
        "--dtype", choices=("float32", "bfloat16"), help="type the base computes in (default: as stored)"
    )


def add_filling(parser: argparse.ArgumentParser) -> None:
    """How values are filled."""
    parser.add_argument("--fill", choices=("diffusion", "ar", "parallel"), help="default: diffusion")
    parser.add_argument("--steps", type=int, default=4, help="denoising steps (default: 4)")
    parser.add_argument(
        "--sampler",
        choices=("confidence", "ancestral", "ancestral_cached"),
        default="confidence",
        help="which positions a step reveals: the most confident (default), or some at random by the noise schedule; "
        "ancestral_cached predicts again only after a change, and needs a head without time conditioning",
    )
    parser.add_argument(
        "--guidance",
        type=float,
        default=0.0,
        metavar="WEIGHT",
        help="of classifier-free guidance, which needs a head trained with prompt dropout (default: 0, none)",
    )
    parser.add_argument(
        "--credit",
        type=float,
        default=0.0,
        metavar="WEIGHT",
        help="of a guess's credit for having been the best in earlier steps (default: 0, none)",
    )
    parser.add_argument(
        "--blocks",
        choices=("together", "in_order"),
        default="together",
        help="composed values: all at once (default), or each when those before it are full",
    )
    parser.add_argument("--temperature", type=float, default=0.0, help="0 (default) takes the most probable token")
    parser.add_argument("--seed", type=int, default=0, help="of the randomness at a temperature above 0")


def add_answering(parser: argparse.ArgumentParser) -> None:
    """Whether a call or a text answers, and how long a text may be."""
    parser.add_argument("--mode", choices=MODE_CHOICES, default="auto", help="how to answer (default: auto)")
    parser.add_argument("--max-new-tokens", type=int, default=256, help="of an answer in text (default: 256)")


def agent_options(options: argparse.Namespace) -> dict[str, Any]:
    """What of a command line `Agent.load` takes, besides base, tools and mode."""
    return {name: value for name, value in vars(options).items() if name in _AGENT}
