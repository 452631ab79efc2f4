"""Answers of the real default base against `transformers`: its chat template, its `generate`, its tokenizer."""

import jax
import pytest
import transformers
from tokenizers import Tokenizer

from jaxdiff.agent.messages import parse_messages
from jaxdiff.agent.speaking import Speaker, SpeakingOptions
from jaxdiff.base.sampling import Sampling
from jaxdiff.base.store import cache_dir, load_base
from jaxdiff_convert.registry import fetch_default_weights
from tests.parity.hf_models import model_of_gguf

NEW_TOKENS = 40
CONVERSATIONS = [
    [{"role": "user", "content": "What is the capital of France?"}],
    [{"role": "system", "content": "Answer in one word."}, {"role": "user", "content": "2 + 2?"}],
    [{"role": "user", "content": "Write a haiku about the sea — with an émoji 🌊."}],
    [
        {"role": "user", "content": "My name is Ada."},
        {"role": "assistant", "content": "Nice to meet you, Ada!"},
        {"role": "user", "content": "What is my name?"},
    ],
]


@pytest.fixture(autouse=True)
def highest_precision():
    with jax.default_matmul_precision("highest"):
        yield


@pytest.fixture(scope="module")
def base():
    return load_base("default")


@pytest.fixture(scope="module")
def reference(base):
    """Text and number of new tokens by `generate`."""
    model = model_of_gguf(fetch_default_weights(cache_dir()))
    plain = Tokenizer.from_str(base.tokenizer.to_str())
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=plain, eos_token="<|im_end|>")
    tokenizer.chat_template = base.chat_template

    def answer(messages: list[dict[str, str]], **given: float) -> tuple[str, int]:
        inputs = tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, return_dict=True, return_tensors="pt"
        )
        output = model.generate(
            **inputs, do_sample=False, max_new_tokens=NEW_TOKENS, eos_token_id=2, pad_token_id=2, **given
        )
        new = output[0, inputs["input_ids"].shape[1] :]
        return tokenizer.decode(new, skip_special_tokens=True), len(new)

    return answer


@pytest.mark.parametrize(("penalty", "conversations"), [(1.0, CONVERSATIONS), (1.3, CONVERSATIONS[:2])])
def test_greedy_answers(base, reference, penalty, conversations):
    speaker = Speaker(base)
    options = SpeakingOptions(max_new_tokens=NEW_TOKENS, sampling=Sampling(repetition_penalty=penalty))
    for messages in conversations:
        text, tokens = reference(messages, repetition_penalty=penalty)
        speech = speaker.speak(parse_messages(messages), options)
        print(f"{penalty} {speech}")
        assert (speech.text, speech.tokens) == (text, tokens)
        assert speech.finish == ("length" if tokens == NEW_TOKENS else "stop")
