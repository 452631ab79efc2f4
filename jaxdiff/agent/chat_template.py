"""Conversations as token ids, by the base's own chat template (Jinja, as `transformers` renders it).

Special tokens are those that the template itself writes. Where a message, a call or a tool contains the characters of
one, as in "<|im_end|>", they are only characters: nobody but the template opens or closes a turn.
"""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, NoReturn

import jinja2
import jinja2.ext
from jinja2 import meta, nodes
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from jaxdiff.agent.messages import Message
from jaxdiff.base.frozen import FrozenBase
from jaxdiff.errors import InputError, WeightsError
from jaxdiff.schema.tools import Tool

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def encode_chat(
    base: FrozenBase,
    messages: Sequence[Message],
    *,
    tools: Sequence[Tool] | None = None,
    enable_thinking: bool = False,
    add_generation_prompt: bool = True,
) -> list[int]:
    """Token ids of a conversation: see `render_chat`, which gives the same as text."""
    text, mark = _render(base, messages, tools, enable_thinking, add_generation_prompt)
    special = _special_tokens(base)
    longest_first = sorted(special, key=len, reverse=True)
    pieces = re.split(f"({'|'.join(map(re.escape, longest_first))})", text) if special else [text]
    ids: list[int] = []
    for index, piece in enumerate(pieces):
        # `re.split` gives text, separator, text, … by turns.
        ids += [special[piece]] if index % 2 else base.encode(piece.replace(mark, ""))
    return ids


def render_chat(
    base: FrozenBase,
    messages: Sequence[Message],
    *,
    tools: Sequence[Tool] | None = None,
    enable_thinking: bool = False,
    add_generation_prompt: bool = True,
) -> str:
    """The text of a conversation, by the base's chat template, or by plain ChatML where the base has none.

    tools: shown to the base where its template has a place for them (`tools` or `xml_tools`). Calls and their results
    are given to the template; one that knows nothing of calls gets them as text, `<tool_call>` and JSON. The template
    also sees enable_thinking, and in the system's message flags such as SmolLM3's /think and /no_think. Raises
    InputError where the template refuses the conversation, WeightsError where it is not a Jinja template.
    """
    text, mark = _render(base, messages, tools, enable_thinking, add_generation_prompt)
    return text.replace(mark, "")


def takes_thinking(base: FrozenBase) -> bool:
    """True where the chat template asks whether to think."""
    return base.chat_template is not None and "enable_thinking" in _compiled(base.chat_template)[1]


def _render(
    base: FrozenBase,
    messages: Sequence[Message],
    tools: Sequence[Tool] | None,
    enable_thinking: bool,
    add_generation_prompt: bool,
) -> tuple[str, str]:
    """The text, in which no special token is whole but the template's own, and the mark that breaks all others."""
    source = CHATML if base.chat_template is None else base.chat_template
    template, variables = _compiled(source)
    # Digits survive what templates do to text (changes of case, escapes), and nobody can guess so many.
    mark = str(secrets.randbelow(9 * 10**29) + 10**29)
    special = _special_tokens(base)
    shown = [_plain(message, calls_as_text="tool_calls" not in source) for message in messages]
    offered = [_definition(tool) for tool in tools] if tools else None
    ends = base.config.eos_token_ids
    given = {
        "messages": _broken(shown, special, mark),
        "tools" if "tools" in variables else "xml_tools": _broken(offered, special, mark),
        "enable_thinking": enable_thinking,
        "add_generation_prompt": add_generation_prompt,
        "eos_token": base.decode([ends[0]]) if ends else "",
    }
    try:
        return template.render(given), mark
    except Exception as error:
        reason = " ".join(str(error).replace(mark, "").split())[:200]
        raise InputError(f"the chat template of base {base.name!r} refuses these messages: {reason}") from error


def _plain(message: Message, calls_as_text: bool) -> dict[str, Any]:
    found: dict[str, Any] = {"role": message.role, "content": message.content or ""}
    calls = [{"name": call.name, "arguments": call.arguments} for call in message.tool_calls]
    if calls and calls_as_text:
        written = (f"<tool_call>\n{json.dumps(call, ensure_ascii=False)}\n</tool_call>" for call in calls)
        found["content"] = "\n".join([*([message.content] if message.content else []), *written])
    elif calls:
        found["tool_calls"] = [
            {"id": call.id, "type": "function", "function": shown}
            for call, shown in zip(message.tool_calls, calls, strict=True)
        ]
    if message.tool_call_id is not None:
        found["tool_call_id"] = message.tool_call_id
    if message.name is not None:
        found["name"] = message.name
    return found


def _definition(tool: Tool) -> dict[str, Any]:
    function = {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
    return {"type": "function", "function": function}


def _broken(value: Any, special: dict[str, int], mark: str) -> Any:
    """The same JSON, with the mark behind each character that begins a special token and before each that ends one.

    So no special token comes about where a template cuts text or puts it beside other text either.
    """
    if isinstance(value, str) and special:
        first, last = (re.escape("".join({token[end] for token in special})) for end in (0, -1))
        return re.sub(f"(?<=[{first}])|(?=[{last}])", mark, value)
    if isinstance(value, dict):
        return {_broken(key, special, mark): _broken(item, special, mark) for key, item in value.items()}
    if isinstance(value, list):
        return [_broken(item, special, mark) for item in value]
    return value


def _special_tokens(base: FrozenBase) -> dict[str, int]:
    # Added tokens of white space or of a single character are spelling, not turns.
    added = base.tokenizer.get_added_tokens_decoder().items()
    return {token.content: i for i, token in added if len(token.content.strip()) > 1}


class _Generation(jinja2.ext.Extension):
    """`{% generation %}`, by which templates mark what an assistant wrote; it changes nothing in the text."""

    def __init__(self, environment: jinja2.Environment):
        super().__init__(environment)
        self.tags = {"generation"}

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


@lru_cache(maxsize=8)
def _compiled(source: str) -> tuple[jinja2.Template, set[str]]:
    """The template, and the names that it takes."""
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, jinja2.ext.loopcontrols]
    )
    environment.filters["tojson"] = _to_json
    environment.globals |= {"raise_exception": _raise, "strftime_now": lambda format: datetime.now().strftime(format)}
    try:
        return environment.from_string(source), meta.find_undeclared_variables(environment.parse(source))
    except jinja2.TemplateError as error:
        raise WeightsError(f"the base's chat template is not a Jinja template: {error}") from error


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    # Jinja's own escapes characters of HTML.
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _raise(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)
