"""The denoising loop: a masked canvas is filled in a fixed number of steps, the most confident positions first.

The order is that of S3 (self-adaptive schema scaffolding): structure is given, values are revealed step by step.
Shapes: B rows, N canvas positions, V canvas vocabulary, S steps.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from flax import struct
from jax import Array, lax

from jaxdiff.diffusion.unmask import propose_tokens, select_above, select_least_confident, select_most_confident
from jaxdiff.errors import ConfigError

REVEAL_RULES = ("top_k", "threshold")


@dataclass(frozen=True)
class DenoiseConfig:
    """How a canvas is filled.

    steps: number of steps; the last reveals whatever is left.
    reveal: `top_k`, the most confident positions of a row; `threshold`, all of at least that confidence, at least one.
    top_k: positions a step; None: what is left, divided by the steps left, rounded up.
    threshold: confidence that `threshold` asks for.
    temperature: 0 takes the most probable token, above it is sampled.
    remask: how many tokens revealed in earlier steps a step masks again, those of lowest running confidence (the
        highest confidence that predictions at the position ever had; after He et al., arXiv 2508.13148). The last step
        masks none, and a row that is filled at the start of a step is left alone.
    Raises ConfigError, naming the value.
    """

    steps: int = 4
    reveal: str = "top_k"
    top_k: int | None = None
    threshold: float = 0.9
    temperature: float = 0.0
    remask: int = 0

    def __post_init__(self) -> None:
        def check(condition: bool, message: str) -> None:
            if not condition:
                raise ConfigError(message)

        check(self.steps >= 1, f"{self.steps=} must be >= 1")
        check(self.reveal in REVEAL_RULES, f"{self.reveal=} is unknown; known: {', '.join(REVEAL_RULES)}")
        check(self.top_k is None or self.top_k >= 1, f"{self.top_k=} must be >= 1")
        check(self.top_k is None or self.reveal == "top_k", f"{self.top_k=} has no meaning with {self.reveal=}")
        check(0 <= self.threshold <= 1, f"{self.threshold=} must lie in [0, 1]")
        check(0 <= self.temperature < math.inf, f"{self.temperature=} must be >= 0 and finite")
        check(self.remask >= 0, f"{self.remask=} must be >= 0")


@struct.dataclass
class Trace:
    """What each step did. In a step without effect nothing is revealed and the rest repeats.

    revealed: [S, B, N] bool, positions revealed in the step.
    tokens: [S, B, N] int32, the canvas after the step.
    confidence: [S, B, N] float32, as in `DenoiseResult`, after the step.
    """

    revealed: Array
    tokens: Array
    confidence: Array


@struct.dataclass
class DenoiseResult:
    """A filled canvas.

    tokens: [B, N] int32.
    confidence: [B, N] float32, probability with which the standing token was revealed; 1 for given tokens, 0 for masks.
    trace: what each step did.
    """

    tokens: Array
    confidence: Array
    trace: Trace


@struct.dataclass
class _Carry:
    """State of the loop.

    tokens: [B, N] int32.
    confidence: [B, N] float32.
    running: [B, N] float32, highest confidence of any prediction at the position so far.
    trace: filled up to the current step.
    """

    tokens: Array
    confidence: Array
    running: Array
    trace: Trace


def row_keys(key: Array, rows: int) -> Array:
    """One random key a row: [rows]. `key` is one key, or already one a row."""
    if not jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
        key = jax.random.wrap_key_data(key)
    if key.ndim == 0:
        return jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(rows))
    if key.shape != (rows,):
        raise ConfigError(f"{key.shape=} must be () or ({rows},)")
    return key


def denoise(
    predict_logits: Callable[[Array, Array], Array],
    tokens: Array,
    value_mask: Array,
    key: Array,
    *,
    mask_id: int,
    config: DenoiseConfig,
    bias: Array | None = None,
) -> DenoiseResult:
    """Fill every value position that holds <MASK>, in `config.steps` steps of one `lax.fori_loop`.

    Each step predicts all masked positions and reveals some. Once no row has a mask left, the remaining steps skip the
    prediction. Other positions never change. Rows are independent: none sees another's tokens or randomness.

    predict_logits: (tokens [B, N] int32, t [B] float32) -> logits [B, N, V]; t is the fraction of steps left, 1 at the
        first step. Called inside the loop, so it must be traceable.
    tokens: [B, N] int32. value_mask: [B, N] bool. key: one random key, or one a row ([B]); unused at temperature 0.
    bias: [B, N, V] added to the logits in every step, or None; -inf forbids a token.
    """
    rows = tokens.shape[0]
    tokens = tokens.astype(jnp.int32)
    slots = value_mask & (tokens == mask_id)
    keys = row_keys(key, rows)

    def advance(step: Array, carry: _Carry) -> tuple[_Carry, Array]:
        steps_left = config.steps - step
        last = steps_left == 1
        masked = slots & (carry.tokens == mask_id)
        t = jnp.full((rows,), jnp.float32(steps_left) / config.steps)
        step_keys = jax.vmap(jax.random.fold_in, (0, None))(keys, step) if config.temperature > 0 else None
        proposed, probability = propose_tokens(
            predict_logits(carry.tokens, t), mask_id=mask_id, bias=bias, temperature=config.temperature, keys=step_keys
        )
        if config.reveal == "threshold":
            revealed = select_above(probability, masked, config.threshold)
        else:
            remaining = masked.sum(axis=1)
            adaptive = -(-remaining // steps_left)
            count = adaptive if config.top_k is None else jnp.full_like(remaining, config.top_k)
            revealed = select_most_confident(probability, masked, count)
        revealed = jnp.where(last, masked, revealed)

        running = jnp.where(masked, jnp.maximum(carry.running, probability), carry.running)
        new_tokens = jnp.where(revealed, proposed, carry.tokens)
        confidence = jnp.where(revealed, probability, carry.confidence)
        if config.remask > 0:
            active = masked.any(axis=1) & ~last
            again = select_least_confident(running, slots & ~masked, jnp.where(active, config.remask, 0))
            new_tokens = jnp.where(again, mask_id, new_tokens)
            confidence = jnp.where(again, 0.0, confidence)
        return dataclasses.replace(carry, tokens=new_tokens, confidence=confidence, running=running), revealed

    def rest(step: Array, carry: _Carry) -> tuple[_Carry, Array]:
        return carry, jnp.zeros_like(slots)

    def body(step: Array, carry: _Carry) -> _Carry:
        open_left = (slots & (carry.tokens == mask_id)).any()
        carry, revealed = lax.cond(open_left, advance, rest, step, carry)
        trace = Trace(
            revealed=carry.trace.revealed.at[step].set(revealed),
            tokens=carry.trace.tokens.at[step].set(carry.tokens),
            confidence=carry.trace.confidence.at[step].set(carry.confidence),
        )
        return dataclasses.replace(carry, trace=trace)

    shape = (config.steps, *tokens.shape)
    start = _Carry(
        tokens=tokens,
        confidence=jnp.where(slots, 0.0, 1.0),
        running=jnp.zeros(tokens.shape, jnp.float32),
        trace=Trace(jnp.zeros(shape, bool), jnp.zeros(shape, jnp.int32), jnp.zeros(shape, jnp.float32)),
    )
    end = lax.fori_loop(0, config.steps, body, start)
    return DenoiseResult(tokens=end.tokens, confidence=end.confidence, trace=end.trace)
