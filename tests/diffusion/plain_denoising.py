"""The denoising loop in plain Python: one row after another, one position after another, in float64."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np

from jaxdiff.diffusion.guidance import PLAUSIBLE
from tests.diffusion.plain_automata import plain_best

B, N, V, MASK, NULL = 3, 7, 11, 10, 9
TABLE = jnp.asarray(np.random.default_rng(0).normal(size=(V, V)), jnp.float32)
PLACE = jnp.asarray(np.random.default_rng(1).normal(size=(N, V)), jnp.float32)


def predict(tokens, t):
    """Logits that depend on the whole row, on the position and on the time; <MASK> is the favourite."""
    row = TABLE[tokens].sum(axis=1)
    logits = PLACE[None] + jnp.sin(row)[:, None, :] * 2 + jnp.cos(5 * t)[:, None, None] * TABLE[None, :N]
    return logits.at[..., MASK].add(20.0)


def timeless(tokens, t):
    """As `predict`, at one time for all."""
    return predict(tokens, jnp.ones_like(t))


def unconditional(tokens, t):
    """Logits that depend on the position alone."""
    return jnp.broadcast_to(PLACE[None, ::-1], (*tokens.shape, V))


def canvas(seed=0, masked_share=0.7):
    rng = np.random.default_rng(seed)
    value_mask = rng.random((B, N)) < 0.8
    tokens = rng.integers(0, V - 1, (B, N))
    tokens[rng.random((B, N)) < masked_share] = MASK
    return jnp.asarray(tokens, jnp.int32), jnp.asarray(value_mask)


def alpha(schedule, t):
    """Chance that a token stands at time t, in closed form."""
    kept = {"LogLinear": 1 - t, "Cosine": math.cos(math.pi * t / 2)}[type(schedule).__name__]
    return schedule.eps + (1 - schedule.eps) * kept


def softmax(scores):
    chances = np.exp(scores - scores.max())
    return chances / chances.sum()


jitted = functools.cache(jax.jit)


@jax.jit
def gumbels(key):
    """[N, V], of each position by its own key."""
    return jnp.stack([jax.random.gumbel(jax.random.fold_in(key, i), (V,)) for i in range(N)])


@jax.jit
def uniforms(key):
    """[N], of each position by its own key."""
    return jnp.stack([jax.random.uniform(jax.random.fold_in(key, i)) for i in range(N)])


def blocks(seed=0):
    """Numbers of blocks that lie in any order."""
    return jnp.asarray(np.random.default_rng(seed + 7).integers(0, N, (B, N)), jnp.int32)


def plain_turns(numbers, steps):
    """(blocks, steps after which they are full) one after another, for the sorted numbers of a row's open blocks."""
    turns = min(len(numbers), steps)
    together = [[n for k, n in enumerate(numbers) if k * turns // len(numbers) == turn] for turn in range(turns)]
    return [(numbers, (turn + 1) * steps // turns) for turn, numbers in enumerate(together)]


def plain_loop(predict, tokens, value_mask, keys, config, bias, constrained=(), block=None):
    """(tokens, confidence, per step (revealed, tokens, confidence, whether it predicted)).

    constrained: (row, its positions, table) of each slot whose tokens must be accepted. block: number of the block of
    each position, where blocks are filled in order.
    """
    tokens, value_mask, bias = np.array(tokens), np.asarray(value_mask), np.asarray(bias)
    confidence = np.ones((B, N), np.float32)
    trace = []
    slots = [[i for i in range(N) if value_mask[b, i] and tokens[b, i] == MASK] for b in range(B)]
    turns = [
        [(set(slots[b]), config.steps)]
        if block is None
        else [
            ({i for i in slots[b] if int(block[b, i]) in numbers}, end)
            for numbers, end in plain_turns(sorted({int(block[b, i]) for i in slots[b]}), config.steps)
        ]
        for b in range(B)
    ]
    running = np.zeros((B, N), np.float32)
    credit = np.zeros((B, N, MASK))
    changed = True
    for b in range(B):
        confidence[b, slots[b]] = 0
    for step in range(config.steps):
        left = config.steps - step
        open_left = any(tokens[b, i] == MASK for b in range(B) for i in slots[b])
        predicted = open_left and (changed or not config.cached)
        if predicted:
            t = jnp.full((B,), left / config.steps, jnp.float32)
            logits = np.asarray(jitted(predict)(jnp.asarray(tokens), t), np.float64)
            blind = np.asarray(jitted(unconditional)(jnp.asarray(tokens), t), np.float64)
        credit *= config.credit_decay
        revealed = np.zeros((B, N), bool)
        for b in range(B):
            masked = [i for i in slots[b] if tokens[b, i] == MASK]
            standing = [i for i in slots[b] if tokens[b, i] != MASK]
            if not masked:
                continue
            token_key, place_key = jax.random.split(keys[b]) if config.ancestral else (keys[b], None)
            noise_key = token_key if config.ancestral else jax.random.fold_in(token_key, step)
            noise = np.asarray(gumbels(noise_key)) if config.temperature > 0 else None
            proposal, probability, everything = {}, {}, {}
            for i in range(N):
                scores = logits[b, i, :MASK]
                if config.guidance:
                    given, not_given = (np.log(softmax(x[b, i, :MASK])) for x in (logits, blind))
                    scores = (1 + config.guidance) * given - config.guidance * not_given
                    scores = np.where(np.exp(given) >= PLAUSIBLE * np.exp(given).max(), scores, given - 1e4)
                scores = scores + bias[b, i, :MASK]
                if config.credit:
                    if i in masked:
                        best = scores.argmax()
                        credit[b, i, best] += softmax(scores)[best] ** config.credit_power
                    scores = scores + config.credit * np.log(1 + credit[b, i])
                chances = softmax(scores)
                if config.temperature > 0:
                    scores = scores / config.temperature + noise[i, :MASK]
                proposal[i] = int(np.argmax(scores))
                everything[i] = scores, chances
            for row, places, table in constrained:
                if row == b:
                    stands = [None if i in masked else int(tokens[b, i]) for i in places]
                    found, _ = plain_best(table, [everything[i][0] for i in places], stands, NULL)
                    if found is not None:
                        proposal.update(zip(places, found, strict=True))
            for i in masked:
                probability[i] = everything[i][1][proposal[i]]
                running[b, i] = max(running[b, i], probability[i])
            here, end = next(turn for turn in turns[b] if any(i in turn[0] for i in masked))
            masked, standing = ([i for i in places if i in here] for places in (masked, standing))
            left_here = end - step
            content = [i for i in masked if proposal[i] != NULL]
            candidates = content if content and config.padding == "last" else masked
            by_confidence = sorted(candidates, key=lambda i: (-probability[i], i))
            if left_here == 1:
                chosen = masked
            elif config.ancestral:
                before, after = (alpha(config.schedule, n / config.steps) for n in (left, left - 1))
                draws, chance = (
                    np.asarray(uniforms(jax.random.fold_in(place_key, step))),
                    (after - before) / (1 - before),
                )
                chosen = [i for i in masked if draws[i] < chance]
            elif config.reveal == "threshold":
                chosen = [i for i in candidates if probability[i] >= config.threshold] or by_confidence[:1]
            else:
                chosen = by_confidence[: config.top_k or math.ceil(len(candidates) / left_here)]
            for i in chosen:
                tokens[b, i], confidence[b, i], revealed[b, i] = proposal[i], probability[i], True
            if left_here > 1:
                for i in sorted(standing, key=lambda i: (running[b, i], i))[: config.remask]:
                    tokens[b, i], confidence[b, i] = MASK, 0
        changed = revealed.any()
        trace.append((revealed, tokens.copy(), confidence.copy(), predicted))
    return tokens, confidence, trace


def assert_equals_plain_loop(result, plain):
    tokens, confidence, trace = plain
    np.testing.assert_array_equal(result.tokens, tokens)
    np.testing.assert_allclose(result.confidence, confidence, atol=1e-5)
    for step, (revealed, stood, certain, predicted) in enumerate(trace):
        np.testing.assert_array_equal(result.trace.revealed[step], revealed)
        np.testing.assert_array_equal(result.trace.tokens[step], stood)
        np.testing.assert_allclose(result.trace.confidence[step], certain, atol=1e-5)
        assert bool(result.trace.predicted[step]) == predicted
