"""Booleans and how users say them: a concept, asked for or ruled out, wanted or not wanted.

What a boolean means depends on two things at once, whether its description asks for something or rules it out, and
whether the words want that thing. Concepts are written down (`packs/flags.jsonl`); wordings are made of them.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from functools import cache
from typing import Any

from .packs import PACKS
from .rows import read_json_lines

FLAGS = PACKS / "flags.jsonl"

_ARTICLE = re.compile(r"^(?:an?|the) ")
# {n}: the thing as it is written; {b}: without its article; {d}: with "the"; {s}: an identifier.
_ASKED_FOR = (
    ("include_{s}", "include {d}"), ("with_{s}", "with {n}"), ("{s}", "whether to include {n}"),
    ("show_{s}", "show {d}"), ("add_{s}", "add {n}"), ("{s}", "{b} wanted"), ("{s}", "true to get {d} as well"),
    ("need_{s}", "{n} needed"),
    ("{s}", "also give {d} (default false)"), ("return_{s}", "return {n} too"), ("keep_{s}", "keep {d}"),
    ("{s}", "{n} (true) or not (false)"),
)  # fmt: skip
_RULED_OUT = (
    ("skip_{s}", "skip {d}"), ("no_{s}", "no {b}"), ("hide_{s}", "hide {d}"), ("without_{s}", "without {b}"),
    ("exclude_{s}", "exclude {b}"), ("omit_{s}", "leave out {d}"), ("drop_{s}", "drop {d}. Default is false."),
    ("ignore_{s}", "do not look at {d}"), ("suppress_{s}", "true to suppress {d}"), ("avoid_{s}", "avoid {b}"),
)  # fmt: skip
_WANTED = (
    "with {n}", "including {d}", "{b} included", "plus {n}", "and {n} too", "I want {d} as well", "{b} too",
    "don't leave out {d}", "show {d}", "keep {d}", "not without {b}", "I need {n}", "and add {n}", "{b} as well please",
    "I'd like {n}", "with {d} on", "do include {d}", "{n} please", "don't skip {d}", "give me {d} too",
)  # fmt: skip
_NOT_WANTED = (
    "without {b}", "no {b}", "skip {d}", "leave out {d}", "{b} left out", "I don't need {d}", "no {b} needed",
    "excluding {b}", "minus {d}", "drop {d}", "hide {d}", "never mind {d}", "forget about {d}", "leave {d} aside",
    "spare me {d}", "no need for {n}", "ignoring {d}", "don't bother with {d}", "I can do without {b}", "avoid {b}",
)  # fmt: skip
_ALONE = (("{s}_only", "only {b}"), ("only_{s}", "{b} alone"), ("{s}_only", "leave out everything but {b}"))
_ALONE_TRUE = ("{b} only", "just {b}", "nothing but {b}", "only {b}", "{b} and nothing else", "exclusively {b}")
_ALONE_FALSE = (
    "not only {b}", "{b} and others too", "not just {b}", "more than just {b}", "everything, not only {b}",
    "with or without {b}",
)  # fmt: skip
_DONE = (("{s}", "{a}"), ("{s}", "whether to {a}"), ("{s}", "true to {a}"), ("{s}", "also {a} (default false)"))
_LEFT = (("dont_{s}", "do not {a}"), ("no_{s}", "refrain from {g}"), ("without_{s}", "go on without {g}"))
_TO_DO = (
    "and {a}",
    "please {a}",
    "{a} too",
    "{g}",
    "make sure to {a}",
    "by all means {a}",
    "and do {a}",
    "{g} as well",
)
_NOT_TO_DO = (
    "don't {a}", "without {g}", "no need to {a}", "do not {a}", "but please don't {a}", "I'd rather you didn't {a}",
    "there's no need to {a}", "never {a}",
)  # fmt: skip
_STATED = ("{t}", "whether: {t}", "true if {t}", "{t}. Default is false.", "{t} (true) or not (false)")


@dataclass(frozen=True)
class Flag:
    """A boolean property, and words that say each of its values."""

    name: str
    schema: dict[str, Any]
    says: dict[bool, tuple[str, ...]]


def make_flag(rng: random.Random) -> Flag:
    """A flag of a random concept."""
    concept = rng.choice(_concepts())
    if "state" in concept:
        name, text = concept["state"], rng.choice(_STATED).format(t=concept["description"])
        return _flag(rng, name, text, {True: tuple(concept["true"]), False: tuple(concept["false"])})
    if "action" in concept:
        words = {"a": concept["action"], "g": concept["doing"], "s": _slug(concept["action"])}
        asked, (name, text) = _asked(rng, _DONE, _LEFT)
        says = {asked: _worded(_TO_DO, words), not asked: _worded(_NOT_TO_DO, words)}
        return _flag(rng, name.format(**words), text.format(**words), says)
    thing = concept["thing"]
    bare = _ARTICLE.sub("", thing)
    words = {"n": thing, "b": bare, "d": f"the {bare}", "s": _slug(bare)}
    if thing == bare and rng.random() < 0.15:
        name, text = rng.choice(_ALONE)
        says = {True: _worded(_ALONE_TRUE, words), False: _worded(_ALONE_FALSE, words)}
    else:
        asked, (name, text) = _asked(rng, _ASKED_FOR, _RULED_OUT)
        says = {asked: _worded(_WANTED, words), not asked: _worded(_NOT_WANTED, words)}
    return _flag(rng, name.format(**words), text.format(**words), says)


@cache
def _concepts() -> tuple[dict[str, Any], ...]:
    return tuple(concept for _, concept in read_json_lines(FLAGS))


def _flag(rng: random.Random, name: str, text: str, says: dict[bool, tuple[str, ...]]) -> Flag:
    if rng.random() < 0.3:
        first, *rest = name.split("_")
        name = first + "".join(part.capitalize() for part in rest)
    if rng.random() < 0.3:
        text = text[0].upper() + text[1:]
    return Flag(name, {"type": "boolean", "description": text}, says)


def _asked(rng: random.Random, done: Any, left: Any) -> tuple[bool, tuple[str, str]]:
    """Whether true means that the thing is wanted, and name and description that say so."""
    asked = rng.random() < 0.6
    return asked, rng.choice(done if asked else left)


def _worded(forms: tuple[str, ...], words: dict[str, str]) -> tuple[str, ...]:
    return tuple(form.format(**words) for form in forms)


def _slug(text: str) -> str:
    """The first three words as an identifier."""
    return "_".join(re.findall(r"[a-z0-9]+", text.lower())[:3])
