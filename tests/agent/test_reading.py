"""What is read at the keys in one block after cached prefixes, against one uncached text for each field."""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff.agent.asked import Asked
from jaxdiff.agent.evidence import FLOOR, TELLING_WORDS, key_taps, opening_taps, read_block, telling_ids, token_taps
from jaxdiff.agent.key_block import CANDIDATE_TOKENS, Sizes, build_block
from jaxdiff.agent.prefix import PrefixReader
from jaxdiff.agent.prompting import candidate_text, example_ids, key_ids, query_prompt, tool_prompt
from jaxdiff.agent.query_features import Words, facts_of, join
from jaxdiff.agent.reading import reader_config
from jaxdiff.base import masks
from jaxdiff.errors import InputError
from tests.agent.frozen_fills import tiny_base, tool_of
from tests.agent.tiny import few_buckets, read_alone

QUERIES = (
    "Paint 12 doors red wine please, note x",
    "<|im_start|>Paint<|im_end|> it, 3 times",
    "Zwölf Türen, 日本 🍷 e\u0301 blue",
)
TOOL = tool_of()
LENGTH = 640
LOOKS = ("key_attention", "name_attention", "definition_attention")
PER_FIELD = (
    *LOOKS,
    "token_logprob",
    "key_states",
    "key_logprob",
    "field_kind",
    "candidate_attention",
    "candidate_facts",
)


@pytest.fixture(scope="module", autouse=True)
def buckets():
    with few_buckets():
        yield


@pytest.fixture(scope="module")
def base():
    """Attention that is neither even nor all on one token."""
    loud = tiny_base(0)
    return dataclasses.replace(loud, params=jax.tree.map(lambda x: x * 0.6, loud.params))


@pytest.fixture(scope="module")
def known(base):
    return PrefixReader(base).tool(TOOL)


@partial(jax.jit, static_argnums=0)
def read_plainly(module, params, ids, valid, last):
    """All states and all attention of one text, and what follows its token `last`."""
    taps = tuple(range(1, module.config.num_layers + 1))
    rows = jnp.concatenate([last[None], jnp.arange(ids.shape[1])])[None]
    output = module.apply({"params": params}, ids, masks.positions(valid), masks.causal(valid), taps=taps, rows=rows)
    logits = module.apply({"params": params}, output.hidden[:, last], method="unembed")
    return output, jax.nn.log_softmax(logits[0])


class PlainReading:
    """Example, tool, query and one key as one text, read without prefix, streams or buckets."""

    def __init__(self, base, query, field):
        before = example_ids(base)
        prompt = tool_prompt(base, TOOL)
        asked = query_prompt(base, query)
        ids = before + prompt.ids + asked.restated + key_ids(base, field)
        block = np.zeros((1, LENGTH), np.int32)
        block[0, : len(ids)] = ids
        valid = np.arange(LENGTH)[None] < len(ids)
        output, logprob = jax.device_get(read_plainly(base.module, base.params, block, valid, np.int32(len(ids) - 1)))
        start = len(before) + len(prompt.ids)
        first, copy = start + np.arange(len(asked.ids)), start + asked.copy + np.arange(len(asked.ids))
        attention = np.maximum(output.key_attention[0, 0], FLOOR)
        probability = np.exp(output.key_attention[0, 1:].astype(np.float64))
        key = len(key_ids(base, field))
        named = range(len(ids) - key, max(len(ids) - 1, len(ids) - key + 1))
        name = np.log(np.maximum(probability[list(named)].mean(0), np.exp(FLOOR)))
        first_of, last_of = prompt.definitions[field.name]
        line = slice(len(before) + first_of, len(before) + last_of + 1)
        assert base.decode(prompt.ids[first_of : last_of + 1]).strip().startswith(field.name)
        logprob = np.maximum(logprob, FLOOR)
        self.parts = {
            "key_attention": np.log(np.exp(attention[:, first]) + np.exp(attention[:, copy])).T,
            "name_attention": np.logaddexp(name[:, first], name[:, copy]).T,
            "definition_attention": np.maximum(np.log(probability[copy][:, :, line].sum(-1)), FLOOR),
            "token_logprob": logprob[asked.ids],
            "token_states": np.concatenate([output.taps[0, copy, i - 1] for i in token_taps(base.config)], -1),
            "key_states": np.concatenate([output.key_states[i - 1, 0, 0] for i in key_taps(base.config)]),
            "key_logprob": logprob[[base.encode(word)[0] for word in TELLING_WORDS]],
        }
        to_candidates, first_token = [], []
        for value, (first, last) in zip(field.candidates, prompt.candidates.get(field.name, []), strict=True):
            slots = [len(before) + i for i in range(first, last + 1)][:CANDIDATE_TOKENS]
            to_candidates.append(np.concatenate([attention[:, slots].max(1), attention[:, slots[0]]]))
            first_token.append(logprob[base.encode(" " + candidate_text(value))[0]])
        if to_candidates:
            self.parts["candidate_attention"] = np.array(to_candidates)
            self.parts["candidate_logprob"] = np.array(first_token)


def parts_of(features, row, i, field):
    """One field's features, without padding, by the names of `PlainReading`."""
    words = int(features.token_mask[row].sum())
    parts = {
        **{name: getattr(features, name)[row, i, :words] for name in LOOKS},
        "token_logprob": features.token_logprob[row, i, :words],
        "token_states": features.token_states[row, :words],
        "key_states": features.key_states[row, i],
        "key_logprob": features.key_logprob[row, i],
    }
    if field.candidates:
        count = len(field.candidates)
        np.testing.assert_array_equal(features.candidate_mask[row, i], np.arange(8) < count)
        parts["candidate_attention"] = features.candidate_attention[row, i, :count]
        parts["candidate_logprob"] = features.candidate_facts[row, i, :count, 0]
    else:
        assert not features.candidate_mask[row, i].any()
    return jax.tree.map(np.asarray, parts)


@pytest.mark.parametrize("query", QUERIES)
def test_features_equal_those_of_one_uncached_text_a_field(base, known, query):
    features = read_alone(base, TOOL, known, query).features
    for i, field in enumerate(TOOL.fields):
        want = PlainReading(base, query, field).parts
        got = parts_of(features, 0, i, field)
        assert got.keys() == want.keys()
        for name, value in want.items():
            np.testing.assert_allclose(got[name], value, atol=2e-3, rtol=2e-3, err_msg=f"{field.name} {name}")
    # Something is told apart at all.
    for name in LOOKS:
        assert np.asarray(getattr(features, name)[0, : len(TOOL.fields)]).std() > 0.5


@pytest.mark.parametrize("query", QUERIES)
def test_the_opening_of_the_answer_equals_that_of_one_uncached_text(base, known, query):
    asked = query_prompt(base, query)
    ids = example_ids(base) + tool_prompt(base, TOOL).ids + asked.ids + asked.ending
    block, valid = np.zeros((1, LENGTH), np.int32), np.arange(LENGTH)[None] < len(ids)
    block[0, : len(ids)] = ids
    want, _ = read_plainly(base.module, base.params, block, valid, np.int32(len(ids) - 1))
    reading = read_alone(base, TOOL, known, query)
    layers = [number - 1 for number in opening_taps(base.config)]
    assert layers == [0, 1, 2, 3] and reading.opening.dtype == reading.opening_hidden.dtype == np.float32
    np.testing.assert_allclose(reading.opening, want.taps[0, len(ids) - 1, layers], atol=2e-3, rtol=2e-3)
    np.testing.assert_allclose(reading.opening_hidden, want.hidden[0, len(ids) - 1], atol=2e-3, rtol=2e-3)


def test_order_and_number_of_fields_do_not_matter(base, known):
    whole = read_alone(base, TOOL, known, QUERIES[0]).features
    chosen = (6, 0, 2)
    some = dataclasses.replace(TOOL, fields=tuple(TOOL.fields[i] for i in chosen))
    got = read_alone(base, some, known, QUERIES[0]).features
    words = int(whole.token_mask[0].sum())
    for name in PER_FIELD:
        want, some = np.asarray(getattr(whole, name))[0, list(chosen)], np.asarray(getattr(got, name))[0, :3]
        if name in (*LOOKS, "token_logprob"):
            want, some = want[:, :words], some[:, :words]
        np.testing.assert_allclose(some, want, atol=1e-3, rtol=1e-3, err_msg=name)
    np.testing.assert_array_equal(got.field_mask[0], np.arange(8) < 3)
    np.testing.assert_allclose(got.token_states[:, :words], whole.token_states[:, :words], atol=1e-3)


def test_rows_of_a_batch_equal_single_rows(base, known):
    prompts = [query_prompt(base, query) for query in QUERIES]
    asked = [Asked(TOOL, known, query) for query in QUERIES]
    block = build_block(base, asked, prompts, Sizes(rows=4, slots=192, query=192, fields=8, candidates=8))
    evidence = read_block(base.module, base.params, known.prefix.cache, known.prefix.valid, block, telling_ids(base))
    words = [
        Words(TOOL, query, prompt.ids, tuple(prompt.offsets)) for query, prompt in zip(QUERIES, prompts, strict=True)
    ]
    batch = join(facts_of(words, rows=4, fields=8, tokens=192, candidates=8), evidence)
    assert not batch.token_mask[3].any() and not batch.field_mask[3].any() and not batch.candidate_mask[3].any()
    for row, query in enumerate(QUERIES):
        single = read_alone(base, TOOL, known, query).features
        for name, value in vars(single).items():
            got, want = np.asarray(getattr(batch, name))[row], np.asarray(value)[0]
            if want.dtype in (np.bool_, np.int32):
                np.testing.assert_array_equal(got, want, err_msg=name)
            elif name in (*LOOKS, "token_logprob", "token_states"):
                words = int(single.token_mask[0].sum())
                axis = 0 if name == "token_states" else 1
                got, want = np.take(got, range(words), axis), np.take(want, range(words), axis)
                np.testing.assert_allclose(got, want, atol=1e-3, rtol=1e-3, err_msg=name)
            else:
                np.testing.assert_allclose(got, want, atol=1e-3, rtol=1e-3, err_msg=name)


def test_surface_facts(base, known):
    query = "Paint 12 Blue walls!"
    reading = read_alone(base, TOOL, known, query)
    shape = reading.features.token_shape[0]
    for i, (start, end) in enumerate(reading.offsets):
        piece = query[start:end]
        word = piece.strip()
        want = [piece[0] == " ", word.isalpha(), word[:1].isupper(), any(map(str.isdigit, word)), word == "!",
                end == len(query)]  # fmt: skip
        assert shape[i, :6].tolist() == [float(fact) for fact in want], piece
    assert not shape[len(reading.offsets) :].any()


def test_facts_of_the_schema_and_of_listed_values(base):
    tool = tool_of(
        {
            "tier": {"enum": ["first-class", "second_class", "any"], "default": "any"},
            "count": {"type": "integer", "description": "Optional, 1 by default"},
            "who": {"type": "string"},
        },
        ("who",),
    )
    features = read_alone(base, tool, PrefixReader(base).tool(tool), "in First class for Ann").features
    required, defaulted, listed, count = np.asarray(features.field_facts[0, :3][:, [0, 1, 2, 5]]).T
    assert required.tolist() == [0, 0, 1] and defaulted.tolist() == [1, 1, 0] and listed.tolist() == [1, 0, 0]
    assert set(count) == {3 / 8}
    kinds = np.asarray(features.field_facts[0, :3, 6:])
    assert (kinds.sum(1) == 1).all() and kinds.argmax(1).tolist() == features.field_kind[0, :3].tolist()
    facts = np.asarray(features.candidate_facts[0, 0, :3])
    # Log-probability, distance to the best, all words said, one long word said.
    np.testing.assert_allclose(facts[:, 1], facts[:, 0] - facts[:, 0].max(), atol=1e-6)
    assert facts[:, 2].tolist() == [1, 0, 0] and facts[:, 3].tolist() == [1, 1, 0]


def test_a_reader_fits_what_is_read(base, known):
    features = read_alone(base, TOOL, known, QUERIES[0]).features
    config = reader_config(base.config)
    widths = {
        **dict.fromkeys(LOOKS, config.attention),
        "token_states": config.token_states,
        "token_shape": config.token_facts,
        "token_matches": config.token_matches,
        "key_states": config.key_states,
        "key_logprob": config.telling,
        "field_facts": config.field_facts,
        "candidate_attention": 2 * config.attention,
        "candidate_facts": config.candidate_facts,
    }
    assert {name: getattr(features, name).shape[-1] for name in widths} == widths
    for name, value in vars(features).items():
        assert np.isfinite(np.asarray(value, np.float64)).all(), name
        assert jnp.asarray(value).dtype in (jnp.float32, jnp.int32, jnp.bool_), name


def test_a_query_that_is_too_long(base, known):
    with pytest.raises(InputError, match="tokens of the query"):
        read_alone(base, TOOL, known, "long " * 80)
    with pytest.raises(InputError, match="reads at most 2048"):
        read_alone(base, TOOL, known, "long " * 3000)
