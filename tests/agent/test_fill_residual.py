"""Filling by the residual head, against the same rules in plain Python over unpadded, unbatched passes."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff.agent import canvas_reading, fill_residual
from jaxdiff.agent.agent import Agent, Options
from jaxdiff.agent.asked import Asked
from jaxdiff.agent.canvas_reading import canvas_of, canvas_template, read_query_canvas
from jaxdiff.agent.fill_residual import ResidualHead
from jaxdiff.agent.heads import find_head
from jaxdiff.agent.prefix import PrefixReader
from jaxdiff.agent.prompting import example_ids, query_prompt, tool_prompt
from jaxdiff.base import masks
from jaxdiff.diffusion import residual
from jaxdiff.diffusion.denoise import DenoiseConfig
from jaxdiff.diffusion.features import Features
from jaxdiff.diffusion.head_files import save_head
from jaxdiff.diffusion.residual_config import ResidualConfig
from jaxdiff.errors import HeadMismatch, InputError
from jaxdiff.schema.values import write_value
from tests.agent.frozen_fills import tiny_base, tool_of

QUERY = "Paint 12 doors red wine please, note x"
PROPERTIES = {
    "title": {"type": "string", "maxLength": 1},
    "colour": {"type": "string", "enum": ["red", "red wine", "blue", "bl"]},
    "note": {"type": "string", "maxLength": 2},
    "gift": {"type": "boolean"},
    "level": {"type": "integer", "enum": [1, 12, 3]},
}
TOOL = tool_of(PROPERTIES, ("title", "colour"))
STEPS = DenoiseConfig(steps=3)


@pytest.fixture(scope="module")
def base():
    return tiny_base(0)


def random_head(base, seed: int) -> ResidualHead:
    config = ResidualConfig.for_base(base.config, hidden_size=16, num_heads=2, block="bidirectional")
    params = residual.init(jax.random.key(seed), config)
    # Odds that are neither even nor certain, with <NULL> among the likelier tokens.
    params["output"]["kernel"] *= 0.5
    params["extra_rows"]["table"] *= 100.0
    return ResidualHead(base, config, params)


@partial(jax.jit, static_argnums=0)
def plain_states(module, params, ids):
    valid = jnp.ones(ids.shape, bool)
    return module.apply({"params": params}, ids, masks.positions(valid), masks.causal(valid)).hidden


@partial(jax.jit, static_argnums=0)
def plain_logits(config, params, features, tokens, t):
    return residual.predict(params, config, features, tokens, t).logits


@pytest.fixture(scope="module")
def known(base):
    return PrefixReader(base).tool(TOOL)


class PlainFill:
    """One query, without prefix, buckets or a device loop."""

    def __init__(self, head: ResidualHead, tool, query: str):
        self.head, self.base, self.tool = head, head.base, tool
        base = self.base
        asked = query_prompt(base, query)
        self.template = canvas_template(base, tool)
        canvas = [token if token < base.config.vocab_size else 0 for token in self.template.tokens]
        ids = np.array([example_ids(base) + tool_prompt(base, tool).ids + asked.ids + asked.ending + canvas], np.int32)
        self.states = plain_states(base.module, base.params, ids)[:, -len(canvas) :]
        self.canvas = canvas_of(self.template, len(canvas))

    def logits(self, tokens: list[int], t: float) -> np.ndarray:
        features = Features(canvas=self.canvas, canvas_states=self.states, embedding=self.base.embedding)
        given, head = np.array([tokens], np.int32), self.head
        logits = plain_logits(head.config, head.params, features, given, np.full(1, t, np.float32))
        logits = np.array(logits[0], np.float64)
        logits[:, head.config.mask_id] = -np.inf
        return logits - logits.max(-1, keepdims=True)

    def fill(self, steps: int, present=None) -> dict[str, tuple[object, float]]:
        config, tokens = self.head.config, list(self.template.tokens)
        found, slots, first = {}, {}, set()
        for field, segment in zip(self.tool.fields, self.template.segments, strict=True):
            slots[field.name] = list(segment.value_positions)
            if present is not None and field.name not in present:
                for position in segment.value_positions:
                    tokens[position] = config.null_id
            elif not field.candidates and (field.required or present is not None):
                first.add(segment.value_positions[0])

        def predict(t):
            logits = self.logits(tokens, t)
            for position in first:
                logits[position, config.null_id] = -np.inf
            return logits - np.log(np.exp(logits).sum(-1, keepdims=True))

        start = predict(1.0)
        for field in self.tool.fields:
            if not field.candidates or (present is not None and field.name not in present):
                continue
            slot = slots[field.name]
            values = [self.base.encode(write_value(value)) for value in field.candidates]
            values += [] if field.required or present is not None else [[]]
            values = [value + [config.null_id] * (len(slot) - len(value)) for value in values]
            scores = np.exp([sum(start[p, t] for p, t in zip(slot, value, strict=True)) for value in values])
            best = int(np.argmax(scores))
            for position, token in zip(slot, values[best], strict=True):
                tokens[position] = token
            if best < len(field.candidates):
                found[field.name] = (field.candidates[best], scores[best] / scores.sum())
        certainty = {}
        for step in range(steps):
            left = [i for i, token in enumerate(tokens) if token == config.mask_id]
            logprob = predict((steps - step) / steps)
            if steps - step > 1:
                # What is not padding first.
                left = [i for i in left if logprob[i].argmax() != config.null_id] or left
            left.sort(key=lambda i: -logprob[i].max())
            for i in left[: -(-len(left) // (steps - step))]:
                tokens[i], certainty[i] = int(logprob[i].argmax()), float(np.exp(logprob[i].max()))
        for field in self.tool.fields:
            slot = slots[field.name]
            if field.candidates or (present is not None and field.name not in present):
                continue
            value = [tokens[i] for i in slot]
            length = value.index(config.null_id) if config.null_id in value else len(value)
            confidence = np.prod([certainty[i] for i in slot[: length + 1]])
            if length:
                found[field.name] = (self.base.decode(value[:length]), confidence)
        return {field.name: found[field.name] for field in self.tool.fields if field.name in found}


def assert_same(filling, want):
    assert {name: field.value for name, field in filling.fields.items()} == {n: value for n, (value, _) in want.items()}
    for name, (_, confidence) in want.items():
        np.testing.assert_allclose(filling.fields[name].confidence, confidence, rtol=5e-3, err_msg=name)


@pytest.mark.parametrize("seed, present", [(0, None), (1, None), (2, None), (0, {"note", "gift"}), (1, {"level"})])
def test_equals_plain_rules_over_the_whole_unpadded_text(base, known, seed, present):
    head = random_head(base, seed)
    (filling,) = head.fill(head.read([Asked(TOOL, known, QUERY)]), STEPS, present=[present])
    assert_same(filling, PlainFill(head, TOOL, QUERY).fill(STEPS.steps, present))
    if present is not None:
        assert set(filling.fields) == present and filling.absence == 1.0
    for name, field in filling.fields.items():
        assert field.by == ("candidate" if "enum" in PROPERTIES[name] or name == "gift" else "compose")


def test_padding_changes_nothing(base, known, monkeypatch):
    head = random_head(base, 0)
    call = Asked(TOOL, known, QUERY)
    small, (plain,) = read_query_canvas(base, call), head.fill(head.read([call]), STEPS)
    monkeypatch.setattr(canvas_reading, "TOKENS", (256,))
    large = read_query_canvas(base, call)
    length = len(small.template.tokens)
    assert small.states.shape[1] < large.states.shape[1] == 256
    np.testing.assert_allclose(small.states[:, :length], large.states[:, :length], atol=2e-5)
    (padded,) = head.fill([large], STEPS)
    assert_same(padded, {name: (field.value, field.confidence) for name, field in plain.fields.items()})
    np.testing.assert_allclose(padded.absence, plain.absence, rtol=5e-3)


def test_the_trace_shows_the_value_positions_of_every_step(base, known):
    head = random_head(base, 0)
    (filling,) = head.fill(head.read([Asked(TOOL, known, QUERY)]), STEPS)
    trace = filling.trace
    slots = {segment.name: len(segment.value_positions) for segment in canvas_template(base, TOOL).segments}
    assert {name: trace.fields.count(name) for name in slots} == slots
    shape = (STEPS.steps, sum(slots.values()))
    assert trace.revealed.shape == trace.confidence.shape == shape
    assert [len(step) for step in trace.texts] == [shape[1]] * shape[0]
    composed = [field.name for field in TOOL.fields if not field.candidates]
    assert trace.revealed.sum(0).tolist() == [int(name in composed) for name in trace.fields]
    assert "·" in trace.texts[0] and "·" not in trace.texts[-1]


def test_programs_are_traced_once(base, known):
    programs = (canvas_reading.read_block, fill_residual._denoise)
    head = random_head(base, 3)
    head.fill(head.read([Asked(TOOL, known, QUERY)]), STEPS)
    traced = [program._cache_size() for program in programs]
    for query in ("Paint 70 doors blue please, and no note", "Paint it red wine, 7 times"):
        head.fill(head.read([Asked(TOOL, known, query)]), STEPS)
    assert [program._cache_size() for program in programs] == traced


def test_a_tool_without_fields_and_a_query_that_is_too_long(base, known):
    head = random_head(base, 0)
    empty = tool_of({}, ())
    (filling,) = head.fill(head.read([Asked(empty, PrefixReader(base).tool(empty), QUERY)]), STEPS)
    assert filling.fields == {}
    with pytest.raises(InputError, match="tokens of the query"):
        head.read([Asked(TOOL, known, "long " * 3000)])


def test_the_agent_answers_by_a_residual_head_from_disk(base, known, tmp_path):
    head = random_head(base, 1)
    card = {"base_name": base.name, "base_fingerprint": base.fingerprint, "data": [], "validation": {}}
    save_head(tmp_path, "residual", head.config.to_dict(), jax.tree.map(np.asarray, head.params), card)
    tool = tool_of({name: PROPERTIES[name] for name in ("colour", "gift", "level")}, ("colour",))
    loaded = find_head(base, tmp_path)
    answer = Agent(base, loaded, [tool], Options("diffusion", steps=2))(QUERY)
    want = PlainFill(head, tool, QUERY).fill(2)
    assert answer.calls[0].arguments == {name: value for name, (value, _) in want.items()}
    with pytest.raises(HeadMismatch, match="fingerprint"):
        find_head(dataclasses.replace(base, fingerprint="other"), tmp_path)


def test_a_head_that_reads_the_prompt_is_given_the_query_alone(base, known):
    """Such as a converted head of the PyTorch implementation may be."""
    config = ResidualConfig.for_base(
        base.config, hidden_size=16, num_heads=2, vocabulary="own", prompt_attention=True, field_positions=3
    )
    head = ResidualHead(base, config, residual.init(jax.random.key(0), config))
    (reading,) = head.read([Asked(TOOL, known, QUERY)])
    asked = query_prompt(base, QUERY)
    text = example_ids(base) + tool_prompt(base, TOOL).ids
    ids = np.array([text + asked.ids + asked.ending], np.int32)
    states = plain_states(base.module, base.params, ids)[:, len(text) :]
    tokens = reading.prompt_mask[0]
    np.testing.assert_allclose(reading.prompt_states[0][tokens], states[0], atol=2e-4)
    (filling,) = head.fill([reading], STEPS, present=[("title", "note")])
    assert filling.fields.keys() == {"title", "note"}
