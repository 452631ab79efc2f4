"""Answers of a tiny random base: streamed and whole, with and without thoughts, one after another."""

import logging
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jaxdiff.agent import speaking
from jaxdiff.agent.chat_template import encode_chat
from jaxdiff.agent.messages import Message, parse_messages
from jaxdiff.agent.speaking import Speaker, SpeakingOptions, Speech
from jaxdiff.base import generate
from jaxdiff.base.generate import Rules, advance, prefill
from jaxdiff.base.sampling import Sampling
from jaxdiff.errors import InputError
from jaxdiff.schema.tools import parse_tools
from tests.agent.thinking_base import TEMPLATE, thinking_base
from tests.agent.whole_text import whole_text

BASE = thinking_base()
OPEN, CLOSE = (BASE.special(tag)[0] for tag in ("<think>", "</think>"))
HELLO = parse_messages("Hello")
WARM = Sampling(temperature=1.5)
OPTIONS = SpeakingOptions(max_new_tokens=24, sampling=WARM, seed=3)
# A template that opens the thought itself, as some bases' do.
OPENING = TEMPLATE.replace('("" if mode', '("<think>\\n" if mode')


def tokens_of(options: SpeakingOptions, base=BASE, thinking: bool = False) -> list[int]:
    """New tokens, decoded in one go. thinking: the prompt ends inside of a thought."""
    ids = encode_chat(base, HELLO, enable_thinking=options.thinking)
    budget = options.thinking_budget
    state = prefill(
        base, [ids], room=options.max_new_tokens, seed=options.seed, thinking=thinking, thinking_budget=budget
    )
    state = advance(base, state, Rules(options.sampling, (2,), (OPEN, CLOSE)), options.max_new_tokens)
    return np.asarray(state.ids)[0, len(ids) : int(state.end)].tolist()


def drain(stream) -> tuple[list, Speech]:
    pieces = []
    while True:
        try:
            pieces.append(next(stream))
        except StopIteration as end:
            return pieces, end.value


@settings(max_examples=25)
@given(st.data())
def test_streamed_equals_whole(data):
    seed, chunk = data.draw(st.integers(0, 5)), data.draw(st.integers(1, 30))
    options = replace(OPTIONS, seed=seed)
    tokens = tokens_of(options)
    text = BASE.decode([token for token in tokens if token not in (2, OPEN, CLOSE)])
    places = data.draw(st.lists(st.integers(0, max(len(text) - 1, 0)), max_size=2))
    stop = tuple({text[place : place + data.draw(st.integers(1, 3))] for place in places} - {""})
    options = replace(options, stop=stop)
    pieces, speech = drain(Speaker(BASE, chunk).stream(HELLO, options))
    thought, answer, stopped = whole_text(BASE, [token for token in tokens if token != 2], stop, (OPEN, CLOSE))
    assert (speech.thinking or "", speech.text) == (thought, answer)
    assert "".join(piece.text for piece in pieces if not piece.thinking) == speech.text
    assert "".join(piece.text for piece in pieces if piece.thinking) == (speech.thinking or "")
    assert speech.finish == ("stop" if stopped or tokens[-1] == 2 else "length")
    assert speech.tokens == len(tokens) if not stopped else speech.tokens <= len(tokens)
    assert Speaker(BASE).speak(HELLO, options) == speech


def test_the_same_seed_gives_the_same_text():
    speaker = Speaker(BASE)
    first = speaker.speak(HELLO, OPTIONS)
    assert first.tokens == 24 and first.finish == "length"
    assert speaker.speak(HELLO, OPTIONS) == first == Speaker(BASE).speak(HELLO, OPTIONS)
    assert speaker.speak(HELLO, replace(OPTIONS, seed=4)).text != first.text


def test_the_end_token_ends_the_answer():
    expected = tokens_of(OPTIONS)
    end = expected[5]
    base = replace(BASE, config=replace(BASE.config, eos_token_ids=(end,)))
    speech = Speaker(base).speak(HELLO, OPTIONS)
    tokens = expected[: expected.index(end)]
    assert speech == Speech(BASE.decode(tokens), None, len(tokens) + 1, "stop")


class TestThinking:
    @pytest.mark.parametrize("chunk", [1, 7, 30])
    @pytest.mark.parametrize("budget", [0, 3, None])
    def test_thought_and_answer_are_apart(self, chunk, budget):
        base = thinking_base(OPENING)
        free = replace(OPTIONS, thinking=True)
        free = next(
            options for options in (replace(free, seed=seed) for seed in range(100))
            if CLOSE not in tokens_of(options, base, thinking=True)[:6]
        )  # fmt: skip
        options = replace(free, thinking_budget=budget)
        tokens = tokens_of(options, base, thinking=True)
        assert budget is None or tokens.index(CLOSE) == budget
        thought, answer, _ = whole_text(BASE, tokens, (), (OPEN, CLOSE), thinking=True)
        speech = Speaker(base, chunk).speak(HELLO, options)
        assert (speech.text, speech.thinking) == (answer, thought or None)
        assert bool(speech.thinking) == (budget != 0)

    def test_the_template_is_told(self, monkeypatch):
        prompts = []
        monkeypatch.setattr(
            speaking, "prefill", lambda base, texts, **given: prompts.append((texts[0], given)) or 1 / 0
        )
        for thinking in (True, False):
            with pytest.raises(ZeroDivisionError):
                Speaker(BASE).speak(HELLO, replace(OPTIONS, thinking=thinking))
        with pytest.raises(ZeroDivisionError):
            Speaker(thinking_base(OPENING)).speak(HELLO, replace(OPTIONS, thinking=True))
        assert [BASE.decode(ids).split("Mode: ")[1].split("\n")[0] for ids, _ in prompts] == [
            "/think",
            "/no_think",
            "/think",
        ]
        # Only the last ends inside of a thought; the first names the tags in its instructions.
        assert [given["thinking"] for _, given in prompts] == [False, False, True]

    def test_a_base_that_cannot_says_so(self, caplog):
        base = thinking_base(None)
        assert Speaker(BASE).thinks and not Speaker(base).thinks
        options = replace(OPTIONS, thinking=True, thinking_budget=0)
        with caplog.at_level(logging.WARNING, "jaxdiff"):
            found = Speaker(base).speak(HELLO, options)
        assert caplog.messages == ["base 'tiny' has no thinking mode: it answers without"]
        assert found == Speaker(base).speak(HELLO, OPTIONS) and found.thinking is None


class TestOneAfterAnother:
    @pytest.fixture
    def read(self, monkeypatch) -> list[tuple[int, int]]:
        """For each block of a prompt that is read: the slots before it, and its tokens."""
        blocks = []
        function = generate._read
        monkeypatch.setattr(
            generate, "_read", lambda *given: blocks.append((int(given[-1]), int(given[4].sum()))) or function(*given)
        )
        return blocks

    def test_only_what_is_new_is_read(self, read):
        speaker = Speaker(BASE)
        first = speaker.speak(HELLO, OPTIONS)
        more = (*HELLO, Message("assistant", "So it is."), Message("user", "And then?"))
        found = speaker.speak(more, OPTIONS)
        length = len(encode_chat(BASE, more))
        assert read[0][0] == 0 and len(read) == 2
        # All but the prompt of the answer, which the message replaces, is known, and the last token is always read.
        assert read[1] == (read[0][1] + 1, length - read[0][1] - 2)
        read.clear()
        assert speaker.speak(HELLO, OPTIONS) == first
        assert read == []
        assert Speaker(BASE).speak(more, OPTIONS) == found

    @pytest.mark.parametrize("pieces", [0, 1, 5])
    def test_a_closed_stream_leaves_the_speaker_usable(self, pieces):
        expected = Speaker(BASE).speak(HELLO, OPTIONS)
        speaker = Speaker(BASE, chunk=3)
        stream = speaker.stream(HELLO, OPTIONS)
        for _ in range(pieces):
            next(stream)
        stream.close()
        assert speaker.speak(HELLO, OPTIONS) == expected

    def test_an_interrupted_step_leaves_the_speaker_usable(self, monkeypatch):
        speaker = Speaker(BASE)
        expected = speaker.speak(HELLO, OPTIONS)

        def interrupted(*given):
            advance(*given)
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr(speaking, "advance", interrupted)
            with pytest.raises(KeyboardInterrupt):
                speaker.speak(HELLO, OPTIONS)
        assert speaker.speak(HELLO, OPTIONS) == expected

    def test_two_streams_side_by_side(self):
        speaker = Speaker(BASE, chunk=2)
        both = [speaker.stream(HELLO, replace(OPTIONS, seed=seed)) for seed in (3, 4)]
        next(both[0])
        second = drain(both[1])[1]
        assert drain(both[0])[1] == Speaker(BASE).speak(HELLO, OPTIONS)
        assert second == Speaker(BASE).speak(HELLO, replace(OPTIONS, seed=4))


def test_an_answer_grows_beyond_its_first_slots(monkeypatch):
    endless = replace(BASE, config=replace(BASE.config, eos_token_ids=()))
    options = replace(OPTIONS, max_new_tokens=200)
    expected = Speaker(endless).speak(HELLO, options)
    assert expected.tokens == 200
    sizes = []
    monkeypatch.setattr(
        speaking, "advance", lambda base, state, *rest: sizes.append(state.cache.slots) or advance(base, state, *rest)
    )
    monkeypatch.setattr(speaking, "FIRST_ROOM", 1)
    assert Speaker(endless).speak(HELLO, options) == expected
    assert len(set(sizes)) > 1


def test_prompts_that_are_too_long():
    length = len(encode_chat(BASE, HELLO))
    short = thinking_base(max_positions=length + 5)
    speech = Speaker(short).speak(HELLO, OPTIONS)
    assert (speech.tokens, speech.finish) == (5, "length")
    with pytest.raises(
        InputError, match=rf"the prompt has {length + 6} tokens; base 'tiny' reads at most {length + 4}"
    ):
        Speaker(short).stream(parse_messages("Hello again"), OPTIONS)
    with pytest.raises(InputError, match=r"the prompt has 9[0-9]{3} tokens; base 'tiny' reads at most 8191"):
        Speaker(thinking_base(max_positions=10000)).stream(parse_messages("x" * 9000), OPTIONS)


def test_tools_are_shown(monkeypatch):
    prompts = []
    monkeypatch.setattr(speaking, "prefill", lambda base, texts, **given: prompts.append(texts[0]) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        Speaker(BASE).speak(HELLO, OPTIONS, parse_tools([{"name": "weather"}]))
    assert "'name': 'weather'" in BASE.decode(prompts[0])


def test_a_base_without_template_and_end_of_turn_token(monkeypatch):
    """The characters of the token that ends a turn then end the answer."""
    base = thinking_base(None)
    text = Speaker(base).speak(HELLO, OPTIONS).text
    monkeypatch.setattr(speaking, "TURN_END", text[4:7])
    speech = Speaker(base).speak(HELLO, replace(OPTIONS, stop=text[9:11]))
    assert speech.text == text[: text.index(text[4:7])] and speech.finish == "stop"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(max_new_tokens=0), r"max_new_tokens=0 must be an integer in \[1,"),
        (dict(max_new_tokens=2.5), "max_new_tokens=2.5 must be an integer"),
        (dict(max_new_tokens=None), "max_new_tokens=None must be an integer"),
        (dict(thinking_budget=-1), r"thinking_budget=-1 must be an integer in \[0,"),
        (dict(seed=True), "seed=True must be an integer"),
        (dict(seed=2**31), "seed=2147483648 must be an integer"),
        (dict(stop=("a", "")), r"stop=\('a', ''\): a stop string must be text, and not empty"),
        (dict(stop=[3]), r"stop=\(3,\): a stop string must be text"),
    ],
)
def test_impossible_options(changes, message):
    with pytest.raises(InputError, match=message):
        SpeakingOptions(**changes)


def test_one_stop_string_may_stand_alone():
    assert SpeakingOptions(stop="ab").stop == ("ab",) == SpeakingOptions(stop=["ab"]).stop
