"""Which tokens may follow one another in a decoded value: a small automaton over characters, lifted to tokens.

Numbers are held to what can be read as one, everything else to one line that is not blank.
"""

from __future__ import annotations

import re
import weakref
from enum import IntEnum

import jax.numpy as jnp
import numpy as np
from flax import struct
from jax import Array

from jaxdiff.agent.prompting import TURN_END
from jaxdiff.base.frozen import FrozenBase
from jaxdiff.schema.fields import Field, Kind


class State(IntEnum):
    """What has been written of a value."""

    REFUSED = -1
    DONE = 0
    TEXT_START = 1
    TEXT = 2
    INTEGER_START = 3
    INTEGER_SIGN = 4
    INTEGER = 5
    INTEGER_COMMA = 6
    INTEGER_COMMA_1 = 7
    INTEGER_COMMA_2 = 8
    INTEGER_GROUPED = 9
    NUMBER_START = 10
    NUMBER_SIGN = 11
    NUMBER = 12
    NUMBER_COMMA = 13
    NUMBER_COMMA_1 = 14
    NUMBER_COMMA_2 = 15
    NUMBER_GROUPED = 16
    POINT = 17
    DECIMALS = 18
    PERCENT = 19


# By class of the next character (see `_class_of`); what is not listed is refused.
_NEXT: dict[State, dict[str, State]] = {
    State.TEXT_START: {" ": State.TEXT_START, **dict.fromkeys("9-,.%a", State.TEXT)},
    State.TEXT: {"\n": State.DONE, **dict.fromkeys(" 9-,.%a", State.TEXT)},
    State.INTEGER_START: {" ": State.INTEGER_START, "-": State.INTEGER_SIGN, "9": State.INTEGER},
    State.INTEGER_SIGN: {"9": State.INTEGER},
    State.INTEGER: {"9": State.INTEGER, ",": State.INTEGER_COMMA, "%": State.PERCENT, "\n": State.DONE},
    State.INTEGER_COMMA: {"9": State.INTEGER_COMMA_1},
    State.INTEGER_COMMA_1: {"9": State.INTEGER_COMMA_2},
    State.INTEGER_COMMA_2: {"9": State.INTEGER_GROUPED},
    State.INTEGER_GROUPED: {",": State.INTEGER_COMMA, "%": State.PERCENT, "\n": State.DONE},
    State.NUMBER_START: {" ": State.NUMBER_START, "-": State.NUMBER_SIGN, "9": State.NUMBER},
    State.NUMBER_SIGN: {"9": State.NUMBER},
    State.NUMBER: {
        "9": State.NUMBER, ",": State.NUMBER_COMMA, ".": State.POINT, "%": State.PERCENT, "\n": State.DONE,
    },
    State.NUMBER_COMMA: {"9": State.NUMBER_COMMA_1},
    State.NUMBER_COMMA_1: {"9": State.NUMBER_COMMA_2},
    State.NUMBER_COMMA_2: {"9": State.NUMBER_GROUPED},
    State.NUMBER_GROUPED: {",": State.NUMBER_COMMA, ".": State.POINT, "%": State.PERCENT, "\n": State.DONE},
    State.POINT: {"9": State.DECIMALS},
    State.DECIMALS: {"9": State.DECIMALS, "%": State.PERCENT, "\n": State.DONE},
    State.PERCENT: {"\n": State.DONE},
}  # fmt: skip
_CLASS_OF = {**dict.fromkeys("0123456789", "9"), **{char: char for char in "-,.% \n"}, "\r": "\n"}
_NUMERIC = re.compile(r"[0-9 \-,.%\r\n]+")


@struct.dataclass
class ValueTokens:
    """The tokens of one tokenizer (V ids) as parts of a value, on the device.

    following: [S, V] int8, the state after a token in each state, `State.REFUSED` where it may not stand.
    ending: [V] bool, tokens that end a value and add nothing to it: line ends and the end of the turn.
    accepting: [S] bool, states in which a value may end. none: [N] int32, ids of ` none`.
    """

    following: Array
    ending: Array
    accepting: Array
    none: Array


def start_state(field: Field) -> State:
    """The state before the first token of the field's value."""
    if field.kind is Kind.INTEGER:
        return State.INTEGER_START
    return State.NUMBER_START if field.kind is Kind.NUMBER else State.TEXT_START


def advance(state: State, text: str) -> State:
    """The state after `text`; nothing behind the end of a value matters."""
    for char in text:
        if state in (State.REFUSED, State.DONE):
            break
        state = _NEXT[state].get(_CLASS_OF.get(char, "a"), State.REFUSED)
    return state


def value_tokens(base: FrozenBase) -> ValueTokens:
    """The automaton of a base's tokenizer, computed once."""
    found = _KNOWN.get(base)
    if found is None:
        found = _KNOWN[base] = _compute(base)
    return found


_KNOWN: weakref.WeakKeyDictionary[FrozenBase, ValueTokens] = weakref.WeakKeyDictionary()


def _compute(base: FrozenBase) -> ValueTokens:
    size, known = base.config.vocab_size, base.tokenizer.get_vocab_size()
    texts = base.tokenizer.decode_batch([[i] for i in range(min(size, known))], skip_special_tokens=False)
    special = {i for i, token in base.tokenizer.get_added_tokens_decoder().items() if token.special}
    following = np.full((len(State) - 1, size), State.REFUSED, np.int8)
    ending = np.zeros(size, bool)
    ending[list(base.config.eos_token_ids)] = True
    if base.tokenizer.token_to_id(TURN_END) is not None:
        ending[base.special(TURN_END)] = True
    for i, text in enumerate(texts):
        if ending[i] or i in special or not text:
            continue
        if not text.strip() and ("\n" in text or "\r" in text):
            ending[i] = True
            continue
        numeric = _NUMERIC.fullmatch(text) is not None
        for state in _NEXT:
            if numeric or state in (State.TEXT_START, State.TEXT):
                following[state, i] = advance(state, text)
    accepting = np.array([State.DONE in _NEXT.get(State(i), {}).values() for i in range(len(State) - 1)])
    none = jnp.array(base.encode(" none"), jnp.int32)
    return ValueTokens(jnp.asarray(following), jnp.asarray(ending), jnp.asarray(accepting), none)
