"""Whether words affirm or deny what a boolean field is about ("no receipts", "rewards restaked", "as totals")."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from jaxdiff.schema.said_words import FUNCTION_WORDS, NEGATIONS, TURNS, stem, words

_YES = frozenset({"true", "yes", "yeah", "yep", "on", "enabled", "enable"})
_NO = frozenset({"false", "no", "nope", "off", "disabled", "disable"})
# What names of parameters and requests call having or wanting a thing, and doing without it.
HAVING = frozenset(
    map(
        stem,
        "include included including add show display keep use used using allow allowed permit enable enabled activate "
        "want wanted need needed require required necessary send return give get set switch turn make want must "
        "apply mark take plus mind bother trouble desired possible fine welcome count counted".split(),
    )
)
_WITHOUT = frozenset(
    map(
        stem,
        "exclude omit skip drop remove hide delete erase discard disable suppress avoid ignore forget refuse reject "
        "deny forbid prohibit prevent block refrain mute off".split(),
    )
)
_ASIDE = frozenset({"out", "aside"})
_ONLY = frozenset({"only", "just", "exclusively", "solely", "must"})
_NEED = frozenset(map(stem, ["need", "required", "necessary"]))
_STAYS = frozenset("keep keeping kept stay stays leave leaving remain remains".split())
_ALSO = frozenset("also too well fine welcome allowed allow included including include count counted either".split())
_TRUE_MEANING = re.compile(r"\btrue\b(?: for| if| when| means| counts| =|:| to)?\s*(?P<meaning>[^,;.()]*)")
_FALSE_MEANING = re.compile(r"\bfalse\b(?: for| if| when| means| counts| =|:| to)?\s*(?P<meaning>[^,;.()]*)")
_INSTEAD = re.compile(r"\b(?:instead of|rather than|as opposed to)\b")
_ANSWER = re.compile(r"^\s*(?:yes|yeah|no|sure|ok|okay)[,.!] (?=.*\w)", re.IGNORECASE)
_CLAUSE = re.compile(r"[,;.:()]")
_DEFAULT = re.compile(
    r"[,;(]?\s*\b(?:default\b.*?|(?:true|false|yes|no|on|off) (?:by default|unless|if (?:not|missing))[^.;)]*)"
    r"(?:[.;)]|$)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class _About:
    """What a boolean field is about.

    name: the stems of its name. clauses: those of each clause of its description. true, false: the stems that tell its
    values. only: it narrows something down.
    """

    name: frozenset[str]
    clauses: tuple[frozenset[str], ...]
    true: frozenset[str]
    false: frozenset[str]
    only: bool

    def concerns(self, content: frozenset[str]) -> bool:
        """Whether words are about the whole field, rather than about something that its description mentions."""
        return (bool(self.name) and self.name <= content) or any(
            content <= clause and len(clause) < 3 * len(content) for clause in self.clauses
        )


def said_boolean(text: str, name: str, description: str) -> bool | None:
    """Whether `text` affirms the field or denies it; None where its words do not determine that.

    Determined is what is said in words of the field's own name or description, of the whole of it, and with one denial
    at most.
    """
    plain = [word for word in words(text) if word not in FUNCTION_WORDS or word == "on"]
    if len(plain) == 1 and plain[0] in _YES | _NO:
        return plain[0] in _YES
    said, about = words(_ANSWER.sub("", text)), _about(name, description)
    known = about.true | about.false
    denials, content = _denials(said), _content(said, known)
    # "Without any sauce" is a plain denial, "any sauce" is a choice.
    turns = TURNS - _ONLY - ({"any"} if denials else set())
    if any(word in turns and stem(word) not in known for word in said) or {"from", "to"} <= set(said):
        return None
    opposites = {word for word in content - known if word.removeprefix("un") in known}
    denials += len(opposites)
    content |= {word.removeprefix("un") for word in opposites}
    if denials > 1 or not content - opposites <= known:
        return None
    tells_true, tells_false = content & (about.true - about.false), content & (about.false - about.true)
    if bool(tells_true) == bool(tells_false) or not about.concerns(content & known):
        return None
    if _STAYS & set(said) and not about.name <= content:
        return None  # "keep the source" of what is moved
    if tells_true and about.only and not _ONLY & set(said) and not _settled(said, denials):
        return None
    return bool(tells_true) != bool(denials)


def _settled(said: tuple[str, ...], denials: int) -> bool:
    """Whether words without "only" tell of a field that narrows down.

    "Wins not needed" leaves the choice open, "no wins" asks for something else; "wins too" wants others beside.
    """
    return bool(_NEED & set(map(stem, said))) if denials else not _ALSO & set(said)


def _denials(said: tuple[str, ...]) -> int:
    """How many words deny; "leave ... out" is one, and "do not leave out" or "not without" are none."""
    after = (*said[1:], "")
    leaving = _leaving(said) - _ASIDE
    denying = [
        word in NEGATIONS or word in leaving or (stem(word) in _WITHOUT and not _is_attribute(word, after[i]))
        for i, word in enumerate(said)
    ]
    cancelled = sum(said[i] in ("not", "never") and denying[i + 1] for i in range(len(said) - 1))
    return sum(denying) - 2 * cancelled


def _is_attribute(word: str, after: str) -> bool:
    """Whether a participle tells what kind of thing is meant ("deleted records"), not what is done with it."""
    return word.endswith("ed") and bool(after) and after not in FUNCTION_WORDS


def _leaving(said: tuple[str, ...]) -> set[str]:
    """The words of "leave out", "left out" and the like, if they are there."""
    found = {word for word in said if stem(word) in ("leav", "left")}
    aside = _ASIDE & set(said)
    return found | aside if found and aside else set()


def _content(said: tuple[str, ...], known: frozenset[str] = frozenset()) -> frozenset[str]:
    """The stems of the words that name something. known: those that do so here, whatever they mean elsewhere."""
    empty = FUNCTION_WORDS | NEGATIONS | _ONLY | _leaving(said)
    stemmed = frozenset(stem(word) for word in said if word not in empty)
    return stemmed - (HAVING - known) - _WITHOUT


@lru_cache(maxsize=16384)
def _about(name: str, description: str) -> _About:
    parts = words(name)
    told = _DEFAULT.sub(" ", description).lower()
    true: set[str] = set()
    false: set[str] = set()
    named = _content(parts, frozenset(map(stem, parts[1:])))
    (false if _denials(parts) else true).update(named)
    only = bool(_ONLY & set(parts))
    clauses = []
    for clause, meaning in _clauses(told):
        denials = _denials(clause)
        if denials > 1 or set(clause) & (TURNS - _ONLY):
            continue
        only = only or bool(_ONLY & set(clause))
        # What stands behind a denial is what is not wanted.
        leaving = _leaving(clause)
        denying = (i for i, word in enumerate(clause) if denials and (_denials((word,)) or word in leaving))
        at = next(denying, len(clause))
        clauses.append(_content(clause))
        (true if meaning else false).update(_content(clause[:at]))
        (false if meaning else true).update(_content(clause[at:]))
    contrary = true if _denials(parts) else false
    if named and named <= contrary:
        return _About(named, (), frozenset(), frozenset(), only)  # name and description contradict each other
    return _About(named, tuple(clauses), frozenset(true), frozenset(false), only)


def _clauses(told: str) -> list[tuple[tuple[str, ...], bool]]:
    """The words of each clause of a description, and the value that it tells."""
    if {"true", "false"} & set(words(told)):
        found = [(_TRUE_MEANING.search(told), True), (_FALSE_MEANING.search(told), False)]
        return [(words(match["meaning"]), value) for match, value in found if match]
    first, *others = _INSTEAD.split(told)
    wanted = [(words(clause), True) for clause in _CLAUSE.split(first)]
    return wanted + [(words(_CLAUSE.split(other)[0]), False) for other in others]
