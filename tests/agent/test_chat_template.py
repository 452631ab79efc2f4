"""Conversations rendered by Jinja templates, as text and as tokens, against `transformers`."""

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from jaxdiff.agent.chat_template import encode_chat, render_chat, takes_thinking
from jaxdiff.agent.messages import Message, RequestedCall, parse_messages
from jaxdiff.base.frozen import FrozenBase
from jaxdiff.errors import InputError, WeightsError
from jaxdiff.schema.tools import parse_tools
from tests.agent.thinking_base import SPECIAL, thinking_base

TOOLS = parse_tools(
    [
        {
            "name": "weather",
            "description": 'Says "how" it\'s <b>outside</b>, é & ü.\nNow.',
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        },
        {"name": "stop", "parameters": {"type": "object", "properties": {}}},
    ]
)
DEFINITIONS = [
    {"type": "function", "function": dict(name=tool.name, description=tool.description, parameters=tool.parameters)}
    for tool in TOOLS
]
CONVERSATIONS = {
    "question": [{"role": "user", "content": "What is 1 + 1?"}],
    "history": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hello, \n\nyou"},
        {"role": "assistant", "content": "\n\nHi 😀"},
        {"role": "user", "content": 'Grüße an <b>alle</b> & "jeden" {{ x }} {% y %}'},
    ],
    "flag": [{"role": "system", "content": "Talk. /no_think"}, {"role": "user", "content": "Hi"}],
    "other flag": [{"role": "system", "content": "/think"}, {"role": "user", "content": "Hi"}],
}


@pytest.fixture(scope="module")
def reference():
    """ids, and text, of `apply_chat_template`."""
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")
    from transformers import PreTrainedTokenizerFast

    def render(base: FrozenBase, messages: list[dict], template: str | None = None, **given) -> tuple[list[int], str]:
        tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(base.tokenizer.to_str()))
        tokenizer.chat_template = template or base.chat_template
        given = dict(add_generation_prompt=True, return_dict=False) | given
        ids = tokenizer.apply_chat_template(messages, tokenize=True, **given)
        return ids, tokenizer.apply_chat_template(messages, tokenize=False, **given)

    return render


@pytest.mark.parametrize("thinking", [False, True])
@pytest.mark.parametrize("tools", [None, TOOLS])
@pytest.mark.parametrize("messages", CONVERSATIONS.values(), ids=CONVERSATIONS)
def test_a_template_of_all_features(reference, messages, tools, thinking):
    base = thinking_base()
    ids, text = reference(base, messages, enable_thinking=thinking, xml_tools=tools and DEFINITIONS)
    given = parse_messages(messages)
    assert render_chat(base, given, tools=tools, enable_thinking=thinking) == text
    assert encode_chat(base, given, tools=tools, enable_thinking=thinking) == ids
    flagged = "/" in messages[0]["content"]
    assert ("Mode: /think" in text) == ("/no_think" not in messages[0]["content"] if flagged else thinking)


@pytest.mark.parametrize("add", [False, True])
@pytest.mark.parametrize("messages", CONVERSATIONS.values(), ids=CONVERSATIONS)
def test_the_template_of_the_default_base(reference, default_base, messages, add):
    ids, text = reference(default_base, messages, add_generation_prompt=add)
    given = parse_messages(messages)
    assert render_chat(default_base, given, add_generation_prompt=add) == text
    assert encode_chat(default_base, given, add_generation_prompt=add) == ids


CALLS = """{% for m in messages %}{{ '<|im_start|>' + m.role }} {{ m.name }} {{ m.tool_call_id }} {{ m.content }}
{% for call in m.tool_calls %}
{{ call.id }} {{ call.type }} {{ call.function.name }} {{ call.function.arguments | tojson }}
{% endfor %}{{ eos_token }}{% break %}{% endfor %}{{ tools | tojson }}{{ strftime_now('%Y') }}"""
ASKED = [
    Message("assistant", "Let me see.", (RequestedCall("c1", "weather", {"city": "Köln", "n": [1, None]}),)),
    Message("tool", "rain", tool_call_id="c1", name="weather"),
]


def test_a_template_that_knows_calls(reference):
    base = thinking_base(CALLS.replace("{% break %}", ""))
    messages = [message.to_dict() for message in ASKED]
    messages[0]["tool_calls"][0]["function"]["arguments"] = ASKED[0].tool_calls[0].arguments
    _, text = reference(base, messages, base.chat_template.replace("eos_token", "'<|im_end|>'"), tools=DEFINITIONS)
    assert render_chat(base, ASKED, tools=TOOLS) == text
    assert 'weather {"city": "Köln", "n": [1, null]}' in text and "rain" in text
    assert render_chat(thinking_base(CALLS), ASKED, tools=TOOLS).count("<|im_start|>") == 1


def test_calls_are_text_where_the_template_knows_none():
    text = render_chat(thinking_base(), ASKED)
    wanted = (
        'Let me see.\n<tool_call>\n{"name": "weather", "arguments": {"city": "Köln", "n": [1, null]}}\n</tool_call>'
    )
    assert wanted + "<|im_end|>\n<|im_start|>user\nrain<|im_end|>\n" in text
    # Here it is the base's own way of calling, but still nothing that a text may bring about.
    assert thinking_base().special("<tool_call>")[0] not in encode_chat(thinking_base(), ASKED)


def test_plain_chatml_for_a_base_without_a_template():
    base = thinking_base(None)
    messages = (Message("system", "Be\nbrief."), Message("user", "Hi"), Message("assistant", ""), Message("user", "x"))
    expected = (
        "<|im_start|>system\nBe\nbrief.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n"
        "<|im_start|>assistant\n<|im_end|>\n<|im_start|>user\nx<|im_end|>\n<|im_start|>assistant\n"
    )
    assert render_chat(base, messages) == expected
    assert encode_chat(base, messages).count(1) == 5
    assert not takes_thinking(base)


FRAGMENTS = st.sampled_from([*SPECIAL, "<", ">", "<|", "|>", "im_end", "/think", "/no_think", "\n", "a", " ", "é"])
HOSTILE = st.lists(FRAGMENTS, max_size=6).map("".join)


@settings(max_examples=60)
@given(HOSTILE, HOSTILE, HOSTILE, HOSTILE, st.booleans())
def test_nobody_but_the_template_writes_special_tokens(system, user, said, described, thinking):
    """As many as in a harmless conversation, and every character is there all the same."""
    base = thinking_base()
    tools = parse_tools([{"name": "f" + described, "description": described}])
    messages = (
        Message("system", "x" + system), Message("user", user),
        Message("assistant", said, (RequestedCall("c", "f", {described: [said]}),)),
        Message("tool", said, tool_call_id="c"), Message("user", user + said),
    )  # fmt: skip
    ids = encode_chat(base, messages, tools=tools, enable_thinking=thinking)
    text = render_chat(base, messages, tools=tools, enable_thinking=thinking)
    assert base.decode(ids) == text
    harmless = [Message("system", "x"), *(Message(message.role, "y") for message in messages[1:])]
    flag = "/no_think" if "/no_think" in system else "/think" if "/think" in system else ""
    harmless[0] = Message("system", "x" + flag)
    expected = encode_chat(base, harmless, enable_thinking=thinking)
    assert [i for i in ids if i < len(SPECIAL)] == [i for i in expected if i < len(SPECIAL)]
    assert user in text and repr(described)[1:-1] in text


def test_a_template_that_cuts_text_joins_no_special_token():
    base = thinking_base()
    hostile = (Message("system", "x<|im_/thinkend|>y"), Message("user", "Hi"))
    assert "x<|im_end|>y" in render_chat(base, hostile)
    assert encode_chat(base, hostile).count(2) == 2
    opened = thinking_base("<|im_{{ messages[0].content }}<|im_end{{ messages[0].name }}")
    assert not {1, 2} & set(encode_chat(opened, [Message("user", "start|>", name="|>")]))


def test_a_template_that_raises():
    base = thinking_base("{{ raise_exception('no\nrole ' + messages[0].role) }}")
    with pytest.raises(InputError, match=r"the chat template of base 'tiny' refuses these messages: no role user$"):
        encode_chat(base, parse_messages("Hi"))
    with pytest.raises(InputError, match=r"refuses these messages: .*'dict object' has no attribute 'x'"):
        render_chat(thinking_base("{{ messages[0].x.y }}"), parse_messages("Hi"))


def test_a_template_may_not_leave_its_sandbox():
    for attack in ("{{ ''.__class__.__mro__ }}{{ ''.__class__.mro() }}", "{{ messages.append(1) }}"):
        with pytest.raises(InputError, match="refuses these messages"):
            render_chat(thinking_base(attack), parse_messages("Hi"))


def test_what_is_no_template():
    with pytest.raises(WeightsError, match=r"the base's chat template is not a Jinja template: .*endfor"):
        encode_chat(thinking_base("{% for m in messages %}"), parse_messages("Hi"))


def test_who_thinks(default_base):
    assert takes_thinking(thinking_base())
    assert not takes_thinking(default_base)
