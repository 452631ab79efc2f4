"""How a query is answered: every option of an agent, checked when built."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from jaxdiff.agent.speaking import SpeakingOptions
from jaxdiff.base.sampling import Sampling
from jaxdiff.diffusion.denoise import DenoiseConfig
from jaxdiff.errors import InputError
from jaxdiff.routing.head import MECHANISMS

FILLS = ("diffusion", "ar", "parallel")
NAMES = ("apart", "list")
MAX_SEED = 2**31


@dataclass(frozen=True)
class Options:
    """How a query is answered.

    mode: "auto", or the mode that must answer: "chat", "think" or "tool". tool_choice: as in the OpenAI chat API,
    "auto", "none", "required", or a tool's name (see `directive`).
    names: "apart" compares query and tools read apart; "list" lets the base score the names after a list of the tools.
    decide_by: what says whether a tool serves the query, "fit" or "decision" (decision tokens); None: the better one.
    Calls: fill: "diffusion", "ar" or "parallel". steps: denoising steps. trace: keep what each denoising step did.
    sampler, guidance, credit, blocks: see `DenoiseConfig`; a head may not serve all of them.
    Text: max_new_tokens, top_k, top_p, min_p, repetition_penalty (see `Sampling`), stop: strings that end it.
    thinking_budget: tokens after which a thought is ended.
    temperature: 0 takes the most probable token, in calls and in text. seed: of the randomness above it.
    """

    fill: str
    steps: int = 4
    temperature: float = 0.0
    seed: int = 0
    trace: bool = False
    sampler: str = "confidence"
    guidance: float = 0.0
    credit: float = 0.0
    blocks: str = "together"
    mode: str = "auto"
    tool_choice: Any = "auto"
    names: str = "apart"
    decide_by: str | None = None
    max_new_tokens: int = 256
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    stop: str | Sequence[str] = ()
    thinking_budget: int | None = None

    def __post_init__(self) -> None:
        if self.fill not in FILLS:
            raise InputError(f"fill {self.fill!r} is not known; choose from {', '.join(FILLS)}")
        if self.names not in NAMES:
            raise InputError(f"names {self.names!r} is not known; choose from {', '.join(NAMES)}")
        if self.decide_by not in (None, *MECHANISMS):
            raise InputError(f"decide_by {self.decide_by!r} is not known; choose from {', '.join(MECHANISMS)}")
        if not 0 <= self.seed < MAX_SEED:
            raise InputError(f"seed={self.seed} must be in [0, {MAX_SEED})")
        self.denoising()
        self.speaking(thinking=False)

    def denoising(self) -> DenoiseConfig:
        """The denoising loop's part."""
        return DenoiseConfig(
            steps=self.steps,
            temperature=self.temperature,
            sampler=self.sampler,
            guidance=self.guidance,
            credit=self.credit,
            blocks=self.blocks,
        )

    def speaking(self, thinking: bool) -> SpeakingOptions:
        """The part of answers in text. thinking: whether a thought comes first."""
        sampling = Sampling(self.temperature, self.top_k, self.top_p, self.min_p, self.repetition_penalty)
        return SpeakingOptions(self.max_new_tokens, sampling, self.stop, thinking, self.thinking_budget, self.seed)
