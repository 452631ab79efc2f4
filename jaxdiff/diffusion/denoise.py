"""The denoising loop: a masked canvas is filled in a fixed number of steps.

Structure is given, values are revealed step by step (S3, self-adaptive schema scaffolding): the most confident
positions first, or at random as the noise schedule has it. A step predicts all masked positions (guided where so
configured), proposes a token for each (helped by credit where so configured), and reveals some.
Shapes: B rows, N canvas positions, V canvas vocabulary, S steps.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
from flax import struct
from jax import Array, lax

from jaxdiff.diffusion.ancestral import reveal_chance, select_at_random
from jaxdiff.diffusion.automata import Constraint, accepts, constrained
from jaxdiff.diffusion.block_order import BlockOrder
from jaxdiff.diffusion.credit import Credit, earn, fuse
from jaxdiff.diffusion.denoise_config import DenoiseConfig
from jaxdiff.diffusion.guidance import PredictLogits, guided
from jaxdiff.diffusion.unmask import (
    allowed_logits,
    probability_of,
    sampling_scores,
    select_above,
    select_least_confident,
    select_most_confident,
)
from jaxdiff.errors import ConfigError

__all__ = ["DenoiseConfig", "DenoiseResult", "Trace", "denoise", "row_keys"]


@struct.dataclass
class Trace:
    """What each step did. In a step without effect nothing is revealed and the rest repeats.

    revealed: [S, B, N] bool, positions revealed in the step.
    tokens: [S, B, N] int32, the canvas after the step.
    confidence: [S, B, N] float32, as in `DenoiseResult`, after the step.
    predicted: [S] bool, whether the step asked for a prediction.
    """

    revealed: Array
    tokens: Array
    confidence: Array
    predicted: Array


@struct.dataclass
class DenoiseResult:
    """A filled canvas.

    tokens: [B, N] int32.
    confidence: [B, N] float32, probability with which the standing token was revealed, guidance and credit included; 1
        for given tokens, 0 for masks.
    trace: what each step did.
    accepted: [K] bool, whether each slot of the constraint holds what it may: always, unless tokens that were given
        forbid it. None without a constraint.
    """

    tokens: Array
    confidence: Array
    trace: Trace
    accepted: Array | None = None


@struct.dataclass
class _Proposal:
    """A token for each position [B, N] int32, its probability [B, N] float32, and the credit so far, or None."""

    tokens: Array
    probability: Array
    credit: Credit | None


@struct.dataclass
class _Carry:
    """State of the loop.

    tokens: [B, N] int32.
    confidence: [B, N] float32.
    running: [B, N] float32, highest confidence of any prediction at the position so far.
    proposal: the newest one.
    changed: [] bool, whether any row's tokens have changed since.
    trace: filled up to the current step.
    """

    tokens: Array
    confidence: Array
    running: Array
    proposal: _Proposal
    changed: Array
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
    predict_logits: PredictLogits,
    tokens: Array,
    value_mask: Array,
    key: Array,
    *,
    mask_id: int,
    null_id: int | None = None,
    config: DenoiseConfig,
    bias: Array | None = None,
    unconditional: PredictLogits | None = None,
    constraint: Constraint | None = None,
    block: Array | None = None,
) -> DenoiseResult:
    """Fill every value position that holds <MASK>, in `config.steps` steps of one `lax.fori_loop`.

    Once no row has a mask left, the remaining steps skip the prediction. Other positions never change. Rows are
    independent: none sees another's tokens or randomness.

    predict_logits: (tokens [B, N] int32, t [B] float32) -> logits [B, N, V]; t is the fraction of steps left, 1 at the
        first step. Called inside the loop, so it must be traceable. The cached sampler takes it to ignore t.
    tokens: [B, N] int32. value_mask: [B, N] bool. key: one random key, or one a row ([B]); unused by the `confidence`
        sampler at temperature 0.
    null_id: identifier of <NULL>, which `config.padding` speaks of; None where no token is padding.
    bias: [B, N, V] added to the logits in every step, or None; -inf forbids a token.
    unconditional: as `predict_logits`, without what guidance is to lead towards; never called where guidance is 0.
    constraint: slots whose tokens must be accepted by an automaton. What a step proposes for all of a slot's masks is
        the most probable accepted string given what is revealed, so that whatever is revealed of it, a string is left.
        At a temperature above 0 the most probable one after Gumbel noise (perturb-and-MAP, Papandreou & Yuille, ICCV
        2011), which is no exact sample of the strings.
    block: [B, N] int32, number of the block of each value position in the order of its row, in [0, N) (see
        `block_numbers`); what `config.blocks` goes by.
    Raises ConfigError for guidance without `unconditional`, for blocks in order without `block`, and for a number of
        keys that is not that of the rows.
    """
    rows = tokens.shape[0]
    tokens = tokens.astype(jnp.int32)
    slots = value_mask & (tokens == mask_id)
    predict = guided(predict_logits, unconditional, config.guidance, mask_id)
    keys = row_keys(key, rows)
    order = None
    if config.blocks == "in_order":
        if block is None:
            raise ConfigError(f"{config.blocks=} needs the block of each position")
        order = BlockOrder.of(block, slots, config.steps)
    token_keys, place_keys = jax.vmap(jax.random.split, out_axes=1)(keys) if config.ancestral else (keys, keys)

    def time_left(step: Array) -> Array:
        return (config.steps - step).astype(jnp.float32) / config.steps

    def propose(step: Array, carry: _Carry) -> _Proposal:
        logits = predict(carry.tokens, jnp.full((rows,), time_left(step)))
        logits = allowed_logits(logits, mask_id=mask_id, bias=bias)
        credit = carry.proposal.credit
        if credit is not None:
            masked = slots & (carry.tokens == mask_id)
            credit = earn(credit, step, logits, masked, decay=config.credit_decay, power=config.credit_power)
            logits = fuse(credit, logits, config.credit)
        step_keys = token_keys
        if config.temperature > 0 and not config.ancestral:
            # The ancestral samplers reveal a position once and for all, which takes one draw whenever it comes; only so
            # can a proposal be kept in place of logits.
            step_keys = jax.vmap(jax.random.fold_in, (0, None))(token_keys, step)
        scores = sampling_scores(logits, temperature=config.temperature, keys=step_keys)
        proposed = jnp.argmax(scores, axis=-1).astype(jnp.int32)
        if constraint is None:
            return _Proposal(proposed, probability_of(logits, proposed), credit)
        given = jnp.where(slots & (carry.tokens == mask_id), -1, carry.tokens)
        proposed = constrained(constraint, scores, given, proposed)
        # Where logits are infinite or not numbers, the string still has to be revealed some time.
        return _Proposal(proposed, jnp.nan_to_num(probability_of(logits, proposed)), credit)

    def select(step: Array, probability: Array, masked: Array, steps_left: Array) -> Array:
        if config.ancestral:
            chance = reveal_chance(config.schedule, time_left(step), time_left(step + 1))
            return select_at_random(jax.vmap(jax.random.fold_in, (0, None))(place_keys, step), masked, chance)
        if config.reveal == "threshold":
            return select_above(probability, masked, config.threshold)
        remaining = masked.sum(axis=1)
        adaptive = -(-remaining // steps_left)
        count = adaptive if config.top_k is None else jnp.full_like(remaining, config.top_k)
        return select_most_confident(probability, masked, count)

    def advance(step: Array, carry: _Carry) -> tuple[_Carry, Array, Array]:
        masked = slots & (carry.tokens == mask_id)
        here, steps_left = (slots, jnp.full((rows,), config.steps - step)) if order is None else order.at(step, masked)
        last = steps_left == 1
        if config.cached:
            predicted = carry.changed
            proposal = lax.cond(predicted, propose, lambda _, carry: carry.proposal, step, carry)
        else:
            predicted, proposal = jnp.array(True), propose(step, carry)
        probability = proposal.probability
        asked = masked & here
        candidates = asked
        if config.padding == "last" and null_id is not None and not config.ancestral:
            content = asked & (proposal.tokens != null_id)
            candidates = jnp.where(content.any(axis=1, keepdims=True), content, asked)
        revealed = jnp.where(last[:, None], asked, select(step, probability, candidates, steps_left))

        running = jnp.where(masked, jnp.maximum(carry.running, probability), carry.running)
        new_tokens = jnp.where(revealed, proposal.tokens, carry.tokens)
        confidence = jnp.where(revealed, probability, carry.confidence)
        if config.remask > 0:
            active = masked.any(axis=1) & ~last
            again = select_least_confident(running, slots & here & ~masked, jnp.where(active, config.remask, 0))
            new_tokens = jnp.where(again, mask_id, new_tokens)
            confidence = jnp.where(again, 0.0, confidence)
        carry = dataclasses.replace(
            carry, tokens=new_tokens, confidence=confidence, running=running, proposal=proposal, changed=revealed.any()
        )
        return carry, revealed, predicted

    def rest(step: Array, carry: _Carry) -> tuple[_Carry, Array, Array]:
        return carry, jnp.zeros_like(slots), jnp.array(False)

    def body(step: Array, carry: _Carry) -> _Carry:
        open_left = (slots & (carry.tokens == mask_id)).any()
        carry, revealed, predicted = lax.cond(open_left, advance, rest, step, carry)
        trace = Trace(
            revealed=carry.trace.revealed.at[step].set(revealed),
            tokens=carry.trace.tokens.at[step].set(carry.tokens),
            confidence=carry.trace.confidence.at[step].set(carry.confidence),
            predicted=carry.trace.predicted.at[step].set(predicted),
        )
        return dataclasses.replace(carry, trace=trace)

    shape, nothing = (config.steps, *tokens.shape), jnp.zeros(tokens.shape, jnp.float32)
    credit = Credit.none(shape) if config.credit > 0 else None
    start = _Carry(
        tokens=tokens,
        confidence=jnp.where(slots, 0.0, 1.0),
        running=nothing,
        proposal=_Proposal(tokens, nothing, credit),
        changed=jnp.array(True),
        trace=Trace(
            revealed=jnp.zeros(shape, bool),
            tokens=jnp.zeros(shape, jnp.int32),
            confidence=jnp.zeros(shape, jnp.float32),
            predicted=jnp.zeros(config.steps, bool),
        ),
    )
    end = lax.fori_loop(0, config.steps, body, start)
    accepted = None if constraint is None else accepts(constraint, end.tokens)
    return DenoiseResult(tokens=end.tokens, confidence=end.confidence, trace=end.trace, accepted=accepted)
