"""How a masked canvas is filled: the sampler and its settings."""

from __future__ import annotations

import math
from dataclasses import dataclass

from jaxdiff.diffusion.schedules import LogLinear, NoiseSchedule
from jaxdiff.errors import ConfigError

SAMPLERS = ("confidence", "ancestral", "ancestral_cached")
REVEAL_RULES = ("top_k", "threshold")
BLOCKS = ("together", "in_order")
PADDING = ("last", "ranked")
DEFAULT_SCHEDULE = LogLinear()
# The trace of a denoising holds every step; no canvas has more positions.
MOST_STEPS = 2048


@dataclass(frozen=True)
class DenoiseConfig:
    """How a canvas is filled.

    steps: number of steps, at most `MOST_STEPS`; the last reveals whatever is left.
    sampler: `confidence`, the most confident positions first; `ancestral`, positions at random as the noise schedule
        has it (MDLM's reverse process, arXiv 2406.07524; its samples are those at temperature 1); `ancestral_cached`,
        the same without a prediction after steps that revealed nothing.
    temperature: 0 takes the most probable token, above it is sampled.
    guidance: weight w of classifier-free guidance, log p = (1 + w) log p_conditional - w log p_unconditional (Ho &
        Salimans, arXiv 2207.12598); 0 computes nothing more.
    Of `confidence` alone:
    blocks: `together`, all values at once; `in_order`, a position is revealed only when all blocks before its own are
        full (arXiv 2503.09573); what is said of steps and rows here holds for the block whose turn it is (see
        `BlockOrder`).
    padding: `last`, <NULL> is revealed only in rows where nothing else is proposed, or in the last step; `ranked`, as
        any other token. Most of a slot is padding and is surest of all. Revealed first, it makes a canvas that noise,
        which strikes positions alike, rarely makes of a long value: the head takes what is left for padding too.
    reveal: `top_k`, the most confident positions of a row; `threshold`, all of at least that confidence, at least one.
    top_k: positions a step; None: what is left, divided by the steps left, rounded up.
    threshold: confidence that `threshold` asks for.
    remask: how many tokens revealed in earlier steps a step masks again, those of lowest running confidence (the
        highest confidence that predictions at the position ever had; after He et al., arXiv 2508.13148). The last step
        masks none, and a row that is filled at the start of a step is left alone.
    credit, credit_decay, credit_power: weight, decay and power of trace credit (see `credit.py`); 0: none. The default
        decay and power are those of dInfer (arXiv 2510.08666), whose weight is 0.7.
    Of the ancestral samplers alone:
    schedule: the noise schedule.
    Raises ConfigError, naming the value.
    """

    steps: int = 4
    reveal: str = "top_k"
    top_k: int | None = None
    threshold: float = 0.9
    temperature: float = 0.0
    remask: int = 0
    sampler: str = "confidence"
    schedule: NoiseSchedule = DEFAULT_SCHEDULE
    guidance: float = 0.0
    credit: float = 0.0
    credit_decay: float = 0.8
    credit_power: float = 0.2
    blocks: str = "together"
    padding: str = "last"

    def __post_init__(self) -> None:
        def check(condition: bool, message: str) -> None:
            if not condition:
                raise ConfigError(message)

        for name, given in (("steps", self.steps), ("remask", self.remask), ("top_k", self.top_k)):
            integer = isinstance(given, int) and not isinstance(given, bool)
            check(integer or (name == "top_k" and given is None), f"self.{name}={given!r} must be an integer")
        for name in ("threshold", "temperature", "guidance", "credit", "credit_decay", "credit_power"):
            value = getattr(self, name)
            check(
                isinstance(value, int | float) and not isinstance(value, bool),
                f"self.{name}={value!r} must be a number",
            )
        check(1 <= self.steps <= MOST_STEPS, f"{self.steps=} must lie in [1, {MOST_STEPS}]")
        check(self.sampler in SAMPLERS, f"{self.sampler=} is unknown; known: {', '.join(SAMPLERS)}")
        check(self.reveal in REVEAL_RULES, f"{self.reveal=} is unknown; known: {', '.join(REVEAL_RULES)}")
        check(self.blocks in BLOCKS, f"{self.blocks=} is unknown; known: {', '.join(BLOCKS)}")
        check(self.padding in PADDING, f"{self.padding=} is unknown; known: {', '.join(PADDING)}")
        check(self.top_k is None or self.top_k >= 1, f"{self.top_k=} must be >= 1")
        check(self.top_k is None or self.reveal == "top_k", f"{self.top_k=} has no meaning with {self.reveal=}")
        check(0 <= self.threshold <= 1, f"{self.threshold=} must lie in [0, 1]")
        check(0 <= self.temperature < math.inf, f"{self.temperature=} must be >= 0 and finite")
        check(self.remask >= 0, f"{self.remask=} must be >= 0")
        check(0 <= self.guidance < math.inf, f"{self.guidance=} must be >= 0 and finite")
        check(0 <= self.credit < math.inf, f"{self.credit=} must be >= 0 and finite")
        check(0 <= self.credit_decay <= 1, f"{self.credit_decay=} must lie in [0, 1]")
        check(0 <= self.credit_power < math.inf, f"{self.credit_power=} must be >= 0 and finite")
        if self.ancestral:
            for name in ("reveal", "top_k", "remask", "credit", "blocks", "padding"):
                value, idle = getattr(self, name), type(self).__dataclass_fields__[name].default
                check(value == idle, f"self.{name}={value!r} has no meaning with {self.sampler=}")
        else:
            check(self.schedule == DEFAULT_SCHEDULE, f"{self.schedule=} has no meaning with {self.sampler=}")

    @property
    def ancestral(self) -> bool:
        """Whether positions are revealed at random, as the noise schedule has it."""
        return self.sampler != "confidence"

    @property
    def cached(self) -> bool:
        """Whether a prediction is used again where nothing was revealed since."""
        return self.sampler == "ancestral_cached"

    def check_head(self, *, prompt_dropout: float, time_conditioning: bool) -> None:
        """Raises ConfigError where a head trained in this way cannot serve."""
        if self.guidance > 0 and prompt_dropout == 0:
            raise ConfigError(f"guidance={self.guidance} needs a head trained with prompt dropout; this one has none")
        if self.cached and time_conditioning:
            raise ConfigError(f"sampler={self.sampler!r} needs a head without time conditioning; this one has it")
