"""Numbers as people say them: digits, number words, fractions, multipliers, a sign, and the words behind."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache

from text_to_num import alpha2digit

MULTIPLIERS = {
    "hundred": 100, "thousand": 10**3, "grand": 10**3, "k": 10**3, "million": 10**6, "mn": 10**6, "mio": 10**6,
    "billion": 10**9, "bn": 10**9, "trillion": 10**12, "lakh": 10**5, "crore": 10**7, "dozen": 12, "dozens": 12,
    "score": 20, "gross": 144,
}  # fmt: skip
# Behind a number these mean a multiplier only where money is meant; elsewhere they are units.
MONEY_MULTIPLIERS = {"m": 10**6, "b": 10**9, "mm": 10**6}
WHOLE_WORDS = {
    "once": 1, "twice": 2, "thrice": 3, "single": 1, "couple": 2, "pair": 2, "duo": 2, "trio": 3, "no": 0, "none": 0,
    "nil": 0, "nought": 0, "naught": 0, "double": 2, "doubled": 2, "triple": 3, "tripled": 3, "quadruple": 4,
    "quadrupled": 4,
}  # fmt: skip
DENOMINATORS = {
    "half": 2, "halves": 2, "third": 3, "quarter": 4, "fourth": 4, "fifth": 5, "sixth": 6, "eighth": 8, "tenth": 10,
    "hundredth": 100, "thousandth": 1000,
}  # fmt: skip
DENOMINATORS |= {f"{word}s": value for word, value in DENOMINATORS.items() if not word.endswith("s")}
NUMERATORS = {"a": 1, "an": 1, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "seven": 7, "nine": 9}
VAGUE = frozenset({"few", "lot", "lots", "bit", "little", "number", "several", "some", "many", "half-dozen", "handful"})
MAX_CHARACTERS = 1000  # far below the length at which Python refuses to convert digits
CURRENCY_SIGNS = "$€£¥₹₽₩"

_ROUND = ("100", "1000", "1000000", "1000000000", "1000000000000")
_PLAIN = re.compile(r"[+-]?[0-9]+(?:\.[0-9]+)?")
_VULGAR = {"½": "1/2", "¼": "1/4", "¾": "3/4", "⅓": "1/3", "⅔": "2/3", "⅕": "1/5", "⅛": "1/8", "⅜": "3/8", "⅝": "5/8"}
_CHARACTERS = str.maketrans(
    {"\u2212": "-", "\u2013": "-", "\u2014": "-", "\u00a0": " ", "\u202f": " ", "\u2019": "'", "\u2018": "'", "μ": "µ"}
)
_FRACTION = re.compile(
    rf"\b({'|'.join(NUMERATORS)}|[0-9]+)[ -]({'|'.join(DENOMINATORS)})\b(?! (?:floor|letter|time|place|row|day))"
)
_ORDINAL_SECOND = re.compile(
    r"(?:^|\b(?:the|my|his|her|their|our|its|every|on|and|twenty|thirty|forty|fifty)[ -])second\b"
)
_GROUPED = re.compile(r"(?<![\d.,])(\d{1,3})((?:[,' ]\d{3})+)(?![\d,]|\.\d*[,.]\d|'\d)")
_TOKEN = re.compile(
    r"""(?P<fraction>\d+\s*/\s*[1-9]\d*(?![\d/.])) | (?P<number>(?:\d+(?:\.\d+)?|\.\d+)(?:e[+-]?\d{1,3}(?!\d))?)
        (?P<ordinal>st|nd|rd|th)?
      | (?P<percent>%) | (?P<word>[^\W\d_]+(?:[²³23](?!\w)|/[^\W\d_]+)*'?) | (?P<mark>\S)""",
    re.VERBOSE,
)


@dataclass(frozen=True)
class Quantity:
    """A number that was said.

    value: exact.
    words: lower-case words behind the number (a unit, a noun), in order.
    lead: lower-case words in front of it.
    percent: "%", "percent" or "per cent" stands behind it.
    money: a currency sign stands beside it.
    fraction: it was said as a part of a whole ("half", "a quarter", "2/3").
    article: only an article stands for it ("an hour").
    ordinal: it is a place in an order ("the third week").
    """

    value: Fraction
    words: tuple[str, ...] = ()
    lead: tuple[str, ...] = ()
    percent: bool = False
    money: bool = False
    fraction: bool = False
    article: bool = False
    ordinal: bool = False


@lru_cache(maxsize=65536)
def read_quantities(text: str, money_like: bool = False) -> tuple[Quantity, ...]:
    """All numbers said in `text`, in order; an empty tuple where none is or where digits are part of something else.

    money_like: "3m" is three million rather than three metres.
    """
    if len(text) > MAX_CHARACTERS:
        return ()
    if _PLAIN.fullmatch(text):
        return (Quantity(Fraction(text)),)
    tokens = _tokens(text)
    if any(kind == "broken" for kind, _ in tokens):
        return ()
    money = any(kind == "currency" for kind, _ in tokens)
    found: list[Quantity] = []
    lead: list[str] = []
    index = 0
    while index < len(tokens):
        atom = _atom(tokens, index)
        if atom is None:
            lead.append(tokens[index][1])
            index += 1
            continue
        value, how, index = atom
        value, index = _multiply(tokens, index, value, how, money or money_like)
        words: list[str] = []
        while index < len(tokens) and (tokens[index][1] in WHOLE_WORDS or _atom(tokens, index) is None):
            words.append(tokens[index][1])
            index += 1
        percent = words[:1] in (["%"], ["percent"], ["pct"], ["percentage"]) or words[:2] == ["per", "cent"]
        if how == "fraction" and found and not words and tokens[index - 1][0] == "fraction":
            # "an hour and a half": half of the unit named before it.
            found[-1] = replace(found[-1], value=found[-1].value + value, article=False)
            continue
        part = how == "fraction" and abs(value) < 1
        if part and lead[-1:] == ["time"]:
            value, part = 1 + value, False  # "time and a half"
        found.append(
            Quantity(value, tuple(words), tuple(lead), percent, money, part, how == "article", how == "ordinal")
        )
        lead = []
    counted = [quantity for quantity in found if not quantity.article]
    if any("belowzero" in quantity.words for quantity in counted):
        counted = [replace(quantity, value=-quantity.value) for quantity in counted]
    if len(found) > 1 and found[0].article and found[0].words[1:] == ("and",):
        return (found[0], *counted)  # "an hour and ten minutes"
    # Elsewhere an article counts only where no other number is said: "3 lessons a week".
    return tuple(counted or found[:1])


def _tokens(text: str) -> list[tuple[str, str]]:
    """(kind, text) with kinds number, fraction, ordinal, word, sign, currency, and, broken; number words are digits."""
    text = text.translate(_CHARACTERS).strip().lower()
    for sign, digits in _VULGAR.items():
        if sign in text:
            text = re.sub(rf"(\d?)\s*{sign}", rf"\1 {digits}", text)
    text = _GROUPED.sub(lambda m: m[1] + re.sub(r"\D", "", m[2]), text)
    if re.search(r"[^\W\d_]", text):
        text = _words_to_digits(text)
    tokens: list[tuple[str, str]] = []
    end = 0
    for match in _TOKEN.finditer(text):
        kind, word = match.lastgroup or "", match[0]
        glued = match.start() == end and match.start() > 0
        previous = text[match.start() - 1] if glued else " "
        if kind in ("number", "ordinal"):
            kind, word = "ordinal" if match["ordinal"] else "number", match["number"]
            if previous.isalpha() or previous in "/_" or (previous in ".,:" and end > 1 and text[end - 2].isdigit()):
                kind = "broken"
        elif kind == "percent":
            kind = "word"
        elif word in CURRENCY_SIGNS:
            kind = "currency"
        elif word == "-":
            # A minus sign opens a number; between two things it is a hyphen.
            opens = match.end() < len(text) and (
                text[match.end()] in "." + CURRENCY_SIGNS or text[match.end()].isdigit()
            )
            kind = "sign" if opens and not (previous.isalnum() or previous == ")") else "hyphen"
        tokens.append((kind, word))
        end = match.end()
    return tokens


def digits_for_words(text: str) -> str:
    """English number words of lower-case `text` as digits: "the 3rd of may", "17 coats"."""
    try:
        return alpha2digit(text, "en", threshold=0)
    except UnicodeEncodeError:  # a lone surrogate: no words of English
        return text


def _words_to_digits(text: str) -> str:
    text = re.sub(r"(?<=[a-z])-(?=[a-z])", " ", text)
    text = re.sub(r"\bsingle one\b", "single", text)
    text = re.sub(r"\b(?:below zero|below freezing)\b", "belowzero", text)
    text = _FRACTION.sub(lambda m: f"{NUMERATORS.get(m[1]) or m[1]}/{DENOMINATORS[m[2]]}", text)
    text = re.sub(r"\b(point|zero|nought|nineteen|twenty|eighteen) (?:oh|o)\b", r"\1 zero", text)
    text = re.sub(r"\band (\d+/\d+)", r"\1", text)
    if "second" in text:
        text = _ORDINAL_SECOND.sub(lambda m: m[0][: -len("second")] + "2nd", text)
        text = re.sub(r"\bsecond\b", "sec", text)
    # "the third one" is not two numbers.
    return re.sub(r"(?<=\d)(st|nd|rd|th) 1$", r"\1", digits_for_words(text))


def _atom(tokens: list[tuple[str, str]], index: int) -> tuple[Fraction, str, int] | None:
    """Value, kind and end of the number that starts at `index`, or None.

    Kinds: "number", "ordinal", "fraction", "article".
    """
    sign = 1
    while tokens[index][0] in ("sign", "currency") or tokens[index][1] in ("minus", "negative"):
        if tokens[index][0] != "currency":
            sign = -sign
        index += 1
        if index == len(tokens):
            return None
    kind, word = tokens[index]
    after = tokens[index + 1] if index + 1 < len(tokens) else ("", "")
    if kind == "number":
        value = Fraction(word)
        if word in ("16", "17", "18", "19", "20") and after[0] == "number" and len(after[1]) == 2:
            return sign * (100 * value + int(after[1])), "number", index + 2  # "nineteen ninety-five"
        if after[0] == "fraction":
            whole = value if word in _ROUND[1:] else 1  # "a million and a half" against "two and a half"
            return sign * (value + whole * _ratio(after[1])), "number", index + 2
        return sign * value, "number", index + 1
    if kind == "ordinal":
        return Fraction(word), "ordinal", index + 1
    if kind == "fraction":
        return sign * _ratio(word), "fraction", index + 1
    if word in ("half", "quarter") and after[1] not in ("past", "to"):
        return sign * Fraction(1, DENOMINATORS[word]), "fraction", index + (2 if after[1] in ("a", "an") else 1)
    if word in WHOLE_WORDS:
        return sign * Fraction(WHOLE_WORDS[word]), "number", index + 1
    if word in MULTIPLIERS and len(word) > 2:
        return Fraction(sign), "number", index
    if word in ("a", "an") and after[0] and after[1] not in VAGUE:
        inner = _atom(tokens, index + 1)
        if inner is not None:
            return inner  # "a hundred", "a couple", "a half"
        return (Fraction(1), "article", index + 1) if after[0] == "word" else None
    return None


def _multiply(
    tokens: list[tuple[str, str]], index: int, value: Fraction, how: str, money: bool
) -> tuple[Fraction, int]:
    """Applies the multipliers from `index` on: "k", "million", "dozen", "of a million"."""
    while index < len(tokens):
        kind, word = tokens[index]
        if kind == "word" and word in MULTIPLIERS:
            value *= MULTIPLIERS[word]
        elif kind == "word" and money and word in MONEY_MULTIPLIERS:
            value *= MONEY_MULTIPLIERS[word]
        elif kind == "number" and word in _ROUND:
            value *= int(word)  # "2.5 million", "half a million"
        elif kind == "fraction" and tokens[index - 1][1] in MULTIPLIERS:
            value += _ratio(word) * MULTIPLIERS[tokens[index - 1][1]]
        elif word == "of" or (how == "fraction" and word in ("a", "an")):
            pass
        else:
            break
        index += 1
    return value, index


def _ratio(text: str) -> Fraction:
    numerator, denominator = (int(part) for part in text.split("/"))
    return Fraction(numerator, denominator)
